"""What every test shares: quiet TensorFlow and the optional folder of real data."""

import gc
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import kept_kernels
import pytest

# See `pytest_runtest_logfinish`; imports, too, make objects that stay.
gc.disable()

# Small models, for every folder that trains one.
pytest_plugins = ["small_models"]

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real image sets beside the checkout, or skip where there is none."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the folder of real image sets is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def classifier_cache(tmp_path_factory) -> Path:
    """Return a folder for trained classifiers, one for all workers of a run of the suite."""
    folder = tmp_path_factory.getbasetemp()
    # Each worker has a folder of its own within that of the run.
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "classifiers"


# Folders whose tests start processes, train or run whole programs.
_LONG = ("drills", "studies", "launch", "docs", "training")


def pytest_collection_modifyitems(items):
    """Begin with the files that take long: no worker is left with one of them at the end."""

    def place(item) -> int:
        folders = item.path.relative_to(PROJECT / "tests").parts[:-1]
        return 2 if folders and folders[0] not in _LONG else int(folders == ("training",))

    items.sort(key=place)


def pytest_collection_finish(session):
    """Keep kernels where seeds are set; the process that hands out tests has no TensorFlow."""
    if "tensorflow" in sys.modules:
        kept_kernels.keep()


# Graphs are many objects that live long and refer to each other: the collector's own passes over
# all of them took a tenth of the suite's time. So it looks at what is new alone, now and then.
_TESTS_BETWEEN_COLLECTIONS = 50
# What was in use at one look and is not any more is left to these.
_TESTS_BETWEEN_FULL_COLLECTIONS = 500
_finished = 0


def pytest_runtest_logfinish(nodeid, location):
    """Collect what recent tests left, and pass over what is left of it from then on."""
    global _finished
    _finished += 1
    if _finished % _TESTS_BETWEEN_COLLECTIONS == 0:
        if _finished % _TESTS_BETWEEN_FULL_COLLECTIONS == 0:
            gc.unfreeze()
        gc.collect()
        gc.freeze()
