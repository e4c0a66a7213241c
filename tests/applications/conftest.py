"""Models whose log ratio is known exactly: q = N(0, I), and p a mixture of Gaussians."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm


def normal_logpdf(x, mean, scale):
    return -0.5 * ((x - mean) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)


class ExactVariational(keras.layers.Layer):
    """H = log p − log q − E for q = N(0, I), E = ½|x|² and p a mixture of isotropic Gaussians.

    For a conditional model p has one component per class: p(x, y) = weight_y N(x; mean_y, scale_y²)
    and q(x, y) = N(x; 0, 1)/K. `offset` is added to the ratio.
    """

    def __init__(self, weights, means, scales, offset=0.0):
        super().__init__()
        self.mixture = [np.asarray(v, np.float32) for v in (weights, means, scales)]
        self.offset = offset

    def call(self, inputs):
        conditional = isinstance(inputs, (tuple, list))
        x, one_hot = inputs if conditional else (inputs, None)
        x = keras.ops.reshape(x, (-1, math.prod(x.shape[1:])))
        weights, means, scales = self.mixture
        squares = keras.ops.sum(((x[:, None] - means[:, None]) / scales[:, None]) ** 2, axis=-1)
        log_p = np.log(weights) - x.shape[1] * np.log(scales) - 0.5 * squares
        if conditional:
            log_p = keras.ops.sum(one_hot * log_p, axis=-1) + math.log(len(weights))
        else:
            log_p = keras.ops.logsumexp(log_p, axis=-1)
        # The constants (2π)^(−d/2) of p and q cancel, and −log q − E is such a constant.
        return (log_p + self.offset)[:, None]


def exact_sampler(energy_fn, initial_state, seed):
    """Draw from q = N(0, I) itself."""
    return tf.random.stateless_normal(tf.shape(initial_state), seed)


@pytest.fixture
def exact():
    """Return a factory of models with the exact ratio of a mixture p to q = N(0, I)."""

    def build(shape, weights=(1.0,), means=(0.0,), scales=(1.0,), *, offset=0.0, **settings):
        classes = len(weights) if settings.pop("conditional", False) else None
        x = keras.Input(shape)
        y = keras.Input((classes,)) if classes else None
        flat = keras.layers.Flatten()(x)
        energy = tf_febm.networks.QuadraticEnergy()(flat)
        both = (x, y) if classes else x
        value = ExactVariational(weights, means, scales, offset)(both)
        return tf_febm.FEBM(
            keras.Model(both, energy),
            keras.Model(both, value),
            **{"sampler": exact_sampler, "seed": 3, **settings},
        )

    return build


class GaussianEnergy(keras.layers.Layer):
    """E = ½ xᵀ A x, or ½ |x − mean_y|² with A = I for a conditional model; A may be any matrix.

    Attributes:
        traces: How often Python ran it: once for each compiled program and each eager call.
    """

    def __init__(self, precision, means=None):
        super().__init__()
        self.precision = np.asarray(precision, np.float32)
        self.means = None if means is None else np.asarray(means, np.float32)
        self.traces = 0

    def call(self, inputs):
        self.traces += 1
        x, one_hot = inputs if self.means is not None else (inputs, None)
        x = tf.reshape(x, [-1, math.prod(x.shape[1:])])
        if one_hot is not None:
            x = x - tf.matmul(one_hot, self.means)
        return 0.5 * tf.reduce_sum(x * tf.matmul(x, self.precision), axis=1, keepdims=True)


@pytest.fixture
def gaussian():
    """Return a factory of models with the energy ½ xᵀ A x, or a Gaussian for each class."""

    def build(shape, precision=None, means=None, **settings):
        size = math.prod(shape)
        energy = GaussianEnergy(np.eye(size) if precision is None else precision, means)
        sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=200)
        model = tf_febm.ContrastiveDivergence(
            energy,
            num_classes=None if means is None else len(means),
            **{"sampler": sampler, "seed": 3, **settings},
        )
        model.build((None, *shape))
        return model

    return build


@pytest.fixture
def samples_of_q():
    """Return (shape, n) -> n samples of N(0, I), float32 [n, *shape], by NumPy."""

    def draw(shape, n, seed=0):
        return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)

    return draw
