"""Kernel distance between two sets of feature vectors: squared MMD with a cubic kernel.

In the features of the published Inception network it is called KID. Report any other with the name
of the network that made the features.
"""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.feature_arrays import checked_pair

__all__ = ["KernelDistance", "kernel_distance", "squared_mmd"]

# Kernel values in memory at once, 32 MB.
BLOCK_VALUES = 4_000_000
DEFAULT_SUBSET = 1000


class KernelDistance(NamedTuple):
    """A kernel distance.

    Attributes:
        mean: Over the subsets; unbiased, so it may be negative.
        std: Standard deviation from subset to subset, n − 1 in the denominator; nan if there is
            only one distinct subset. Subsets overlap: it is not the error of the mean.
        num_subsets: int.
        subset_size: Rows of each set in a subset.
    """

    mean: float
    std: float
    num_subsets: int
    subset_size: int


@arguments.checked
def squared_mmd(features_a: arguments.Reals, features_b: arguments.Reals) -> float:
    """Estimate the squared maximum mean discrepancy with the kernel (x·y/d + 1)³, unbiased.

    mean over i ≠ j of k(aᵢ, aⱼ) + mean over i ≠ j of k(bᵢ, bⱼ) − 2 mean over i, j of k(aᵢ, bⱼ), in
    float64, in blocks of bounded memory. Its expectation is zero for two samples of one law and
    does not depend on the sizes. A cubic kernel sees moments up to the third and nothing beyond.

    Args:
        features_a: Real [n, d], n ≥ 2, finite.
        features_b: Real [m, d], m ≥ 2, finite.

    Returns:
        The estimate; negative values occur.

    Raises:
        ValueError: A rank is not 2, the numbers of features differ, a set has fewer than two
            rows, or a value is not finite.

    Source: Gretton et al., "A kernel two-sample test", 2012, Lemma 6, for the estimator; Bińkowski
    et al., "Demystifying MMD GANs", 2018, for the kernel.
    """
    a, b = (x.astype(np.float64) for x in checked_pair(features_a, features_b))
    return _within(a) + _within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


@arguments.checked
def kernel_distance(
    features_a: arguments.Reals,
    features_b: arguments.Reals,
    *,
    num_subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> KernelDistance:
    """Measure the kernel distance: the mean of `squared_mmd` over random subsets.

    A subset holds `subset_size` rows of each set, drawn without replacement; subsets are drawn
    independently. The distance is unbiased at any size, unlike the Fréchet distance, so that
    figures from different numbers of images compare, up to their noise.

    Args:
        features_a: Real [n, d], n ≥ 2, finite.
        features_b: Real [m, d], m ≥ 2, finite.
        num_subsets: At least 1.
        subset_size: In [2, min(n, m)]; min(1000, n, m) if None.
        seed: At least 0, of the subsets. Equal arguments give equal results.

    Returns:
        A KernelDistance.

    Raises:
        ValueError: As `squared_mmd`, or a setting is out of its range.

    Source: Bińkowski et al., "Demystifying MMD GANs", 2018.
    """
    pair = checked_pair(features_a, features_b)
    smaller = min(map(len, pair))
    if subset_size is None:
        subset_size = min(DEFAULT_SUBSET, smaller)
    if not 2 <= subset_size <= smaller:
        raise ValueError(f"subset_size must lie in [2, {smaller}]; received {subset_size}.")
    num_subsets = arguments.whole_number("num_subsets", num_subsets, 1)
    if all(len(x) == subset_size for x in pair):
        # Every subset would be the whole of both.
        num_subsets = 1
    generator = np.random.default_rng(seed)
    values = [
        squared_mmd(*(x[generator.permutation(len(x))[:subset_size]] for x in pair))
        for _ in range(num_subsets)
    ]
    std = float(np.std(values, ddof=1)) if num_subsets > 1 else float("nan")
    return KernelDistance(float(np.mean(values)), std, num_subsets, subset_size)


def _within(x) -> float:
    """Average the kernel over all pairs of different rows."""
    diagonal = np.sum((np.sum(x**2, axis=1) / x.shape[1] + 1) ** 3)
    return (_kernel_sum(x, x) - diagonal) / (len(x) * (len(x) - 1))


def _kernel_sum(a, b) -> float:
    step = max(1, BLOCK_VALUES // len(b))
    starts = range(0, len(a), step)
    return float(sum(np.sum((a[i : i + step] @ b.T / a.shape[1] + 1) ** 3) for i in starts))
