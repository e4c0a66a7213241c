"""Score the rows of a CSV file with an exported model; needs TensorFlow and nothing else.

    python examples/score_csv.py saved_model/ vectors.csv > energies.csv

Every column is a number, in the units that the model was trained in, separated by commas,
semicolons or tabs; a first line of names, none of them a number, is skipped. Prints row and energy
in the order of the file.
"""

import argparse
import csv
import sys

import numpy as np
import tensorflow as tf


def read(path, width):
    """Return the rows of a file as float32 [n, width]."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(",;\t", key=head.count))
            rows = [row for row in rows if any(field.strip() for field in row)]
    except (OSError, UnicodeDecodeError) as error:
        sys.exit(f"error: {path} cannot be read: {error}.")
    if rows and not any(is_number(field) for field in rows[0]):
        rows = rows[1:]
    for number, row in enumerate(rows):
        if len(row) != width or not all(map(is_number, row)):
            sys.exit(
                f"error: the model takes {width} numbers a row; row {number} of {path}: {row}."
            )
    x = np.array(rows, np.float32)
    if x.ndim != 2 or x.shape[1] != width or not np.isfinite(x).all():
        sys.exit(f"error: the model takes rows of {width} finite numbers; {path} has {x.shape}.")
    return x


def is_number(field):
    """Whether a field is a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def main():
    """Read the command line, score all rows, print the table."""
    parser = argparse.ArgumentParser(description="Score the rows of a CSV file.")
    parser.add_argument("model", help="folder that tf_febm.export wrote")
    parser.add_argument("table", help="CSV file")
    parser.add_argument("--batch_size", type=int, default=1024)
    options = parser.parse_args()
    energy = tf.saved_model.load(options.model).signatures["energy"]
    inputs = energy.structured_input_signature[1]
    if set(inputs) != {"x"} or inputs["x"].shape.rank != 2:
        sys.exit(f"error: the model takes no plain vectors but {inputs}.")
    x = read(options.table, inputs["x"].shape[1])
    table = csv.writer(sys.stdout)
    table.writerow(["row", "energy"])
    for start in range(0, len(x), options.batch_size):
        batch = tf.constant(x[start : start + options.batch_size])
        for row, value in enumerate(energy(x=batch)["energy"].numpy(), start):
            table.writerow([row, f"{value:.6g}"])


if __name__ == "__main__":
    main()
