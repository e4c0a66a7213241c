"""ScoreMatching: Gaussians and smoothed densities in closed form, traces, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, samplers

SAMPLER = samplers.Langevin.from_epsilon(0.05, 2)


def quadratic_network(dimension=2):
    """Return E(x) = ½ xᵀAx + bᵀx with any A, a Keras model of one vector of weights."""
    x = keras.Input((dimension,))
    products = keras.layers.Lambda(
        lambda x: tf.reshape(x[:, :, None] * x[:, None, :], [-1, dimension**2])
    )(x)
    both = keras.layers.Concatenate()([products, x])
    return keras.Model(x, keras.layers.Dense(1, use_bias=False, name="weights")(both))


def correlated(count=512):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 2)) @ np.array([[1.0, 0.6], [0.0, 0.5]]) + [1.0, -0.5]
    return x.astype("f4")


def optimum(covariance, mean):
    """The weights of ½ xᵀΣ⁻¹x − (Σ⁻¹μ)ᵀx."""
    precision = np.linalg.inv(covariance)
    return np.concatenate([0.5 * precision.ravel(), -precision @ mean])


def gradient_at(model, weights, x):
    """Return minus the step of an SGD of rate 1 from given weights."""
    weights = np.asarray(weights, "f4")[:, None]
    model.energy_network.set_weights([weights])
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    model.train_on_batch(x)
    return (weights - model.energy_network.get_weights()[0])[:, 0]


def test_exact_on_a_gaussian_has_its_closed_form_as_the_optimum():
    """No gradient at the moments of the very sample, and that of J beside them.

    J(w) = mean ½‖Ax + b‖² − tr A for a symmetric A, computed in NumPy.
    """
    x = correlated()
    model = tf_febm.ScoreMatching(quadratic_network(), "exact", sampler=SAMPLER)
    best = optimum(np.cov(x.T, bias=True), x.mean(0))
    np.testing.assert_allclose(gradient_at(model, best, x), 0.0, atol=2e-5)

    def loss(weights):
        half, b = weights[:4].reshape(2, 2), weights[4:]
        a = half + half.T
        return 0.5 * np.square(x.astype("f8") @ a + b).sum(1).mean() - np.trace(a)

    at = best + [0.3, 0.1, -0.2, 0.4, 0.2, -0.3]
    numeric = [(loss(at + d) - loss(at - d)) / 2e-5 for d in 1e-5 * np.eye(6)]
    np.testing.assert_allclose(gradient_at(model, at, x), numeric, rtol=1e-4, atol=1e-4)
    model.reset_metrics()
    found = model.evaluate(x, batch_size=512, verbose=0, return_dict=True)["objective"]
    weights = model.energy_network.get_weights()[0][:, 0].astype("f8")
    assert found == pytest.approx(loss(weights), rel=1e-5)


def test_sliced_is_exact_in_expectation():
    """Of a network: the mean over many projections, within five of its standard errors."""
    keras.utils.set_random_seed(1)
    network = networks.mlp(3, (16,), "swish")
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("f4")

    def made(kind, **settings):
        model = tf_febm.ScoreMatching(network, kind, sampler=SAMPLER, seed=0, **settings)
        model.compile(run_eagerly=True)
        return model

    exact = made("exact")
    expected = exact.test_on_batch(x, return_dict=True)["objective"]
    sliced = made("sliced", num_projections=2000)
    found = sliced.test_on_batch(x, return_dict=True)["objective"]
    ones = made("sliced")
    each = []
    for _ in range(30):
        ones.reset_metrics()
        ones.next_seed()
        each.append(ones.test_on_batch(x, return_dict=True)["objective"])
    spread = np.std(each)
    assert spread > 0.0
    assert found == pytest.approx(expected, abs=5 * spread / np.sqrt(2000))
    assert np.mean(each) == pytest.approx(expected, abs=5 * spread / np.sqrt(30))


@pytest.mark.parametrize("white", [False, True])
def test_denoising_gives_the_density_with_the_noise(white):
    """The optimum on a Gaussian is that of Σ + σ²I; with a reference the noise is that of z."""
    x = np.repeat(correlated(400), 100, axis=0)
    covariance = np.cov(x.T, bias=True)
    if white:
        # Σ is the reference's own, so that noise in z is σ²Σ.
        reference = networks.GaussianReference("full", noise=0.0).adapt(x)
        sampler, noise = samplers.Preconditioned(SAMPLER, reference), covariance
    else:
        sampler, noise = SAMPLER, np.eye(2)
    model = tf_febm.ScoreMatching(quadratic_network(), noise_stddev=0.5, sampler=sampler, seed=0)
    smooth = optimum(covariance + 0.25 * noise, x.mean(0))
    sharp = optimum(covariance, x.mean(0))
    at_smooth, at_sharp = (np.linalg.norm(gradient_at(model, w, x)) for w in (smooth, sharp))
    # 40,000 draws of the noise.
    assert at_smooth < 0.1 * at_sharp


@pytest.mark.parametrize("kind", ["denoising", "sliced", "exact"])
def test_weights_labels_and_files(kind, tmp_path):
    """A weight of 2 is the example twice; labels reach the network; files bring the same back."""
    x, y = correlated(8), np.arange(8) % 2

    def made():
        keras.utils.set_random_seed(3)
        network = networks.mlp(2, (8,), "swish", num_classes=2)
        model = tf_febm.ScoreMatching(network, kind, sampler=SAMPLER, seed=4, average_decay=0.9)
        model.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
        return model

    model = made()
    first = model.train_on_batch(x, y, return_dict=True)
    other = made().train_on_batch(x, 1 - y, return_dict=True)
    assert first["objective"] != other["objective"]
    if kind == "exact":
        weights = np.array([1, 2, 0, 1, 1, 2, 0, 1], "f4")
        rows = np.repeat(np.arange(8), weights.astype(int))
        weighted, repeated = made(), made()
        weighted.train_on_batch(x, y, sample_weight=weights)
        repeated.train_on_batch(x[rows], y[rows])
        for one, two in zip(weighted.get_weights(), repeated.get_weights(), strict=True):
            np.testing.assert_allclose(one, two, atol=1e-6)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert (loaded.kind, loaded.monitor) == (kind, "val_loss")
    for one in (model, loaded):
        one.train_on_batch(x, y)
    np.testing.assert_array_equal(model.energy(x, y), loaded.energy(x, y))


def test_convolutions_have_second_derivatives():
    """The hand-written gradients of the library's layers, against differences of scores."""
    keras.utils.set_random_seed(0)
    network = networks.conv((4, 4, 1), 4)
    x = np.random.default_rng(0).random((2, 4, 4, 1)).astype("f4")
    model = tf_febm.ScoreMatching(network, "sliced", sampler=samplers.Langevin(num_steps=2), seed=0)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    before = model.get_weights()
    assert np.isfinite(model.train_on_batch(x, return_dict=True)["loss"])
    changed = [np.abs(a - b).max() for a, b in zip(before, model.get_weights(), strict=True)]
    assert max(changed) > 0.0
    full = tf_febm.ScoreMatching(network, "exact", sampler=samplers.Langevin(num_steps=2))
    full.compile(run_eagerly=True)
    found = full.test_on_batch(x, return_dict=True)["objective"]
    # Both ends of a difference for each pixel of both images, in one batch.
    step, units = 1e-2, np.eye(16, dtype="f4").reshape(16, 1, 4, 4, 1)
    ends = np.concatenate([x - step * units, x + step * units]).reshape(-1, 4, 4, 1)
    low, high = np.split(full.score(ends).numpy().reshape(32, 2, 16), 2)
    trace = np.einsum("ini->n", low - high) / (2 * step)
    squares = np.square(full.score(x).numpy()).reshape(2, 16).sum(1)
    assert found == pytest.approx(float((0.5 * squares - trace).mean()), rel=0.02)


def test_says_what_it_needs():
    network = networks.mlp(2, (4,))
    for settings, message in (
        ({"kind": "fisher"}, "kind must be 'denoising', 'sliced' or 'exact'; received 'fisher'"),
        ({"noise_stddev": 0.0}, "noise_stddev must be a finite number > 0"),
        ({"num_projections": 0}, "num_projections must be a whole number ≥ 1"),
    ):
        with pytest.raises(ValueError, match=message):
            tf_febm.ScoreMatching(network, sampler=SAMPLER, **settings)
    with pytest.raises(ValueError, match="examples of 65: give kind='sliced'"):
        tf_febm.ScoreMatching(networks.mlp(65, (4,)), "exact", sampler=SAMPLER)
