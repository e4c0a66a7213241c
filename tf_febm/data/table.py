"""Vectors from files: tables of comma-separated numbers, and arrays [n, d] in NumPy archives."""

import csv
import math
from pathlib import Path

import numpy as np

from tf_febm.data.files import VectorSplit, entries, every_tenth, reason, rows_of_split

LAYOUTS = (
    "a .csv file, or a folder with exactly one, of numbers separated by commas, semicolons or "
    "tabs, one example a line, with or without a line of column names"
)
SUFFIXES = (".csv", ".tsv")
_MISSING = ("", "na", "n/a", "nan", "null", "none", "?")


def read(path: Path, split: str) -> VectorSplit | None:
    """Read a split of a table, or return None where there is none.

    The first line holds column names if no field of it is a number. Lines that are empty are
    skipped. Every tenth row is held out.

    Args:
        path: The file, or a folder with exactly one .csv or .tsv.
        split: "train" or "test".

    Raises:
        PermissionError: The file may not be read.
        ValueError: The table cannot be used; one line naming file, line and column.
    """
    file = _locate(path)
    if file is None:
        return None
    values, columns = read_table(file)
    vectors = checked_vectors(values, str(file), columns)
    rows = rows_of_split(every_tenth(len(vectors)), split, str(file))
    vectors = vectors[rows]
    if split == "train":
        # Held-out rows may happen to agree.
        vectors = varying_columns(vectors, str(file), columns)
    source = f"{file}, {split}: {len(rows)} of {len(values)} rows, {vectors.shape[1]} columns"
    return VectorSplit(vectors, None, None, source, columns)


def read_table(file: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the numbers of a table, float64 [n, d], and the names of its columns.

    Columns without names are called column 1, column 2 and so on.

    Raises:
        PermissionError: The file may not be read.
        ValueError: It is empty, ragged, or holds something else than numbers; one line.
    """
    rows = _rows(file)
    if not rows:
        raise ValueError(f"{file}: the table is empty.")
    (_, first), width = rows[0], len(rows[0][1])
    columns = tuple(f"column {i + 1}" for i in range(width))
    if all(_number(field) is None for field in first) and any(field.strip() for field in first):
        columns = tuple(field.strip() or name for field, name in zip(first, columns, strict=True))
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{file}: the table has column names and no rows.")
    values = np.empty((len(rows), width))
    for i, (line, fields) in enumerate(rows):
        if len(fields) != width:
            raise ValueError(
                f"{file}: every line needs as many fields as the first, {width}; line {line} has "
                f"{len(fields)}."
            )
        for k, field in enumerate(fields):
            number = _number(field)
            if number is None or not math.isfinite(number):
                missing = field.strip().lower() in _MISSING
                what = "a missing value" if missing else f"{field.strip()[:40]!r}"
                raise ValueError(
                    f"{file}: every field must be a finite number; line {line}, {columns[k]}, "
                    f"holds {what}. Remove such rows or columns, or fill them in."
                )
            values[i, k] = number
    return values, columns


def checked_vectors(values: np.ndarray, where: str, columns=None) -> np.ndarray:
    """Return real [n, d] as float32, finite.

    Raises:
        ValueError: It is empty, no array of real numbers, or not finite in float32; one line.
    """
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiub":
        raise ValueError(
            f"{where}: vectors must be real numbers [n, d], n, d ≥ 1; received {values.dtype} "
            f"{list(values.shape)}."
        )
    with np.errstate(over="ignore"):
        vectors = values.astype(np.float32)
    broken = np.argwhere(~np.isfinite(vectors))
    if len(broken):
        row, k = broken[0]
        raise ValueError(
            f"{where}: vectors must be finite numbers of float32; {len(broken)} are not, the first "
            f"in row {row + 1}, {_name(columns, k)}: {values[row, k]}."
        )
    return vectors


def varying_columns(vectors: np.ndarray, where: str, columns=None) -> np.ndarray:
    """Return float32 vectors [n, d] whose columns all vary.

    Raises:
        ValueError: A column has one value throughout, so that it has no scale; one line.
    """
    spread = np.ptp(vectors, axis=0) if len(vectors) > 1 else np.ones(vectors.shape[1])
    constant = np.flatnonzero(spread == 0.0)
    if len(constant):
        named = ", ".join(_name(columns, k) for k in constant[:5])
        more = " …" if len(constant) > 5 else ""
        raise ValueError(
            f"{where}: columns must vary; constant in float32: {named}{more}. Remove them, or if "
            "they do vary beside a large number, subtract that."
        )
    return vectors


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, fields) of all lines that are not empty."""
    try:
        with open(file, newline="", encoding="utf-8-sig") as text:
            head = text.readline()
            delimiter = max(",;\t", key=head.count)
            text.seek(0)
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            return [(reader.line_num, row) for row in reader if any(f.strip() for f in row)]
    except PermissionError as error:
        raise PermissionError(f"{file}: this file may not be read.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: not a readable table ({reason(error)}).") from error


def _number(field: str) -> float | None:
    """Return a field as a number, or None; NaN, written out, is one."""
    try:
        return float(field)
    except ValueError:
        return None


def _name(columns, k) -> str:
    return f"column {k + 1}" if columns is None else columns[k]


def _locate(path: Path) -> Path | None:
    """Return the table meant by a path: itself, or the only one in it, or None."""
    if path.is_file():
        return path if path.suffix.lower() in SUFFIXES else None
    found = [entry for entry in entries(path) if entry.suffix.lower() in SUFFIXES]
    return found[0] if len(found) == 1 else None
