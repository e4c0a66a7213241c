"""Versions of the software that results depend on."""

import hashlib
import platform
import subprocess
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.version import __version__

__all__ = ["data_hash", "versions"]


def versions() -> dict[str, str | None]:
    """Return the versions of what a run depends on."""
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        git = subprocess.run(
            describe, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        git = ""
    return {
        "tf_febm": __version__,
        "git": git or None,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def data_hash(source: arguments.Data) -> str:
    """Return the SHA-256 of the examples and labels that are trained on."""
    digest = hashlib.sha256()
    for array in (getattr(source, "images", None), getattr(source, "vectors", None), source.labels):
        if array is not None:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
