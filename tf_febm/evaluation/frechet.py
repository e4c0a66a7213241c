"""Fréchet distance between two sets of feature vectors, each taken as a Gaussian.

The distance in the features of the classifier of this package, or of any other network, is *not*
the "FID", which stands for the pool-3 features of one particular Inception network. Report it with
the name of the network that made the features.
"""

from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tf_febm import arguments
from tf_febm.evaluation.feature_arrays import checked_pair, finite, warn_if_few

__all__ = ["frechet_distance", "frechet_distance_from_moments"]

BLOCK_ROWS = 4096


class Gaussian(NamedTuple):
    """A Gaussian as its mean and a factor of its covariance.

    Attributes:
        mean: float64 [d].
        factor: float64 [d, d] with factorᵀ factor = covariance; any rank.
    """

    mean: np.ndarray
    factor: np.ndarray


@arguments.checked
def frechet_distance(features_a: arguments.Reals, features_b: arguments.Reals) -> float:
    """Measure the Fréchet distance between the Gaussians fitted to two sets of features.

    ‖μa − μb‖² + tr(Σa + Σb − 2 (Σa Σb)^½), with sample means and unbiased sample covariances, in
    float64. (This is the squared 2-Wasserstein distance of the two Gaussians; like the literature
    we call the square "the distance".)

    The covariances are never formed. With centred data reduced by QR to factors R, Σ = RᵀR, and
    the trace of the square root is the nuclear norm of Ra Rbᵀ; the covariance part then equals
    ‖Ra − Q Rb‖² at the best orthogonal Q. That is exact for singular covariances, can not turn
    negative or complex, and does not cancel when the two sets are nearly equal.

    Not guaranteed: the estimate is biased upwards, by an amount that falls as 1/n and grows with
    d, so distances are comparable only between sets of about the same sizes. Two sets whose first
    two moments agree are at distance zero whatever else differs.

    Args:
        features_a: Real [n, d], n ≥ 2, finite.
        features_b: Real [m, d], m ≥ 2, finite.

    Returns:
        At least 0, in squared units of the features.

    Raises:
        ValueError: A rank is not 2, the numbers of features differ, a set has fewer than two
            rows, or a value is not finite.

    Warns:
        UserWarning: A set has no more rows than features: its covariance is then singular.

    Source: Dowson & Landau, "The Fréchet distance between multivariate normal distributions",
    1982; used on network features by Heusel et al., "GANs trained by a two time-scale update rule
    converge to a local Nash equilibrium", 2017.
    """
    features_a, features_b = checked_pair(features_a, features_b)
    for name, features in (("features_a", features_a), ("features_b", features_b)):
        warn_if_few(features, name, stacklevel=3)
    with one_blas_thread():
        return gaussian_distance(fit_gaussian(features_a), fit_gaussian(features_b))


@arguments.checked
def frechet_distance_from_moments(
    mean_a: arguments.Array, cov_a: arguments.Array, mean_b: arguments.Array, cov_b: arguments.Array
) -> float:
    """Measure the Fréchet distance between two Gaussians given by their moments.

    ‖μa − μb‖² + tr(Σa + Σb − 2 (Σa Σb)^½), in float64. Each covariance is factored by its
    eigenvectors; eigenvalues below d·eps·λmax are rounding noise and count as zero. Prefer
    `frechet_distance` where the features are at hand: it does not square their condition number.

    Args:
        mean_a: Real [d].
        cov_a: Real [d, d], symmetric, positive semi-definite; may be singular.
        mean_b: Real [d].
        cov_b: Real [d, d], as `cov_a`.

    Returns:
        At least 0.

    Raises:
        ValueError: Shapes do not match, a value is not finite, or a covariance is not symmetric
            or has a negative eigenvalue beyond rounding.

    Source: Dowson & Landau, 1982.
    """
    with one_blas_thread():
        a, b = _from_moments(mean_a, cov_a, "a"), _from_moments(mean_b, cov_b, "b")
        if a.mean.shape != b.mean.shape:
            raise ValueError(
                "mean_a and mean_b must have the same shape; received shapes "
                f"{a.mean.shape} and {b.mean.shape}."
            )
        return gaussian_distance(a, b)


def one_blas_thread() -> threadpool_limits:
    """Return a context in which NumPy's linear algebra runs in the calling thread.

    A QR decomposition takes many short steps, and OpenBLAS' threads meet after each. On two busy
    cores that took 470 ms for 1437×64 and 5.8 s for 5000×512, against 8 and 175 ms in one thread.
    """
    return threadpool_limits(1, user_api="blas")


def fit_gaussian(features: np.ndarray) -> Gaussian:
    """Fit a Gaussian by the sample mean and the unbiased sample covariance, in float64.

    The factor is the R of a QR decomposition of the centred features over √(n − 1), filled up with
    zero rows where n < d. Rows are taken in blocks, so that beside the features only a few blocks
    are in memory: the R of stacked blocks is the R of the stack of their Rs.
    """
    rows, columns = features.shape
    mean = features.mean(axis=0, dtype=np.float64)
    triangle = np.zeros((0, columns))
    # Several times d rows, or most of the work would go into the triangle carried along.
    block = max(4 * columns, BLOCK_ROWS)
    for start in range(0, rows, block):
        centred = features[start : start + block] - mean
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, centred]), mode="r"))
    factor = np.zeros((columns, columns))
    factor[: len(triangle)] = triangle / np.sqrt(rows - 1)
    return Gaussian(mean, factor)


def gaussian_distance(a: Gaussian, b: Gaussian) -> float:
    """Measure the Fréchet distance between two Gaussians of the same dimension.

    min over orthogonal Q of ‖Ra − Q Rb‖² is ‖Ra‖² + ‖Rb‖² − 2 ‖Ra Rbᵀ‖_*, reached at Q = U Vᵀ where
    U S Vᵀ = Ra Rbᵀ (orthogonal Procrustes problem), and ‖Ra Rbᵀ‖_* = tr((Σa^½ Σb Σa^½)^½).
    """
    left, _, right = np.linalg.svd(a.factor @ b.factor.T)
    residual = a.factor - left @ (right @ b.factor)
    return float(np.sum((a.mean - b.mean) ** 2) + np.sum(residual**2))


def _from_moments(mean, cov, side: str) -> Gaussian:
    mean, cov = (
        finite(array, f"{name}_{side}").astype(np.float64)
        for name, array in (("mean", mean), ("cov", cov))
    )
    if mean.ndim != 1 or mean.size < 1 or cov.shape != 2 * mean.shape:
        raise ValueError(
            f"mean_{side} and cov_{side} must have shapes [d] and [d, d]; received shapes "
            f"{mean.shape} and {cov.shape}."
        )
    scale, asymmetry = np.abs(cov).max(), np.abs(cov - cov.T).max()
    # Covariances made in float32 are welcome: allow for their rounding, not for more.
    tolerance = 1e-5 * scale
    if asymmetry > tolerance:
        raise ValueError(
            f"cov_{side} must be symmetric; received a largest asymmetry of {asymmetry:.3g} with "
            f"entries up to {scale:.3g}."
        )
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    if values[0] < -tolerance:
        raise ValueError(
            f"cov_{side} must be positive semi-definite; received one with an eigenvalue of "
            f"{values[0]:.3g}."
        )
    noise = mean.size * np.finfo(np.float64).eps * values[-1]
    return Gaussian(mean, np.sqrt(np.where(values > noise, values, 0.0))[:, None] * vectors.T)
