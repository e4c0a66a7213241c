"""Arrays of numbers in MATLAB's files of version 5 (-v6 and -v7), by a reader in Python alone.

A file is a header of 128 bytes and a list of elements: a type, a length and as many bytes, padded
to eight; a variable is one that holds flags, shape, name and values as elements in turn, and may be
compressed. Whatever is no array of real numbers is passed over by its length.

Source: The MathWorks, "MAT-File Format", R2023a, chapter 1.
"""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from tf_febm import arguments
from tf_febm.untrusted_files.opening import check_bytes

__all__ = ["read_matlab"]

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
# Classes of arrays of numbers, double to uint64.
_NUMERIC = range(6, 16)
# Flags that say that there are imaginary parts.
_COMPLEX = 0x0800
# Unpacked bytes that hold flags, shape and name.
_START = 4096
_MOST_AXES = 32


@arguments.checked
def read_matlab(content: bytes, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Return the arrays of real numbers of some names; those that are not there are left out.

    Numbers have the type in which the file stores them, which may be smaller than their class.

    Args:
        content: The file.
        names: Of the variables.

    Raises:
        ValueError: It is no such file, is damaged, or takes more memory than the limits allow.
    """
    if content[:6] == b"MATLAB" and b"HDF5" in content[:_HEADER]:
        raise ValueError("it is of version 7.3: save it with -v7")
    if len(content) < _HEADER or content[126:128] not in (b"IM", b"MI"):
        raise ValueError("it is not of MATLAB's version 5")
    order = "<" if content[126:128] == b"IM" else ">"
    found: dict[str, np.ndarray] = {}
    wanted = set(names)
    unpacked = 0
    for kind, part in _elements(memoryview(content)[_HEADER:], order):
        if kind == _COMPRESSED:
            name = _name_of(_inside(_unpacked(part, _START), order), order)
            if name not in wanted:
                continue
            length = 8 + _length(_unpacked(part, 8), order)
            unpacked += length
            check_bytes(f"variable {name}", unpacked, len(content))
            part = _inside(_unpacked(part, length, whole=True), order)
        elif kind != _MATRIX or _name_of(part, order) not in wanted:
            continue
        name, array = _variable(part, order)
        if array is not None:
            found[name] = array
    return found


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and contents of the elements that stand in a row."""
    place = 0
    while place + 8 <= len(content):
        kind, length = struct.unpack_from(order + "II", content, place)
        if kind >> 16:
            # Up to four bytes stand in the place of the length, which is half of the type then.
            kind, length = kind & 0xFFFF, kind >> 16
            if length > 4:
                raise ValueError("an element is damaged")
            yield kind, content[place + 4 : place + 4 + length]
            place += 8
            continue
        if length > len(content) - place - 8:
            raise ValueError("an element is cut short")
        yield kind, content[place + 8 : place + 8 + length]
        # What is compressed is not padded.
        place += 8 + (length if kind == _COMPRESSED else (length + 7) // 8 * 8)


def _unpacked(part: memoryview, most: int, whole: bool = False) -> bytes:
    """Return the first bytes of a compressed element; `whole`: so many, and no less."""
    machine = zlib.decompressobj()
    try:
        found = machine.decompress(part, most)
        if whole:
            # What is left are the check of what was read and the padding of the last element.
            found += machine.decompress(machine.unconsumed_tail, 64)
    except zlib.error as error:
        raise ValueError(f"a variable is damaged: {error}") from None
    if whole and (len(found) < most or not machine.eof):
        raise ValueError("a variable is cut short")
    return found


def _length(start: bytes, order: str) -> int:
    if len(start) < 8:
        raise ValueError("a variable is cut short")
    kind, length = struct.unpack_from(order + "II", start)
    if kind != _MATRIX:
        raise ValueError("a variable is damaged")
    return length


def _inside(unpacked: bytes, order: str) -> memoryview:
    """Return what is inside of an unpacked variable, as much as there is."""
    return memoryview(unpacked)[8 : 8 + _length(unpacked, order)]


def _first(part: memoryview, order: str, count: int) -> list[tuple[int, memoryview]]:
    elements = _elements(part, order)
    found = []
    for _ in range(count):
        try:
            found.append(next(elements))
        except StopIteration:
            raise ValueError("a variable is cut short") from None
    return found


def _name_of(part: memoryview, order: str) -> str:
    return bytes(_first(part, order, 3)[2][1]).decode("latin1")


def _variable(part: memoryview, order: str) -> tuple[str, np.ndarray | None]:
    """Return name and values of a variable; None in their place if they are no real numbers."""
    (_, flags), (_, axes), (_, name) = _first(part, order, 3)
    label = bytes(name).decode("latin1")
    if len(flags) != 8 or len(axes) % 4 or not 8 <= len(axes) <= 4 * _MOST_AXES:
        raise ValueError(f"variable {label} is damaged")
    (about, _) = struct.unpack(order + "II", flags)
    if about & 0xFF not in _NUMERIC or about & _COMPLEX:
        return label, None
    shape = np.frombuffer(axes, order + "i4").tolist()
    kind, values = _first(part, order, 4)[3]
    if kind not in _TYPES or min(shape) < 0:
        raise ValueError(f"variable {label} is damaged")
    dtype = np.dtype(order + _TYPES[kind])
    if len(values) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"variable {label} of shape {shape[:8]} has {len(values)} bytes of values")
    array = np.frombuffer(values, dtype).reshape(shape, order="F")
    return label, array.astype(dtype.newbyteorder("="), copy=False)
