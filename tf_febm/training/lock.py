"""One run at a time in a folder: a lock that ends with the process that holds it."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from tf_febm import arguments

try:
    import fcntl
except ImportError:  # Windows has no such locks.
    fcntl = None

__all__ = ["LOCK_NAME", "locked"]

LOCK_NAME = ".lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def locked(folder: arguments.Path) -> Iterator[None]:
    """Hold the lock of a folder for the length of a `with` block.

    The operating system lets go of it when the process ends, however it ends: what a killed run
    leaves is a file and no lock. The folder itself is locked too, so that removing the file lets
    nobody in. On file systems without locks, some network ones, there is none,
    and nothing is refused.

    Args:
        folder: Made if it is not there, and removed again if nothing else came into it.

    Raises:
        OSError: Another process holds the lock, or the folder cannot be written.
    """
    folder = Path(folder)
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own, number = _acquire_folder(folder), None
        try:
            number = _acquire(folder / LOCK_NAME)
        finally:
            if number is None and own is not None:
                os.close(own)
    except FileExistsError:
        raise OSError(f"{folder} is a file; choose another folder.") from None
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(f"Cannot write to {folder}: {error.strerror}.") from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # While it is still held, so that nobody else can hold what is removed.
            (folder / LOCK_NAME).unlink()
        os.close(number)
        if own is not None:
            os.close(own)
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _acquire_folder(folder: Path) -> int | None:
    """Return the descriptor of a locked folder, or None where folders have no locks.

    Whoever removes the file of the lock does not remove this one.
    """
    if fcntl is None:
        return None
    number = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise _in_use(folder) from None
    except OSError as error:
        os.close(number)
        # Network file systems lock only what is open for writing, which no folder is.
        if error.errno not in (*_UNSUPPORTED, errno.EBADF, errno.EINVAL):
            raise
        return None
    return number


def _in_use(folder: Path) -> OSError:
    """Return the error that names the holder of a lock."""
    try:
        holder = (folder / LOCK_NAME).read_text(errors="replace")[:100].strip()
    except OSError:
        holder = ""
    return OSError(
        f"{folder} is in use by another run, process {holder or 'unknown'}. Wait for it, or choose "
        "another folder."
    )


def _acquire(path: Path) -> int:
    """Return the descriptor of a locked file, or raise an OSError that names the holder."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(number)
            raise _in_use(path.parent) from None
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                os.close(number)
                raise
        try:
            current = os.stat(path).st_ino
        except FileNotFoundError:
            current = None
        if current == os.fstat(number).st_ino:
            os.ftruncate(number, 0)
            with contextlib.suppress(OSError):  # A full disk: the lock holds without the number.
                os.pwrite(number, f"{os.getpid()}\n".encode(), 0)
            return number
        # The holder before us has removed the file: what we locked is not the lock any more.
        os.close(number)
