"""The densities of the test beds in the plane, as tfp distributions in float64.

Imported when first asked for: TensorFlow Probability takes seconds.
"""

import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tf_febm import randomness

__all__ = [
    "checkerboard",
    "curve",
    "draw",
    "gaussians",
    "moons",
    "pinwheel",
    "rings",
    "swiss_roll",
]


class Swirl(tfb.Bijector):
    """Turn every point of the plane about the origin by the angle rate·e^|x|.

    Points keep their distance from the origin and circles are turned as a whole, so areas do not
    change: the Jacobian determinant is 1.

    Args:
        rate: Radians at the origin; the turn grows outwards.
    """

    def __init__(self, rate, name="swirl"):
        super().__init__(
            forward_min_event_ndims=1, is_constant_jacobian=True, name=name, dtype=tf.float64
        )
        self.rate = rate

    def _turned(self, x, sign):
        angle = sign * self.rate * tf.exp(tf.norm(x, axis=-1))
        cos, sin = tf.cos(angle), tf.sin(angle)
        return tf.stack(
            [cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], axis=-1
        )

    def _forward(self, x):
        return self._turned(x, 1.0)

    def _inverse(self, y):
        return self._turned(y, -1.0)

    def _forward_log_det_jacobian(self, x):
        return tf.zeros([], tf.float64)


class FromPolar(tfb.Bijector):
    """Map (r, θ), r > 0, to (r cos θ, r sin θ); the Jacobian determinant is r."""

    def __init__(self, name="from_polar"):
        super().__init__(forward_min_event_ndims=1, name=name, dtype=tf.float64)

    def _forward(self, polar):
        r, angle = polar[..., 0], polar[..., 1]
        return tf.stack([r * tf.cos(angle), r * tf.sin(angle)], axis=-1)

    def _inverse(self, x):
        # At the origin itself the determinant is 0; a density there is a limit.
        r = tf.maximum(tf.norm(x, axis=-1), 1e-12)
        return tf.stack([r, tf.atan2(x[..., 1], x[..., 0])], axis=-1)

    def _forward_log_det_jacobian(self, polar):
        return tf.math.log(polar[..., 0])


def draw(distribution, count: int, seed) -> tf.Tensor:
    """Draw from a test bed.

    `MixtureSameFamily` draws from each component for every sample, and a curve has hundreds; of
    round Gaussians the chosen ones alone are needed.

    Args:
        distribution: Made by a function of this module.
        count: How many.
        seed: int32 tensor [2].

    Returns:
        float64 [count, 2].
    """
    parts = getattr(distribution, "components_distribution", None)
    if not isinstance(parts, tfd.Independent) or not isinstance(parts.distribution, tfd.Normal):
        return distribution.sample(count, seed=seed)
    chosen, noise = tf.unstack(randomness.split(seed, 2))
    places = distribution.mixture_distribution.sample(count, seed=chosen)
    centres, scale = parts.distribution.loc, parts.distribution.scale
    return tf.gather(centres, places) + scale * randomness.normal([count, 2], noise, tf.float64)


def gaussians(centres, scale: float) -> tfd.Distribution:
    """Return a mixture of equal round Gaussians.

    Args:
        centres: float64 [k, 2].
        scale: Their standard deviation.
    """
    return _mixture(np.full(len(centres), 1 / len(centres)), _round(centres, scale))


def curve(points, weights, scale: float) -> tfd.Distribution:
    """Return the law of a point on a curve with Gaussian noise, by quadrature along the curve.

        p(x) = ∫ N(x; c(t), scale²I) dP(t) ≈ Σ_k weights_k N(x; points_k, scale²I)

    The sum is a mixture of Gaussians, exact and easy to sample. It is the integral to 1e-8 of the
    largest density where neighbouring nodes are no further apart than `scale`.

    Args:
        points: c(t_k) at the nodes of a quadrature rule, float64 [k, 2].
        weights: Those of the rule times the density of t, float64 [k]; their sum is 1.
        scale: Standard deviation of the noise.
    """
    return _mixture(weights, _round(points, scale))


def swiss_roll(scale: float = 0.2, num_nodes: int = 300) -> tfd.Distribution:
    """Return (t cos t, t sin t)/5 with t uniform on [3π/2, 9π/2], and noise.

    scikit-learn's `make_swiss_roll(noise=1.0)`, its first and third coordinate, divided by 5.
    """
    t, weights = _uniform_nodes(1.5 * math.pi, 4.5 * math.pi, num_nodes)
    return curve(np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 5.0, weights, scale)


def moons(scale: float = 0.1, num_nodes: int = 60) -> tfd.Distribution:
    """Return two interleaved half circles with noise: scikit-learn's `make_moons(noise=0.1)`."""
    t, weights = _uniform_nodes(0.0, math.pi, num_nodes)
    outer = np.stack([np.cos(t), np.sin(t)], axis=1)
    inner = np.stack([1.0 - np.cos(t), 0.5 - np.sin(t)], axis=1)
    return curve(np.concatenate([outer, inner]), np.tile(weights / 2, 2), scale)


def checkerboard() -> tfd.Distribution:
    """Return the uniform law on the eight dark squares of a 4×4 board over [−2, 2]²."""
    low = np.array(
        [(i - 2.0, j - 2.0) for i in range(4) for j in range(4) if (i + j) % 2 == 0], np.float64
    )
    squares = tfd.Independent(tfd.Uniform(tf.constant(low), tf.constant(low + 1.0)), 1)
    return _mixture(np.full(8, 1 / 8), squares)


def pinwheel(num_arms: int = 5, rate: float = 0.25) -> tfd.Distribution:
    """Return Gaussian arms, 0.3 along and 0.05 across, bent by a swirl.

    The turn of the usual pinwheel depends on a coordinate of the arm; here on the radius, which is
    nearly the same and makes the change of variables exact.
    """
    angles = 2.0 * math.pi * np.arange(num_arms) / num_arms
    along = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    across = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    covariance = sum(
        s**2 * v[:, :, None] * v[:, None, :] for s, v in ((0.3, along), (0.05, across))
    )
    arms = tfd.MultivariateNormalTriL(
        tf.constant(along), tf.constant(np.linalg.cholesky(covariance))
    )
    return tfd.TransformedDistribution(_mixture(np.full(num_arms, 1 / num_arms), arms), Swirl(rate))


def rings(radii=(0.5, 1.0, 1.5, 2.0), scale: float = 0.05) -> tfd.Distribution:
    """Return rings about the origin, equally likely: the radius is Gaussian, the angle uniform."""
    radius = tfd.TruncatedNormal(
        tf.constant(radii, tf.float64), tf.constant(scale, tf.float64), _double(0), _double(10)
    )
    radius = _mixture(np.full(len(radii), 1 / len(radii)), radius)
    angle = tfd.Uniform(_double(-math.pi), _double(math.pi))
    return tfd.TransformedDistribution(tfd.Blockwise([radius, angle]), FromPolar())


def _mixture(weights, components) -> tfd.Distribution:
    return tfd.MixtureSameFamily(
        tfd.Categorical(probs=tf.constant(np.asarray(weights, np.float64))), components
    )


def _round(centres, scale) -> tfd.Distribution:
    centres = tf.constant(np.asarray(centres, np.float64))
    return tfd.Independent(tfd.Normal(centres, _double(scale)), 1)


def _uniform_nodes(low, high, count):
    """Return Gauss–Legendre nodes on [low, high] and weights that sum to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (nodes + 1.0) / 2.0, weights / 2.0


def _double(value):
    return tf.constant(value, tf.float64)
