"""Versions of the software that results depend on."""

import platform
import subprocess
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_febm.version import __version__

__all__ = ["versions"]


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
