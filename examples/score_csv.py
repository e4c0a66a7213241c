"""Score the rows of a CSV file with an exported model; needs TensorFlow and nothing else.

    python examples/score_csv.py saved_model/ vectors.csv > energies.csv

Every column is a number, in the units that the model was trained in; a first line of names is
skipped. Prints row and energy in the order of the file.
"""

import argparse
import csv
import sys

import numpy as np
import tensorflow as tf


def read(path, width):
    """Return the rows of a file as float32 [n, width]."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    try:
        [float(value) for value in rows[0]]
    except (ValueError, IndexError):
        rows = rows[1:]
    try:
        x = np.array(rows, np.float32)
    except ValueError as error:
        sys.exit(f"error: {path} is no table of numbers: {error}.")
    if x.ndim != 2 or x.shape[1] != width or not np.isfinite(x).all():
        sys.exit(f"error: the model takes rows of {width} finite numbers; {path} has {x.shape}.")
    return x


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
