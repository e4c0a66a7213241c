"""Exact f-divergences between one-dimensional densities, and the Gaussian that minimises one."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import scipy.optimize
import tensorflow as tf

from tf_febm import divergences
from tf_febm.analysis.density import Density, Features
from tf_febm.analysis.mesh import Poles, examine_ends, first_panels, tail_panels
from tf_febm.analysis.perspective import LogPerspective
from tf_febm.analysis.quadrature import Panels, integrate, join, nodes_and_weights

__all__ = ["NormalFit", "best_normal", "f_divergence", "gaussian_mixture"]

# What is promised, and what is asked of the estimates so that it holds.
_PROMISE, _TOLERANCE = 1e-8, 2e-9


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


def gaussian_mixture(weights, means, variances):
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
        ValueError: If lengths differ or are 0, or a number is out of its range.
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


def f_divergence(divergence, p, q) -> tf.Tensor:
    """Compute D_f(p‖q) = ∫ q f(p/q) dx by adaptive quadrature, to 1e-8.

    The error is below 1e-8·max(1, D). Where the integral is infinite (Pearson's χ² of a Gaussian
    and one of less than half its variance; KL where p has mass and q has none), so is the result.

    Mass is sought by 100 samples of each distribution, or of each of its components if it is a
    `MixtureSameFamily` or a `Mixture`, and by shells around their medians. p and q are integrated
    along with the divergence: mass that the panels miss is noticed, and panels are halved until
    it is found. Only a feature of a weight below 2e-9 can stay unseen. Kinks, jumps, integrable
    poles and heavy tails are served; a jump inside a support costs more.

    Args:
        divergence: A `Divergence` or its name.
        p: Any continuous tfp distribution of scalars, without a batch.
        q: Any continuous tfp distribution of scalars, with any batch shape: all of its members are
            integrated at once.

    Returns:
        float64 tensor of q's batch shape, ≥ 0; +inf where the divergence is infinite or exceeds
        the range of float64. It is a constant: no gradient flows through it.

    Raises:
        TypeError: If p or q is no distribution of floating scalars.
        ValueError: If p has a batch, a distribution does not integrate to 1 (tfp's log densities
            of some are approximations), or 1e-8 is not reached. Among the integrals too hard are
            those that diverge, or converge, only by a logarithm, and those that need
            f(eʳ) beyond the range of float64 from a generator without closed forms.
    """
    problem = _Problem(divergence, p)
    q = Density(q, "q")
    if q.num_members == 0:
        return tf.zeros(q.batch_shape, tf.float64)
    return tf.reshape(tf.constant(problem.solve(q).value), q.batch_shape)


def best_normal(divergence, p, start=None) -> NormalFit:
    """Find the Gaussian that minimises D_f(p‖N(μ, σ²)), with μ and σ good to 1e-6·σ.

    The divergence is first computed on a grid: means at quantiles of p and of its components and
    evenly between the extreme ones, standard deviations in steps of 1.4 from half the narrowest
    component's to the whole extent. Every local minimum of the grid, up to six, is then followed
    by a trust-region Newton method (`scipy.optimize`, "trust-exact") whose gradient and Hessian
    come from automatic differentiation, in coordinates (μ − μ₀)/σ₀ and log σ/σ₀.

    Not guaranteed: the result is the global minimum among the basins that the grid resolves. A
    divergence may have several (reverse KL has one per well separated mode).

    Args:
        divergence: A `Divergence` or its name.
        p: Any continuous tfp distribution of scalars, without a batch.
        start: Optionally (mean, standard deviation), from which to descend instead of from the
            grid; the result is then the local minimum of that basin.

    Returns:
        `NormalFit`.

    Raises:
        TypeError: As `f_divergence`.
        ValueError: As `f_divergence`; if `start` is not (finite, positive); if no Gaussian of the
            grid, or not that of `start`, has a finite divergence; or if the descent finds no
            minimum.
    """
    problem = _Problem(divergence, p)
    starts = problem.local_minima() if start is None else [_checked_start(start)]
    fits = [fit for fit in (problem.descend(*pair) for pair in starts) if fit is not None]
    if not fits:
        raise ValueError(
            f"{problem.divergence.name!r} has no minimum over the Gaussians near (mean, scale) = "
            f"{starts}; p is {problem.p.description}."
        )
    return min(fits, key=lambda fit: fit.divergence)


class _Solution(NamedTuple):
    """Hold D for each of B members, and where it was integrated; no nodes where D is infinite."""

    value: np.ndarray
    panels: Panels | None = None
    poles: Poles | None = None


class _Problem:
    """Hold one divergence and one p, for any q."""

    def __init__(self, divergence, p):
        self.divergence = divergences.get(divergence)
        self.p = Density(p, "p")
        if self.p.batch_shape:
            raise ValueError(
                f"p must be one distribution; received batch shape {self.p.batch_shape}."
            )
        self.perspective = LogPerspective(self.divergence)
        self.p_features = self.p.features()

    def solve(self, q: Density, strict: bool = True) -> _Solution:
        """Return D_f(p‖q) for each member of q; where it is not exact, NaN or, if strict, raise."""

        def logs(points):
            log_p, log_q = self.p.log_prob(points), q.log_prob(points)
            return self.perspective(log_p, log_q), log_p, log_q

        def densities(points):
            return tf.exp(tf.stack(logs(points))).numpy()

        features = Features(
            *(
                np.concatenate([np.tile(mine, (1, q.num_members)), theirs])
                for mine, theirs in zip(self.p_features, q.features(), strict=True)
            )
        )
        panels, ends = first_panels(features)
        tails = self._tails(ends, logs)
        infinite = tails.diverges[0]
        if infinite.all():
            return _Solution(np.full(q.num_members, np.inf))
        panels = join(panels, tail_panels(ends, tails.cut))
        # What is known to be infinite needs no panels.
        panels = panels._replace(stop=np.where(infinite, panels.start, panels.stop))
        for min_rounds in (0, 3, 6):
            totals = integrate(densities, panels, min_rounds)
            value, error = totals.value + tails.rest, totals.error + tails.error
            infinite |= np.isposinf(value[0])
            whole = (np.abs(value[1:] - 1.0) <= _TOLERANCE).all(axis=0)
            if (infinite | whole).all():
                break
        with np.errstate(invalid="ignore"):
            exact = whole & (error[0] <= _TOLERANCE * np.maximum(1.0, value[0]))
        if strict:
            self._check(value[:, ~infinite], error[:, ~infinite], q)
        result = np.where(infinite, np.inf, np.where(exact, value[0], np.nan))
        return _Solution(result, totals.panels, tails.poles)

    def local_minima(self) -> list[tuple[float, float]]:
        """Return (mean, scale) of up to six local minima of D on a grid, the lowest first."""
        features = self.p_features
        means = np.concatenate([features.centre.ravel(), features.points.ravel()])
        means = np.unique(np.concatenate([means, np.linspace(means.min(), means.max(), 20)]))
        low, high = 0.5 * features.width.min(), max(np.ptp(means), 2.0 * features.width.max())
        scales = np.geomspace(low, high, 2 + int(np.log(high / low) / np.log(1.4)))
        grid = np.meshgrid(means, scales, indexing="ij")
        value = self.solve(_normal(*grid), strict=False).value.reshape(grid[0].shape)
        value = np.where(np.isnan(value), np.inf, value)
        if np.isinf(value).all():
            raise ValueError(
                f"The divergence {self.divergence.name!r} from {self.p.description} is infinite, "
                "or not to be had to 1e-8, for every Gaussian that was tried."
            )
        around = np.pad(value, 1, constant_values=np.inf)
        rows, columns = value.shape
        neighbours = [
            around[i : i + rows, j : j + columns] for i, j in itertools.product(range(3), repeat=2)
        ]
        lowest = np.isfinite(value) & (value <= np.min(neighbours, axis=0))
        found = sorted(np.argwhere(lowest).tolist(), key=lambda place: value[tuple(place)])
        return [(float(means[i]), float(scales[j])) for i, j in found[:6]]

    def descend(self, mean: float, scale: float) -> NormalFit | None:
        """Follow D down from one Gaussian; None if that finds no minimum.

        Each pass holds the nodes fixed, which makes D smooth to rounding, and moves no farther than
        they are good for; the next pass lays them anew.
        """
        solution = self.solve(_normal(mean, scale))
        for _ in range(50):
            if not np.isfinite(solution.value[0]):
                return None
            found = scipy.optimize.minimize(
                self._objective(solution, mean, scale),
                np.zeros(2),
                jac=True,
                method="L-BFGS-B",
                bounds=[(-1.0, 1.0), (-0.7, 0.7)],
                options={"gtol": 1e-9, "ftol": 1e-16},
            )
            mean, scale = mean + scale * found.x[0], scale * math.exp(found.x[1])
            solution = self.solve(_normal(mean, scale))
            if np.abs(found.x).max() < 1e-7:
                return NormalFit(float(mean), float(scale), float(solution.value[0]))
        return None

    def _objective(self, solution: _Solution, mean: float, scale: float):
        """Return z -> log(1 + D) and its gradient at N(mean + scale·z₀, (scale·exp z₁)²).

        The logarithm has the same minima, without steep slopes far from them.
        """
        points, weights = (part.reshape(-1, 1) for part in nodes_and_weights(solution.panels))
        log_p = self.p.log_prob(points).numpy()
        with np.errstate(divide="ignore"):
            nodes = zip((points, log_p, np.log(weights)), solution.poles, strict=True)
        points, log_p, log_weights = (tf.constant(np.concatenate(pair)) for pair in nodes)
        standard = (points - mean) / scale
        log_factor = math.log(scale * math.sqrt(2.0 * math.pi))

        def evaluate(place):
            place = tf.constant(place)
            with tf.GradientTape() as tape:
                tape.watch(place)
                deviation = (standard - place[0]) * tf.exp(-place[1])
                log_q = -0.5 * deviation**2 - place[1] - log_factor
                log_value = self.perspective(log_p, log_q)
                value = tf.math.log1p(tf.reduce_sum(tf.exp(log_value + log_weights)))
            gradient = tape.gradient(value, place).numpy()
            if not np.isfinite(gradient).all():
                raise ValueError(
                    f"The divergence {self.divergence.name!r} has no finite gradient at "
                    f"N({mean:.6g}, {scale:.6g}²); p is {self.p.description}."
                )
            return float(value), gradient

        at_start = math.expm1(evaluate(np.zeros(2))[0])
        if not abs(at_start - solution.value[0]) <= _TOLERANCE * max(1.0, solution.value[0]):
            raise ValueError(
                f"The tails of {self.p.description} are too heavy to minimise the divergence "
                f"{self.divergence.name!r}, or its poles too steep."
            )
        return evaluate

    def _tails(self, ends, logs):
        points = ends.points()
        shape = points.shape
        log_value, log_p, log_q = logs(points.reshape(-1, shape[-1]))
        wobble = 1.0 + 1e-12
        noise = tf.abs(self.perspective(log_p * wobble, log_q) - log_value) + tf.abs(
            self.perspective(log_p, log_q * wobble) - log_value
        )
        values = tf.stack([log_value, log_p, log_q]).numpy().reshape(3, *shape)
        return examine_ends(ends, values, noise.numpy().reshape(shape), self.perspective)

    def _check(self, value, error, q):
        """Raise unless both densities are found whole and the divergence is exact enough."""
        for row, density in ((1, self.p), (2, q)):
            mass = value[row][np.argmax(np.abs(value[row] - 1.0))]
            if not abs(mass - 1.0) <= _TOLERANCE:
                raise ValueError(
                    f"{density.name} integrates to {mass:.10g}, not to 1: its log_prob is no exact "
                    f"density, or its mass was not found; received {density.description}."
                )
        if np.isnan(value[0]).any():
            raise ValueError(
                f"{self.divergence.name!r} is not known where p and q differ most: its generator "
                "overflows; give `derivative` and `conjugate` in closed form."
            )
        doubt = (error[0] / np.maximum(1.0, value[0])).max()
        if not doubt <= _TOLERANCE:
            raise ValueError(
                f"The divergence {self.divergence.name!r} could not be integrated to 1e-8; the "
                f"error may be {doubt:.1g}. p is {self.p.description}, q {q.description}."
            )


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
