"""Files that are either whole or absent."""

import contextlib
import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tf_febm import arguments

__all__ = [
    "append",
    "as_json",
    "replacing",
    "staged",
    "write_atomically",
    "write_json",
    "write_table",
]


def write_atomically(path: arguments.Path, write: arguments.Function) -> None:
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
def replacing(path: arguments.Path, suffix: str = "") -> Iterator[Path]:
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


# Of folders for results that are not yet in their place; the number of the process follows.
_NEW = ".new."


@contextlib.contextmanager
def staged(
    folder: arguments.Path, replaces: Iterable[str] = (), unfinished: str | None = None
) -> Iterator[Path]:
    """Give a new folder for results, and put what is written there in its place at the end.

    If the block fails or is interrupted, what was there before is as it was, and no empty folder is
    left.

    Args:
        folder: Where the results shall be; made if it is missing.
        replaces: Patterns of earlier results in it that go when the new ones come, whether they
            are among these or not.
        unfinished: Name of a folder in it, to which what was written goes if the block fails; None
            drops that.

    Yields:
        A hidden folder in it, in which names are those that they will have in the folder.

    Raises:
        OSError: It cannot be written; it names the folder.
    """
    folder = Path(folder)
    new = folder / f"{_NEW}{os.getpid()}"
    made: list[Path] = []
    try:
        try:
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            for left in folder.glob(f"{_NEW}*"):
                if not _is_running(left.name.removeprefix(_NEW)):
                    shutil.rmtree(left, ignore_errors=True)
            new.mkdir(parents=True)
        except OSError as error:
            raise OSError(f"Cannot write to {folder}: {error.strerror}.") from None
        yield new
        written = sorted(path for path in new.rglob("*") if not path.is_dir())
        ours = {path.relative_to(new) for path in written}
        # Before the first one moves: all of them, or none.
        for path in ours:
            _check_free(folder, path)
        old = [path for pattern in replaces for path in folder.glob(pattern)]
        for path in written:
            place = folder / path.relative_to(new)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)
        for path in old:
            # A folder of such a name is somebody else's.
            if path.relative_to(folder) not in ours and not path.is_dir():
                path.unlink(missing_ok=True)
        if unfinished is not None:
            shutil.rmtree(folder / unfinished, ignore_errors=True)
    except BaseException:
        if unfinished is not None and new.is_dir() and any(new.iterdir()):
            shutil.rmtree(folder / unfinished, ignore_errors=True)
            os.replace(new, folder / unfinished)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _check_free(folder: Path, path: Path) -> None:
    """Raise an OSError if a file cannot have its place in a folder, as other things are there."""
    place = folder / path
    if place.is_dir():
        raise OSError(f"Cannot write {place}: it is a folder; move it away.")
    for parent in list(path.parents)[:-1]:
        if (folder / parent).exists() and not (folder / parent).is_dir():
            raise OSError(f"Cannot write {place}: {folder / parent} is no folder; move it away.")


def _is_running(number: str) -> bool:
    """Whether the process that a folder is of is there, and not this one."""
    if number == str(os.getpid()) or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def append(path: arguments.Path, content: bytes) -> None:
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


def write_json(path: arguments.Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; numbers that JSON lacks become null."""
    text = as_json(value) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def as_json(value: Any) -> str:
    """Return a value as indented JSON; numbers that JSON lacks become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def write_table(path: arguments.Path, rows: Iterable[dict], columns: Iterable[str]) -> None:
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
