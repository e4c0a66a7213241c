"""Diagnosis of a run that failed a numerical check: the quantity, since when, and its chart."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_febm import arguments, evaluation
from tf_febm.evaluation import charts
from tf_febm.files import write_json

__all__ = ["draw_attempts", "unusual_since", "write_diagnosis"]


def unusual_since(attempt: Sequence[dict], problem: Any) -> int:
    """Return the step at whose record a quantity began to be unusual and stayed so.

    Unusual is within a factor of ten of the limit, or not finite.

    Args:
        attempt: Records of one attempt, with `step`, in order; the last one is the problem.
        problem: A `checks.Problem`.
    """

    def unusual(record):
        value = record.get(problem.quantity, math.nan)
        if not math.isfinite(value):
            return True
        if not math.isfinite(problem.limit):
            return False
        if problem.quantity in ("chain_spread", "loss_scale"):
            return value < 10.0 * problem.limit
        if problem.quantity == "chain_edge":
            return value >= problem.limit
        return abs(value) > 0.1 * problem.limit

    since = attempt[-1]["step"]
    for record in reversed(attempt):
        if not unusual(record):
            break
        since = record["step"]
    return since


def write_diagnosis(
    path: arguments.Path,
    attempts: Sequence[Sequence[dict]],
    problem: Any,
    since: int,
    rollbacks: list,
) -> None:
    """Write `path`, JSON, and a picture of the same name.

    Args:
        path: Ends in .json.
        attempts: The records of every attempt, each with `step`.
        problem: What ended the last one.
        since: See `unusual_since`.
        rollbacks: What was tried, JSON values.
    """
    path = Path(path)
    name = problem.quantity
    values = [[(r["step"], r[name]) for r in attempt if name in r] for attempt in attempts]
    write_json(
        path,
        {
            "quantity": name,
            "value": problem.value,
            "limit": problem.limit,
            "text": problem.text,
            "since_step": since,
            "found_at_step": attempts[-1][-1]["step"],
            "rollbacks": rollbacks,
            "attempts": [[list(point) for point in attempt] for attempt in values],
        },
    )
    evaluation.save_png(path.with_suffix(".png"), draw_attempts(name, values, since))


def draw_attempts(name: str, attempts: Sequence[Sequence[tuple]], since: int) -> np.ndarray:
    """Draw a quantity over the steps, one line for each attempt.

    The axis is linear near zero and logarithmic far from it (asinh), so that both the usual values
    and the runaway show. A point that is not finite is a cross near the upper edge.

    Args:
        name: Of the quantity.
        attempts: Points (step, value) of each attempt.
        since: A step to mark.

    Returns:
        uint8 [height, width, 3].
    """
    from matplotlib.ticker import AsinhLocator, MaxNLocator  # Slow to import, as all of matplotlib.

    figure = charts.figure()
    axes = figure.add_subplot()
    charts.style(axes, f"{name} (crosses: not finite)", "training step")
    values = [value for attempt in attempts for _, value in attempt]
    finite = np.abs([value for value in values if math.isfinite(value)] or [0.0])
    unit = float(np.median(finite)) or 1.0
    axes.set_yscale("asinh", linear_width=unit)
    # Few enough that the labels around zero do not overlap.
    axes.yaxis.set_major_locator(AsinhLocator(unit, numticks=6))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.axvline(since, color="0.5", linestyle="--", label=f"since step {since}")
    for number, attempt in enumerate(attempts):
        colour = charts.COLOURS[number % len(charts.COLOURS)]
        steps, found = np.asarray(attempt, np.float64).reshape(-1, 2).T
        shown = np.isfinite(found)
        axes.plot(steps[shown], found[shown], ".-", color=colour, label=f"attempt {number + 1}")
        lost = steps[~shown]
        axes.plot(
            lost, np.full_like(lost, 0.95), "x", color=colour, markersize=10, markeredgewidth=2.5,
            transform=axes.get_xaxis_transform(),
        )  # fmt: skip
    return charts.pixels(figure)
