"""Checks of single values, with their ranges; each message echoes what was received."""

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "class_count",
    "count_up_to",
    "choice",
    "fits",
    "instance",
    "interval",
    "is_finite",
    "is_whole",
    "number",
    "optional",
    "probability",
    "shape",
    "shown",
    "switch",
    "whole_number",
    "MOST_CLASSES",
    "MOST_LEVELS",
    "MOST_PARALLEL",
]


def shown(value: Any) -> str:
    """Return a value as messages echo it, in short."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = getattr(value.dtype, "name", value.dtype)
        if tuple(value.shape) or "numpy" not in type(value).__module__:
            return f"{type(value).__name__} of shape {tuple(value.shape)}, dtype {dtype}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({type(value).__name__})"


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_finite(value: Any) -> bool:
    """Whether a value is a finite real number, and no bool."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number beyond what a float can be.
        return False


def whole_number(name: str, value: Any, minimum: int = 0, below: int | None = None) -> int:
    """Return `value` as an int of at least `minimum` and `below` a limit, or raise a ValueError."""
    limit = 2**63 if below is None else below
    whole = is_whole(value)
    if not whole or not minimum <= value < limit:
        said = f" and < {limit}" if below is not None or (whole and value >= limit) else ""
        raise ValueError(
            f"{name} must be a whole number ≥ {minimum}{said}; received {shown(value)}."
        )
    return int(value)


# A network has weights for each class, and a name is kept of it.
MOST_CLASSES = 100_000
# Tables hold an example's variances for each level of noise.
MOST_LEVELS = 10_000
# Loops of one compiled step; more than there are cores gain nothing.
MOST_PARALLEL = 1024


def class_count(name: str, value: Any) -> int:
    """Return a number of classes as an int from 1 to 100,000, or raise a ValueError."""
    return count_up_to(name, value, MOST_CLASSES)


def count_up_to(name: str, value: Any, most: int) -> int:
    """Return `value` as an int from 1 to `most`, or raise a ValueError."""
    if whole_number(name, value, 1) > most:
        raise ValueError(f"{name} must be at most {most:,}; received {value}.")
    return int(value)


def number(name: str, value: Any, *, minimum: float = 0.0, above: bool = False) -> float:
    """Return `value` as a finite float, at least `minimum` or above it, or raise a ValueError."""
    if not is_finite(value) or value < minimum or (above and value == minimum):
        relation = ">" if above else "≥"
        raise ValueError(
            f"{name} must be a finite number {relation} {minimum:g}; received {shown(value)}."
        )
    return float(value)


def probability(name: str, value: Any) -> float:
    """Return `value` as a float in [0, 1], or raise a ValueError."""
    if not is_finite(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1]; received {shown(value)}.")
    return float(value)


def switch(name: str, value: Any) -> bool:
    """Return `value` as a bool, or raise a ValueError if it is none."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; received {shown(value)}.")
    return bool(value)


def choice(name: str, value: Any, choices: tuple) -> Any:
    """Return `value` if it is one of the choices, or raise a ValueError that lists them."""
    if not any(type(value) is type(known) and value == known for known in choices):
        *most, last = map(repr, choices)
        listed = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"{name} must be {listed}; received {shown(value)}.")
    return value


def instance(name: str, value: Any, kind: type | tuple[type, ...], what: str) -> Any:
    """Return `value` if it is of a kind, or raise a TypeError that says what it must be."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}; received {shown(value)}.")
    return value


def optional(check: Callable, name: str, value: Any, *bounds: Any) -> Any:
    """Return None for None, and what the check returns for others."""
    return None if value is None else check(name, value, *bounds)


def interval(name: str, value: Any) -> tuple[float, float]:
    """Return `value` as two finite floats (low, high) with low < high, or raise a ValueError."""
    ordered = isinstance(value, (tuple, list)) or getattr(value, "shape", None) == (2,)
    bounds = [getattr(bound, "item", lambda b=bound: b)() for bound in value] if ordered else []
    if len(bounds) != 2 or not all(map(is_finite, bounds)) or not bounds[0] < bounds[1]:
        raise ValueError(
            f"{name} must be two finite numbers (low, high), low < high; received {shown(value)}."
        )
    return float(bounds[0]), float(bounds[1])


def shape(name: str, value: Any, rank: int | None = None) -> tuple[int, ...]:
    """Return `value`, an int or a sequence, as a tuple of positive ints, or raise a ValueError."""
    sizes = (value,) if isinstance(value, numbers.Integral) else value
    try:
        sizes = tuple(whole_number(name, size, 1) for size in sizes)
    except (TypeError, ValueError):
        sizes = ()
    if not sizes or (rank is not None and len(sizes) != rank):
        count = "positive whole numbers" if rank is None else f"{rank} positive whole number(s)"
        raise ValueError(f"{name} must be {count}; received {shown(value)}.")
    return sizes


def fits(check: Callable, value: Any) -> bool:
    """Whether a check of a name and a value lets the value pass."""
    try:
        check("", value)
    except (TypeError, ValueError):
        return False
    return True
