"""What is left of a run that could not be saved: the quantity, since when, and its picture."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tf_febm import evaluation
from tf_febm.files import write_json

__all__ = ["draw_attempts", "unusual_since", "write_diagnosis"]

_SIZE, _MARGIN = (720, 400), 60
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def unusual_since(attempt: Sequence[dict], problem) -> int:
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
    path, attempts: Sequence[Sequence[dict]], problem, since: int, rollbacks: list
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


def draw_attempts(name: str, attempts: list[list[tuple]], since: int) -> np.ndarray:
    """Draw a quantity over the steps, one line for each attempt.

    The axis is linear near zero and logarithmic far from it (asinh), so that both the usual values
    and the runaway show. A point that is not finite is a cross at the upper edge.

    Args:
        name: Of the quantity.
        attempts: Points (step, value) of each attempt.
        since: A step to mark.

    Returns:
        uint8 [height, width, 3].
    """
    picture = Image.new("RGB", _SIZE, "white")
    draw = ImageDraw.Draw(picture)
    points = [point for attempt in attempts for point in attempt]
    finite = [value for _, value in points if math.isfinite(value)] or [0.0]
    unit = float(np.median(np.abs(finite))) or 1.0
    steps = [step for step, _ in points] + [since]
    left, right = min(steps), max(max(steps), min(steps) + 1)
    low, high = (math.asinh(bound / unit) for bound in (min(finite), max(finite)))
    if high - low < 1e-6:
        low, high = low - 1.0, high + 1.0
    width, height = _SIZE[0] - 2 * _MARGIN, _SIZE[1] - 2 * _MARGIN

    def place(step, value):
        share = (math.asinh(value / unit) - low) / (high - low) if math.isfinite(value) else 1.0
        x = _MARGIN + width * (step - left) / (right - left)
        return x, _MARGIN + height * (1.0 - share)

    corner = (_SIZE[0] - _MARGIN, _SIZE[1] - _MARGIN)
    draw.rectangle([(_MARGIN, _MARGIN), corner], outline="#888888")
    x = place(since, 0.0)[0]
    draw.line([(x, _MARGIN), (x, corner[1])], fill="#AAAAAA", width=1)
    draw.text((x + 4, corner[1] - 14), f"since step {since}", fill="#666666")
    for number, attempt in enumerate(attempts):
        colour = _COLOURS[number % len(_COLOURS)]
        line = [place(*point) for point in attempt if math.isfinite(point[1])]
        if len(line) > 1:
            draw.line(line, fill=colour, width=2)
        for (step, value), spot in ((p, place(*p)) for p in attempt):
            draw.ellipse([(spot[0] - 2, spot[1] - 2), (spot[0] + 2, spot[1] + 2)], fill=colour)
            if not math.isfinite(value):
                x, y = place(step, value)
                draw.line([(x - 6, y - 6), (x + 6, y + 6)], fill=colour, width=2)
                draw.line([(x - 6, y + 6), (x + 6, y - 6)], fill=colour, width=2)
        draw.text((_MARGIN + 90 * number, _SIZE[1] - 24), f"attempt {number + 1}", fill=colour)
    draw.text((_MARGIN, 20), f"{name}, by training step (crosses: not finite)", fill="black")
    for bound, y in ((max(finite), _MARGIN - 6), (min(finite), corner[1] - 6)):
        draw.text((4, y), f"{bound:.3g}", fill="black")
    for step, x in ((left, _MARGIN), (right, corner[0] - 30)):
        draw.text((x, corner[1] + 6), str(step), fill="black")
    return np.asarray(picture)
