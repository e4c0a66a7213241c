"""TFRecord files of `tf.train.Example`, read without TensorFlow and protobuf.

A record is its length (8 bytes, little endian), a checksum of that, its bytes, a checksum of them.
The checksums are CRC-32C, rotated and shifted. An Example is a map from names to lists of bytes, of
floats or of 64-bit whole numbers, in the wire format of protobuf.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tf_febm.untrusted_files.opening import check_bytes, opened

__all__ = ["parse_example", "read_records", "record_places"]

_HEAD, _FOOT = 12, 4
# Entries of an Example, and of the list of one of them that is no packed one.
_MOST_ENTRIES = 10_000
_POLYNOMIAL = 0x82F63B78
# Bytes up to which a row is summed one by one.
_SHORT = 64


def record_places(path: Path) -> np.ndarray:
    """Return where the records of a file begin and how long they are, int64 [n, 2].

    Only lengths are read, and their checksums compared.

    Raises:
        ValueError: It is no such file, or is cut short; RefusedError where it is no regular file.
        OSError: It is not there, or cannot be read.
    """
    places, heads = [], bytearray()
    with opened(path) as file:
        size = file.seek(0, 2)
        place = 0
        while place < size:
            file.seek(place)
            head = file.read(_HEAD)
            length = int.from_bytes(head[:8], "little")
            if len(head) < _HEAD or place + _HEAD + length + _FOOT > size:
                raise ValueError(
                    f"no whole record at byte {place:,}: it is cut short or no TFRecord"
                )
            places.append((place + _HEAD, length))
            heads += head
            place += _HEAD + length + _FOOT
    rows = np.frombuffer(bytes(heads), np.uint8).reshape(-1, _HEAD)
    wrong = np.flatnonzero(_checksums(rows[:, :8]) != rows[:, 8:].copy().view("<u4")[:, 0])
    if len(wrong):
        raise ValueError(f"the checksum of the length of record {wrong[0]} differs: it is damaged")
    return np.array(places, np.int64).reshape(-1, 2)


def read_records(path: Path, places: np.ndarray) -> list[bytes]:
    """Return records by their places.

    Args:
        path: The file.
        places: Rows of what `record_places` returns.

    Raises:
        ValueError: A checksum differs, or they take more memory than the limits allow.
        OSError: The file cannot be read.
    """
    found = []
    with opened(path) as file:
        size = file.seek(0, 2)
        total = int(places[:, 1].sum())
        check_bytes("what is read of it", total, size)
        for place, length in places.tolist():
            file.seek(place)
            found.append(file.read(length + _FOOT))
    by_length: dict[int, list[int]] = {}
    for k, record in enumerate(found):
        by_length.setdefault(len(record), []).append(k)
    for length, numbers in by_length.items():
        if length < _FOOT:
            raise ValueError("it became shorter while it was read")
        rows = np.frombuffer(b"".join(found[k] for k in numbers), np.uint8)
        rows = rows.reshape(len(numbers), length)
        stored = rows[:, -_FOOT:].copy().view("<u4")[:, 0]
        wrong = np.flatnonzero(_checksums(rows[:, :-_FOOT]) != stored)
        if len(wrong):
            place = int(places[numbers[wrong[0]]][0])
            raise ValueError(f"the checksum of the record at byte {place:,} differs: it is damaged")
    return [record[:-_FOOT] for record in found]


def _table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table.astype(np.uint32)


_TABLE = _table()


def _checksums(rows: np.ndarray) -> np.ndarray:
    """Return the masked CRC-32C of each row, uint8 [n, length], as uint32 [n]."""
    crc = ~_crc(rows)
    # Whole numbers of arrays wrap around, which is meant.
    return ((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)


def _crc(rows: np.ndarray) -> np.ndarray:
    """Return the register after each row, which begins with all bits set.

    A long row is cut into pieces, about as many as a piece has bytes, which are summed side by
    side: the register is linear in its bits and those of the row.
    """
    count, length = rows.shape
    if length <= _SHORT:
        return _summed(np.full(count, 0xFFFFFFFF, np.uint32), rows)
    size = 1 << (length.bit_length() + 1) // 2
    # Zeros in front leave a register of zeros as it is; its beginning goes into the first bytes.
    whole = np.zeros((count, -(-length // size) * size), np.uint8)
    whole[:, -length:] = rows
    whole[:, -length : 4 - length] ^= 0xFF
    pieces = _summed(np.zeros(whole.size // size, np.uint32), whole.reshape(-1, size))
    # What a register becomes by as many zeros as a piece has bytes, for each of its four bytes.
    moved = np.arange(256, dtype=np.uint32) << 8 * np.arange(4, dtype=np.uint32)[:, None]
    moved = _summed(moved.ravel(), np.broadcast_to(np.uint8(0), (1024, size))).reshape(4, 256)
    crc = np.zeros(count, np.uint32)
    for piece in pieces.reshape(count, -1).T:
        parts = [moved[k][(crc >> np.uint32(8 * k)) & 0xFF] for k in range(4)]
        crc = parts[0] ^ parts[1] ^ parts[2] ^ parts[3] ^ piece
    return crc


def _summed(crc: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return registers, uint32 [n], after the bytes of rows, uint8 [n, length]."""
    # Byte by byte, of all rows at once.
    for column in np.ascontiguousarray(rows.T):
        crc = _TABLE[(crc ^ column) & 0xFF] ^ (crc >> 8)
    return crc


def parse_example(content: bytes) -> dict[str, bytes | np.ndarray]:
    """Return the entries of an Example: the only bytes of one, or its numbers.

    Args:
        content: A record.

    Returns:
        Name -> bytes, float32 [n] or int64 [n]; entries of none or several strings are left out.

    Raises:
        ValueError: It is no Example.
    """
    try:
        found: dict[str, bytes | np.ndarray] = {}
        entries = (entry for number, features in _fields(content) if number == 1
                   for inner, entry in _fields(features) if inner == 1)  # fmt: skip
        for count, entry in enumerate(entries):
            if count == _MOST_ENTRIES:
                raise ValueError(f"it has more than {_MOST_ENTRIES:,} entries")
            parts = dict(_fields(entry))
            value = _value(parts.get(2, b""))
            if value is not None:
                found[parts.get(1, b"").decode("utf-8")] = value
        return found
    except (IndexError, struct.error, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is no tf.train.Example ({type(error).__name__})") from None


def _value(feature: bytes):
    """Return what a Feature holds."""
    for kind, inside in _fields(feature):
        items = [item for number, item in _fields(inside) if number == 1]
        if len(items) > _MOST_ENTRIES:
            raise ValueError(f"it has a list of more than {_MOST_ENTRIES:,} items")
        if kind == 1:
            return items[0] if len(items) == 1 and isinstance(items[0], bytes) else None
        if kind == 2:
            packed = b"".join(items)
            if len(packed) % 4:
                raise ValueError("it has a list of floats that is cut short")
            return np.frombuffer(packed, "<f4")
        if kind == 3:
            numbers: list[int] = []
            for item in items:
                numbers += [item] if isinstance(item, int) else _varints(item)
            # Negative ones are written as 64 bits.
            return np.array(numbers, np.uint64).view(np.int64)
    return None


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of the fields of a message."""
    place = 0
    while place < len(content):
        tag, place = _varint(content, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(content, place)
            yield number, value
            continue
        if wire == 2:
            length, place = _varint(content, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"it is no tf.train.Example (wire type {wire})")
        if place + length > len(content):
            raise ValueError("it is no tf.train.Example (cut short)")
        yield number, content[place : place + length]
        place += length


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 2**64:
                raise ValueError("it holds a number of more than 64 bits")
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("it holds a number of more than 64 bits")


def _varints(content: bytes) -> list[int]:
    numbers, place = [], 0
    while place < len(content):
        number, place = _varint(content, place)
        numbers.append(number)
    return numbers
