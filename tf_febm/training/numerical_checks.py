"""Numerical checks of training: quantities, and the thresholds beyond which it has diverged."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.models import players
from tf_febm.renamed import earlier_names

__all__ = [
    "Limits",
    "Past",
    "Problem",
    "chain_figures",
    "examine",
    "nonfinite_variable",
    "scale_figures",
    "worst",
]

CHAINS = 64
# Intervals that tell the size of a gap.
FIRST = 3
_EDGE = 1.0 / 255.0


class Problem(NamedTuple):
    """A quantity out of its range.

    Attributes:
        quantity: Its name, as in the record of its values.
        value: What it was.
        limit: What it must not pass; not finite if any finite value would do.
        text: What is wrong, for people.
    """

    quantity: str
    value: float
    limit: float
    text: str


class Limits(NamedTuple):
    """From where on a quantity is problem.

    Attributes:
        energy_gap: |mean E(data) − mean E(model)| may always reach this,
        gap_factor: and this many times its median in the first three intervals of the run. Not in
            all of them: one that runs away in hundreds of steps would take its limit with it.
        spread: The variance of the chains, averaged over coordinates, may fall to this share of
            that of the data.
        edge: Share of coordinates at the bounds of the data that may be reached.
        usual_edge: That share in the data, above which chains at the bounds are no problem.
        loss_scale: The scale of a loss, in float16, may fall to this: its smallest normal number.
            It is halved with every step that is skipped because gradients are not finite, some
            fifteen at the beginning of a training that is well; below this limit none is taken.
    """

    energy_gap: float = 1e3
    gap_factor: float = 100.0
    spread: float = 1e-3
    edge: float = 0.999
    usual_edge: float = 0.95
    loss_scale: float = 2.0**-14


class Past(Sequence):
    """The figures of the last intervals, name -> number, in memory that does not grow with them.

    Args:
        size: How many intervals are remembered.
    """

    def __init__(self, size: int):
        self._size, self._count = size, 0
        # Name -> the numbers, and which of them there are.
        self._figures: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def append(self, figures: dict) -> None:
        """Remember an interval; the oldest gives way if there is no place.

        Args:
            figures: Its figures, with `step`.
        """
        for name in figures.keys() - self._figures.keys():
            # All of the memory at once.
            self._figures[name] = np.full(self._size, np.nan), np.full(self._size, False)
        place = self._count % self._size
        for name, (numbers, known) in self._figures.items():
            numbers[place], known[place] = figures.get(name, np.nan), name in figures
        self._count += 1

    def __len__(self):
        return min(self._count, self._size)

    def __getitem__(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        place = (self._count - len(self) + index % len(self)) % self._size
        found = {
            name: float(n[place]) for name, (n, known) in self._figures.items() if known[place]
        }
        return {**found, "step": int(found["step"])}


def nonfinite_variable(model: arguments.Model) -> str | None:
    """Return the name of the first group of the model's state that holds NaN or Inf."""
    for group, variables in model.state_variables().items():
        for variable in variables:
            if variable.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable))):
                return group
    return None


def scale_figures(model: arguments.Model) -> dict:
    """Return the smallest scale of the losses, `loss_scale`; nothing where none is adapted."""
    scales = []
    for optimizer in players.optimizers_of(model):
        while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            scales.append(float(keras.ops.convert_to_numpy(optimizer.dynamic_scale)))
            optimizer = optimizer.inner_optimizer
    return {"loss_scale": _first_nan(scales, default=min)} if scales else {}


def chain_figures(samples: arguments.Tensor, bounds: arguments.Bounds | None = None) -> dict:
    """Measure how far chains, or data, lie apart.

    Args:
        samples: Floating array [n, …].
        bounds: (low, high) of the samples, or None.

    Returns:
        `chain_spread`: the variance over the n, averaged over coordinates, in units of the squared
        width of the bounds; with bounds also `chain_edge`: the share of coordinates within 1/255 of
        one of them.
    """
    x = np.asarray(samples, np.float64).reshape(len(samples), -1)
    if bounds is None:
        return {"chain_spread": float(x.var(axis=0).mean())}
    low, high = bounds
    x = (x - low) / (high - low)
    edge = (x <= _EDGE) | (x >= 1.0 - _EDGE)
    return {"chain_spread": float(x.var(axis=0).mean()), "chain_edge": float(edge.mean())}


def worst(figures: Sequence[dict]) -> dict:
    """Return of each chain figure the value that is the most problem.

    Args:
        figures: At least one, each as `chain_figures` returned it.
    """
    choose = {"chain_spread": min, "chain_edge": max}
    return {
        name: _first_nan([f[name] for f in figures], default=choose[name]) for name in figures[0]
    }


def _first_nan(values: list[float], default: Callable) -> float:
    nan = next((value for value in values if math.isnan(value)), None)
    return default(values) if nan is None else nan


def gap_at_first(gaps: Sequence[float]) -> float:
    """Return the median size of the first gaps of a run, 0 if there are none yet."""
    return statistics.median(map(abs, gaps[:FIRST])) if gaps else 0.0


def examine(figures: dict, past: Sequence[dict], usual: dict, limits: Limits) -> Problem | None:
    """Judge the figures of one interval.

    Args:
        figures: name -> number: metrics, chain figures and the loss scale.
        past: Those of the intervals before it that were no problem, from the first on.
        usual: Chain figures of the data, and `energy_gap`, its size in the first intervals of the
            run; without that it is taken from `past`.
        limits: See there.

    Returns:
        The first problem found, or None.
    """
    for name, value in figures.items():
        if not math.isfinite(value):
            return Problem(name, value, math.inf, f"{name} is not finite")
    scale = figures.get("loss_scale")
    if scale is not None and scale < limits.loss_scale:
        text = f"no step is taken any more: the loss scale has fallen to {scale:.3g}"
        return Problem("loss_scale", scale, limits.loss_scale, text)
    gap = figures.get("energy_gap")
    if gap is not None:
        first = usual.get("energy_gap")
        if first is None:
            first = gap_at_first([r["energy_gap"] for r in past if "energy_gap" in r])
        limit = max(limits.energy_gap, limits.gap_factor * first)
        if abs(gap) > limit:
            text = f"the energy gap has run away: {gap:.4g} with a limit of ±{limit:.4g}"
            return Problem("energy_gap", gap, limit, text)
    spread = figures.get("chain_spread")
    if spread is not None:
        # Without data to compare with, chains count as collapsed when they are equal to rounding.
        limit = limits.spread * usual.get("chain_spread", 1e-6)
        if spread < limit:
            text = f"the chains have collapsed into one: variance {spread:.3g}, below {limit:.3g}"
            return Problem("chain_spread", spread, limit, text)
    edge = figures.get("chain_edge")
    if (
        edge is not None
        and edge >= limits.edge
        and usual.get("chain_edge", 0.0) < limits.usual_edge
    ):
        text = f"the chains are stuck at the bounds with {edge:.1%} of their coordinates"
        return Problem("chain_edge", edge, limits.edge, text)
    return None


__getattr__ = earlier_names(
    __name__,
    {
        "Trouble": "tf_febm.training.numerical_checks:Problem",
    },
)
