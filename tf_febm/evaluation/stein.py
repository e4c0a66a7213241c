"""Kernel Stein discrepancy: how far samples are from an energy's law, by its score alone."""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.feature_arrays import checked_pair

__all__ = ["SteinDiscrepancy", "kernel_stein_discrepancy"]

# Of more, the kernel's matrices would take gigabytes.
MOST = 4096


class SteinDiscrepancy(NamedTuple):
    """A squared kernel Stein discrepancy.

    Attributes:
        u_statistic: Its unbiased estimate, over pairs of different samples; may be negative.
        v_statistic: That over all pairs, at least 0, and above the truth by O(1/n).
        p_value: Share of bootstrap replicates that are at least as large as the U-statistic; small
            where independent samples are not of the energy's law.
        length_scale: ℓ of the kernel.
    """

    u_statistic: float
    v_statistic: float
    p_value: float
    length_scale: float

    def as_dict(self) -> dict[str, float]:
        """Convert to a dict of numbers."""
        return self._asdict()


@arguments.checked
def kernel_stein_discrepancy(
    samples: arguments.Array,
    scores: arguments.Array,
    *,
    length_scale: float | None = None,
    num_bootstraps: int = 200,
    seed: int = 0,
) -> SteinDiscrepancy:
    """Estimate the squared kernel Stein discrepancy of samples from the law of a score.

    With s = ∇ log q = −∇E and the inverse multiquadric kernel k(x, y) = (1 + ‖x − y‖²/ℓ²)^(−1/2),
    it is the mean over independent pairs x, y of the samples' law p of

        u(x, y) = s(x)·s(y) k + s(x)·∇_y k + s(y)·∇_x k + tr ∇_x ∇_y k

    which is 0 if p = q, and otherwise positive: E_p E_p[(s − s_p)(x)·(s − s_p)(y) k(x, y)] where p
    has a score s_p. It needs no normalisation of q and no samples of it. This kernel sees samples
    that run away; but a mode of q that no sample has visited, far from all others, it hardly sees,
    for the score there is never asked for.

    The p-value, by Rademacher weights, is of independent samples: the ends of different chains, not
    the states of one.

    Args:
        samples: Real [n, …], n from 2 to 4,096, finite.
        scores: s at each of them, of the same shape, such as `model.score(samples)`.
        length_scale: ℓ, positive; the median distance of two samples if None.
        num_bootstraps: Replicates for the p-value, at least 1.
        seed: Seed of these.

    Returns:
        A SteinDiscrepancy.

    Raises:
        ValueError: Shapes differ, there are too few samples or too many, or a value is not finite.

    Source: Liu, Lee, Jordan 2016, and Chwialkowski, Strathmann, Gretton 2016; the kernel after
        Gorham & Mackey 2017.
    """
    x, s = (np.asarray(part) for part in (samples, scores))
    if x.shape != s.shape or x.ndim < 1 or not 2 <= len(x) <= MOST:
        raise ValueError(
            f"samples and scores must be of one shape [n, …], n from 2 to {MOST}; received shapes "
            f"{x.shape} and {s.shape}."
        )
    flat = x.reshape(len(x), -1), s.reshape(len(s), -1)
    x, s = (part.astype(np.float64) for part in checked_pair(*flat, ("samples", "scores")))
    count, dimension = x.shape
    num_bootstraps = arguments.whole_number("num_bootstraps", num_bootstraps, 1)
    squares = np.sum(x**2, axis=1)
    squared = np.maximum(squares[:, None] + squares - 2.0 * x @ x.T, 0.0)
    if length_scale is None:
        middle = np.median(np.sqrt(squared[np.triu_indices(count, 1)]))
        length_scale = float(middle) or 1.0
    length_scale = arguments.number("length_scale", length_scale, above=True)
    width = length_scale**2
    base = 1.0 + squared / width
    kernel = base**-0.5
    # ∇_x k = −(x − y)/ℓ² · base^(−3/2) = −∇_y k.
    slope = base**-1.5 / width
    along = s @ x.T
    own = np.sum(s * x, axis=1)
    # s(x)·(x − y) − s(y)·(x − y), the first for rows.
    across = own[:, None] - along + own - along.T
    u = s @ s.T * kernel + slope * across + slope * dimension
    u -= 3.0 * base**-2.5 * squared / width**2
    total, diagonal = u.sum(), np.trace(u)
    pairs = count * (count - 1)
    found = (total - diagonal) / pairs
    np.fill_diagonal(u, 0.0)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (num_bootstraps, count))
    replicates = np.sum(signs @ u * signs, axis=1) / pairs
    p_value = (1 + np.sum(replicates >= found)) / (num_bootstraps + 1)
    return SteinDiscrepancy(
        float(found), float(total / count**2), float(p_value), float(length_scale)
    )
