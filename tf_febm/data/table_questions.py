"""Open questions about a table: names in its first line, an index in its first columns.

It depends on nothing else of this library: `examples/score_csv.py`, which must run without it, has
what stands between the two marks word for word, and a test keeps the two equal.
"""

import re
from typing import Any

import numpy as np

from tf_febm import arguments

__all__ = ["MISSING", "index_columns", "label_columns", "may_be_header", "number"]

_LABEL = re.compile(
    r"(.+ )?(labels?|class|classes|targets?|outcome|diagnosis|category|anomaly|outlier|fraud|churn|"
    r"species)|y|is .+"
)
# A label has few values beside the number of rows.
_MOST_CLASSES = 20


def label_columns(names: Any, values: arguments.Tensor) -> list[int]:
    """Return the places of columns that, by name and few whole values, seem to label the rows."""
    found = []
    for k, name in enumerate(names):
        kinds = len(np.unique(values[:, k]))
        few = 1 < kinds <= min(_MOST_CLASSES, len(values) // 5)
        called = any(map(_LABEL.fullmatch, _spelt(name)))
        if values.shape[1] > 1 and few and called and _are_whole(values[:, k]):
            found.append(k)
    return found


# --- the same in tf_febm/data/table_questions.py and examples/score_csv.py -----------------------

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
_WHOLE = re.compile(r"[+-]?[0-9]+")
# Under these names a column of whole numbers tells rows apart, whether or not each is its own.
# pandas writes an index without a name, and reads that as "Unnamed: 0", then "Unnamed: 0.1".
_INDEX = re.compile(
    r"(.+ )?(id|ids|idx|uid|uuid|guid|pk)|index|level 0|"
    r"(row|obs|observation|record|entry|case|sample|item|line|passenger|patient|subject|customer|"
    r"client|user|person|member|employee|student|product|order|house|image|test|train|object|"
    r"event|session|s|sr|sl|serial) ?(id|idx|index|names?|labels?)|"
    r"(row|obs|observation|record|s|sr|sl|serial) ?(no|nr|num|number)"
)
# Under these, if each number is its own.
_PERHAPS_INDEX = re.compile(
    r"(.+ )?(no|nr|num|number|index|key|serial)|rows?|line|obs|observation|record|entry|case|"
    r"sample|item|seq|sequence"
)
# Numbers within these, whole and different, are those of years.
_YEARS = (1900, 2100)


def number(field: Any) -> float | None:
    """Return a field as a number, or None; NaN, written out, is one."""
    try:
        # Python's own numbers may hold "_", which names of columns do.
        return None if "_" in field else float(field)
    except ValueError:
        return None


def may_be_header(first: Any, rest: Any) -> bool:
    """Say whether a first line that has numbers in it may still hold names.

    That is so where some fields are names, or the first are empty as above an index, and all are
    numbers on the next line; and where all are numbers that look like those of columns, years or
    wavelengths.
    """
    if not rest or len(rest[0]) != len(first):
        return False
    others = [field.strip() for field in first if number(field) is None]
    if not others:
        return _are_names(first, rest)
    blank = next(k for k in range(len(first) + 1) if k == len(first) or first[k].strip())
    missing = any(name.lower() in MISSING for name in others[blank:])
    return not missing and all(number(field) is not None for field in rest[0])


def _are_names(first, rest):
    """Say whether a line of numbers looks like names of columns, which all differ.

    It does if one of these holds: they count from 0 or 1; they are years, and those of no other
    line; they are whole, and no other line has whole numbers alone; they are at equal steps, or
    rise or fall throughout, as those of no other line; each is far outside of its column; they are
    so once the names that pandas gives to repeated ones are left out.
    """
    line = np.array([number(field) for field in first])
    width = len(line)
    alike = [fields for fields in rest if len(fields) == width]
    own = _not_repeated(first)
    if (
        1 < len(own) < width
        and all(len(_not_repeated(fields)) == width for fields in alike)
        and _are_names([first[k] for k in own], [[fields[k] for k in own] for fields in alike])
    ):
        return True
    rows = [[number(field) for field in fields] for fields in alike]
    rows = np.array([row for row in rows if None not in row], np.float64).reshape(-1, width)
    if len(set(line)) < width or not np.isfinite(line).all():
        return False
    # pandas writes the names of columns that are floats as 0.0, 1.0, …; so are rows written.
    spelt_whole, whole = all(map(_is_whole, first)), bool((line == np.rint(line)).all())
    none_whole = len(rest) > 2 and not any(all(map(_is_whole, fields)) for fields in rest)
    if width == 1:
        # What pandas calls a column without a name.
        return spelt_whole and none_whole and line[0] == 0
    if whole:
        low, high = _YEARS
        if spelt_whole and none_whole:
            return True
        counts = spelt_whole or _is_alone(_is_count, line, rows)
        if counts and (line == np.arange(width)).all():
            return True
        enough = width > 3 or len(rest) > 2
        if counts and enough and (line == np.arange(1, width + 1)).all():
            return True
        if low <= line.min() <= line.max() <= high:
            return not ((rows >= low) & (rows <= high)).all(axis=1).any()
        if width > 3 and _is_alone(_is_count, line, rows):
            return True
        enough = len(rows) > 2 if width > 3 else len(rows) > 9
        if width > 2 and enough and _is_alone(_has_equal_steps, line, rows):
            return True
    if width > 5 and len(rows) > 9 and _is_alone(_is_sorted, line, rows):
        return True
    if len(rows) < 5:
        return False
    low, high = rows.min(axis=0), rows.max(axis=0)
    return bool((np.maximum(low - line, line - high) > high - low).all())


def _not_repeated(fields):
    """Return the places of fields but for "0.1", "0.2" behind "0", as pandas calls repeated ones.

    These are all places where some field is neither that nor whole.
    """
    seen, places = {}, []
    for k, field in enumerate(map(str.strip, fields)):
        name, _, count = field.partition(".")
        if _is_whole(field):
            places.append(k)
        elif name in seen and count == str(seen[name]):
            seen[name] += 1
            continue
        else:
            return list(range(len(fields)))
        seen.setdefault(field, 1)
    return places


def _is_alone(judge, line, rows):
    return judge(line) and not any(map(judge, rows))


def _is_count(numbers):
    ordered = np.sort(numbers)
    return ordered[0] in (0, 1) and bool((np.diff(ordered) == 1).all())


def _has_equal_steps(numbers):
    steps = np.diff(numbers)
    return bool(steps[0] != 0 and (steps == steps[0]).all())


def _is_sorted(numbers):
    steps = np.diff(numbers)
    return bool((steps > 0).all() or (steps < 0).all())


def _is_whole(field):
    return _WHOLE.fullmatch(field.strip()) is not None


def index_columns(names: Any, values: Any) -> list[int]:
    """Return the places of columns that, by their names, seem to number the rows of values alone.

    These are the first ones, and others where each row has a whole number of its own; one column
    is left in any case.
    """
    count = 0
    while count < values.shape[1] - 1 and _is_index(names[count], values[:, count]):
        count += 1
    later = [
        k
        for k in range(count + 1, values.shape[1])
        if _is_called_index(names[k])
        and _are_whole(values[:, k])
        and len(np.unique(values[:, k])) == len(values)
    ]
    return [*range(count), *later]


def _is_index(name, column):
    """Say whether a column without a name, or called as an index is, tells rows apart."""
    if _has_no_name(name):
        # Beside columns with names.
        return True
    if not _are_whole(column):
        return False
    own = len(np.unique(column)) == len(column) > 1
    return _is_called_index(name) or (own and any(map(_PERHAPS_INDEX.fullmatch, _spelt(name))))


def _is_called_index(name):
    return _has_no_name(name) or any(map(_INDEX.fullmatch, _spelt(name)))


def _has_no_name(name):
    name = name.strip().lower()
    return name in ("", "#", "№") or re.fullmatch(r"unnamed: ?\d+.*", name) is not None


def _spelt(name):
    """Return the words of a name, in small letters, taken apart at capitals or not."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [" ".join(re.findall(r"[^\W_]+", spelt.lower())) for spelt in (name, text)]


def _are_whole(column):
    return bool((column == np.rint(column)).all())


# --- the end of what is the same -----------------------------------------------------------------
