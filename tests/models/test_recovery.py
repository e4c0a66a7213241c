"""Tests of recovery likelihood by f-divergences: closed forms on Gaussians."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, samplers
from tf_febm.models.noise_levels import NoiseLevels

MEAN, DEVIATION = 1.0, 0.5


@keras.saving.register_keras_serializable(package="tests")
class LevelQuadratic(keras.layers.Layer):
    """A quadratic form with coefficients of each level, of x or of a pair."""

    def build(self, input_shape):
        shape, rows = input_shape
        self.pairs = shape[-1] == 2
        self.table = self.add_weight(
            shape=(rows[-1], 5 if self.pairs else 2), initializer="zeros", name="table"
        )

    def call(self, inputs):
        x, rows = inputs
        own = tf.linalg.matmul(rows, tf.convert_to_tensor(self.table))
        y = x[:, 0]
        terms = [y, y**2]
        if self.pairs:
            terms += [x[:, 1], x[:, 1] ** 2, y * x[:, 1]]
        return tf.reduce_sum(own * tf.stack(terms, 1), axis=1)


def _exact(levels):
    """Return mean and variance of each level for data of N(MEAN, DEVIATION²), c = 0, s = 1."""
    kept = levels.signal**2
    return levels.signal * MEAN, kept * DEVIATION**2 + 1.0 - kept


def _model(divergence="js", levels=3, **settings):
    settings = {"seed": 0, **settings}
    energy, variational = LevelQuadratic(), LevelQuadratic()
    energy.build([(None, 1), (None, levels)])
    variational.build([(None, 2), (None, levels)])
    model = tf_febm.Recovery(energy, variational, divergence, levels=levels, **settings)
    model.build((None, 1))
    return model


def _set_exact(model):
    mean, variance = _exact(model.levels)
    # Relative to N(0, 1).
    table = np.stack([-mean / variance, 0.5 / variance - 0.5], axis=1)[:-1]
    model.energy_network.table.assign(table)


def test_the_slow_energy_begins_as_the_energy():
    energy, variational = (networks.mlp(size, (4,), num_classes=3) for size in (1, 2))
    model = tf_febm.Recovery(energy, variational, levels=3, slow_energy_decay=0.5, seed=0)
    slow = model.slow_energy_network.get_weights()
    assert any(np.ptp(weight) > 0.0 for weight in slow)
    for mine, copied in zip(model.energy_network.get_weights(), slow, strict=True):
        np.testing.assert_array_equal(mine, copied)


@pytest.mark.parametrize("levels", [1, 4, (0.3, 0.5, 0.9)])
def test_levels_keep_the_moments(levels):
    """Data of the given spread have it at every level; the joint law is the stated one."""
    process = NoiseLevels(levels, center=2.0, spread=0.5)
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(2.0, 0.5, (200_000, 1)), tf.float32)
    for level in range(process.count):
        rows = tf.one_hot(tf.fill([len(x)], level), process.count)
        current = process.noised(x, rows, (1, level))
        later = process.following(current, rows, (2, level))
        # Standard errors: 0.5/√n of a mean, 0.5/√(2n) of a deviation; five of them.
        for values in (current, later):
            assert abs(np.mean(values) - 2.0) < 5 * 0.5 / np.sqrt(len(x))
            assert abs(np.std(values) - 0.5) < 5 * 0.5 / np.sqrt(2 * len(x))
        correlation = np.corrcoef(current[:, 0], later[:, 0])[0, 1]
        assert abs(correlation - np.sqrt(1 - process.sigmas[level] ** 2)) < 5 / np.sqrt(len(x))
    if levels == 4:
        assert process.signal[-1] < 0.1


def test_chains_of_exact_energies_follow_the_posterior_and_the_data():
    """Given x_{t+1} a Gaussian's x_t is Gaussian by Bayes' rule; walked down, q is the data's."""
    model = _model(sampler=samplers.Langevin.exponential(0.1, 60))
    _set_exact(model)
    mean, variance = _exact(model.levels)
    count, level = 20_000, 1
    sigma = model.levels.sigmas[level]
    noisier = 0.7
    precision = 1 / variance[level] + (1 - sigma**2) / sigma**2
    posterior = (
        mean[level] / variance[level] + np.sqrt(1 - sigma**2) * noisier / sigma**2
    ) / precision
    rows = tf.one_hot(tf.fill([count], level), 3)
    found = model._recover(tf.fill([count, 1], noisier), rows, (3, 4)).numpy()
    # Sampling error, and that of ε = 0.1: a variance of steps of Eq. 5 is off by up to ε/4.
    assert found.mean() == pytest.approx(posterior, abs=5 / np.sqrt(count * precision))
    assert found.var() == pytest.approx(1 / precision, rel=0.05)

    drawn = model.sample(count, seed=0).numpy()
    assert drawn.mean() == pytest.approx(MEAN, abs=0.03)
    assert drawn.std() == pytest.approx(DEVIATION, rel=0.05)
    np.testing.assert_allclose(
        model.score([[0.3]], level=2), [[-(0.3 - mean[2]) / variance[2]]], rtol=1e-4
    )


@pytest.mark.parametrize("divergence", ["js", pytest.param("kl", marks=pytest.mark.thorough)])
def test_training_finds_the_gaussian_of_every_level(divergence):
    """From zero, every level's energy comes to that of the noised data."""
    model = _model(divergence, sampler=samplers.Langevin.exponential(0.2, 30), average_decay=0.99)
    rate = keras.optimizers.schedules.CosineDecay(0.02, 1500)
    model.compile(keras.optimizers.Adam(rate, 0.0), keras.optimizers.Adam(rate, 0.0))
    x = np.random.default_rng(0).normal(MEAN, DEVIATION, (1500 * 100, 1)).astype("float32")
    model.fit(x, batch_size=100, epochs=1, verbose=0)
    mean, variance = _exact(model.levels)
    with model.averaged_weights():
        table = model.energy_network.table.numpy()
    found_variance = 1.0 / (1.0 + 2.0 * table[:, 1])
    found_mean = -table[:, 0] * found_variance
    # The worst relative error of a variance in two runs was 0.056. Chains of these 30 steps keep
    # e^(−ε·30/2) = 0.05 of where they start; with 0.22 level 0 was narrower by 0.11 to 0.15.
    np.testing.assert_allclose(found_variance, variance[:-1], rtol=0.1)
    np.testing.assert_allclose(found_mean[:-1], mean[:-2], atol=0.1)
    assert found_mean[-1] == pytest.approx(mean[-2], abs=0.2)


def test_saved_and_exported_models_sample_alike(tmp_path):
    """A .keras file and a SavedModel draw what the model draws, and train on."""
    energy = networks.mlp((2,), (8, 8), num_classes=5)
    variational = networks.mlp((4,), (8, 8), num_classes=5)
    settings = {"levels": 3, "num_classes": 2, "center": [0.5, 0.0], "spread": 0.5, "seed": 1}
    model = tf_febm.Recovery(
        energy, variational, average_decay=0.9, slow_energy_decay=None, **settings
    )
    model.compile()
    x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    y = np.arange(64) % 2
    history = model.fit(x, y, validation_data=(x, y), verbose=0)
    assert np.isfinite(history.history[model.monitor]).all()

    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    labels = np.array([0, 1, 1])
    drawn = model.sample(3, labels, seed=5)
    np.testing.assert_array_equal(loaded.sample(3, labels, seed=5), drawn)
    np.testing.assert_array_equal(loaded.energy(x, y, level=2), model.energy(x, y, level=2))
    rows = np.array([[0, 1, 0, 1 - label, label] for label in y], "float32")
    np.testing.assert_allclose(
        model.log_conditional_ratio(x, x, y, level=1),
        energy([x, rows])[:, 0] + variational([np.concatenate([x, x], 1), rows])[:, 0],
        rtol=1e-5,
    )
    assert loaded.fit(x, y, verbose=0)

    tf_febm.export(model, tmp_path / "s")
    served = tf.saved_model.load(tmp_path / "s").signatures
    # Labels of the endpoint `sample` are drawn.
    found = served["sample_labels"](
        labels=tf.constant(labels, tf.int32), seed=tf.constant(5, tf.int64)
    )
    np.testing.assert_allclose(found["samples"], drawn, rtol=1e-4, atol=1e-5)


def test_bad_arguments_are_named():
    """Levels, samplers with bounds, networks of another width."""
    energy = networks.mlp((2,), (8, 8), num_classes=3)
    variational = networks.mlp((4,), (8, 8), num_classes=3)
    with pytest.raises(ValueError, match="levels"):
        tf_febm.Recovery(energy, variational, levels=[0.5, 1.0])
    with pytest.raises(ValueError, match="without bounds"):
        tf_febm.Recovery(energy, variational, levels=3, sampler=samplers.Langevin())
    with pytest.raises(ValueError, match="num_classes=5"):
        tf_febm.Recovery(energy, variational, levels=5)
    with pytest.raises(ValueError, match="chains_per_pair"):
        tf_febm.Recovery(energy, variational, levels=3, chains_per_pair=1)
    with pytest.raises(ValueError, match="spread"):
        NoiseLevels(3, spread=0.0)
    for center in ("x", 1j):
        with pytest.raises(TypeError, match="center must be an array of numbers"):
            tf_febm.Recovery(energy, variational, levels=3, center=center)
    with pytest.raises(ValueError, match=r"center must be a number .*; received shape \(7,\)"):
        tf_febm.Recovery(energy, variational, levels=3, center=np.zeros(7))
    reference = networks.GaussianReference.from_moments(np.zeros(2), np.ones(2))
    with pytest.raises(ValueError, match="center must be left out beside a reference"):
        tf_febm.Recovery(energy, variational, levels=3, center=1.0, reference=reference)
    model = tf_febm.Recovery(energy, variational, levels=3)
    with pytest.raises(ValueError, match="level"):
        model.energy(np.zeros((1, 2), "float32"), level=3)
