"""Files that are either whole or absent."""

import contextlib
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["append", "as_json", "replacing", "write_atomically", "write_json", "write_table"]


def write_atomically(path, write) -> None:
    """Write a file under a temporary name, then put it in place in one step.

    An interruption or a full disk leaves what was there before.

    Args:
        path: Where the file shall be.
        write: Function of an open binary file that writes the contents.

    Raises:
        OSError: It cannot be written; it names the path.
    """
    with _naming(path), replacing(path) as temporary, open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path, suffix: str = "") -> Iterator[Path]:
    """Give a temporary path beside another, and put what is written there in its place.

    Args:
        path: Where the file shall be.
        suffix: Of the temporary name, for what writes by the name.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp{suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def append(path, content: bytes) -> None:
    """Add to the end of a file, and wait until it is on the disk.

    A full disk may leave a part of the content: who reads the file must know its end.

    Raises:
        OSError: It cannot be written; it names the path.
    """
    with _naming(path), open(path, "ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _naming(path) -> Iterator[None]:
    """Say which file it was that could not be written: errors of open files do not."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename2 is None:
            error.filename = str(path)
        raise


def write_json(path, value) -> None:
    """Write a value as indented JSON, atomically; numbers that JSON lacks become null."""
    text = as_json(value) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def as_json(value) -> str:
    """Return a value as indented JSON; numbers that JSON lacks become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def write_table(path, rows: Iterable[dict], columns: Iterable[str]) -> None:
    """Write rows as CSV, atomically: of each the given columns, empty where it has none."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(columns), extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and value - value != 0.0:
        return None
    return value
