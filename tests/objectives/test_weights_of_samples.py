"""Weights are exact on average over batches: all batches of a small population, by enumeration."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import objectives

# Four examples, of which the last is worth as much as thirty of the first; the mean weight is 1.
WEIGHTS = np.array([0.1, 0.3, 0.6, 3.0])
ENERGY = np.array([0.2, -0.4, 0.9, 1.3])
# At the data and at the samples of the model, of the same labels.
H_DATA = np.array([0.3, -0.2, 0.5, -0.7])
H_MODEL = np.array([-0.1, 0.4, 0.6, -0.9])
SIZE = 3
BATCHES = [list(batch) for batch in itertools.product(range(4), repeat=SIZE)]


def average_gradient(loss_of):
    """Return the mean over all batches of the gradient for the energies, a table of four."""
    table = tf.Variable(ENERGY)
    total = np.zeros(4)
    for batch in BATCHES:
        with tf.GradientTape() as tape:
            loss = loss_of(tf.gather(table, batch), np.array(batch))
        total += tf.convert_to_tensor(tape.gradient(loss, table)).numpy()
    return total / len(BATCHES)


def test_the_bound():
    """KL: f'(eʳ) = r + 1 and f*(f'(eʳ)) = eʳ, with the population's weighted means."""
    values = [
        objectives.variational_bound(
            "kl",
            (H_DATA + ENERGY)[batch],
            (H_MODEL + ENERGY)[batch],
            weights_data=WEIGHTS[batch],
            weights_model=WEIGHTS[batch],
        )
        for batch in BATCHES
    ]
    right = np.mean(WEIGHTS * (H_DATA + ENERGY + 1)) - np.mean(WEIGHTS * np.exp(H_MODEL + ENERGY))
    assert np.mean(values) == pytest.approx(right, abs=1e-12)


def test_the_gradient_of_theorem_3():
    """∇L = E_p[∇r] − E_q[eʳ∇r] + E_q[eʳ∇E] − E_q[eʳ]E_q[∇E] under the weighted law."""

    def loss(energy, batch):
        return objectives.energy_surrogate(
            "kl",
            H_DATA[batch] + energy,
            H_MODEL[batch] + energy,
            energy,
            weights_data=WEIGHTS[batch],
            weights_model=WEIGHTS[batch],
        )

    shares = WEIGHTS / 4
    ratio = np.exp(H_MODEL + ENERGY)
    covariance = shares * ratio - np.sum(shares * ratio) * shares
    right = shares - shares * ratio + covariance
    np.testing.assert_allclose(average_gradient(loss), right, atol=1e-12)


def test_the_dual_gradient():
    def loss(energy, batch):
        return objectives.dual_surrogate("kl", H_MODEL[batch], energy, weights_model=WEIGHTS[batch])

    shares, ratio = WEIGHTS / 4, np.exp(H_MODEL)
    right = shares * ratio - np.sum(shares * ratio) * shares
    np.testing.assert_allclose(average_gradient(loss), right, atol=1e-12)


def test_a_constant_gets_no_gradient_in_any_batch():
    """What shift_invariant promises holds with weights as well, whatever their sum in a batch."""
    for batch in BATCHES[:20]:
        constant = tf.Variable(0.7, dtype=tf.float64)
        with tf.GradientTape() as tape:
            energy = ENERGY[batch] + constant
            loss = objectives.energy_surrogate(
                "js",
                H_DATA[batch] + energy,
                H_MODEL[batch] + energy,
                energy,
                energy_data=energy,
                weights_data=WEIGHTS[batch],
                weights_model=WEIGHTS[batch],
            )
        assert abs(float(tape.gradient(loss, constant))) < 1e-12


def test_weights_of_one_are_none():
    data, model = H_DATA + ENERGY, H_MODEL + ENERGY
    ones = np.ones(4)
    for leave_one_out in (True, False):
        plain, weighted = (
            objectives.energy_surrogate(
                "js", data, model, ENERGY, leave_one_out=leave_one_out, energy_data=ENERGY, **w
            )
            for w in ({}, {"weights_data": ones, "weights_model": ones})
        )
        assert float(plain) == pytest.approx(float(weighted), abs=1e-12)
