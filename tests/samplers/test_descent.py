"""Descent against its product for a quadratic energy; Tweedie's formula against Bayes."""

import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, samplers

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 3)).astype("f4")
FACTORS = np.prod(
    [1.0 - 0.5 * 0.4 * (1.0 - k / 5) * np.array([0.5, 1.0, 2.0]) for k in range(5)], 0
)


def quadratic(x):
    return 0.5 * tf.reduce_sum(tf.constant([0.5, 1.0, 2.0]) * tf.square(x), axis=1)


def test_a_quadratic_energy_shrinks_by_a_product():
    np.testing.assert_allclose(samplers.descend(quadratic, X, 5, 0.4), X * FACTORS, rtol=1e-5)
    np.testing.assert_array_equal(samplers.descend(quadratic, X, 0), X)


def test_in_white_coordinates_all_directions_shrink_alike():
    data = RNG.normal(size=(500, 3)) @ [[10.0, 3.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.05, 1.0]] + 4.0
    reference = networks.GaussianReference("full", noise=0.0).adapt(data)
    model = tf_febm.ContrastiveDivergence(
        networks.mlp(3, (4,), name="energy"), reference=reference, seed=0
    )
    flat = [np.zeros_like(w) for w in model.energy_network.get_weights()]
    model.energy_network.set_weights(flat)
    x = data[:6].astype("f4")
    factor = np.prod([1.0 - 0.5 * 0.4 * (1.0 - k / 5) for k in range(5)])
    expected = data.mean(0) + factor * (x - data.mean(0))
    np.testing.assert_allclose(model.descend(x, None, 5, 0.4), expected, rtol=1e-3, atol=1e-3)


def test_bounds_hold_and_nothing_is_traced_again():
    calls = []
    base = networks.mlp(3, (4,), name="energy")

    class Counted(type(base)):
        def call(self, *arguments, **options):
            calls.append(1)
            return super().call(*arguments, **options)

    model = tf_febm.ContrastiveDivergence(
        Counted(base.inputs, base.outputs), sampler=samplers.Langevin(bounds=(-1.0, 1.0)), seed=0
    )
    found = model.descend(np.clip(X, -1, 1), None, 3, 50.0).numpy()
    assert np.abs(found).max() <= 1.0
    traced = len(calls)
    model.descend(np.clip(X[:2], -1, 1), None, 3, 50.0)
    assert len(calls) == traced


def test_a_conditional_model_takes_labels():
    network = networks.mlp(3, (4,), num_classes=2)
    model = tf_febm.ContrastiveDivergence(
        network, sampler=samplers.Langevin.from_epsilon(0.1, 2), seed=0
    )
    zeros, ones = (model.descend(X, np.full(6, label), 4) for label in (0, 1))
    assert np.abs(zeros - ones).max() > 1e-4
    with pytest.raises(ValueError, match="needs labels"):
        model.descend(X)


def test_the_denoising_step_is_the_posterior_mean_of_bayes():
    """x = ±1 with a probability of 3/4 and 1/4, y = x + s ξ: the posterior is a logistic curve."""
    s = 0.7
    y = np.linspace(-4.0, 4.0, 41)[:, None]

    def energy(y):
        up = tf.math.log(0.75) - 0.5 * tf.square((y - 1.0) / s)
        down = tf.math.log(0.25) - 0.5 * tf.square((y + 1.0) / s)
        return -tf.reduce_logsumexp(tf.concat([up, down], axis=1), axis=1)

    odds = 3.0 * np.exp(((y + 1.0) ** 2 - (y - 1.0) ** 2) / (2.0 * s**2))
    found = samplers.denoising_step(energy, y.astype("f4"), s)
    np.testing.assert_allclose(found, (odds - 1.0) / (odds + 1.0), atol=1e-5)
    np.testing.assert_array_equal(samplers.denoising_step(energy, y, 0.0), y)


def test_a_model_takes_off_its_noise_inside_its_bounds_and_traces_once():
    data = RNG.normal(size=(400, 3)) @ [[2.0, 0.5, 0.0], [0.0, 0.3, 0.0], [0.0, 0.1, 1.0]] + 4.0
    reference = networks.GaussianReference("full", noise=0.0).adapt(data)
    calls = []
    base = networks.mlp(3, (4,), name="energy")

    class Counted(type(base)):
        def call(self, *arguments, **options):
            calls.append(1)
            return super().call(*arguments, **options)

    model = tf_febm.ContrastiveDivergence(Counted(base.inputs, base.outputs), reference=reference)
    model.energy_network.set_weights([np.zeros_like(w) for w in base.get_weights()])
    x = data[:6].astype("f4")
    # Of a Gaussian with Σ = C + s² I: μ + C Σ⁻¹ (y − μ).
    covariance = np.cov(data.T, bias=True)
    expected = data.mean(0) + (x - data.mean(0)) @ (np.eye(3) - 0.04 * np.linalg.inv(covariance))
    np.testing.assert_allclose(model.denoise(x, 0.2), expected, rtol=1e-3, atol=1e-3)
    traced = len(calls)
    model.denoise(x[:2], 0.2)
    assert len(calls) == traced
    bounded = tf_febm.ContrastiveDivergence(
        networks.mlp(3, (4,)), sampler=samplers.Langevin(bounds=(-0.5, 0.5)), seed=0
    )
    assert np.abs(bounded.denoise(np.clip(X, -0.5, 0.5), 30.0)).max() <= 0.5
    with pytest.raises(ValueError, match="noise_stddev must"):
        model.denoise(x, -1.0)


def test_errors():
    with pytest.raises(ValueError, match="epsilon must"):
        samplers.descend(quadratic, X, 3, 0.0)
    with pytest.raises(ValueError, match="num_steps must"):
        samplers.descend(quadratic, X, -1)
    reference = networks.GaussianReference.from_moments([0.0] * 3, [1.0] * 3)
    with pytest.raises(ValueError, match="bounds are for steps without a reference"):
        samplers.descend(quadratic, X, reference=reference, bounds=(0.0, 1.0))
