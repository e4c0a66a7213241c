"""Annealing there and back: the truth lies between, for Gaussians and two modes."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import evaluation
from tf_febm.partition.annealing import Annealer
from tf_febm.partition.bracket import bracketed

tfd = tfp.distributions
SEEDS = 12


def normal(dimension, scale):
    return tfd.MultivariateNormalDiag(tf.zeros(dimension), tf.fill([dimension], float(scale)))


def two_modes():
    """Return energy and log Z: 0.3 and 0.7 of the mass, four widths apart, scaled by e^1.7."""
    parts = tfd.MultivariateNormalDiag([[-2.0, 0.0], [2.0, 1.0]], [[0.5, 0.5], [0.6, 0.3]])
    mixture = tfd.MixtureSameFamily(tfd.Categorical(probs=[0.3, 0.7]), parts)
    return (lambda x: -mixture.log_prob(x) - 1.7), 1.7, mixture, normal(2, 3.0)


def chained():
    """Return energy and log Z of a Gaussian in 10 dimensions whose neighbours are correlated."""
    precision = np.eye(10) + 0.3 * (np.eye(10, k=1) + np.eye(10, k=-1))
    exact = tfd.MultivariateNormalFullCovariance(
        tf.zeros(10), tf.constant(np.linalg.inv(precision), tf.float32)
    )
    log_z = 5.0 * math.log(2 * math.pi) - 0.5 * np.linalg.slogdet(precision)[1]
    constant = tf.constant(precision, tf.float32)
    return (
        (lambda x: 0.5 * tf.reduce_sum((x @ constant) * x, axis=1)),
        log_z,
        exact,
        normal(10, 1.4),
    )


@pytest.mark.parametrize("case", [two_modes, chained])
def test_the_interval_covers_log_z(case):
    energy, log_z, exact, base = case()
    annealer = Annealer(energy, base, None, 2)
    found = [bracketed(annealer, 100, 30, 0.95, tf.constant([k, 0])) for k in range(SEEDS)]
    covered = sum(each.lower <= log_z <= each.upper for each in found)
    # Of 12 intervals of 95 % fewer than 10 with a probability of 0.02.
    assert covered >= 10
    forward = np.array([each.forward.log_z for each in found]) - log_z
    back = np.array([each.reverse.log_z for each in found]) - log_z
    both = np.array([each.log_z for each in found]) - log_z
    # Too low on average and too high; the estimate of both is nearer than the worse of the two.
    error = 4.0 / math.sqrt(SEEDS)
    assert forward.mean() < error * forward.std() and back.mean() > -error * back.std()
    assert np.abs(both).mean() < max(np.abs(forward).mean(), np.abs(back).mean())
    # Exact samples give an upper bound whatever the number of steps: one, which is importance
    # sampling there and back.
    samples = exact.sample(100, seed=1)
    once = bracketed(annealer, 100, 1, 0.999, tf.constant([0, 1]), samples)
    assert once.lower < log_z < once.upper
    # Neither is it the forward one by another name.
    assert once.reverse.log_z > once.forward.log_z


def test_one_step_is_importance_sampling_from_both_ends():
    """With T = 1 the way back has weights b/e^(−E) at a step from samples of q: E[1/w] = 1/Z."""
    base, energy = normal(1, 1.0), lambda x: 0.5 * tf.reduce_sum(tf.square(x / 1.2), axis=1)
    samples = 1.2 * tf.random.stateless_normal([4000, 1], (3, 4))
    found = evaluation.bracketed_log_partition(
        energy, base, samples=samples, num_chains=4000, num_temperatures=1, num_leapfrog_steps=1,
        seed=4,
    )  # fmt: skip
    exact = math.log(1.2 * math.sqrt(2 * math.pi))
    assert abs(found.reverse.log_z - exact) < 4 * found.reverse.standard_error < 0.1
    assert found.lower < exact < found.upper and abs(found.log_z - exact) < 0.03
    # Var_q(b/q)·Z²…: ∫ b²/q = 1.2 / √(2 − 1/1.44) for a unit base, a Gaussian integral.
    spread = math.sqrt((1.2 / math.sqrt(2 - 1 / 1.44) - 1) / 4000)
    assert found.reverse.standard_error == pytest.approx(spread, rel=0.1)


def test_bad_arguments():
    energy = lambda x: 0.5 * tf.reduce_sum(tf.square(x), axis=1)  # noqa: E731
    run = evaluation.bracketed_log_partition
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\); received 1"):
        run(energy, normal(1, 1.0), confidence=1.0, num_temperatures=1)
    with pytest.raises(ValueError, match="num_chains"):
        run(energy, normal(1, 1.0), num_chains=1)
    with pytest.raises(ValueError, match=r"samples must be real, \('m', 1\), with m ≥ 2"):
        run(energy, normal(1, 1.0), samples=np.zeros((5, 2)), num_chains=2, num_temperatures=1)
