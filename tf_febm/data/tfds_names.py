"""Contents of prepared copies of TensorFlow Datasets.

Without TensorFlow: a command line asks before it is imported.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from tf_febm import catalogue, untrusted_files

__all__ = ["holds_vectors"]

# Bytes of what says which features there are.
_LARGEST = 16 << 20


def holds_vectors(name: str, data_dir: str | os.PathLike | None = None) -> bool:
    """Whether a prepared copy has no pictures in it; False where there is none to tell."""
    with contextlib.suppress(Exception):
        place = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
        folder = Path(place).expanduser() / catalogue.tfds_name(name)
        # The newest version; without a configuration any says it.
        files = sorted(folder.glob("*/features.json")) or sorted(folder.glob("*/*/features.json"))
        return not _has_image(json.loads(untrusted_files.read_bytes(files[-1], _LARGEST)))
    return False


def _has_image(features: Any) -> bool:
    if isinstance(features, dict):
        kind = str(features.get("pythonClassName", ""))
        return kind.endswith(".Image") or any(map(_has_image, features.values()))
    return False
