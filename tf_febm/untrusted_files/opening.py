"""Regular files only, and budgets: what a file from elsewhere may take of this machine.

Every reader of this library opens files by `opened`, which neither waits for a pipe nor reads a
device, and asks for memory by `check_bytes` before it takes any.
"""

import contextlib
import contextvars
import errno
import gzip
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from tf_febm import arguments

__all__ = [
    "Limits",
    "RefusedError",
    "allowed_bytes",
    "check_bytes",
    "check_depth",
    "check_pixels",
    "limited",
    "limits",
    "memory_bytes",
    "opened",
    "read_bytes",
    "regular_size",
    "unpack_gzip",
]

_GIB = 1 << 30
# What a file of any size may unpack to, and how many times its own size; images and tables of
# numbers are rarely packed more than tenfold.
_ALWAYS, _TIMES = _GIB, 20
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class RefusedError(ValueError):
    """A file is no regular one, or takes more than is allowed; the message is without its name."""


class Limits(NamedTuple):
    """What files from elsewhere may take.

    Attributes:
        max_pixels: Pixels of one picture.
        max_gib: GiB of memory for what one file holds; None for the larger of 1 GiB and 20 times
            the size of the file, but not more than half of the machine's memory.
        max_depth: Folders inside one another.
    """

    max_pixels: int = 120_000_000
    max_gib: float | None = None
    max_depth: int = 32


_USUAL = Limits()
_present: contextvars.ContextVar[Limits] = contextvars.ContextVar("limits", default=_USUAL)


def limits() -> Limits:
    """Return the limits that hold here."""
    return _present.get()


@contextlib.contextmanager
@arguments.checked
def limited(
    max_pixels: int | None = None, max_gib: float | None = None, max_depth: int | None = None
) -> Iterator[Limits]:
    """Let other limits hold inside a `with` block; None keeps the usual one.

    Args:
        max_pixels: See `Limits`, as for all.
        max_gib: See there.
        max_depth: See there.

    Raises:
        ValueError: A limit is not positive.
    """
    usual = _USUAL
    if max_pixels is not None:
        usual = usual._replace(max_pixels=arguments.whole_number("max_pixels", max_pixels, 1))
    if max_gib is not None:
        usual = usual._replace(max_gib=arguments.number("max_gib", max_gib, above=True))
    if max_depth is not None:
        usual = usual._replace(max_depth=arguments.whole_number("max_depth", max_depth, 1))
    token = _present.set(usual)
    try:
        yield usual
    finally:
        _present.reset(token)


@arguments.checked
def regular_size(path: arguments.Path) -> int:
    """Return the size of a regular file, which links may lead to.

    Raises:
        RefusedError: It is something else; the message says what.
        OSError: It is not there, or cannot be read.
    """
    found = os.stat(path)
    _check_regular(path, found.st_mode)
    return found.st_size


@contextlib.contextmanager
@arguments.checked
def opened(path: arguments.Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading, in a `with` block.

    Raises:
        RefusedError: It is no regular file: a pipe would be waited for, a device may have no end.
        OSError: It is not there, or cannot be read.
    """
    regular_size(path)  # First: opening alone does something to some devices.
    # Without waiting, should it have become a pipe since.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    with open(number, "rb") as file:
        _check_regular(path, os.fstat(number).st_mode)
        yield file


@arguments.checked
def read_bytes(path: arguments.Path, most: int | None = None) -> bytes:
    """Return what a regular file holds.

    Args:
        path: The file.
        most: How many bytes it may have; what the limits allow if None.

    Raises:
        RefusedError: It is no regular file, or too large.
        OSError: It is not there, or cannot be read.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if most is None:
            check_bytes("what it holds", size, size)
            most = size
        elif size > most:
            raise RefusedError(f"it has {size:,} bytes; accepted are at most {most:,}")
        # It may grow meanwhile.
        return file.read(most)


@arguments.checked
def unpack_gzip(content: bytes, what: str) -> bytes:
    """Return what is packed by gzip, in memory that the limits allow.

    Args:
        content: The packed bytes.
        what: What begins the message about memory.

    Raises:
        RefusedError: It takes more.
        OSError: It is damaged.
        EOFError: It is cut short.
    """
    most = allowed_bytes(len(content))
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        found = file.read(most + 1)
    check_bytes(what, len(found), len(content))
    return found


def allowed_bytes(file_size: int) -> int:
    """Return how many bytes what a file of some size holds may take."""
    given = limits().max_gib
    if given is not None:
        return int(given * _GIB)
    return min(max(_ALWAYS, _TIMES * file_size), memory_bytes() // 2)


# What a file promises may be any number.
@arguments.checking({"count": None})
def check_bytes(what: Any, count: int, file_size: int) -> None:
    """Raise a RefusedError if something of a file takes more memory than the limits allow.

    Args:
        what: What it is, which begins the message.
        count: Bytes that it takes.
        file_size: Bytes of the file.
    """
    most = allowed_bytes(file_size)
    if count > most:
        raise RefusedError(
            f"{what} takes {count / _GIB:,.2f} GiB of memory; the limit is {most / _GIB:,.2f} GiB "
            f"for a file of {file_size:,} bytes; if it is what it should be, give max_gib "
            "(--max_gib=)"
        )


@arguments.checked
def check_pixels(height: int, width: int) -> None:
    """Raise a RefusedError if a picture has more pixels than the limits allow."""
    most = limits().max_pixels
    if height * width > most:
        raise RefusedError(
            f"{width}×{height} are {height * width:,} pixels; the limit is {most:,}; if it is what "
            "it should be, give max_pixels (--max_pixels=)"
        )


@arguments.checked
def check_depth(folder: Path, depth: int) -> None:
    """Raise a ValueError if a folder lies deeper in others than the limits allow."""
    most = limits().max_depth
    if depth > most:
        shown = str(folder) if len(str(folder)) < 100 else f"{str(folder)[:60]}…"
        raise ValueError(
            f"{shown}: folders lie more than {most} deep in one another; if that is what it should "
            "be, give max_depth (--max_depth=)."
        )


def _check_regular(path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
    if not stat.S_ISREG(mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise RefusedError(f"this is {kind}; accepted is a regular file")


def memory_bytes() -> int:
    """Return how many bytes of memory this machine has; 32 GiB where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Not on every system.
        return 32 * _GIB
