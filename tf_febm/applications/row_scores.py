"""Scores of the rows of a table: a threshold, the oddest rows, and how classes are told apart."""

import csv
import io
import math
from pathlib import Path

import numpy as np

from tf_febm import arguments, evaluation
from tf_febm.applications.out_of_distribution import ood_scores
from tf_febm.calibration import Calibration
from tf_febm.data.files import every_tenth
from tf_febm.files import write_atomically

__all__ = ["score_rows"]

# Rows that are told one by one, and classes with a curve of their own.
TOLD, DRAWN = 10, 6


@arguments.checking(
    {
        "model": arguments.having("a model of this library", "best_weights"),
        "train": arguments.VECTORS,
        "held_out": arguments.VECTORS,
    }
)
def score_rows(
    model: arguments.Model,
    train: arguments.Data,
    held_out: arguments.Data,
    out: arguments.Path,
    *,
    odd: float = 0.05,
) -> dict:
    """Score all rows of a table by their energy; higher is stranger.

    Writes scores.csv, with all rows from the oddest on and their conformal p-values among held-out
    rows (honest for rows not trained on), energies.png and, where rows have classes,
    roc.png.

    Args:
        model: A trained model of vectors.
        train: `data.VectorData` that it was trained on.
        held_out: The same of rows that it has not seen.
        out: Folder of the results.
        odd: Share of usual rows that may be called odd, in (0, 1): rows are odd whose p-value is
            that or less.

    Returns:
        "threshold", the least energy of an odd row, "odd", the share, and "num_odd", how many rows
        are; where held-out rows are too few for the share no row is, there is no threshold (None),
        and a "note" says so; "oddest", the ten strangest rows with their
        values by column and the column furthest from its mean; "classes", name -> figures of
        `evaluation.ood_metrics` for telling the rows of the class, as the strange ones, from all
        others, where rows have classes.

    Raises:
        ValueError: odd is out of its range.
    """
    out, odd = Path(out), arguments.number("odd", odd, above=True)
    if odd >= 1.0:
        raise ValueError(f"odd must be below 1; received {odd}.")
    parts = (train, held_out)
    with model.best_weights():
        found = [_energies(model, part) for part in parts]
    energy, x = np.concatenate(found), np.concatenate([part.vectors for part in parts])
    split = np.repeat(["train", "held out"], [len(part) for part in parts])
    rows = _row_numbers(train, held_out)
    columns = train.columns or tuple(f"column {k + 1}" for k in range(x.shape[1]))
    labels, names = None, train.class_names
    if train.labels is not None:
        names = names or tuple(map(str, range(train.num_classes)))
        labels = np.array(names)[np.concatenate([part.labels for part in parts])]
    order = np.argsort(-energy, kind="stable")
    p = np.concatenate(_p_values(*found))
    count = len(held_out)
    few = odd < 1.0 / (count + 1)
    odd_rows = np.zeros(len(energy), bool) if few else p <= odd
    results: dict = {"num_rows": len(x), "odd": odd, "num_odd": int(odd_rows.sum())}
    results["threshold"] = None if few else float(Calibration(found[1]).threshold(odd))
    if few:
        least = math.ceil(1000 / (count + 1)) / 1000
        results["note"] = (
            f"With {count} held-out rows no p-value is below {1.0 / (count + 1):.2g}, so that none "
            f"can be called odd with odd={odd:g}: ask for odd={least:g} or more, or give more rows."
        )
    _write(out / "scores.csv", order, rows, split, energy, p, odd_rows, labels, columns, x)
    chart = evaluation.histogram_chart(_groups(energy, split, labels), "Energies of rows", "energy")
    evaluation.save_png(out / "energies.png", chart)
    z = (x[order[:TOLD]] - train.mean) / train.scale
    oddest = [
        {
            "row": int(rows[k]),
            "split": str(split[k]),
            "energy": float(energy[k]),
            **({} if labels is None else {"class": str(labels[k])}),
            "furthest": f"{columns[np.abs(far).argmax()]} ({far[np.abs(far).argmax()]:+.1f} σ)",
            # As they were written, and not as float32 is spelt out in binary.
            "values": {name: float(f"{v:.7g}") for name, v in zip(columns, x[k], strict=True)},
        }
        for k, far in zip(order, z, strict=False)
    ]
    results["oddest"] = oddest
    if labels is not None:
        results["classes"] = _tell_apart(energy, labels, names, out)
    return results


def _energies(model, part) -> np.ndarray:
    labels = part.labels if model.conditional else None
    return ood_scores(model, part.vectors, labels)["energy"].astype(np.float64)


def _p_values(train: np.ndarray, held_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return conformal p-values among held-out rows; of one of these, among the others and it."""
    of_train = Calibration(held_out).p_value(train).numpy()
    above = Calibration(held_out).p_value(held_out).numpy() * (len(held_out) + 1) - 1
    return of_train, above / len(held_out)


def _row_numbers(train, held_out) -> np.ndarray:
    """Return the numbers of the rows in their file, from 1 and without its line of names.

    Of data that did not come from one table, they are counted in each split.
    """
    if train.name != "csv":
        return np.concatenate([np.arange(len(part)) + 1 for part in (train, held_out)])
    mask = every_tenth(len(train) + len(held_out))
    return np.concatenate([np.flatnonzero(~mask), np.flatnonzero(mask)]) + 1


def _groups(energy, split, labels) -> dict:
    groups = {str(name): energy[split == name] for name in np.unique(split)[::-1]}
    if labels is not None:
        names, counts = np.unique(labels, return_counts=True)
        shown = names[np.argsort(-counts)][:DRAWN]
        groups = {str(name): energy[labels == name] for name in shown}
    return groups


def _tell_apart(energy, labels, names, out: Path) -> dict:
    """Return the figures of each class against all others; write their curves."""
    from sklearn.metrics import roc_curve  # Slow to import.

    figures: dict = {}
    curves: dict = {}
    for name in names:
        inside = labels == name
        if inside.all() or not inside.any():
            continue
        figures[name] = evaluation.ood_metrics(-energy[~inside], -energy[inside])._asdict()
        if len(curves) < DRAWN:
            wrong, right, _ = roc_curve(inside, energy)
            curves[f"{name}: {figures[name]['auroc']:.3f}"] = (wrong, right)
    if curves:
        chart = evaluation.line_chart(
            {**curves, "": ([0.0, 1.0], [0.0, 1.0])},
            "Telling a class from the rest by energy",
            "share of other rows called odd",
            "share of the class called odd",
        )
        evaluation.save_png(out / "roc.png", chart)
    return figures


def _write(path: Path, order, rows, split, energy, p, odd, labels, columns, x) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    extra = [] if labels is None else ["class"]
    table.writerow(["rank", "row", "split", "energy", "p_value", "odd", *extra, *columns])
    for rank, k in enumerate(order, 1):
        own = [] if labels is None else [labels[k]]
        values = map(str, x[k])
        given = (f"{energy[k]:.7g}", f"{p[k]:.4g}", int(odd[k]))
        table.writerow([rank, rows[k], split[k], *given, *own, *values])
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))
