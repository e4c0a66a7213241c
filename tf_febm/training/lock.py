"""One run at a time in a folder: a lock that ends with the process that holds it."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks.
    fcntl = None

__all__ = ["LOCK_NAME", "locked"]

LOCK_NAME = ".lock"
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextlib.contextmanager
def locked(folder) -> Iterator[None]:
    """Hold the lock of a folder for the length of a `with` block.

    The operating system lets go of it when the process ends, however it ends: what a killed run
    leaves is a file and no lock. On file systems without locks, some network ones, there is none,
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
        number = _acquire(folder / LOCK_NAME)
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
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()


def _acquire(path: Path) -> int:
    """Return the descriptor of a locked file, or raise an OSError that names the holder."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(number, 100, 0).decode(errors="replace").strip() or "unknown"
            os.close(number)
            raise OSError(
                f"{path.parent} is in use by another run, process {holder}. Wait for it, or choose "
                "another folder."
            ) from None
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
