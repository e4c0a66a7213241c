"""Figures of chains, where what they must be is known."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import evaluation, networks, samplers


class Gaussian:
    """What `chain_figures` asks of a model, for a mean 0 and a deviation."""

    conditional = False

    def __init__(self, sampler, deviation=1.0, dimension=2, start=3.0):
        self.sampler, self.deviation, self.start = sampler, deviation, start
        self.dimension = dimension

    def energy(self, x):
        return 0.5 * tf.reduce_sum(tf.square(x), 1) / self.deviation**2

    def score(self, x, labels=None):
        return -x / self.deviation**2

    def sample_batch(self, count, seed, initial, num_steps, **history):
        rng = np.random.default_rng(seed)
        start = self.start * rng.normal(size=(count, self.dimension)).astype(np.float32)
        run = tf.function(
            lambda x: self.sampler(self.energy, x, 5, num_steps=num_steps, **history),
            autograph=False,
        )
        return type("Batch", (tuple,), {"samples": property(lambda b: b[0])})((run(start), None))


@pytest.fixture(scope="module")
def mixed():
    return evaluation.chain_figures(Gaussian(samplers.MALA(0.6)), num_chains=100, num_steps=200)


def test_chains_that_have_mixed(mixed):
    """MALA of 200 steps on a unit Gaussian: all figures say so."""
    assert 0.99 < mixed.rhat < 1.02
    # A step leaves a correlation of some 0.4 to 0.6; and squares of x, so the energy, of less.
    assert 0.15 < mixed.effective_sample_size / (100 * 100) < 0.7
    assert 0.5 < mixed.acceptance < 0.95
    assert mixed.stein_p_value > 0.02
    assert abs(mixed.distance) < 0.1 < mixed.distance_at_start
    assert (mixed.num_chains, mixed.num_steps, mixed.long_factor) == (100, 200, 10)


def test_chains_that_have_not():
    """20 short steps of Eq. 5 from starts three times too wide: each is where it began."""
    model = Gaussian(samplers.Langevin.from_epsilon(0.01, 20), dimension=5)
    found = evaluation.chain_figures(model, num_chains=60, long_factor=40)
    assert found.rhat > 1.5 and found.effective_sample_size < 120
    assert found.acceptance is None and found.stein_p_value < 0.01
    assert 0.5 < found.distance / found.distance_at_start < 1.0


def test_energies_that_are_not_finite_give_nan():
    found = evaluation.chain_figures(
        Gaussian(samplers.Langevin.from_epsilon(0.01, 8), start=np.inf), num_chains=4
    )
    assert np.isnan([found.rhat, found.stein, found.distance]).all()


def test_of_walks_down_levels_there_is_where_they_end():
    """Exact steps of Gaussian levels end in the law of the data whatever their number."""
    reference = networks.GaussianReference.from_moments(np.ones(2), np.full(2, 0.5))
    network = networks.mlp(2, (4,), num_classes=3)
    network.set_weights([0.0 * w for w in network.get_weights()])
    model = tf_febm.MultiscaleScoreMatching(network, reference, levels=[0.01, 0.2, 1.0, 5.0])
    found = evaluation.chain_figures(model, num_chains=200, long_factor=2)
    assert (found.rhat, found.effective_sample_size, found.num_steps) == (None, None, 1)
    assert found.stein_p_value > 0.02 and abs(found.distance) < 0.1 < found.distance_at_start
    assert [name for name, *_ in evaluation.readings_of_chains(found.as_dict())][0] == "stein"


def test_every_figure_has_a_reading(mixed):
    rows = evaluation.readings_of_chains(mixed.as_dict())
    settings = {"num_chains", "num_steps", "long_factor"}
    assert [name.replace(" ", "_") for name, *_ in rows] == [
        name for name in mixed._fields if name not in settings
    ]
    assert any("chains 10 times as long" in text for *_, text in rows)


def test_nothing_is_warned_of_that_is_meant(caplog):
    """TensorFlow says that the parts of a complex number that are not real go; none are."""
    tf.get_logger().addHandler(caplog.handler)
    try:
        # The function of that name hides its module.
        module = importlib.import_module("tf_febm.evaluation.chain_figures")
        assert module._mixing(tf.random.stateless_normal([20, 4, 2], (0, 1)))[1] > 10.0
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert not caplog.records
