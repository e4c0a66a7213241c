"""Checks of arguments that many constructors share; each message echoes what was received."""

import inspect
import math
import numbers
from typing import Any

import numpy as np

__all__ = [
    "Configured",
    "Settled",
    "choice",
    "interval",
    "number",
    "shape",
    "switch",
    "whole_number",
]


class Configured:
    """Settings as a config; each argument of the constructor is kept under its name."""

    def get_config(self) -> dict:
        """Return the constructor's arguments, and those of Keras where it is a layer."""
        parameters = inspect.signature(type(self)).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        of_keras: dict = getattr(super(), "get_config", dict)()
        return {**of_keras, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """Make one from the result of `get_config`."""
        return getattr(super(), "from_config", lambda config: cls(**config))(config)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


class Settled:
    """An attribute that can be given once: what was made with it would not follow a new value.

    Args:
        cure: What to do for another value; it ends the message.
    """

    def __init__(self, cure: str):
        self._cure = cure

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        try:
            return instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{type(instance).__name__} has no {self._name} yet.") from None

    def __set__(self, instance, value):
        present = instance.__dict__.setdefault(self._name, value)
        if present != value:
            raise AttributeError(
                f"{self._name} of a {type(instance).__name__} is settled when it is made, at "
                f"{present!r}; received {value!r}. {self._cure}"
            )


def whole_number(name: str, value, minimum: int = 0, below: int | None = None) -> int:
    """Return `value` as an int of at least `minimum` and `below` a limit, or raise a ValueError."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < minimum or (below is not None and value >= below):
        limit = "" if below is None else f" and < {below}"
        raise ValueError(f"{name} must be a whole number ≥ {minimum}{limit}; received {value!r}.")
    return int(value)


def number(name: str, value, *, minimum: float = 0.0, above: bool = False) -> float:
    """Return `value` as a finite float, at least `minimum` or above it, or raise a ValueError."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < minimum or (above and value == minimum):
        relation = ">" if above else "≥"
        raise ValueError(
            f"{name} must be a finite number {relation} {minimum:g}; received {value!r}."
        )
    return float(value)


def switch(name: str, value) -> bool:
    """Return `value` as a bool, or raise a ValueError if it is none."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; received {value!r}.")
    return bool(value)


def choice(name: str, value, choices: tuple) -> Any:
    """Return `value` if it is one of the choices, or raise a ValueError that lists them."""
    if value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(most)} or {last}; received {value!r}.")
    return value


def interval(name: str, value) -> tuple[float, float]:
    """Return `value` as two finite floats (low, high) with low < high, or raise a ValueError."""
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(
            f"{name} must be two finite numbers (low, high), low < high; received {value!r}."
        )
    return low, high


def shape(name: str, value, rank: int | None = None) -> tuple[int, ...]:
    """Return `value`, an int or a sequence, as a tuple of positive ints, or raise a ValueError."""
    sizes = (value,) if isinstance(value, numbers.Integral) else value
    try:
        sizes = tuple(whole_number(name, size, 1) for size in sizes)
    except (TypeError, ValueError):
        sizes = ()
    if not sizes or (rank is not None and len(sizes) != rank):
        count = "positive whole numbers" if rank is None else f"{rank} positive whole number(s)"
        raise ValueError(f"{name} must be {count}; received {value!r}.")
    return sizes
