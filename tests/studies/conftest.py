"""Studies called inside this process, with flags of their own."""

import importlib

import pytest
from absl import flags

from launch import console
from tests.launch.conftest import _one_classifier_of_the_digits  # noqa: F401  (a fixture)


@pytest.fixture(scope="module", autouse=True)
def _no_curves(no_curves):
    """Draw none in reports of runs, which no study looks at."""


@pytest.fixture
def study(capfd):
    """Return name, *arguments -> (exit code, output, errors) of a study."""

    def run(name, *arguments):
        module = importlib.import_module(f"studies.{name}")
        values = flags.FlagValues()
        module.define(values)
        values([name, *map(str, arguments)])
        code = console.exit_code(lambda: module.run(values), debug=False)
        return code, *capfd.readouterr()

    return run
