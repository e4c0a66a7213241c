"""Paired comparisons by exact permutation: signs of differences, flipped in every way."""

import numpy as np

__all__ = ["power", "sign_flips"]


def sign_flips(differences) -> tuple[np.ndarray, np.ndarray]:
    """Test whether paired differences are of mean zero, for several columns of the same pairs.

    If they are symmetric about zero, all 2ⁿ ways to flip the signs of rows are alike. With t the
    mean over its standard error, the first p of a column is the share of the ways whose |t| is at
    least the one that was seen; the second, by Westfall and Young, the share whose largest |t| of
    all columns is, which bounds the chance of *any* wrong rejection. Neither can be less than 2/2ⁿ.

    Args:
        differences: Real [n, k], rows of pairs (seeds), columns of comparisons; 2 ≤ n ≤ 16.

    Returns:
        Both p, [k] each, in (0, 1].
    """
    values = np.asarray(differences, np.float64)
    count = len(values)
    if values.ndim != 2 or not 2 <= count <= 16 or not np.isfinite(values).all():
        raise ValueError(
            f"differences must be 2 to 16 rows of finite numbers; received shape {values.shape}."
        )
    signs = 1.0 - 2.0 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    # |t| rises with the square of the mean over the mean of squares, which no flip changes.
    squares = np.maximum(np.mean(values**2, axis=0), np.finfo(float).tiny)
    found = (signs @ values / count) ** 2 / squares
    seen = found[0] * (1.0 - 1e-9)
    alone = np.mean(found >= seen, axis=0)
    together = np.mean(found.max(axis=1)[:, None] >= seen, axis=0)
    return alone, together


def power(effect: float, deviation: float, count: int, level: float = 0.05) -> float:
    """Return how often `sign_flips` of one column, at this level, sees an effect.

    Args:
        effect: Mean of the differences.
        deviation: Their standard deviation, positive; they are normal.
        count: Pairs.
        level: Of the test.
    """
    rng = np.random.default_rng(0)
    drawn = rng.normal(effect, deviation, (count, 4000))
    # As columns of one call; each has its own p.
    return float(np.mean(sign_flips(drawn)[0] <= level))
