"""Output file or folder that is either whole or absent."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

__all__ = ["write_new"]


def write_new(path: Path, write: Callable[[Path], None]) -> Path:
    """Write a file or folder that does not exist yet, under another name first.

    Args:
        path: Where it shall be.
        write: Writes it to the path that it is given.

    Returns:
        `path`.

    Raises:
        OSError: `path` exists, or cannot be written.
    """
    if path.exists() or path.is_symlink():
        raise FileExistsError(f"{path} exists; remove it or choose another place.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        made = _make_folders(path.parent)
    except OSError as error:
        raise OSError(f"Cannot write to {path}: {error.strerror}.") from None
    try:
        write(temporary)
        # A folder that has come to be in the meantime is not replaced: rename refuses full ones.
        os.rename(temporary, path)
    except BaseException as error:
        _remove(temporary)
        for folder in made:
            folder.rmdir()
        if isinstance(error, (OSError, tf.errors.OpError)):
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise OSError(f"Cannot write to {path}: {reason}.") from None
        raise
    return path


def _make_folders(folder: Path) -> list[Path]:
    """Create a folder and those above it; return the new ones, innermost first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if missing:
        missing[0].mkdir(parents=True)
    elif not folder.is_dir():
        raise NotADirectoryError(20, f"{folder} is a file")
    return missing


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
