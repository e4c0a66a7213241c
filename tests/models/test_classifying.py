"""Classes from conditional energies, against closed forms; the hybrid loss and its gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, samplers

RNG = np.random.default_rng(0)
MEANS = np.array([[0.0, 0.0], [2.0, 1.0], [-1.0, 3.0]])
WIDTHS = np.array([1.0, 0.5, 2.0])
LABELS = RNG.choice(3, 120, p=[0.5, 0.3, 0.2]).astype(np.int32)
X = (MEANS[LABELS] + RNG.normal(size=(120, 2)) * WIDTHS[LABELS, None]).astype(np.float32)


@keras.saving.register_keras_serializable(package="test_classifying")
class Gaussians(keras.layers.Layer):
    """E(x, y) = ‖x − μ_y‖²/(2σ_y²), with a weight that is added to it."""

    def build(self, shape):
        self.level = self.add_weight(shape=(), initializer="zeros")

    def call(self, inputs):
        x, rows = inputs
        squares = tf.reduce_sum(tf.square(x - rows @ MEANS.astype(np.float32)), axis=1)
        widths = (rows @ WIDTHS.astype(np.float32)[:, None])[:, 0]
        return squares / (2.0 * tf.square(widths)) + self.level


def gaussians(**settings):
    """Return a model of these energies, which knows the law of the labels of training."""
    inputs = (keras.Input((2,)), keras.Input((3,)))
    network = keras.Model(inputs, Gaussians()(inputs))
    sampler = samplers.Langevin(num_steps=1, bounds=None)
    return tf_febm.ContrastiveDivergence(network, sampler=sampler, seed=1, **settings)


def direct_energies(x):
    """Return E(x, y) by NumPy, [n, 3]."""
    return ((x[:, None].astype(np.float64) - MEANS) ** 2).sum(axis=2) / (2.0 * WIDTHS**2)


class TestClosedForm:
    def test_before_training_classes_are_alike(self):
        model, joint = gaussians(), np.exp(-direct_energies(X))
        np.testing.assert_array_equal(model.class_probabilities, [1 / 3] * 3)
        found = model.class_log_probs(X)
        assert found.dtype == tf.float32
        expected = joint / joint.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.exp(found), expected, atol=1e-6)
        np.testing.assert_allclose(model.marginal_energy(X), -np.log(joint.mean(axis=1)), rtol=1e-5)

    def test_afterwards_they_have_the_law_of_the_labels(self, tmp_path):
        model = gaussians()
        model.compile(keras.optimizers.SGD(0.0))
        weights = RNG.random(120).astype(np.float32)
        model.fit(X, LABELS, batch_size=50, sample_weight=weights, verbose=0)
        share = np.bincount(LABELS, weights=weights) / weights.sum()
        np.testing.assert_allclose(model.class_probabilities, share, rtol=1e-5)
        joint = share * np.exp(-direct_energies(X))
        expected = joint / joint.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.exp(model.class_log_probs(X)), expected, atol=1e-6)
        np.testing.assert_allclose(model.marginal_energy(X), -np.log(joint.sum(axis=1)), rtol=1e-5)
        # Neither held-out data nor samples are training.
        model.evaluate(X, np.zeros(120, np.int32), verbose=0)
        np.testing.assert_allclose(model.class_probabilities, share, rtol=1e-5)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(loaded.class_log_probs(X), model.class_log_probs(X))
        tf_febm.export(model, tmp_path / "served", bad_values="nan")
        served = tf.saved_model.load(str(tmp_path / "served")).signatures
        given = tf.constant(np.concatenate([X[:5], X[:1] * np.nan]))
        for name in ("class_log_probs", "marginal_energy"):
            found = served[name](x=given)[name].numpy()
            np.testing.assert_allclose(found[:5], getattr(model, name)(X[:5]), atol=1e-5)
            assert np.isnan(found[5]).all()

    def test_a_class_without_examples_has_no_probability(self):
        model = gaussians(class_weight_coeff=1.0)
        model.compile(keras.optimizers.SGD(0.1))
        logs = model.train_on_batch(X[LABELS < 2], LABELS[LABELS < 2], return_dict=True)
        assert np.isfinite(logs["class_loss"]) and np.isfinite(model.energy_network.weights[0])
        # The same by a weight of 0.
        weights = {0: 1.0, 1: 1.0, 2: 0.0}
        other = gaussians(class_weight_coeff=1.0)
        other.compile(keras.optimizers.SGD(0.1))
        found = other.train_on_batch(X, LABELS, class_weight=weights, return_dict=True)
        assert found["class_loss"] == pytest.approx(logs["class_loss"], rel=1e-5)
        held_out = other.test_on_batch(X, LABELS, return_dict=True)
        assert np.isfinite(held_out["class_loss"])
        assert np.isneginf(model.class_log_probs(X)[:, 2]).all()
        assert np.isfinite(model.marginal_energy(X)).all()


def made(method: str, coefficient: float):
    keras.utils.set_random_seed(5)
    settings = {"class_weight_coeff": coefficient, "l2_coeff": 0.0, "seed": 3}
    settings["sampler"] = samplers.Langevin.from_epsilon(0.01, 2)
    energy, other = (networks.mlp((2,), (8,), "swish", num_classes=3) for _ in range(2))
    if method == "noise_contrastive":
        noise = networks.GaussianReference().adapt(X)
        model = tf_febm.NoiseContrastive(energy, reference=noise, **settings)
    elif method == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(energy, **settings)
    elif method in ("exact", "sliced", "denoising"):
        model = tf_febm.ScoreMatching(energy, method, **settings)
    elif method == "energy_discrepancy":
        model = tf_febm.EnergyDiscrepancy(energy, num_neighbours=2, **settings)
    elif method == "recovery":
        # Rows over two levels, and three classes.
        energy, other = (networks.mlp((d,), (8,), "swish", num_classes=5) for d in (2, 4))
        settings["chains_per_pair"] = 3
        model = tf_febm.Recovery(energy, other, levels=2, num_classes=3, **settings)
    else:
        kind = tf_febm.FEBM if method == "febm" else tf_febm.DualFEBM
        model = kind(energy, other, **settings)
    # A single step is sooner taken than compiled, as those of tests/test_pairwise.py are.
    model.compile(*(keras.optimizers.SGD(0.1) for _ in model.networks), run_eagerly=True)
    return model


@pytest.mark.parametrize(
    "method",
    [
        *("febm", "dual", "contrastive_divergence", "noise_contrastive", "recovery"),
        *("sliced", "energy_discrepancy"),
    ],
)
def test_the_hybrid_loss_adds_the_gradient_of_the_cross_entropy(method):
    """After one step of gradient descent, weights differ by rate · weight · that gradient."""
    plain, hybrid, start = made(method, 0.0), made(method, 0.5), made(method, 0.0)
    weights = RNG.random(40).astype(np.float32) + 0.5
    logs = [
        m.train_on_batch(X[:40], LABELS[:40], sample_weight=weights, return_dict=True)
        for m in (plain, hybrid)
    ]
    share = np.bincount(LABELS[:40], weights=weights) / weights.sum()
    variables = start.energy_network.trainable_variables
    with tf.GradientTape() as tape:
        energies = [start.energy(X[:40], np.full(40, k, np.int32)) for k in range(3)]
        logits = np.log(share).astype(np.float32) - tf.stack(energies, axis=1)
        each = keras.losses.sparse_categorical_crossentropy(LABELS[:40], logits, from_logits=True)
        loss = tf.reduce_sum(weights * each) / weights.sum()
    gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
    for w, v, g in zip(
        hybrid.energy_network.trainable_variables, plain.energy_network.trainable_variables,
        gradients, strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(w - v, -0.1 * 0.5 * g, atol=2e-6)
    assert max(np.abs(g).max() for g in gradients) > 1e-3
    assert logs[1]["class_loss"] == pytest.approx(float(loss), rel=1e-5)
    assert logs[1]["loss"] - logs[0]["loss"] == pytest.approx(0.5 * float(loss), rel=1e-4)
    right = np.argmax(logits, axis=1) == LABELS[:40]
    assert logs[1]["class_accuracy"] == pytest.approx((weights * right).sum() / weights.sum())
    assert "class_loss" not in logs[0] and "class_loss" not in plain.metrics_names
    assert {"class_loss", "class_accuracy"} <= set(hybrid.metrics_names)


def test_a_reference_counts_once():
    """Energies of x are f(x, y) + ½‖z‖², and so is the marginal one."""
    model = made("noise_contrastive", 0.0)
    f = np.stack([model.energy_network((X, np.eye(3)[[k] * 120])) for k in range(3)], axis=1)
    f = f.reshape(120, 3)
    expected = model.reference.energy(X) - np.log(np.exp(-f).mean(axis=1))
    np.testing.assert_allclose(model.marginal_energy(X), expected, rtol=1e-4, atol=1e-4)


def test_what_has_no_classes():
    network = networks.mlp((2,), (4,))
    with pytest.raises(ValueError, match="class_weight_coeff must be 0 for a model without"):
        tf_febm.ContrastiveDivergence(network, class_weight_coeff=1.0)
    model = tf_febm.ContrastiveDivergence(network, sampler=samplers.Langevin(bounds=None))
    for call in (model.class_log_probs, model.marginal_energy):
        with pytest.raises(ValueError, match="is of models with classes; this one has none"):
            call(X)
    with pytest.raises(ValueError, match="class_weight_coeff"):
        gaussians(class_weight_coeff=-1.0)
