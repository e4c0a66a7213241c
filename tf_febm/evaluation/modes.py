"""Coverage of the modes of a mixture by samples."""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments

__all__ = ["ModeCoverage", "mode_coverage"]


class ModeCoverage(NamedTuple):
    """How samples spread over known modes.

    Attributes:
        covered: Modes that at least `min_share` of the samples lie near.
        total: Number of modes.
        share_near: Share of the samples near any mode, in [0, 1].
        shares: float64 [k], samples near each mode, each counted for its nearest one.
    """

    covered: int
    total: int
    share_near: float
    shares: np.ndarray


@arguments.checked
def mode_coverage(
    samples: arguments.Array,
    modes: arguments.Array,
    scale: float,
    *,
    radius: float = 4.0,
    min_share: float = 0.01,
) -> ModeCoverage:
    """Count the modes that samples cover.

    A sample is near a mode if it is the nearest one and at most `radius` standard deviations away;
    of a Gaussian in the plane all but e^(−radius²/2) lies there, 3.4e-4 for the default. A mode
    counts if at least `min_share` of *all* samples are near it: of 25 equal modes each has a share
    of 0.04, so that 1,000 samples of the truth miss one with probability below 1e-6.

    Args:
        samples: Finite real array [n, d], n ≥ 1.
        modes: Centres, real array [k, d], k ≥ 1.
        scale: Standard deviation of a mode, positive.
        radius: Standard deviations, positive.
        min_share: In (0, 1].

    Returns:
        A ModeCoverage.

    Raises:
        ValueError: An argument is out of its range or shapes do not fit.
    """
    samples, modes = np.asarray(samples, np.float64), np.asarray(modes, np.float64)
    shapes = f"received shapes {list(samples.shape)} and {list(modes.shape)}"
    fitting = samples.ndim == modes.ndim == 2 and samples.shape[1:] == modes.shape[1:]
    if not fitting or not len(samples) or not len(modes):
        raise ValueError(f"samples and modes must be [n, d] and [k, d] with n, k ≥ 1; {shapes}.")
    if not np.isfinite(samples).all():
        raise ValueError(f"samples must be finite; {shapes} with NaN or infinity in them.")
    reach = arguments.number("radius", radius, above=True)
    reach *= arguments.number("scale", scale, above=True)
    min_share = arguments.number("min_share", min_share, above=True)
    if min_share > 1.0:
        raise ValueError(f"min_share must lie in (0, 1]; received {min_share}.")
    squares = np.stack([np.square(samples - mode).sum(axis=1) for mode in modes], axis=1)
    nearest = squares.argmin(axis=1)
    near = squares.min(axis=1) <= reach**2
    shares = np.bincount(nearest[near], minlength=len(modes)) / len(samples)
    return ModeCoverage(int((shares >= min_share).sum()), len(modes), float(near.mean()), shares)
