"""Monotone generators against their own formulas in NumPy, and against the line by bisection."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import entropy, networks


def softplus(x):
    return np.log1p(np.exp(x))


def by_hand(weights, z):
    """Return G(z) and log det J of a model whose weights are given, in float64."""
    log_det = np.zeros(len(z))
    for k in range(0, len(weights), 7):
        log_slope, shift, heights, log_steepness, centres, matrix, log_diagonal = weights[k : k + 7]
        angles = np.exp(log_steepness) * (z[:, :, None] - centres)
        slopes = softplus(heights) * np.exp(log_steepness) / np.cosh(angles) ** 2
        log_det += np.log(np.exp(log_slope) + slopes.sum(axis=2)).sum(axis=1)
        z = np.exp(log_slope) * z + shift + (softplus(heights) * np.tanh(angles)).sum(axis=2)
        lower = np.tril(matrix, -1) + np.eye(len(matrix))
        upper = np.triu(matrix, 1) + np.diag(np.exp(log_diagonal))
        log_det += log_diagonal.sum()
        z = z @ lower @ upper
    return z, log_det


@pytest.mark.parametrize("d", [1, 2, 3])
def test_values_and_volumes_are_those_of_the_formula(d):
    """For d = 2 the volume is that of the closed form, else that of QR."""
    keras.utils.set_random_seed(0)
    generator = networks.generator_monotone(d, d, num_layers=2, num_steps=4)
    rng = np.random.default_rng(d)
    weights = [w + rng.normal(0.0, 0.7, w.shape) for w in generator.get_weights()]
    generator.set_weights(weights)
    z = rng.normal(size=(9, d))
    expected, log_det = by_hand(weights, z)
    np.testing.assert_allclose(generator(z.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)
    found = entropy.log_volume(generator, tf.constant(z, tf.float32))
    np.testing.assert_allclose(found, log_det, atol=1e-3)


def test_a_layer_is_one_to_one_and_onto_whatever_its_weights():
    """Strictly increasing, with nearly flat landings, and every value has its root."""
    layer = networks.MonotoneSum(num_steps=5)
    layer.build((None, 1))
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(0.0, 2.0, w.shape) for w in layer.get_weights()])
    layer.log_slope.assign([-6.0])
    # Of the float32 numbers near 1, neighbours are 1e-7 apart: steps of 1e-2 rise by 2e-5 at least.
    x = np.arange(-20.0, 20.0, 0.01, dtype=np.float32)[:, None]
    assert (np.diff(layer(x)[:, 0]) > 0.0).all()
    targets = np.array([[-50.0], [-1.0], [0.3], [50.0]], np.float32)
    low, high = np.full((4, 1), -1e6, np.float32), np.full((4, 1), 1e6, np.float32)
    for _ in range(60):
        middle = (low + high) / 2.0
        above = layer(middle).numpy() > targets
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    # A root near 2e4 is good to a float32's spacing there.
    np.testing.assert_allclose(layer(low), targets, atol=1e-2)


def test_the_beginning_is_close_to_the_identity():
    """Sums of sixteen low steps: each layer adds an increasing function of a few units at most."""
    keras.utils.set_random_seed(3)
    z = tf.random.stateless_normal([200, 2], (0, 1))
    x = networks.generator_monotone(2, 2, num_layers=1)(z).numpy()
    # 16 steps of softplus(−3) = 0.0486, up or down.
    assert np.abs(x - z).max() < 16 * 0.0486
    for i in range(2):
        assert (np.diff(x[np.argsort(z[:, i]), i]) > 0.0).all()


def test_a_layer_comes_back_from_its_config():
    layer = networks.MonotoneSum.from_config(networks.MonotoneSum(3, seed=4).get_config())
    assert (layer.num_steps, layer.seed) == (3, 4)
