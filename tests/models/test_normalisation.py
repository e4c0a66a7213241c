"""log Z and log_prob of models against closed forms."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tf_febm
from tf_febm import networks, samplers

tfd = tfp.distributions
RNG = np.random.default_rng(0)


@keras.saving.register_keras_serializable(package="test_normalisation")
class Quadratic(keras.layers.Layer):
    """E(x) = c + ½(x − μ)ᵀP(x − μ) with c as a weight; of class y, (1 + y)²/2 times as large."""

    def __init__(self, mean, precision, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.precision = np.array(mean), np.array(precision)

    def build(self, shape):
        self.level = self.add_weight(shape=(), initializer="zeros")

    def call(self, inputs):
        x, rows = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        root = np.linalg.cholesky(self.precision).astype(np.float32)
        energy = 0.5 * tf.reduce_sum(tf.square((x - self.mean.astype(np.float32)) @ root), axis=1)
        if rows is not None:
            energy *= tf.square(rows @ np.array([[1.0], [2.0]], np.float32))[:, 0]
        return energy + self.level

    def get_config(self):
        shape = {"mean": self.mean.tolist(), "precision": self.precision.tolist()}
        return {**super().get_config(), **shape}


def gaussian(dimension: int, classes=None, seed=0, **settings):
    """Return a model, its density by scipy's formula, and samples of it."""
    rng = np.random.default_rng(seed)
    root = np.eye(dimension) + 0.4 * rng.normal(size=(dimension, dimension))
    mean, covariance = 2.0 * rng.normal(size=dimension), root @ root.T
    x = keras.Input((dimension,))
    inputs = x if classes is None else (x, keras.Input((classes,)))
    layer = Quadratic(mean, np.linalg.inv(covariance))
    settings = {"sampler": samplers.Langevin(num_steps=1, bounds=None), "seed": 0, **settings}
    model = tf_febm.ContrastiveDivergence(keras.Model(inputs, layer(inputs)), **settings)
    layer.level.assign(3.0)
    exact = tfd.MultivariateNormalFullCovariance(mean, covariance)
    samples = (mean + rng.normal(size=(400, dimension)) @ root.T).astype(np.float32)
    return model, exact, samples


class TestAPlaneGaussian:
    @pytest.fixture(scope="class")
    def fitted(self):
        model, exact, x = gaussian(2)
        return model, exact, x, model.fit_log_partition(x[:50])

    def test_log_prob(self, fitted):
        model, exact, x, found = fitted
        assert found.method == "grid" and found.lower <= found.log_z <= found.upper
        assert found.upper - found.lower < 1e-4
        expected = exact.log_prob(x)
        np.testing.assert_allclose(model.log_prob(x), expected, atol=2e-5)
        whole = model.log_prob(x, return_interval=True)
        assert whole.log_prob.dtype == whole.lower.dtype == tf.float32
        assert (whole.lower <= whole.log_prob).numpy().all()
        assert (whole.log_prob <= whole.upper).numpy().all()

    def test_it_is_kept_and_notices_other_weights(self, fitted, tmp_path):
        model, _, x, found = fitted
        model.compile()
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        assert loaded.log_partition == found
        np.testing.assert_array_equal(loaded.log_prob(x), model.log_prob(x))
        tf_febm.export(model, tmp_path / "served")
        served = tf.saved_model.load(str(tmp_path / "served")).signatures["log_prob"]
        for name, values in served(x=tf.constant(x)).items():
            expected = getattr(model.log_prob(x, return_interval=True), name)
            np.testing.assert_allclose(values, expected, atol=1e-5)
        loaded.energy_network.weights[0].assign(1.0)
        with pytest.raises(ValueError, match="weights have changed since log Z was estimated"):
            loaded.log_prob(x)
        tf_febm.export(loaded, tmp_path / "stale")
        assert "log_prob" not in tf.saved_model.load(str(tmp_path / "stale")).signatures
        loaded.fit_log_partition(x)
        assert loaded.log_partition.log_z == pytest.approx(found.log_z + 2.0, abs=1e-5)


def test_each_class_has_its_own():
    """Of class 1 energies are four times as large, so that σ is half as large."""
    model, exact, x = gaussian(2, classes=2)
    found = model.fit_log_partition(x)
    assert found.log_z.shape == (2,)
    assert found.log_z[0] - found.log_z[1] == pytest.approx(math.log(4.0), abs=1e-5)
    labels = np.arange(400, dtype=np.int32) % 2
    half = tfd.MultivariateNormalFullCovariance(exact.mean(), exact.covariance() / 4.0)
    expected = np.where(labels == 0, exact.log_prob(x), half.log_prob(x))
    # The constant 3 is one of 12 in class 1, and Z_y knows.
    np.testing.assert_allclose(model.log_prob(x, labels), expected, atol=1e-4)
    rows = np.eye(2, dtype=np.float32)[labels]
    np.testing.assert_array_equal(model.log_prob(x, rows), model.log_prob(x, labels))


def test_ten_dimensions_by_annealing():
    """Full covariance; the chains move in the white coordinates of a fit."""
    model, exact, x = gaussian(10)
    found = model.fit_log_partition(
        x[:300], num_chains=100, num_temperatures=50, num_leapfrog_steps=2, confidence=0.999
    )
    log_z = 5.0 * math.log(2 * math.pi) + 0.5 * np.linalg.slogdet(exact.covariance())[1] - 3.0
    assert found.method == "annealing" and found.lower < log_z < found.upper
    assert found.upper - found.lower < 0.6 and abs(found.log_z - log_z) < 0.1
    np.testing.assert_allclose(model.log_prob(x), exact.log_prob(x), atol=0.11)


def test_a_box_cuts_the_density():
    """A Gaussian of σ = 1 at a corner of [0, 2]³: an eighth of it, less what is beyond 2."""
    x = keras.Input((3,))
    network = keras.Model(x, Quadratic(np.zeros(3), np.eye(3))(x))
    sampler = samplers.Langevin(num_steps=1, bounds=(0.0, 2.0))
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler)
    side = math.sqrt(math.pi / 2) * math.erf(math.sqrt(2.0))
    found = model.fit_log_partition(
        num_chains=300, num_temperatures=40, num_leapfrog_steps=2, confidence=0.999
    )
    assert found.lower < 3 * math.log(side) < found.upper and found.upper - found.lower < 0.2
    line = keras.Input((1,))
    network = keras.Model(line, Quadratic([0.0], [[1.0]])(line))
    model = tf_febm.ContrastiveDivergence(network, sampler=sampler)
    assert model.fit_log_partition().log_z == pytest.approx(math.log(side), abs=1e-5)


def test_a_reference_counts_once():
    """A network that says nothing leaves the reference: log_prob is that of the Gaussian."""
    _, exact, x = gaussian(2, seed=1)
    reference = networks.GaussianReference().adapt(x)
    network = networks.mlp((2,), (3,))
    for weight in network.weights:
        weight.assign(tf.zeros_like(weight))
    network.weights[-1].assign([0.7])
    model = tf_febm.ContrastiveDivergence(network, reference=reference)
    assert model.fit_log_partition().method == "grid"
    np.testing.assert_allclose(model.log_prob(x), reference.log_prob(x), atol=1e-4)
    found = model.fit_log_partition(method="annealing", num_chains=10, num_temperatures=2)
    # The base is the density itself.
    np.testing.assert_allclose(model.log_prob(x), reference.log_prob(x), atol=1e-3)
    assert found.upper - found.lower < 1e-3


def test_noise_contrastive_estimation_has_learned_it():
    """The noise has another width than the energy; c is off by 0.3, and the interval says so."""
    x = keras.Input((2,))
    network = keras.Model(x, Quadratic([0.0, 0.0], np.eye(2))(x))
    noise = tfd.MultivariateNormalDiag(tf.zeros(2), [1.3, 1.3])
    model = tf_febm.NoiseContrastive(network, noise, sampler=samplers.Langevin(bounds=None))
    model.energy_network.log_partition.assign(math.log(2 * math.pi) - 0.3)
    points = RNG.normal(size=(50, 2)).astype(np.float32)
    exact = tfd.MultivariateNormalDiag(tf.zeros(2)).log_prob(points)
    np.testing.assert_allclose(model.log_prob(points), exact + 0.3, atol=1e-5)
    with pytest.raises(ValueError, match="call model.fit_log_partition"):
        model.log_prob(points, return_interval=True)
    found = model.fit_log_partition(method="learned", confidence=0.999)
    assert found.log_z == found.lower == 0.0 and found.lower < 0.3 < found.upper < 0.35
    np.testing.assert_allclose(model.log_prob(points), exact + 0.3, atol=1e-5)
    model.fit_log_partition(points, method="grid")
    np.testing.assert_allclose(model.log_prob(points), exact, atol=1e-4)


def test_what_is_refused():
    model, _, x = gaussian(3)
    with pytest.raises(ValueError, match=r"not known: call model.fit_log_partition\(data\)"):
        model.log_prob(x)
    for settings, message in (
        ({}, "does not say where its mass is: give data"),
        ({"data": x[:, :2]}, r"data must be \('n', 3\)"),
        ({"data": x, "method": "grid"}, "is for vectors of one or two numbers"),
        ({"data": x, "method": "learned"}, "is for a NoiseContrastive"),
        ({"data": x, "method": "other"}, "method must be 'auto', 'grid'"),
        ({"data": x, "confidence": 1.0}, r"confidence must lie in \(0, 1\)"),
        ({"data": x, "num_chains": 1}, "num_chains"),
        ({"data": x, "method": "learned", "samples": x}, "samples are for method='annealing'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit_log_partition(**settings)
    flat = tf_febm.ContrastiveDivergence(
        networks.mlp((2,), (3,)), sampler=samplers.Langevin(bounds=None)
    )
    with pytest.raises(ValueError, match="has no end"):
        flat.fit_log_partition(x[:, :2])
