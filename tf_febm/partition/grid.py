"""Partition function of an energy, and its KL divergence from a density, on a grid."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import logsumexp

from tf_febm import arguments, energies

__all__ = [
    "GridDivergence",
    "GridPartition",
    "divergence_on_grid",
    "log_partition_on_grid",
    "log_partition_where_mass_is",
]

MAX_DIMENSION = 3
# More cells than this do not fit into memory with their coordinates.
MAX_CELLS = 50_000_000
BATCH = 65_536
# A box that follows the mass: cells along an axis while it does and at the end, by the number of
# axes; rounds; the share of the mass that may be left out at an end; the error to aim at.
COARSE = {1: 2048, 2: 128}
FINE, FINEST = {1: 8192, 2: 256}, {1: 1 << 20, 2: 2048}
ROUNDS, LEFT_OUT, GOAL = 40, 1e-10, 1e-5
# The frame in which mass is counted as near the edge: so much of each axis, at both ends.
EDGE = 0.05


class GridPartition(NamedTuple):
    """log Z of an energy, as a sum over the cells of a grid.

    Attributes:
        log_z: Log of the sum of e^(−E) over all cells, at their centres, times their volume.
        error: The distance from the same sum over cells twice as wide: above that of `log_z`
            wherever the grid resolves the density.
        edge_share: The share of the mass in the outer 5 % of the box, in [0, 1]. Where it is not
            small, the box cuts the density.
    """

    log_z: float
    error: float
    edge_share: float


class GridDivergence(NamedTuple):
    """KL(p‖q) of a known density p and a model q ∝ e^(−E), by a grid.

    Attributes:
        kl: Σ p (log p − log q) over the cells, p divided by its own sum.
        data_mass: The sum of p over the cells times their volume: 1 if the grid serves.
        partition: A GridPartition of the model.
    """

    kl: float
    data_mass: float
    partition: GridPartition


@arguments.checked
def log_partition_on_grid(
    energy_fn: Callable,
    low: arguments.Numbers,
    high: arguments.Numbers,
    num_points: arguments.Whole,
) -> GridPartition:
    """Compute log Z = log ∫ e^(−E(x)) dx over a box, by the midpoint rule in up to 3 dimensions.

    For smooth densities that vanish at the edge the rule converges faster than any power of the
    spacing: for a Gaussian, a spacing of one standard deviation leaves an error of 5e-9, and 1.5 of
    3e-4.

    Args:
        energy_fn: x, float32 [n, d] -> E(x), [n] or [n, 1]; such as `model.energy`.
        low: Lower corner of the box, [d], d from 1 to 3; or a number, for d = 1.
        high: Upper corner, [d].
        num_points: Cells along each axis, an int or [d]; at least 4.

    Returns:
        A GridPartition.

    Raises:
        ValueError: An argument is out of its range, or an energy is NaN or −∞ on the grid.
    """
    return _partition(energy_fn, *_box(low, high, num_points))[0]


@arguments.checked
def divergence_on_grid(
    log_prob: Callable,
    energy_fn: Callable,
    low: arguments.Numbers,
    high: arguments.Numbers,
    num_points: arguments.Whole,
) -> GridDivergence:
    """Compute KL(p‖q) of a known density p and q = e^(−E)/Z on a grid; see `log_partition_on_grid`.

    Mass of the model outside of the box counts as none: see `edge_share`.

    Args:
        log_prob: x, float64 [n, d] -> log p(x), [n], −∞ where p is 0.
        energy_fn: x, float32 [n, d] -> E(x), [n] or [n, 1].
        low: Lower corner of the box, [d], d from 1 to 3.
        high: Upper corner, [d].
        num_points: Cells along each axis, an int or [d]; at least 4.

    Returns:
        A GridDivergence.

    Raises:
        ValueError: An argument is out of its range, p has no mass on the grid, or an energy is
            NaN or −∞.
    """
    low, high, counts = _box(low, high, num_points)
    partition, log_q = _partition(energy_fn, low, high, counts)
    log_p = _on_grid(log_prob, low, high, counts)
    log_mass = _log_integral(log_p, low, high)
    if not np.isfinite(log_mass):
        raise ValueError(
            f"p must have mass in the box from {low.tolist()} to {high.tolist()}; the log of its "
            f"sum there is {log_mass}."
        )
    inside = log_p > -np.inf
    p = np.exp(log_p[inside] - logsumexp(log_p))
    difference = (log_p[inside] - log_mass) - (log_q[inside] - partition.log_z)
    return GridDivergence(float(np.sum(p * difference)), float(np.exp(log_mass)), partition)


def log_partition_where_mass_is(
    energy_fn: Callable, low: Any, high: Any, bounds: tuple[float, float] | None = None
) -> GridPartition:
    """Compute log Z by a grid in 1 or 2 dimensions whose box grows and shrinks with the mass.

    Args:
        energy_fn: As of `log_partition_on_grid`.
        low: Lower corner of a box to begin with, [d], where there is mass.
        high: Upper corner.
        bounds: (low, high) of each coordinate beyond which there is none, or None.

    Returns:
        A GridPartition.

    Raises:
        ValueError: The mass has no end; or as `log_partition_on_grid`.
    """
    low, high, counts = _box(low, high, COARSE[np.size(low)])
    dimension = len(low)
    for _ in range(ROUNDS):
        before = np.array([low, high])
        _, log_q = _partition(energy_fn, low, high, counts)
        mass = np.exp(log_q - logsumexp(log_q))
        width, cell = high - low, (high - low) / counts
        for axis in range(dimension):
            along = mass.sum(axis=tuple(k for k in range(dimension) if k != axis))
            from_below, from_above = along.cumsum(), along[::-1].cumsum()[::-1]
            inner = np.flatnonzero((from_below > LEFT_OUT) & (from_above > LEFT_OUT))
            for end, at, sign in ((low, inner[0], -1.0), (high, inner[-1] + 1, 1.0)):
                # Mass in the last cell: there is more behind it.
                full = at in (0, counts[axis])
                place = before[0][axis] + at * cell[axis]
                end[axis] = place + sign * (0.5 * width[axis] if full else 2.0 * cell[axis])
        if bounds is not None:
            low, high = np.maximum(low, bounds[0]), np.minimum(high, bounds[1])
        if np.abs(np.array([low, high]) - before).max() < 0.1 * (high - low).min():
            break
    else:
        raise ValueError(
            f"The mass of the energy has no end: the box grew to {low.tolist()} … {high.tolist()}. "
            "Give its network a confinement, or the sampler bounds."
        )
    size = FINE[dimension]
    while True:
        found, _ = _partition(energy_fn, low, high, np.full(dimension, size))
        if found.error < GOAL or size >= FINEST[dimension]:
            return found
        size *= 2


def _partition(energy_fn, low, high, counts) -> tuple[GridPartition, np.ndarray]:
    """Return what is known of Z, and −E in all cells."""
    energy = _checked(energy_fn)
    log_q = -_on_grid(energy, low, high, counts)
    log_z = _log_integral(log_q, low, high)
    coarse = _log_integral(-_on_grid(energy, low, high, -(-counts // 2)), low, high)
    mass = np.exp(log_q - logsumexp(log_q))
    inner = tuple(slice(n, size - n) for size in mass.shape for n in (max(1, int(EDGE * size)),))
    edge_share = float(max(0.0, 1.0 - mass[inner].sum()))
    return GridPartition(log_z, abs(log_z - coarse), edge_share), log_q


def _log_integral(log_values, low, high) -> float:
    return float(logsumexp(log_values) + np.log(np.prod((high - low) / log_values.shape)))


def _on_grid(function, low, high, counts) -> np.ndarray:
    """Evaluate x, [n, d] -> [n] at the centres of all cells; float64 of shape `counts`."""
    axes = [
        a + (b - a) * (np.arange(n) + 0.5) / n for a, b, n in zip(low, high, counts, strict=True)
    ]
    values = np.empty(np.prod(counts))
    for start in range(0, len(values), BATCH):
        cells = np.unravel_index(np.arange(start, min(start + BATCH, len(values))), counts)
        x = np.stack([axis[i] for axis, i in zip(axes, cells, strict=True)], axis=1)
        values[start : start + BATCH] = np.asarray(function(x))
    return values.reshape(counts)


def _checked(energy_fn):
    def energy(x: arguments.Array):
        x = tf.constant(x, tf.float32)
        values = energies.per_example(energy_fn(x), x).numpy().astype(np.float64)
        broken = np.isnan(values) | np.isneginf(values)
        if broken.any():
            where = x.numpy()[broken.argmax()].tolist()
            raise ValueError(f"Energies must not be NaN or −∞; received one at {where}.")
        return values

    return energy


def _box(low, high, num_points):
    low, high = (np.atleast_1d(np.asarray(v, np.float64)) for v in (low, high))
    good = low.ndim == 1 and low.shape == high.shape and np.isfinite([low, high]).all()
    if not good or not (low < high).all() or len(low) > MAX_DIMENSION:
        raise ValueError(
            f"low and high must be finite corners of a box in 1 to {MAX_DIMENSION} dimensions, "
            f"low < high; received {low.tolist()} and {high.tolist()}."
        )
    counts = np.broadcast_to(num_points, low.shape)
    counts = np.array([arguments.whole_number("num_points", n.item(), 4) for n in counts])
    if counts.prod(dtype=np.float64) > MAX_CELLS:
        raise ValueError(f"A grid has at most {MAX_CELLS} cells; received {counts.tolist()}.")
    return low, high, counts
