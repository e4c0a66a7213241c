"""Precision, recall, density and coverage: fidelity and variety by nearest neighbours.

All four look at balls around points of one set, with the distance to the k-th nearest other point
of that set as their radius, and ask which points of the other set lie inside.
"""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.feature_arrays import checked_pair

__all__ = ["DensityCoverage", "PrecisionRecall", "density_and_coverage", "precision_and_recall"]

# Distances in memory at once, in mebibytes.
WORKING_MEMORY = 32


class PrecisionRecall(NamedTuple):
    """Precision and recall, in [0, 1].

    Attributes:
        precision: Share of the samples that lie in a ball around a real point.
        recall: Share of the real points that lie in a ball around a sample.
    """

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density and coverage.

    Attributes:
        density: Number of balls around real points that hold a sample, averaged over samples and
            divided by k; about 1 for samples of the real law, and not bounded by it.
        coverage: Share of the balls around real points that hold a sample, in [0, 1].
    """

    density: float
    coverage: float


@arguments.checked
def precision_and_recall(
    real: arguments.Reals, samples: arguments.Array, k: int = 3
) -> PrecisionRecall:
    """Measure improved precision and recall by k nearest neighbours.

    Precision is the share of samples within the estimated support of the real data, recall the
    share of real points within that of the samples. A support is the union of balls around all
    points of a set, with the distance to the k-th nearest *other* point of the set as radius.

    Not guaranteed: one outlier has a large ball, so that outliers among the samples raise recall
    and outliers among the real points raise precision (see `density_and_coverage`, which knows only
    balls around real points). Neither is 1 for samples of the real law; both depend on k and on
    the sizes: compare only equal numbers, best equal for both sets.

    Args:
        real: Real [m, d], m > k, finite.
        samples: Real [n, d], n > k, finite.
        k: Number of neighbours, at least 1; 3 in the source.

    Returns:
        A PrecisionRecall.

    Raises:
        ValueError: A rank is not 2, the numbers of features differ, a set has no more than k
            rows, k is below 1, or a value is not finite.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
    models", 2019.
    """
    real, samples = _checked(real, samples, k)
    if len(samples) <= k:
        raise ValueError(f"samples must have more than k = {k} rows; received {len(samples)}.")
    in_real, _ = _count(samples, real, k)
    in_samples, _ = _count(real, samples, k)
    return PrecisionRecall(float(np.mean(in_real > 0)), float(np.mean(in_samples > 0)))


@arguments.checked
def density_and_coverage(
    real: arguments.Reals, samples: arguments.Array, k: int = 5
) -> DensityCoverage:
    """Measure density and coverage by k nearest neighbours.

    With balls around the real points as in `precision_and_recall`: density counts for each sample
    in how many it lies, over k; coverage is the share of balls with a sample in them. Outliers
    among the samples change neither.

    For two independent sets of one law the expected density is 1, and the expected coverage is
    1 − Π over i < k of (m − 1 − i)/(m + n − 1 − i), about 1 − 2^−k for equal sizes.

    Args:
        real: Real [m, d], m > k, finite.
        samples: Real [n, d], n ≥ 1, finite.
        k: Number of neighbours, at least 1; 5 in the source.

    Returns:
        A DensityCoverage.

    Raises:
        ValueError: As `precision_and_recall`.

    Source: Naeem et al., "Reliable fidelity and diversity metrics for generative models", 2020.
    """
    real, samples = _checked(real, samples, k)
    balls, held = _count(samples, real, k)
    return DensityCoverage(float(np.mean(balls) / k), float(np.mean(held)))


def _checked(real, samples, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets in float64, centred: a common offset would drown their distances."""
    arguments.whole_number("k", k, 1)
    real, samples = checked_pair(real, samples, ("real", "samples"), least=1)
    if len(real) <= k:
        raise ValueError(f"real must have more than k = {k} rows; received {len(real)}.")
    centre = real.mean(axis=0, dtype=np.float64)
    return real - centre, samples - centre


def _count(points, centres, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many balls around centres hold each point, and which balls hold any."""
    from sklearn.metrics import pairwise_distances_chunked  # Slow to import.
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(centres)
    radii, _ = search.kneighbors()
    # Squared distances are ‖x‖² − 2 x·y + ‖y‖². The slack bounds the rounding errors of that: a
    # point within it of the surface of a ball counts as inside, as one on the surface does.
    largest = max(np.square(x).sum(axis=1).max() for x in (points, centres))
    slack = 8 * np.finfo(np.float64).eps * np.sqrt(points.shape[1]) * largest
    reach = np.square(radii[:, -1]) + slack
    counts, held = [], np.zeros(len(centres), bool)
    for squares in pairwise_distances_chunked(
        points, centres, metric="euclidean", squared=True, working_memory=WORKING_MEMORY
    ):
        inside = squares <= reach
        counts.append(inside.sum(axis=1))
        held |= inside.any(axis=0)
    return np.concatenate(counts), held
