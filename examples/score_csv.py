"""Score the rows of a CSV file with an exported model; needs TensorFlow and nothing else.

    python examples/score_csv.py saved_model/ vectors.csv > energies.csv

Every column is a number, in the units that the model was trained in, separated by commas,
semicolons or tabs; a first line of names, none of them a number, is skipped. Whether a first line
of numbers holds names is asked about, as in training, where it may: --header says so. A first
column that the model does not know, an index, is left out by --drop_index. A conditional model
scores the rows as those of one class, --label. Prints row and energy in the order of the file.
"""

import argparse
import csv
import re
import sys

import numpy as np
import tensorflow as tf

_MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
_WHOLE = re.compile(r"[+-]?[0-9]+")


def read(path, width, header=None, drop_index=False):
    """Return the rows of a file as float32 [n, width]."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(",;\t", key=head.count))
            rows = [row for row in rows if any(field.strip() for field in row)]
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"error: {path} cannot be read: {error}.")
    if rows and header is None:
        header = all(_number(field) is None for field in rows[0])
        if not header and _may_be_header(rows[0], rows[1:]):
            sys.exit(
                f"error: the first line of {path}, {', '.join(rows[0])[:60]}, may be column names "
                "or a row of numbers; say which: --header=yes or --header=no."
            )
    rows = rows[1:] if header else rows
    if drop_index:
        rows = [row[1:] for row in rows]
    for number, row in enumerate(rows):
        if len(row) != width or any(_number(field) is None for field in row):
            hint = " (--drop_index leaves out a first column that only numbers the rows)"
            sys.exit(
                f"error: the model takes {width} numbers a row; row {number} of {path}: {row}"
                f"{hint if len(row) == width + 1 else ''}."
            )
    x = np.array(rows, np.float64)
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32)).all()
    if x.ndim != 2 or x.shape[1] != width or not finite:
        sys.exit(f"error: the model takes rows of {width} finite numbers; {path} has {x.shape}.")
    check_resolution(x, path)
    return x.astype(np.float32)


def check_resolution(x, path):
    """Stop where float32, which the model computes in, rounds away what tells rows apart."""
    if len(x) < 10:
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


def number_of(label, model):
    """Return the number of a class, by the name that the training data have for it."""
    if "class_names" not in model.signatures:
        return int(label)
    names = model.signatures["class_names"]()["class_names"].numpy().tolist()
    names = [name.decode() for name in names]
    if label not in names:
        sys.exit(f"error: --label must be one of {', '.join(names)}; received {label!r}.")
    return names.index(label)


# As tables are read for training.


def _may_be_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether a first line that has numbers in it may still hold names.

    That is so where some fields are names, or the first is empty as above an index, and all are
    numbers on the next line; and where all are numbers that look like those of columns, years or
    wavelengths.
    """
    if not rest or len(rest[0]) != len(first):
        return False
    others = [field.strip() for field in first if _number(field) is None]
    if not others:
        return _is_numeric_header(first, rest)
    names = others[1:] if not first[0].strip() else others
    missing = any(name.lower() in _MISSING for name in names)
    return not missing and all(_number(field) is not None for field in rest[0])


def _is_numeric_header(first: list[str], rest: list[list[str]]) -> bool:
    """Whether numbers look like names of columns.

    They do if they rise or fall throughout, and one of these holds: no other line has whole numbers
    alone; they count from 0 or 1, over four columns or more; each is far outside of its column,
    over four columns or more.
    """
    numbers = np.array(first, np.float64)
    steps = np.diff(numbers)
    if not len(steps) or not ((steps > 0).all() or (steps < 0).all()):
        return False
    whole = all(map(_is_whole, first))
    if whole and len(rest) > 2 and not any(all(map(_is_whole, fields)) for fields in rest):
        return True
    if len(first) < 4:
        return False
    if whole and (steps == 1).all() and numbers[0] in (0.0, 1.0):
        return True
    if len(rest) < 10 or any(len(fields) != len(first) for fields in rest):
        return False
    others = np.array([[_number(field) or 0.0 for field in fields] for fields in rest])
    low, high = others.min(axis=0), others.max(axis=0)
    return bool((np.maximum(low - numbers, numbers - high) > high - low).all())


def _is_whole(field: str) -> bool:
    return _WHOLE.fullmatch(field.strip()) is not None


def _number(field: str) -> float | None:
    """Return a field as a number, or None; NaN, written out, is one."""
    try:
        return float(field)
    except ValueError:
        return None


def main():
    """Read the command line, score all rows, print the table."""
    parser = argparse.ArgumentParser(description="Score the rows of a CSV file.")
    parser.add_argument("model", help="folder that tf_febm.export wrote")
    parser.add_argument("table", help="CSV file")
    parser.add_argument("--batch_size", type=int, default=1024)
    parser.add_argument("--header", choices=("yes", "no"), help="does the first line hold names?")
    parser.add_argument("--drop_index", action="store_true", help="leave out the first column")
    parser.add_argument("--label", help="class of the rows, for a conditional model")
    options = parser.parse_args()
    model = tf.saved_model.load(options.model)
    energy = model.signatures["energy"]
    inputs = energy.structured_input_signature[1]
    if inputs["x"].shape.rank != 2:
        sys.exit(f"error: the model takes no plain vectors but {inputs}.")
    if ("labels" in inputs) != (options.label is not None):
        need = "conditional: give" if options.label is None else "not conditional: leave out"
        sys.exit(f"error: the model is {need} --label.")
    label = None if options.label is None else number_of(options.label, model)
    header = None if options.header is None else options.header == "yes"
    x = read(options.table, inputs["x"].shape[1], header, options.drop_index)
    table = csv.writer(sys.stdout)
    table.writerow(["row", "energy"])
    for start in range(0, len(x), options.batch_size):
        batch = {"x": tf.constant(x[start : start + options.batch_size])}
        if label is not None:
            batch["labels"] = tf.fill([len(batch["x"])], label)
        for row, value in enumerate(energy(**batch)["energy"].numpy(), start):
            table.writerow([row, f"{value:.6g}"])


if __name__ == "__main__":
    main()
