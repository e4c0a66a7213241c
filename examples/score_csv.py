"""Score the rows of a CSV file with an exported model; needs TensorFlow and nothing else.

    python examples/score_csv.py saved_model/ vectors.csv > energies.csv

Every column is a number, in the units that the model was trained in, separated by commas,
semicolons or tabs; a first line of names, none of them a number, is skipped. What is asked about a
table in training is asked here too: whether a first line of numbers holds names, --header says, and
whether columns that seem to number the rows belong to the data, --drop_index or --keep_index.
A conditional model scores the rows as those of one class, --label. Where the model knows the names
of its columns and the table has a line of names, columns are found by name, in any order, and
others are left out. Prints row, from 1 and without the line of names, energy and rank, 1 for the
oddest, and the p-value of a calibrated model, in the order of the file; --top=10 prints ten rows.
"""

import argparse
import contextlib
import csv
import os
import re
import sys
import tempfile
from typing import Any

import numpy as np


@contextlib.contextmanager
def silenced():
    """Hold back what is written to standard error, unless the block ends in an error."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


# TensorFlow tells of CPU features and missing GPUs while it starts, and starts at the first tensor.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with silenced():
    import tensorflow as tf

    tf.constant(0.0)


def load(folder):
    """Return an exported model, or end with one line."""
    try:
        model = tf.saved_model.load(folder)
        if "energy" not in model.signatures:
            raise ValueError("it has no endpoint energy")
    except (OSError, ValueError, AttributeError, KeyError, TypeError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        sys.exit(f"error: {folder} is no folder that tf_febm.export wrote: {reason}")
    return model


def positive(text):
    """Return a whole number of at least 1, or tell argparse that it is none."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number ≥ 1; received {text!r}")
    return int(text)


def read(path, width, header=None, drop_index=None, known=None):
    """Return the rows of a file as float32 [n, width], of columns of known names if there are."""
    try:
        # A pipe has no second line to come back from.
        if not os.path.isfile(path) and os.path.exists(path):
            raise OSError("it is no regular file")
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(",;\t", key=head.count))
            rows = [row for row in rows if any(field.strip() for field in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        sys.exit(f"error: {path} cannot be read: {error}.")
    if rows and header is None:
        header = all(number(field) is None for field in rows[0])
        if not header and may_be_header(rows[0], rows[1:]):
            sys.exit(
                f"error: the first line of {path}, {', '.join(rows[0])[:60]}, may be column names "
                "or a row of numbers; say which: --header=yes or --header=no."
            )
    names, rows = (rows[0], rows[1:]) if header else (None, rows)
    stripped = [name.strip() for name in names or ()]
    if known and drop_index is None and all(stripped.count(name) == 1 for name in known):
        places = [stripped.index(name) for name in known]
        ragged = next((k for k, row in enumerate(rows) if len(row) != len(names)), None)
        if ragged is not None:
            sys.exit(
                f"error: row {ragged + 1} of {path} has {len(rows[ragged])} fields, "
                f"not {len(names)}."
            )
        # What was trained on was chosen then.
        names, rows = known, [[row[k] for k in places] for row in rows]
        drop_index = False
    columns = len(names or rows[0]) if rows else 0
    for k, row in enumerate(rows):
        if len(row) != columns or any(number(field) is None for field in row):
            sys.exit(f"error: the model takes {width} numbers a row; row {k + 1} of {path}: {row}.")
    x = np.array([[number(field) for field in row] for row in rows], np.float64)
    index = index_columns(names, x) if names and rows else []
    if index and drop_index is None:
        shown = ", ".join(repr(names[k].strip()) for k in index)
        sys.exit(
            f"error: of the columns of {path} these, {shown}, may only number the rows; say "
            "whether that belongs to the data: --drop_index or --keep_index."
        )
    if drop_index and columns:
        x = np.delete(x, index or [0], axis=1)
    if columns and x.shape[1] != width:
        hint = " (--drop_index leaves out a first column that only numbers the rows)"
        sys.exit(
            f"error: the model takes {width} numbers a row; row 1 of {path}: {rows[0]}"
            f"{hint if x.shape[1] == width + 1 else ''}."
        )
    with np.errstate(over="ignore"):
        if not columns or not np.isfinite(x.astype(np.float32)).all():
            sys.exit(
                f"error: the model takes rows of {width} finite numbers; {path} has {x.shape}."
            )
    check_resolution(x, path)
    return x.astype(np.float32)


def check_resolution(x, path):
    """Stop where float32, which the model computes in, rounds away what tells rows apart."""
    for k in np.flatnonzero(np.abs(x).max(0) > 1e15)[:1]:
        sys.exit(
            f"error: column {k + 1} of {path} has values up to {np.abs(x[:, k]).max():.3g}, whose "
            "squares float32 cannot hold: the model cannot have been trained on them."
        )
    # As many rows as tell a deviation.
    if len(x) < 4:
        return
    quartiles = np.quantile(x, (0.25, 0.75), axis=0)
    inner = (quartiles[1] - quartiles[0]) / 1.349
    for spread, at in (((x - x[0]).std(0), np.abs(x).max(0)), (inner, np.abs(quartiles).max(0))):
        steps = np.spacing(at.astype(np.float32)).astype(np.float64)
        for k in np.flatnonzero((spread > 0) & (steps > spread / 64))[:1]:
            sys.exit(
                f"error: column {k + 1} of {path} varies by {spread[k]:.3g} beside {at[k]:.6g}, "
                f"where float32 has steps of {steps[k]:.3g}: the model cannot tell its values "
                "apart. Train and score with that subtracted, in float64."
            )


def scores(model, batch):
    """Return the energies of a batch, and p-values of a calibrated model, or end with one line."""
    names = [name for name in ("energy", "p_value") if name in model.signatures]
    try:
        return [model.signatures[name](**batch)[name].numpy() for name in names]
    except tf.errors.InvalidArgumentError as error:
        # What the model checks is told behind these words, in parts.
        reason = re.search(r"assertion failed: (.*)", str(error))
        sys.exit(f"error: {re.sub(r'[][]', '', reason[1]) if reason else error}")


def number_of(label, model):
    """Return the number of a class, by the name that the training data have for it."""
    if "class_names" not in model.signatures:
        return int(label)
    names = model.signatures["class_names"]()["class_names"].numpy().tolist()
    names = [name.decode() for name in names]
    if label not in names:
        sys.exit(f"error: --label must be one of {', '.join(names)}; received {label!r}.")
    return names.index(label)


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


def main():
    """Read the command line, score all rows, print the table."""
    parser = argparse.ArgumentParser(description="Score the rows of a CSV file.")
    parser.add_argument("model", help="folder that tf_febm.export wrote")
    parser.add_argument("table", help="CSV file")
    parser.add_argument("--batch_size", type=positive, default=1024)
    parser.add_argument("--header", choices=("yes", "no"), help="does the first line hold names?")
    index = parser.add_mutually_exclusive_group()
    for answer, help in ((True, "leave out columns that number the rows"), (False, "take them")):
        index.add_argument(
            "--drop_index" if answer else "--keep_index",
            dest="drop_index",
            action="store_const",
            const=answer,
            help=help,
        )
    parser.add_argument("--top", type=int, help="print so many of the oddest rows, in order")
    parser.add_argument("--label", help="class of the rows, for a conditional model")
    options = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")
    model = load(options.model)
    energy = model.signatures["energy"]
    inputs = energy.structured_input_signature[1]
    if inputs["x"].shape.rank != 2:
        sys.exit(f"error: the model takes no plain vectors but {inputs}.")
    if ("labels" in inputs) != (options.label is not None):
        need = "conditional: give" if options.label is None else "not conditional: leave out"
        sys.exit(f"error: the model is {need} --label.")
    label = None if options.label is None else number_of(options.label, model)
    header = None if options.header is None else options.header == "yes"
    known = None
    if "column_names" in model.signatures:
        known = model.signatures["column_names"]()["column_names"].numpy().tolist()
        known = [name.decode() for name in known]
    x = read(options.table, inputs["x"].shape[1], header, options.drop_index, known)
    found = []
    for start in range(0, len(x), options.batch_size):
        batch = {"x": tf.constant(x[start : start + options.batch_size])}
        if label is not None:
            batch["labels"] = tf.fill([len(batch["x"])], label)
        found.append(scores(model, batch))
    energies, *p_values = (np.concatenate(part) for part in zip(*found, strict=True))
    order = np.argsort(-energies, kind="stable")
    ranks = np.empty(len(order), int)
    ranks[order] = np.arange(len(order)) + 1
    table = csv.writer(sys.stdout)
    table.writerow(["row", "energy", "rank", *(["p_value"] if p_values else [])])
    for row in range(len(x)) if options.top is None else order[: options.top]:
        p = [f"{part[row]:.4g}" for part in p_values]
        table.writerow([row + 1, f"{energies[row]:.6g}", ranks[row], *p])


if __name__ == "__main__":
    main()
