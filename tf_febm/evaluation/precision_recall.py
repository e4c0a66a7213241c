"""Precision, recall, density and coverage: fidelity and variety, told apart.

All four look at balls around points of one set, with the distance to the k-th nearest other point
of that set as their radius, and ask which points of the other set lie inside.
"""

from typing import NamedTuple

import numpy as np

from tf_febm.evaluation.feature_arrays import checked_pair

__all__ = ["DensityCoverage", "PrecisionRecall", "density_and_coverage", "precision_and_recall"]

# Distances in memory at once, 32 MB.
BLOCK_VALUES = 4_000_000


class PrecisionRecall(NamedTuple):
    """Hold precision and recall, floats in [0, 1].

    Attributes:
        precision: share of the samples that lie in a ball around a real point.
        recall: share of the real points that lie in a ball around a sample.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Hold density and coverage.

    Attributes:
        density: float ≥ 0, number of balls around real points that hold a sample, averaged over
            samples and divided by k; about 1 for samples of the real law, and not bounded by it.
        coverage: float in [0, 1], share of the balls around real points that hold a sample.
    """

    density: float
    coverage: float


def precision_and_recall(real, samples, k=3):
    """Measure improved precision and recall by k nearest neighbours.

    Precision is the share of samples within the estimated support of the real data, recall the
    share of real points within that of the samples. A support is the union of balls around all
    points of a set, with the distance to the k-th nearest *other* point of the set as radius.

    Not guaranteed: one outlier has a large ball, so that outliers among the samples raise recall
    and outliers among the real points raise precision (see `density_and_coverage`, which knows only
    balls around real points). Neither is 1 for samples of the real law; both depend on k and on
    the sizes: compare only equal numbers, best equal for both sets.

    Args:
        real: float array [m, d], m > k, finite.
        samples: float array [n, d], n > k, finite.
        k: number of neighbours, ≥ 1; 3 in the source.

    Returns:
        `PrecisionRecall`.

    Raises:
        ValueError: if a rank is not 2, the numbers of features differ, a set has no more than k
            rows, k is below 1, or a value is not finite.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
    models", 2019.
    """
    real, samples, slack = _prepare(real, samples, k)
    if len(samples) <= k:
        raise ValueError(f"samples must have more than k = {k} rows; received {len(samples)}.")
    in_real, _ = _count(samples, real, k, slack)
    in_samples, _ = _count(real, samples, k, slack)
    return PrecisionRecall(float(np.mean(in_real > 0)), float(np.mean(in_samples > 0)))


def density_and_coverage(real, samples, k=5):
    """Measure density and coverage by k nearest neighbours.

    With balls around the real points as in `precision_and_recall`: density counts for each sample
    in how many it lies, over k; coverage is the share of balls with a sample in them. Outliers
    among the samples change neither.

    For two independent sets of one law the expected density is 1, and the expected coverage is
    1 − Π over i < k of (m − 1 − i)/(m + n − 1 − i), about 1 − 2^−k for equal sizes.

    Args:
        real: float array [m, d], m > k, finite.
        samples: float array [n, d], n ≥ 1, finite.
        k: number of neighbours, ≥ 1; 5 in the source.

    Returns:
        `DensityCoverage`.

    Raises:
        ValueError: as `precision_and_recall`.

    Source: Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020.
    """
    real, samples, slack = _prepare(real, samples, k)
    balls, held = _count(samples, real, k, slack)
    return DensityCoverage(float(np.mean(balls) / k), float(np.mean(held)))


def _prepare(real, samples, k):
    """Return both sets, centred, in float64, and the slack of `_count`.

    Squared distances are ‖x‖² − 2 x·y + ‖y‖², in blocks: one matrix product, where differences
    would take a hundred times as long. The slack bounds the rounding errors of that; a point within
    it of the surface of a ball counts as inside, as a point on the surface does.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1; received {k}.")
    real, samples = checked_pair(real, samples, ("real", "samples"), least=1)
    if len(real) <= k:
        raise ValueError(f"real must have more than k = {k} rows; received {len(real)}.")
    centre = real.mean(axis=0, dtype=np.float64)
    real, samples = real - centre, samples - centre
    largest = max(_squared_norms(points).max() for points in (real, samples))
    slack = 8 * np.finfo(np.float64).eps * np.sqrt(real.shape[1]) * largest
    return real, samples, slack


def _count(points, centres, k, slack):
    """Count for each point the balls around centres that hold it; say which balls hold any.

    Args:
        points: float64 array [p, d].
        centres: float64 array [c, d].
        k: number of neighbours.
        slack: float, added to squared radii.

    Returns:
        Pair of an int64 array [p] and a bool array [c].
    """
    radii = _squared_radii(centres, k) + slack
    counts = np.empty(len(points), np.int64)
    held = np.zeros(len(centres), bool)
    for rows, distances in _blocks(points, centres):
        inside = distances <= radii
        counts[rows] = inside.sum(axis=1)
        held |= inside.any(axis=0)
    return counts, held


def _squared_radii(points, k):
    """Return the squared distance of each point to its k-th nearest other point."""
    radii = np.empty(len(points))
    for rows, distances in _blocks(points, points):
        # Below any rounding error, so that a point always is the nearest to itself.
        distances[np.arange(len(distances)), np.arange(len(points))[rows]] = -np.inf
        radii[rows] = np.partition(distances, k, axis=1)[:, k]
    return radii


def _blocks(a, b):
    """Yield (slice of rows of a, squared distances [rows, len(b)])."""
    norms = _squared_norms(b)
    step = max(1, BLOCK_VALUES // len(b))
    for start in range(0, len(a), step):
        block = a[start : start + step]
        distances = block @ b.T
        distances *= -2
        distances += _squared_norms(block)[:, None]
        distances += norms
        yield slice(start, start + step), distances


def _squared_norms(x):
    return np.einsum("ij,ij->i", x, x)
