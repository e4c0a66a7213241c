"""Figures of classifiers against cases that are solved by hand."""

import json
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import data, evaluation, samplers, training

RNG = np.random.default_rng(0)
W = np.array([[1.0, -0.5, 0.25], [-1.0, 0.5, -0.25]], np.float32).T


def linear(x):
    """Return log p of two classes: x·w against −x·w."""
    return tf.nn.log_softmax(tf.reshape(x, [-1, 3]) @ W)


def examples(count=200):
    x = RNG.normal(size=(count, 3)).astype(np.float32)
    # A tenth of the labels is wrong.
    labels = (x @ W[:, 0] < 0.0) ^ (np.arange(count) % 10 == 0)
    return x, labels.astype(np.int32)


def test_calibration_error_by_hand():
    """Two bins: confidence 0.75, half right; and 0.95, three of four right."""
    p = np.array([0.75, 0.75, 0.95, 0.95, 0.95, 0.95])
    right = np.array([1, 0, 1, 1, 1, 0], bool)
    log_probs = np.log(np.stack([p, 1.0 - p], axis=1))
    found = evaluation.expected_calibration_error(log_probs, np.where(right, 0, 1), 10)
    assert found == pytest.approx((2 * 0.25 + 4 * 0.2) / 6)
    # In one bin they make up for one another: 4/6 right, 0.883 sure.
    found = evaluation.expected_calibration_error(log_probs, np.where(right, 0, 1), 1)
    assert found == pytest.approx(5.3 / 6 - 4 / 6)
    # Labels drawn from the probabilities are calibrated, but for what chance leaves in the bins.
    p = RNG.uniform(0.5, 1.0, 20_000)
    labels = (RNG.random(20_000) > p).astype(int)
    calibrated = np.log(np.stack([p, 1.0 - p], axis=1))
    assert evaluation.expected_calibration_error(calibrated, labels) < 0.02
    with pytest.raises(ValueError, match=r"log_probs must be \[n, classes\]"):
        evaluation.expected_calibration_error(p, labels)


def test_an_attack_on_a_line_finds_what_there_is():
    """Of x·w the box |δ| ≤ ε·s changes at most ε·Σ s|w|, and so much is found."""
    x, labels = examples()
    scale = np.array([1.0, 2.0, 0.5], np.float32)
    moved = evaluation.projected_gradient_attack(linear, x, labels, 0.2, scale=scale, seed=3)
    assert (np.abs(moved - x) <= 0.2 * scale * (1 + 1e-5)).all()
    sign = np.where(labels == 0, 1.0, -1.0)
    least = sign * (x @ W[:, 0]) - 0.2 * (scale * np.abs(W[:, 0])).sum()
    np.testing.assert_allclose(sign * (moved.numpy() @ W[:, 0]), least, atol=1e-5)
    inside = evaluation.projected_gradient_attack(linear, x.clip(0, 1), labels, 0.2, bounds=(0, 1))
    assert inside.numpy().min() >= 0.0 and inside.numpy().max() <= 1.0
    with pytest.raises(ValueError, match="epsilon"):
        evaluation.projected_gradient_attack(linear, x, labels, 0.0)


def test_figures_of_a_line():
    x, labels = examples()
    found = evaluation.classification_figures(
        linear, x, labels, epsilons=[0.1, 0.4], num_attacked=150, batch_size=64,
        refine=lambda moved, seed: x[:150],
    )  # fmt: skip
    assert found.num_examples == 200 and found.accuracy == pytest.approx(0.9)
    log_probs = linear(x).numpy()
    assert found.log_loss == pytest.approx(-log_probs[np.arange(200), labels].mean(), rel=1e-5)
    margins = (np.where(labels == 0, 1.0, -1.0) * (x @ W[:, 0]))[:150]
    for attack, epsilon in zip(found.attacks, (0.0, 0.1, 0.4), strict=True):
        expected = np.mean(margins > epsilon * np.abs(W[:, 0]).sum())
        assert (attack.epsilon, attack.accuracy) == (epsilon, pytest.approx(expected))
        # What takes the attack away again.
        assert attack.refined_accuracy == pytest.approx(np.mean(margins > 0.0))


MEANS = np.array([[-1.0, 0.0], [1.0, 0.5]], np.float32)


@pytest.fixture(scope="module")
def model():
    """Return E(x, y) = ½‖x − μ_y‖², untrained, whose chains descend without noise."""
    x, rows = keras.Input((2,)), keras.Input((2,))
    centred = x - keras.layers.Dense(2, use_bias=False, trainable=False, name="means")(rows)
    energy = keras.layers.Lambda(lambda z: 0.5 * tf.reduce_sum(tf.square(z), axis=1))(centred)
    network = keras.Model((x, rows), energy)
    network.get_layer("means").set_weights([MEANS])
    sampler = samplers.Langevin(
        step_size=0.1, noise_scale=0.0, num_steps=7, grad_clip=None, bounds=None
    )
    return tf_febm.ContrastiveDivergence(network, sampler=sampler, seed=0)


def test_refining_descends_the_marginal_energy(model):
    """∇ of −log Σ_y p(y) e^(−E) is x less the posterior mean of μ_y."""
    x = RNG.normal(size=(5, 2)).astype(np.float32)
    expected = x.astype(np.float64)
    for _ in range(3):
        joint = np.exp(-0.5 * ((expected[:, None] - MEANS) ** 2).sum(axis=2))
        expected -= 0.1 * (expected - joint / joint.sum(axis=1, keepdims=True) @ MEANS)
    np.testing.assert_allclose(
        evaluation.refine_by_chains(model, x, num_steps=3), expected, atol=1e-5
    )
    further = evaluation.refine_by_chains(model, x)
    assert (model.marginal_energy(further) < model.marginal_energy(x)).numpy().all()


def test_a_model_of_rows_is_measured_as_a_classifier(model, tmp_path):
    labels = RNG.integers(0, 2, 400).astype(np.int32)
    x = (MEANS[labels] + RNG.normal(size=(400, 2))).astype(np.float32)
    rows = data.VectorData("rows", x, labels=labels, num_classes=2)
    found = evaluation.model_classification(model, rows)
    # Equal widths: the border lies in the middle.
    right = ((x - MEANS.mean(axis=0)) @ (MEANS[1] - MEANS[0]) > 0.0) == labels
    assert found.num_examples == 400 and found.accuracy == pytest.approx(right.mean())
    # The model is the truth, and so it is calibrated, but for chance.
    assert found.calibration_error < 0.08
    accuracies = [attack.accuracy for attack in found.attacks]
    assert accuracies[0] > accuracies[1] > accuracies[2]
    folder = types.SimpleNamespace(path=tmp_path, read_summary=dict)
    run = types.SimpleNamespace(
        model=model, train=rows, held_out=rows, folder=folder, step=0, recipe=None, checkpoints=None
    )
    training.evaluate_rows(run, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["classification"] == json.loads(json.dumps(found.as_dict()))
    with pytest.raises(ValueError, match="data must have labels"):
        evaluation.model_classification(model, data.VectorData("rows", x))
