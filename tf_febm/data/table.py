"""Tables of numbers, separated by commas, semicolons or tabs."""

import csv
import io
import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_febm import untrusted_files
from tf_febm.data.classes import listed
from tf_febm.data.files import Reader, Split, every_tenth, only_file, reading, rows_of_split
from tf_febm.data.resolution import check_float32_resolution
from tf_febm.data.table_questions import (
    MISSING,
    index_columns,
    label_columns,
    may_be_header,
    number,
)

__all__ = ["CSV", "SUFFIXES", "check_columns_vary", "checked_vectors", "read", "read_table"]

SUFFIXES = (".csv", ".tsv")
# Memory of the fields of a table while it is read, for each byte of it.
_TEXTS = 16
# What to do with a column of words.
_WAY = (
    "; label_column (--label_column) takes a column for the class of each row, drop_columns "
    "(--drop_columns) leaves columns out"
)


class Table(NamedTuple):
    """What a table holds.

    Attributes:
        values: float64 [n, d].
        columns: Names of the d columns.
        left_out: Names of columns that were left out.
        labels: What the label column says, n texts, or None.
    """

    values: np.ndarray
    columns: tuple[str, ...]
    left_out: list[str]
    labels: list[str] | None


def read(
    path: Path,
    split: str,
    header: bool | None = None,
    index_column: bool | None = None,
    label_column: str | None = None,
    drop_columns: Sequence[str] = (),
) -> Split | None:
    """Read a split of a table, or return None where there is none.

    The first line holds column names if no field of it is a number. Lines that are empty are
    skipped. Every tenth row is held out.
    """
    file = only_file(path, SUFFIXES)
    if file is None:
        return None
    found = _table(file, header, index_column, label_column, drop_columns)
    values, columns, left_out, texts = found
    if split == "train":
        _warn_of_roles(file, found, index_column)
    vectors = checked_vectors(values, str(file), columns)
    rows = rows_of_split(every_tenth(len(vectors)), split, str(file))
    vectors = vectors[rows]
    if split == "train":
        # Held-out rows may happen to agree.
        check_columns_vary(vectors, str(file), columns)
    check_float32_resolution(values, str(file), columns)
    source = f"{file}, {split}: {len(rows)} of {len(values)} rows, {vectors.shape[1]} columns"
    if left_out:
        source += f"; {listed(left_out)} left out"
    if texts is None:
        return Split(vectors, None, None, source, columns=columns)
    names = _classes(texts)
    places = {name: k for k, name in enumerate(names)}
    labels = np.array([places[text] for text in texts], np.int32)
    source += f"; classes by {label_column!r}"
    return Split(vectors, labels[rows], len(names), source, names, columns)


def _classes(texts: list[str]) -> tuple[str, ...]:
    """Return the different labels, in the order of numbers if all are, else of letters."""
    names = sorted(set(texts))
    numbers = [number(name) for name in names]
    if None in numbers:
        return tuple(names)
    return tuple(name for _, name in sorted(zip(numbers, names, strict=True)))


def _warn_of_roles(file: Path, found: Table, index_column: bool | None) -> None:
    """Warn of columns that are trained on as data and look as if they counted or labelled rows."""
    values, columns = found.values, found.columns
    first, enough = values[:, 0], len(values) >= 10 and values.shape[1] > 1
    counts_rows = enough and first[0] in (0.0, 1.0) and bool((np.diff(first) == 1.0).all())
    if index_column is not False and counts_rows:
        answer = "" if index_column else "; index_column=True (--table_index=drop) leaves it out"
        warnings.warn(
            f"{file}: the first column, {columns[0]!r}, counts the rows, and is trained on as "
            f"data{answer}.",
            stacklevel=3,
        )
    if found.labels is None:
        for k in label_columns(columns, values):
            warnings.warn(
                f"{file}: column {columns[k]!r} looks like a label and is trained on as data; "
                f"label_column={columns[k]!r} (--label_column={columns[k]}) takes it for the class "
                "of each row, drop_columns (--drop_columns) leaves it out.",
                stacklevel=3,
            )


def read_table(
    file: Path, header: bool | None = None, index_column: bool | None = None
) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
    """Return the numbers of a table, float64 [n, d], names of its columns, and of those left out.

    Columns without names are called column 1, column 2 and so on.

    Args:
        file: The table.
        header: Whether the first line holds names. If None, it does where no field of it is a
            number; a line of numbers that look like names is asked about.
        index_column: Whether to leave out the columns that only number the rows: those that are
            called as an index is, or else the first. If None, what is called so is asked about.

    Raises:
        PermissionError: The file may not be read.
        ValueError: It is empty, ragged, or holds something else than numbers, or a question above
            is open; one line.
    """
    return _table(file, header, index_column)[:3]


def _table(
    file: Path,
    header: bool | None = None,
    index_column: bool | None = None,
    label_column: str | None = None,
    drop_columns: Sequence[str] = (),
) -> Table:
    """Return what `read_table` does, with labels, and without columns that somebody names."""
    rows = _rows(file)
    if not rows:
        raise ValueError(f"{file}: the table is empty.")
    (_, first), width = rows[0], len(rows[0][1])
    columns = tuple(f"column {i + 1}" for i in range(width))
    names = None
    if header is None:
        header = all(number(field) is None for field in first) and any(f.strip() for f in first)
        if not header and may_be_header(first, [fields for _, fields in rows[1:]]):
            shown = ", ".join(field.strip()[:20] for field in first[:4])
            shown += ", …" if len(first) > 4 else ""
            raise ValueError(
                f"{file}: the first line, {shown}, may be column names or a row of "
                "numbers; say which: header=True or header=False (--table_header=yes or no)."
            )
    if header:
        names = [field.strip() for field in first]
        columns = tuple(given or name for given, name in zip(names, columns, strict=True))
        rows = rows[1:]
    if not rows:
        raise ValueError(f"{file}: the table has column names and no rows.")
    dropped = [_place(file, name, columns) for name in drop_columns]
    role = [] if label_column is None else [_place(file, label_column, columns)]
    if set(role) & set(dropped):
        raise ValueError(f"{label_column!r} is label_column and among drop_columns; say which.")
    labels = (
        [_label(file, line, fields, role[0], columns) for line, fields in rows] if role else None
    )
    for line, fields in rows:
        _check_width(file, line, fields, width)
    stay = [k for k in range(width) if k not in {*role, *dropped}]
    if not stay:
        raise ValueError(f"{file}: no column is left beside those that are named.")
    left_out = [columns[k] for k in sorted(dropped)]
    rows = [(line, [fields[k] for k in stay]) for line, fields in rows]
    columns, width = tuple(columns[k] for k in stay), len(stay)
    names = None if names is None else [names[k] for k in stay]
    values = _numbers(file, rows, columns)
    index = [] if names is None else index_columns(names, values)
    if index_column is None and index:
        shown = ", ".join(repr(names[k]) for k in index)
        leading = "first " if index == list(range(len(index))) else ""
        which = f"{len(index)} columns" if len(index) > 1 else "column"
        numbers = ", ".join(f"{value:g}" for value in values[:3, index[0]])
        raise ValueError(
            f"{file}: the {leading}{which}, named {shown}, may only number the rows ({numbers}, "
            "…); say whether that belongs to the data: index_column=True leaves it out, False "
            "takes it (--table_index=drop or keep)."
        )
    if not index_column:
        return Table(values, columns, left_out, labels)
    if width == 1:
        raise ValueError(f"{file}: the table has no column beside the index.")
    index = index or [0]
    kept = tuple(name for k, name in enumerate(columns) if k not in index)
    left_out = [columns[k] for k in index] + left_out
    return Table(np.delete(values, index, axis=1), kept, left_out, labels)


def _place(file: Path, name: str, columns: tuple[str, ...]) -> int:
    """Return which column has a name."""
    if columns.count(name) != 1:
        shown = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
        many = "several columns" if name in columns else "no column"
        raise ValueError(f"{file}: {many} of the name {name!r}; there are {shown}.")
    return columns.index(name)


def _label(file: Path, line: int, fields: list[str], k: int, columns) -> str:
    _check_width(file, line, fields, len(columns))
    text = fields[k].strip()
    if text.lower() in MISSING:
        raise ValueError(f"{file}: line {line} has no label in column {columns[k]!r}.")
    return text


def _check_width(file: Path, line: int, fields: list[str], width: int) -> None:
    if len(fields) != width:
        raise ValueError(
            f"{file}: every line needs as many fields as the first, {width}; line {line} has "
            f"{len(fields)}."
        )


def _numbers(file: Path, rows: list[tuple[int, list[str]]], columns) -> np.ndarray:
    """Return (line number, fields) as float64 [n, d], or say which field is no finite number."""
    width = len(columns)
    values = np.empty((len(rows), width))
    for i, (line, fields) in enumerate(rows):
        for k, field in enumerate(fields):
            value = number(field)
            if value is None or not math.isfinite(value):
                missing = field.strip().lower() in MISSING
                way = "" if missing else _WAY
                what = "a missing value" if missing else f"{field.strip()[:40]!r}"
                raise ValueError(
                    f"{file}: every field must be a finite number; line {line}, {columns[k]}, "
                    f"holds {what}. Remove such rows or columns, or fill them in{way}."
                )
            values[i, k] = value
    return values


def checked_vectors(values: np.ndarray, where: str, columns: Any = None) -> np.ndarray:
    """Return real [n, d] as float32, finite."""
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


def check_columns_vary(vectors: np.ndarray, where: str, columns: Any = None) -> None:
    """Raise an error if a column of vectors, float32 [n, d], n > 1, has one value throughout."""
    constant = np.flatnonzero(np.ptp(vectors, axis=0) == 0.0)
    if len(vectors) > 1 and len(constant):
        named = ", ".join(_name(columns, k) for k in constant[:5])
        more = " …" if len(constant) > 5 else ""
        raise ValueError(
            f"{where}: columns must vary; constant in float32: {named}{more}. Remove them, or if "
            "they do vary beside a large number, subtract that."
        )


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, fields) of all lines that are not empty."""
    with reading(file, "not a readable table"), untrusted_files.opened(file) as raw:
        # Each field becomes a text of its own.
        size = os.fstat(raw.fileno()).st_size
        untrusted_files.check_bytes("what it holds", _TEXTS * size, size)
        text = io.TextIOWrapper(raw, newline="", encoding="utf-8-sig")
        head = text.readline()
        delimiter = max(",;\t", key=head.count)
        text.seek(0)
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        return [(reader.line_num, row) for row in reader if any(f.strip() for f in row)]


def _name(columns, k) -> str:
    return f"column {k + 1}" if columns is None else columns[k]


CSV = Reader(
    "a .csv file, or a folder with exactly one, of numbers separated by commas, semicolons or "
    "tabs, one example a line, with or without a line of column names",
    read,
    takes=("header", "index_column", "label_column", "drop_columns"),
)
