"""Exact f-divergences between one-dimensional densities, and the Gaussian that minimises one."""

import math
from typing import Any, NamedTuple

import numpy as np
import scipy.ndimage
import scipy.optimize
import tensorflow as tf
from scipy.special import logsumexp

from tf_febm import arguments
from tf_febm.analysis.density import Density
from tf_febm.analysis.quadrature import DivergenceIntegral

__all__ = ["NormalFit", "best_normal", "f_divergence", "gaussian_mixture"]

# How many local minima of the grid are followed.
_MAX_STARTS = 6
# Members of a batch, times the intervals between ends of supports, that share their nodes.
_MAX_TOGETHER = 4000


class NormalFit(NamedTuple):
    """Hold the Gaussian of least divergence from a target.

    Attributes:
        mean: float, its mean μ*.
        scale: float, its standard deviation σ*.
        divergence: float, D_f(p‖N(μ*, σ*²)).
    """

    mean: float
    scale: float
    divergence: float


@arguments.checked
def gaussian_mixture(
    weights: arguments.Numbers, means: arguments.Tensor, variances: arguments.Tensor
) -> Any:
    """Return a mixture of Gaussians as a tfp distribution in float64.

    p(x) = Σ_k weights_k · N(x; means_k, variances_k). The weights may be off by rounding to six
    decimals and are then divided by their sum.

    Args:
        weights: Sequence of K positive numbers whose sum is 1 to within K·10⁻⁶.
        means: Sequence of K finite numbers.
        variances: Sequence of K positive finite numbers: squares of standard deviations.

    Returns:
        `tfp.distributions.MixtureSameFamily` of scalars, without a batch.

    Raises:
        ValueError: Lengths differ or are 0, or a number is out of its range.
    """
    from tensorflow_probability import distributions as tfd  # Slow to import.

    columns = {"weights": weights, "means": means, "variances": variances}
    for name, values in columns.items():
        try:
            columns[name] = np.asarray(values, np.float64)
        except (TypeError, ValueError):
            columns[name] = np.array(np.nan)
        if columns[name].ndim != 1 or not np.isfinite(columns[name]).all():
            raise ValueError(f"{name} must be a sequence of finite numbers; received {values!r}.")
        if name != "means" and not (columns[name] > 0.0).all():
            raise ValueError(f"{name} must be positive; received {values!r}.")
    lengths = [len(values) for values in columns.values()]
    if len(set(lengths)) > 1 or lengths[0] == 0:
        raise ValueError(
            "weights, means and variances must have one length, at least 1; received "
            f"{lengths[0]}, {lengths[1]} and {lengths[2]} numbers."
        )
    weights, means, variances = columns.values()
    if abs(weights.sum() - 1.0) > 1e-6 * len(weights):
        raise ValueError(
            f"weights must sum to 1; received {weights.tolist()}, whose sum is {weights.sum():.8g}."
        )
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=tf.constant(weights / weights.sum())),
        tfd.Normal(tf.constant(means), tf.constant(np.sqrt(variances))),
    )


@arguments.checked
def f_divergence(
    divergence: arguments.DivergenceLike, p: arguments.Distribution, q: arguments.Distribution
) -> tf.Tensor:
    """Compute D_f(p‖q) = ∫ q f(p/q) dx by adaptive quadrature.

    The error is below 1e-8·max(1, D), or it raises. Where the integral is infinite (Pearson's χ²
    from a Gaussian to one of less than half its variance; KL where p has mass and q has none), so
    is the result. p and q are integrated along with the divergence, so that mass that was not found
    is noticed. Kinks, jumps, poles at the ends of supports and heavy tails are served. Parameters
    in lower precision are taken as they are and computed with in float64.

    Args:
        divergence: A `Divergence` or its name.
        p: Any continuous tfp distribution of scalars, without a batch.
        q: Any continuous tfp distribution of scalars, with any batch shape; its members are
            integrated together.

    Returns:
        float64 tensor of q's batch shape, ≥ 0; +inf where the divergence is infinite or exceeds
        the range of float64. It is a constant: no gradient flows through it.

    Raises:
        TypeError: p or q is no distribution of floating scalars.
        ValueError: p has a batch; a distribution does not integrate to 1, as when tfp's log_prob
            is an approximation; or 1e-8 is not reached. Too hard are integrals that a logarithm
            decides (KL from a Student t of 2.001 degrees to a Gaussian), tails like Pareto(0.05)'s,
            features 10⁸ times narrower than their distance from 0, and those that need f(eʳ) beyond
            the range of float64 from a generator that is there neither a power of u nor u log u.
    """
    integral, density = DivergenceIntegral(divergence, p), Density(q, "q")
    shape, members = density.batch_shape, density.num_members
    if members == 0:
        return tf.zeros(shape, tf.float64)
    if members > 1 and members * (1 + len(density.ends)) > _MAX_TOGETHER:
        if shape[0] == 1:
            return f_divergence(divergence, p, q[0])[tf.newaxis]
        parts = q[: shape[0] // 2], q[shape[0] // 2 :]
        return tf.concat([f_divergence(divergence, p, part) for part in parts], axis=0)
    return tf.reshape(tf.constant(integral.solve(density)[0]), shape)


@arguments.checked
def best_normal(
    divergence: arguments.DivergenceLike,
    p: arguments.Distribution,
    start: arguments.Array | None = None,
) -> NormalFit:
    """Find the Gaussian that minimises D_f(p‖N(μ, σ²)), with μ and σ good to 1e-6·σ.

    The divergence is first computed on a grid: means at quantiles of p and of its components and
    evenly between the extreme ones, standard deviations in steps of 1.4 from half the narrowest
    component's to the whole extent. The lowest six of its local minima are then followed by
    L-BFGS-B (`scipy.optimize`) on log(1 + D), and the lowest end point is the result.

    Not guaranteed: that this is the global minimum, if the grid does not resolve its basin or six
    others begin lower. Reverse KL, for one, has a minimum at each well separated mode. A finite
    minimum over all σ need not exist; that raises.

    Args:
        divergence: A `Divergence` or its name.
        p: Any continuous tfp distribution of scalars, without a batch.
        start: Optionally (mean, standard deviation), from which to descend instead of from the
            grid; the result is then the local minimum of that basin.

    Returns:
        `NormalFit`.

    Raises:
        TypeError: As `f_divergence`.
        ValueError: As `f_divergence`; `start` is not (finite, positive); no Gaussian of the grid,
            or not that of `start`, has a finite divergence; or the descent finds no minimum.
    """
    integral = DivergenceIntegral(divergence, p)
    starts = _local_minima(integral) if start is None else [_checked_start(start)]
    fits = [fit for fit in (_descend(integral, *pair) for pair in starts) if fit is not None]
    if not fits:
        raise ValueError(
            f"{integral.divergence.name!r} has no minimum over the Gaussians near (mean, scale) = "
            f"{starts}; p is {integral.p.description}."
        )
    return min(fits, key=lambda fit: fit.divergence)


def _local_minima(integral: DivergenceIntegral) -> list[tuple[float, float]]:
    """Return (mean, scale) of up to six local minima of D on a grid, the lowest first."""
    quantiles = integral.p.quantiles[:, 0]
    widths = 0.5 * (quantiles[3] - quantiles[1])
    ends = quantiles.min(), quantiles.max()
    means = np.unique(np.concatenate([quantiles.ravel(), np.linspace(*ends, 20)]))
    low, high = 0.5 * widths.min(), max(np.ptp(means), 2.0 * widths.max())
    scales = np.geomspace(low, high, 2 + int(np.log(high / low) / np.log(1.4)))
    # The nodes of p and its extent serve all Gaussians that are not narrower than p where they are.
    extent = _normal(np.mean(ends), np.ptp(ends))
    _, points, log_p, log_weights = integral.solve(extent, strict=False)
    log_q = -0.5 * ((points - means[:, None, None]) / scales[:, None]) ** 2
    log_q -= np.log(scales * math.sqrt(2.0 * math.pi))[:, None]
    value = integral.log_integrand(log_p, log_q).numpy() + log_weights
    with np.errstate(over="ignore"):
        value = np.exp(value).sum(axis=2)
    is_resolved = np.abs(np.exp(log_q + log_weights).sum(axis=2) - 1.0) < 1e-3
    # What is not known is no minimum, and has none beside it.
    value = np.where(is_resolved & ~np.isnan(value), value, -np.inf)
    around = scipy.ndimage.minimum_filter(value, 3, mode="constant", cval=np.inf)
    rows, columns = np.nonzero((value <= around) & np.isfinite(value))
    lowest = np.argsort(value[rows, columns])[: 4 * _MAX_STARTS]
    starts = np.stack([means[rows[lowest]], scales[columns[lowest]]])
    # The tails that these nodes leave out may be infinite.
    exact = integral.solve(_normal(*starts), strict=False)[0]
    starts = starts[:, np.isfinite(exact)][:, :_MAX_STARTS]
    if not starts.size:
        raise ValueError(
            f"The divergence {integral.divergence.name!r} is infinite, or not to be had to 1e-8, "
            f"for every Gaussian that was tried; p is {integral.p.description}."
        )
    return [(float(mean), float(scale)) for mean, scale in starts.T]


def _descend(integral: DivergenceIntegral, mean: float, scale: float) -> NormalFit | None:
    """Follow D down from one Gaussian; None if that finds no minimum.

    Each pass holds the nodes fixed, which makes D smooth to rounding, and moves no farther than
    they are good for; the next pass lays them anew. A pass that ends where D is infinite, as the
    tails of q may make it, is repeated within a smaller box.
    """
    value, points, log_p, log_weights = integral.solve(_normal(mean, scale))
    radius = 1.0
    for _ in range(50):
        if not np.isfinite(value[0]):
            return None
        found = scipy.optimize.minimize(
            _objective(integral, points, log_p, log_weights, mean, scale),
            np.zeros(2),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-radius, radius), (-0.7 * radius, 0.7 * radius)],
            options={"gtol": 1e-9, "ftol": 1e-16},
        )
        there = mean + scale * found.x[0], scale * math.exp(found.x[1])
        solution = integral.solve(_normal(*there), strict=False)
        if not np.isfinite(solution[0][0]):
            radius /= 4.0
            continue
        (mean, scale), (value, points, log_p, log_weights) = there, solution
        if np.abs(found.x).max() < 1e-7:
            return NormalFit(float(mean), float(scale), float(value[0]))
    return None


def _objective(integral: DivergenceIntegral, points, log_p, log_weights, mean, scale):
    """Return z -> log(1 + D) and its gradient at N(mean + scale·z₀, (scale·exp z₁)²).

    The logarithm has the same minima, without steep slopes far from them.
    """
    # Central differences of a sum over fixed nodes: off by some 1e-9, by step² and by rounding.
    step = 3e-5
    shifts = step * np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    standard = (points - mean) / scale
    log_factor = math.log(scale * math.sqrt(2.0 * math.pi))

    def evaluate(place):
        shift, log_scale = (place + shifts).T[..., None]
        log_q = -0.5 * ((standard - shift) * np.exp(-log_scale)) ** 2 - log_scale - log_factor
        log_value = logsumexp(integral.log_integrand(log_p, log_q) + log_weights, axis=1)
        value = np.logaddexp(0.0, log_value)
        return value[0], (value[1::2] - value[2::2]) / (2.0 * step)

    return evaluate


def _normal(mean, scale) -> Density:
    from tensorflow_probability import distributions as tfd

    return Density(tfd.Normal(np.asarray(mean, float), np.asarray(scale, float)), "q")


def _checked_start(start):
    try:
        mean, scale = (float(item) for item in start)
    except (TypeError, ValueError):
        mean = scale = math.nan
    if not (math.isfinite(mean) and 0.0 < scale < math.inf):
        raise ValueError(f"start must be (mean, standard deviation > 0); received {start!r}.")
    return mean, scale
