"""Files that are either whole or absent."""

import json
import os
from pathlib import Path

__all__ = ["write_atomically", "write_json"]


def write_atomically(path, write) -> None:
    """Write a file under a temporary name, then put it in place in one step.

    An interruption or a full disk leaves what was there before.

    Args:
        path: Where the file shall be.
        write: Function of an open binary file that writes the contents.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value) -> None:
    """Write a value as indented JSON, atomically; numbers that JSON lacks become null."""
    text = json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value
