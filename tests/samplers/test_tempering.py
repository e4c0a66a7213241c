"""Parallel tempering: its exchanges by enumeration, its law on modes that lie apart."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import samplers
from tf_febm.samplers.metropolis import Proposal
from tf_febm.samplers.tempering import exchanged, ladder, swap_probability

# Two wells of deviation 1/2, 6 apart, the right one with 0.8 of the mass.
RIGHT, APART, WIDTH = 0.8, 3.0, 0.5


def two_wells(x):
    bend = -0.5 * tf.square((x[:, 0] + tf.constant([[-APART], [APART]], x.dtype)) / WIDTH)
    shares = tf.constant([[math.log(RIGHT)], [math.log(1 - RIGHT)]], x.dtype)
    rest = 0.5 * tf.reduce_sum(tf.square(x[:, 1:]), 1)
    return rest - tf.reduce_logsumexp(bend + shares, 0)


def test_exchanges_keep_the_law_by_enumeration():
    """Two replicas on four places: π(a, b) p(a, b) = π(b, a) p(b, a), and p is how often they move.

    40,000 exchanges from every pair of places, within five standard errors.
    """
    levels, betas = np.array([0.0, 1.0, 2.5, 4.0]), (1.0, 0.4)
    pairs = np.array(list(itertools.product(range(4), repeat=2)))
    energies = levels[pairs].T
    p = swap_probability(tf.constant(energies), betas).numpy()[0].reshape(4, 4)
    law = np.exp(-betas[0] * levels)[:, None] * np.exp(-betas[1] * levels)
    np.testing.assert_allclose(law * p, (law * p).T, rtol=1e-12)
    np.testing.assert_allclose(p, np.minimum(1.0, law.T / law), rtol=1e-12)
    # A state is its place, in the units of its replica; its gradient is ten times that.
    count = 40_000
    places = np.repeat(pairs, count, axis=0).T.astype(np.float64)
    scale = np.sqrt(betas)[:, None]
    state = tf.constant((places * scale).reshape(-1, 1))
    tempered = tf.constant((levels[places.astype(int)] * np.array(betas)[:, None]).ravel())
    here = Proposal(state, tempered, 10.0 * state)
    after = exchanged(here, tf.constant(0), tf.constant([0, 7]), betas)
    found = after.state.numpy().reshape(2, -1) / scale
    moved = ~np.isclose(found, places).all(axis=0)
    np.testing.assert_allclose(found[:, moved], places[::-1, moved], atol=1e-12)
    unequal = pairs[:, 0] != pairs[:, 1]
    shares = moved.reshape(16, count).mean(axis=1)[unequal]
    expected = p.ravel()[unequal]
    error = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(shares - expected) <= 5 * error + 1e-12).all()
    # Energies and gradients go with the states.
    np.testing.assert_allclose(after.gradient, 10.0 * after.state)
    own = levels[np.rint(found).astype(int)] * np.array(betas)[:, None]
    np.testing.assert_allclose(after.energy, own.ravel())
    # The only pair is even: nothing moves at an odd step.
    still = exchanged(here, tf.constant(1), tf.constant([0, 7]), betas)
    np.testing.assert_allclose(still.state, state)


def test_shares_of_modes_that_no_chain_moves_between():
    """All 400 chains start in the left well, which has a fifth of the mass.

    Tempered, the share in the right one is within four standard errors of the truth, and within
    each well the law is right; MALA, of the same steps, does not leave the left one. With
    half-open temperatures the swap rates that are told are above a half.
    """
    start = np.random.default_rng(1).normal(-APART, WIDTH, (400, 1)).astype(np.float32)
    tempered = samplers.ParallelTempering(0.15, 400, (1.0, 0.4, 0.15, 0.06))
    plain = samplers.MALA(0.15, 400)

    def run(sampler):
        return tf.function(
            lambda x: sampler(two_wells, x, 5, return_diagnostics=True), autograph=False
        )(start)

    result = run(tempered)
    x = result.samples.numpy()[:, 0]
    right = x > 0.0
    assert abs(right.mean() - RIGHT) < 4 * math.sqrt(RIGHT * (1 - RIGHT) / len(x))
    for side, centre in ((right, APART), (~right, -APART)):
        assert abs(x[side].mean() - centre) < 4 * WIDTH / math.sqrt(side.sum())
        # Of a normal law the variance of n draws deviates by √(2/n) of itself.
        assert abs(x[side].var() / WIDTH**2 - 1) < 4 * math.sqrt(2 / side.sum())
    assert (run(plain).samples.numpy() > 0.0).mean() < 0.02
    assert result.swap_acceptance.shape == (400, 3, 400)
    rates = result.swap_acceptance.numpy()[200:].mean(axis=(0, 2))
    assert (rates > 0.4).all() and (rates < 1.0).all()
    assert result.acceptance.shape == result.energy.shape == (400, 400)
    # E of the replicas at β = 1: ½ on average of each well, but for the constant.
    expected = 0.5 - RIGHT * math.log(RIGHT) - (1 - RIGHT) * math.log(1 - RIGHT)
    assert result.energy.numpy()[200:].mean() == pytest.approx(expected, abs=0.1)


def test_a_box_holds_the_truncated_law():
    """q ∝ e^(−3x) on [0, 1] in every replica, β and all: the mean in closed form."""
    rate, bounds = 3.0, (0.0, 1.0)
    sampler = samplers.ParallelTempering(0.1, 30, (1.0, 0.3), bounds=bounds)
    x = tf.function(lambda x: sampler(lambda v: rate * tf.reduce_sum(v, 1), x, 2), autograph=False)(
        np.random.default_rng(2).random((5000, 2))
    )
    assert x.numpy().min() >= 0.0 and x.numpy().max() <= 1.0
    mean = 1 / rate - 1 / np.expm1(rate)
    variance = 1 / rate**2 - np.exp(rate) / np.expm1(rate) ** 2
    assert abs(x.numpy().mean() - mean) < 4 * np.sqrt(variance / 10_000)


def test_energies_know_their_rows():
    """As those of labels do: each replica is asked by itself, with n rows."""
    offset = tf.constant([-1.0, 2.0, 5.0])

    def energy(x):
        return 50.0 * tf.square(x[:, 0] - offset)

    x = samplers.ParallelTempering(0.01, 40)(energy, tf.zeros([3, 1]), 0)
    np.testing.assert_allclose(x[:, 0], offset, atol=0.5)


def test_inverse_temperatures():
    assert ladder(3, 0.25) == pytest.approx((1.0, 0.5, 0.25))
    for wrong in ((1.0,), (0.9, 0.5), (1.0, 0.5, 0.5), (1.0, 0.0)):
        with pytest.raises(ValueError, match="inverse_temperatures"):
            samplers.ParallelTempering(inverse_temperatures=wrong)
