"""Archives of arrays (.npz), whose promises are weighed before anything is unpacked."""

import contextlib
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from tf_febm import arguments
from tf_febm.untrusted_files.opening import RefusedError, check_bytes, opened
from tf_febm.untrusted_files.records import DamagedError

__all__ = ["ArrayFile", "Header", "NoArrayError", "read_arrays"]

_MAGIC = b"\x93NUMPY"
# Bytes of the text that says shape and type; NumPy itself takes no longer one.
_LONGEST_HEADER = 10_000
# Bytes of a name, and of the table of contents for each array.
_MOST_ARRAYS = 100_000
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class NoArrayError(ValueError):
    """A member of an archive is something else than an array."""


class Header(NamedTuple):
    """What an array says of itself.

    Attributes:
        shape: Its shape.
        dtype: Its type.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        """Return the bytes that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


@arguments.checked
class ArrayFile:
    """Read arrays from an .npz, as `numpy.savez` writes it, without pickles.

    Args:
        path: A regular file.

    Raises:
        ValueError: It is no archive, or holds something else than arrays.
        OSError: It is not there, or cannot be read.
    """

    def __init__(self, path: arguments.Path):
        self.path = Path(path)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(opened(path))
            self._size = os.fstat(file.fileno()).st_size
            self._zip = stack.enter_context(_archive(file, self._size))
            members = self._zip.infolist()
            self._stack = stack.pop_all()
        names = [info.filename.removesuffix(".npy") for info in members]
        self._members = dict(zip(names, members, strict=True))
        self.keys = tuple(self._members)
        if len(self.keys) < len(names):
            self.close()
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"it has several arrays of the name {twice[:60]!r}")
        self._unpacked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()

    def header(self, key: str) -> Header:
        """Return shape and type of the array under a key, which is not read.

        Raises:
            ValueError: It is no array.
        """
        with self._open(key) as member:
            return _header(member)

    def array(self, key: str) -> np.ndarray:
        """Return the array under a key.

        Raises:
            ValueError: It is no array, or of objects, or is damaged, or all that was read of the
                archive takes more memory than the limits allow.
        """
        found = self.header(key)
        if found.dtype.hasobject:
            raise ValueError("it holds objects, which may run code: allow_pickle=False")
        self._unpacked += found.size
        check_bytes("what is read of it", self._unpacked, self._size)
        with self._open(key) as member:
            return np.lib.format.read_array(
                member, allow_pickle=False, max_header_size=_LONGEST_HEADER
            )

    def _open(self, key: str):
        info = self._members[key]
        if info.compress_type not in _METHODS:
            raise ValueError(f"it is packed by method {info.compress_type}, not as NumPy does")
        return self._zip.open(info)


@arguments.checked
def read_arrays(path: arguments.Path) -> dict[str, np.ndarray]:
    """Return all arrays of an .npz by name; see `ArrayFile`.

    Raises:
        DamagedError: It is no archive of arrays, or one of them cannot be read.
        OSError: It is not there, or cannot be opened.
        RefusedError: It is no regular file, or takes more memory than the limits allow.
    """
    try:
        with ArrayFile(path) as file:
            return {key: file.array(key) for key in file.keys}
    except (OSError, RefusedError):
        raise
    # What is cut or changed raises zlib.error, BadZipFile, EOFError, NotImplementedError, …
    except Exception as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise DamagedError(f"{path} is damaged ({text})") from None


def _archive(file: IO[bytes], size: int) -> zipfile.ZipFile:
    start = file.read(len(_MAGIC))
    if start == _MAGIC:
        raise ValueError("expected an .npz archive; received a single array (.npy)")
    # The end of an archive says how long its table of contents is, which is read as a whole.
    file.seek(max(0, size - 22 - 65_536))
    tail = file.read()
    place = tail.rfind(b"PK\x05\x06")
    if place >= 0 and len(tail) - place >= 12:
        (count,) = struct.unpack_from("<H", tail, place + 10)
        if count == 0xFFFF and size > 46 * _MOST_ARRAYS:
            raise ValueError(f"it has more than {_MOST_ARRAYS:,} entries")
    file.seek(0)
    return zipfile.ZipFile(file)


def _header(member) -> Header:
    magic = member.read(8)
    if len(magic) < 8 or magic[:6] != _MAGIC or magic[6] not in (1, 2, 3):
        raise NoArrayError("expected an array; received bytes")
    form = "<H" if magic[6] == 1 else "<I"
    raw = member.read(struct.calcsize(form))
    if len(raw) < struct.calcsize(form) or struct.unpack(form, raw)[0] > _LONGEST_HEADER:
        raise ValueError("its header is damaged")
    member.seek(8)
    read = {
        1: np.lib.format.read_array_header_1_0,
        2: np.lib.format.read_array_header_2_0,
        # The third differs in the encoding of the names of fields.
        3: np.lib.format.read_array_header_2_0,
    }[magic[6]]
    shape, _, dtype = read(member, max_header_size=_LONGEST_HEADER)
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"its shape {shape} is damaged")
    items: int = math.prod(shape)
    if items and not dtype.itemsize:
        # Of nothing there could be any number, each of which takes memory when it is looked at.
        raise ValueError(f"it has {items:,} items without contents")
    return Header(shape, dtype)
