"""The densities of the toy datasets in the plane, as tfp distributions in float64.

Imported when first asked for: TensorFlow Probability takes seconds. Those of Gaussians are of
Gulrajani et al. 2017 and the public code of Geng et al. 2021; pinwheel, rings and checkerboard as
in Grathwohl et al. 2019, smaller.
"""

import itertools
import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tf_febm import randomness
from tf_febm.data.toy_datasets import ToyDataset

__all__ = [
    "checkerboard",
    "gaussians_25",
    "gaussians_8",
    "moons",
    "pinwheel",
    "rings",
    "swiss_roll",
]


class RoundGaussians(tfd.MixtureSameFamily):
    """Mix round Gaussians, and draw from the chosen ones alone: a curve has hundreds."""

    def _sample_n(self, n, seed=None):
        chosen, noise = tf.unstack(randomness.split(seed, 2))
        places = self.mixture_distribution.sample(n, seed=chosen)
        round_ones = self.components_distribution.distribution
        offsets = round_ones.scale * randomness.normal([n, 2], noise, tf.float64)
        return tf.gather(round_ones.loc, places) + offsets


def gaussians_25() -> ToyDataset:
    """Return equal Gaussians on a grid of 5×5."""
    places = np.array(list(itertools.product(range(-2, 3), repeat=2)), np.float64)
    return _modes("25gaussians", 2.0 * places / 2.828, 0.05 / 2.828, 1 / 64)


def gaussians_8() -> ToyDataset:
    """Return equal Gaussians on a circle."""
    angles = np.arange(8) * math.pi / 4
    centres = 2.0 * np.stack([np.cos(angles), np.sin(angles)], 1) / 1.414
    return _modes("8gaussians", centres, 0.02 / 1.414, 1 / 80)


def swiss_roll() -> ToyDataset:
    """Return (t cos t, t sin t)/5 with t uniform on [3π/2, 9π/2], and noise.

    scikit-learn's `make_swiss_roll(noise=1.0)`, its first and third coordinate, divided by 5.
    """
    t, weights = _uniform_nodes(1.5 * math.pi, 4.5 * math.pi, 300)
    points = np.stack([t * np.cos(t), t * np.sin(t)], axis=1) / 5.0
    return ToyDataset("swiss_roll", _round(weights, points, 0.2), (-8.0, 8.0), 1 / 16)


def moons() -> ToyDataset:
    """Return two interleaved half circles with noise: scikit-learn's `make_moons(noise=0.1)`."""
    t, weights = _uniform_nodes(0.0, math.pi, 60)
    outer = np.stack([np.cos(t), np.sin(t)], axis=1)
    inner = np.stack([1.0 - np.cos(t), 0.5 - np.sin(t)], axis=1)
    curve = _round(np.tile(weights / 2, 2), np.concatenate([outer, inner]), 0.1)
    return ToyDataset("moons", curve, (-4.0, 5.0), 1 / 24)


def checkerboard() -> ToyDataset:
    """Return the uniform law on the eight dark squares of a 4×4 board over [−2, 2]²."""
    low = np.array(
        [(i - 2.0, j - 2.0) for i in range(4) for j in range(4) if (i + j) % 2 == 0], np.float64
    )
    squares = tfd.Independent(tfd.Uniform(_double(low), _double(low + 1.0)), 1)
    return ToyDataset("checkerboard", _equal(squares, 8), (-4.0, 4.0), 1 / 32)


def pinwheel() -> ToyDataset:
    """Return five Gaussian arms, 0.3 along and 0.05 across, bent by a swirl.

    The turn of the usual pinwheel depends on a coordinate of the arm; here on the radius, which is
    nearly the same and makes the change of variables exact.
    """
    angles = 2.0 * math.pi * np.arange(5) / 5
    along = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    across = np.stack([-np.sin(angles), np.cos(angles)], axis=1)
    covariance = sum(
        s**2 * v[:, :, None] * v[:, None, :] for s, v in ((0.3, along), (0.05, across))
    )
    arms = tfd.MultivariateNormalTriL(_double(along), _double(np.linalg.cholesky(covariance)))
    bent = tfd.TransformedDistribution(_equal(arms, 5), _swirl(0.25))
    return ToyDataset("pinwheel", bent, (-5.0, 5.0), 1 / 50)


def rings() -> ToyDataset:
    """Return rings about the origin, equally likely: the radius is Gaussian, the angle uniform."""
    radii = _double((0.5, 1.0, 1.5, 2.0))
    radius = _equal(tfd.TruncatedNormal(radii, _double(0.05), _double(0), _double(10)), 4)
    angle = tfd.Uniform(_double(-math.pi), _double(math.pi))
    plane = tfd.TransformedDistribution(tfd.Blockwise([radius, angle]), _from_polar())
    return ToyDataset("rings", plane, (-5.0, 5.0), 1 / 32)


def _swirl(rate) -> tfb.Bijector:
    """Turn every point of the plane about the origin by the angle rate·e^|x|.

    Points keep their distance from the origin and circles are turned as a whole, so areas do not
    change: the Jacobian determinant is 1.
    """

    def turned(x, sign):
        angle = sign * rate * tf.exp(tf.norm(x, axis=-1))
        cos, sin = tf.cos(angle), tf.sin(angle)
        return tf.stack(
            [cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], axis=-1
        )

    return tfb.Inline(
        forward_fn=lambda x: turned(x, 1.0),
        inverse_fn=lambda y: turned(y, -1.0),
        forward_log_det_jacobian_fn=lambda x: tf.zeros([], tf.float64),
        forward_min_event_ndims=1,
        is_constant_jacobian=True,
    )


def _from_polar() -> tfb.Bijector:
    """Map (r, θ), r > 0, to (r cos θ, r sin θ); the Jacobian determinant is r."""

    def forward(polar):
        r, angle = polar[..., 0], polar[..., 1]
        return tf.stack([r * tf.cos(angle), r * tf.sin(angle)], axis=-1)

    def inverse(x):
        # At the origin itself the determinant is 0; a density there is a limit.
        r = tf.maximum(tf.norm(x, axis=-1), 1e-12)
        return tf.stack([r, tf.atan2(x[..., 1], x[..., 0])], axis=-1)

    return tfb.Inline(
        forward_fn=forward,
        inverse_fn=inverse,
        forward_log_det_jacobian_fn=lambda polar: tf.math.log(polar[..., 0]),
        forward_min_event_ndims=1,
    )


def _modes(name, centres, scale, step) -> ToyDataset:
    mixture = _round(np.full(len(centres), 1 / len(centres)), centres, scale)
    return ToyDataset(name, mixture, (-4.0, 4.0), step, centres, scale)


def _round(weights, centres, scale) -> tfd.Distribution:
    """Return the mixture of round Gaussians of one standard deviation."""
    parts = tfd.Independent(tfd.Normal(_double(centres), _double(scale)), 1)
    return RoundGaussians(tfd.Categorical(probs=_double(weights)), parts)


def _equal(components, count) -> tfd.Distribution:
    """Return the mixture of components of equal probability."""
    return tfd.MixtureSameFamily(tfd.Categorical(probs=_double([1 / count] * count)), components)


def _uniform_nodes(low, high, count):
    """Return Gauss–Legendre nodes on [low, high] and weights that sum to 1.

    A curve with noise is the law p(x) = ∫ N(x; c(t), σ²I) dt / (high − low). Its sum over nodes is
    a mixture of Gaussians, exact and easy to sample, and the integral to 1e-8 of the largest
    density where neighbouring points c(t) are no further apart than σ.
    """
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return low + (high - low) * (nodes + 1.0) / 2.0, weights / 2.0


def _double(value):
    return tf.constant(np.asarray(value, np.float64))
