"""Names of data sets of TensorFlow Datasets, and what prepared copies of them hold.

Without TensorFlow: a command line asks before it is imported.
"""

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any

from tf_febm import untrusted_files

__all__ = ["builder_name", "holds_vectors", "is_one"]

_PREFIX = "tfds:"
_NAME = re.compile(r"tfds:([a-z][a-z0-9_]*)(?::([\w.\-]+))?")
# Bytes of what says which features there are.
_LARGEST = 16 << 20


def is_one(name: str) -> bool:
    """Whether a name of a data set is meant as one of TensorFlow Datasets."""
    return isinstance(name, str) and (name.startswith(_PREFIX) or name == "tfds")


def builder_name(name: str) -> str:
    """Return what TensorFlow Datasets calls "tfds:name" or "tfds:name:config".

    Raises:
        ValueError: It is neither.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(
            "Names of TensorFlow Datasets are tfds:<name> or tfds:<name>:<config>, such as "
            f"tfds:cifar10; received {name!r}."
        )
    return found[1] if found[2] is None else f"{found[1]}/{found[2]}"


def holds_vectors(name: str, data_dir=None) -> bool:
    """Whether a prepared copy has no pictures in it; False where there is none to tell."""
    with contextlib.suppress(Exception):
        place = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        folder = Path(place).expanduser() / builder_name(name)
        # The newest version; without a configuration any says it.
        files = sorted(folder.glob("*/features.json")) or sorted(folder.glob("*/*/features.json"))
        return not _has_image(json.loads(untrusted_files.read_bytes(files[-1], _LARGEST)))
    return False


def _has_image(features: Any) -> bool:
    if isinstance(features, dict):
        kind = str(features.get("pythonClassName", ""))
        return kind.endswith(".Image") or any(map(_has_image, features.values()))
    return False
