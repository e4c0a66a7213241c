"""Gradients through Langevin chains, Eq. 13 of the paper, against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import networks, samplers

START = np.random.default_rng(0).normal(size=(5, 2))


def ends(theta, x, differentiable=True, steps=6, **settings):
    """Return the mean square of where chains of fixed noise end, in an energy with minima at ±θ."""
    sampler = samplers.Langevin(0.05, 0.3, steps, grad_clip=None, bounds=None, **settings)

    def energy(y):
        return tf.reduce_sum(tf.square(tf.square(y) - tf.square(theta)), axis=1)

    found = sampler(energy, x, (1, 2), differentiable=differentiable)
    return tf.reduce_mean(tf.reduce_sum(tf.square(found) + found, axis=1))


def central(function, at, size=1e-5):
    """Return the gradient of a function of an array by central differences."""
    at, gradient = np.asarray(at, np.float64), np.zeros_like(at)
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = size
        gradient[index] = (float(function(at + step)) - float(function(at - step))) / (2.0 * size)
    return gradient


@pytest.mark.parametrize(
    ("compiled", "settings"), [(False, {}), (True, {"noise_first": False})], ids=["eager", "graph"]
)
def test_they_are_those_of_finite_differences(compiled, settings):
    theta, start = tf.constant([0.8, 1.1], tf.float64), tf.constant(START)

    def gradients(theta, start):
        with tf.GradientTape() as tape:
            tape.watch([theta, start])
            value = ends(theta, start, **settings)
        return tape.gradient(value, [theta, start])

    found = (tf.function(gradients) if compiled else gradients)(theta, start)
    numeric = central(lambda t: ends(tf.constant(t), start, **settings), theta)
    np.testing.assert_allclose(found[0], numeric, rtol=1e-6)
    if not compiled:
        numeric = central(lambda x: ends(theta, tf.constant(x), **settings), START)
        np.testing.assert_allclose(found[1], numeric, rtol=1e-6, atol=1e-9)


def test_the_usual_chains_are_constants_and_the_same():
    theta, start = tf.constant([0.8, 1.1], tf.float64), tf.constant(START)
    with tf.GradientTape() as tape:
        tape.watch([theta, start])
        value = ends(theta, start, differentiable=False)
    assert tape.gradient(value, [theta, start]) == [None, None]
    assert float(value) == float(ends(theta, start))


def test_weights_of_a_network_and_a_path():
    """Of a network's weights, with clipped gradients and states, where most of it is 0."""
    energy = networks.mlp(2, (4, 4), "tanh")
    sampler = samplers.Langevin(0.5, 0.1, 3, grad_clip=0.05, bounds=(-1.0, 1.0))
    x = tf.constant(START, tf.float32)
    with tf.GradientTape() as tape:
        found = sampler(energy, x, 3, return_trajectory=True, differentiable=True)
        value = tf.reduce_sum(found.trajectory[-1])
    weights = energy.trainable_variables[:1]
    gradient = tape.gradient(value, weights)[0]
    assert np.isfinite(gradient).all()
    free = samplers.Langevin(0.5, 0.1, 3, grad_clip=None, bounds=None)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(free(energy, x, 3, differentiable=True))
    assert not np.allclose(tape.gradient(value, weights)[0], gradient)


@pytest.mark.parametrize("kind", [samplers.MALA, samplers.HMC])
def test_steps_that_are_accepted_or_rejected_have_none(kind):
    with pytest.raises(ValueError, match=f"is for Langevin; received it for {kind.__name__}"):
        kind(num_steps=1)(lambda x: tf.reduce_sum(x, axis=1), START, 1, differentiable=True)


def test_in_white_coordinates():
    reference = networks.GaussianReference.from_moments([1.0, -1.0], [2.0, 0.5])
    inside = samplers.Langevin(0.1, 0.2, 4, grad_clip=None, bounds=None)
    sampler = samplers.Preconditioned(inside, reference)
    x = tf.constant(START, tf.float32)

    def mean(theta):
        def energy(y):
            return 0.5 * tf.reduce_sum(tf.square(y - theta), axis=1)

        return tf.reduce_mean(sampler(energy, x, 5, differentiable=True))

    theta = tf.constant(0.3)
    with tf.GradientTape() as tape:
        tape.watch(theta)
        value = mean(theta)
    numeric = (mean(theta + 0.5) - mean(theta - 0.5)) / 1.0  # It is linear in θ.
    np.testing.assert_allclose(tape.gradient(value, theta), numeric, rtol=1e-4)
