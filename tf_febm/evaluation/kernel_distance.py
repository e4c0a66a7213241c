"""Kernel distance between two sets of feature vectors: squared MMD with a cubic kernel.

In the features of the published Inception network it is called KID. Report any other with the name
of the network that made the features.
"""

from typing import NamedTuple

import numpy as np

from tf_febm.evaluation.feature_arrays import checked_pair

__all__ = ["KernelDistance", "kernel_distance", "squared_mmd"]

# Kernel values in memory at once, 32 MB.
BLOCK_VALUES = 4_000_000
DEFAULT_SUBSET = 1000


class KernelDistance(NamedTuple):
    """Hold a kernel distance.

    Attributes:
        mean: float, over the subsets; unbiased, so it may be negative.
        std: float, standard deviation from subset to subset, n − 1 in the denominator; nan if there
            is only one distinct subset. Subsets overlap: it is not the error of the mean.
        num_subsets: int.
        subset_size: int, rows of each set in a subset.
    """

    mean: float
    std: float
    num_subsets: int
    subset_size: int


def squared_mmd(features_a, features_b):
    """Estimate the squared maximum mean discrepancy with the kernel (x·y/d + 1)³, unbiased.

    mean over i ≠ j of k(aᵢ, aⱼ) + mean over i ≠ j of k(bᵢ, bⱼ) − 2 mean over i, j of k(aᵢ, bⱼ), in
    float64, in blocks of bounded memory. Its expectation is zero for two samples of one law and
    does not depend on the sizes. A cubic kernel sees moments up to the third and nothing beyond.

    Args:
        features_a: float array [n, d], n ≥ 2, finite.
        features_b: float array [m, d], m ≥ 2, finite.

    Returns:
        float; negative values occur.

    Raises:
        ValueError: if a rank is not 2, the numbers of features differ, a set has fewer than two
            rows, or a value is not finite.

    Source: Gretton et al., "A kernel two-sample test", 2012, Lemma 6, for the estimator; Bińkowski
    et al., "Demystifying MMD GANs", 2018, for the kernel.
    """
    a, b = (x.astype(np.float64) for x in checked_pair(features_a, features_b))
    return _within(a) + _within(b) - 2 * _kernel_sum(a, b) / (len(a) * len(b))


def kernel_distance(features_a, features_b, *, num_subsets=100, subset_size=None, seed=0):
    """Measure the kernel distance: the mean of `squared_mmd` over random subsets.

    A subset holds `subset_size` rows of each set, drawn without replacement; subsets are drawn
    independently. The distance is unbiased at any size, unlike the Fréchet distance, so that
    figures from different numbers of images compare, up to their noise.

    Args:
        features_a: float array [n, d], n ≥ 2, finite.
        features_b: float array [m, d], m ≥ 2, finite.
        num_subsets: int ≥ 1.
        subset_size: int in [2, min(n, m)]; min(1000, n, m) if None.
        seed: int ≥ 0, of the subsets. Equal arguments give equal results.

    Returns:
        `KernelDistance`.

    Raises:
        ValueError: as `squared_mmd`, or if a setting is out of range.

    Source: Bińkowski et al., "Demystifying MMD GANs", 2018.
    """
    features_a, features_b = checked_pair(features_a, features_b)
    smaller = min(len(features_a), len(features_b))
    if subset_size is None:
        subset_size = min(DEFAULT_SUBSET, smaller)
    if not 2 <= subset_size <= smaller:
        raise ValueError(f"subset_size must lie in [2, {smaller}]; received {subset_size}.")
    if num_subsets < 1:
        raise ValueError(f"num_subsets must be at least 1; received {num_subsets}.")
    if len(features_a) == len(features_b) == subset_size:
        # Every subset would be the whole of both.
        num_subsets = 1
    generator = np.random.default_rng(seed)
    values = [
        squared_mmd(
            *(x[generator.permutation(len(x))[:subset_size]] for x in (features_a, features_b))
        )
        for _ in range(num_subsets)
    ]
    std = float(np.std(values, ddof=1)) if num_subsets > 1 else float("nan")
    return KernelDistance(float(np.mean(values)), std, num_subsets, subset_size)


def _within(x):
    """Average the kernel over all pairs of different rows."""
    diagonal = np.sum((np.sum(x**2, axis=1) / x.shape[1] + 1) ** 3)
    return (_kernel_sum(x, x) - diagonal) / (len(x) * (len(x) - 1))


def _kernel_sum(a, b):
    step = max(1, BLOCK_VALUES // len(b))
    return float(
        sum(
            np.sum((a[start : start + step] @ b.T / a.shape[1] + 1) ** 3)
            for start in range(0, len(a), step)
        )
    )
