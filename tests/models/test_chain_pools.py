"""Pools of chains: which run, which restart, when, with which weights; and how it all repeats."""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import randomness, samplers
from tf_febm.models import pooled_chains, pooled_chains_by_pool
from tf_febm.models.chains import Batch

CLASSES = 4


class Counter:
    """A model whose chains hold (number of times run since the start, a random name)."""

    sample_shape = (2,)

    def __init__(self, conditional=False):
        self.conditional = conditional
        self.traces = 0

    def next_seed(self):
        return tf.constant([9, 9])

    def fresh_batch(self, count, seed, labels=None):
        name_seed, label_seed = tf.unstack(randomness.split(seed, 2))
        names = randomness.uniform([count], name_seed)
        labels = randomness.uniform([count], label_seed, 0, CLASSES, tf.int32)
        samples = tf.stack([tf.zeros([count]), names], axis=1)
        return Batch(samples, labels if self.conditional else None)

    def energy(self, x, labels=None):
        return tf.reduce_sum(x, axis=1)

    def sampler(self, energy_fn, initial_state, seed, num_steps=1):
        self.traces += 1
        return initial_state + [num_steps, 0.0]


def runs(result):
    return result.samples[:, 0]


def test_every_chain_runs_and_each_round_runs_a_batch():
    result = pooled_chains(
        Counter(), 100, 1, pool_size=100, batch_size=32, num_rounds=20, restart_probability=0.0
    )
    assert result.labels is None
    assert runs(result).sum() == 20 * 32
    assert runs(result).min() >= 1
    # After the four rounds that run each chain at least once, 16 random subsets: the number of
    # times that a chain is in one is binomial, of variance 16 · 0.32 · 0.68 = 3.5. The sample
    # variance of 100 chains has a standard error of about √(2/99) of it.
    assert 3.5 * 0.3 < np.var(runs(result)) < 3.5 * 1.8
    assert len(np.unique(result.samples[:, 1])) == 100


def test_chains_run_in_turn_first():
    result = pooled_chains(Counter(), 10, 1, pool_size=10, batch_size=4, num_rounds=3, nomix=0)
    # Rounds 0 to 3, 4 to 7, and 8, 9, 0, 1.
    np.testing.assert_array_equal(runs(result), [2, 2] + [1] * 8)


@pytest.mark.parametrize("nomix", [0, 3, 19])
def test_all_restart_until_the_last_rounds(nomix):
    """With every chain in every round, and restarts for certain, the last one tells the age."""
    result = pooled_chains(
        Counter(), 50, 1, pool_size=50, batch_size=50, num_rounds=20, nomix=nomix,
        restart_probability=1.0,
    )  # fmt: skip
    # The first round fills the pool, so that no more than 19 can be left out.
    np.testing.assert_array_equal(runs(result), nomix + 1)


def test_restarts_come_with_their_probability():
    size, rounds = 20_000, 30
    result = pooled_chains(
        Counter(), size, 1, pool_size=size, batch_size=size, num_rounds=rounds, nomix=10,
        restart_probability=0.01,
    )  # fmt: skip
    expected = 0.99 ** (rounds - 10 - 1)
    survived = np.mean(runs(result) == rounds)
    assert abs(survived - expected) < 4 * np.sqrt(expected * (1 - expected) / size)


def test_labels_are_redrawn_with_their_probability_and_apart_from_the_images():
    size, rounds = 20_000, 12
    settings = {
        "pool_size": size, "batch_size": size, "num_rounds": rounds, "nomix": 2,
        "restart_probability": 0.0,
    }  # fmt: skip
    kept, redrawn = (
        pooled_chains(Counter(conditional=True), size, 1, label_probability=p, **settings)
        for p in (0.0, 0.1)
    )
    np.testing.assert_array_equal(kept.samples, redrawn.samples)
    assert redrawn.labels.dtype == np.int32
    # In the nine rounds that mix, a label is redrawn once at least, and then equal by chance.
    expected = (1 - 0.9**9) * (1 - 1 / CLASSES)
    changed = np.mean(kept.labels != redrawn.labels)
    assert abs(changed - expected) < 4 * np.sqrt(expected * (1 - expected) / size)
    counts = np.bincount(redrawn.labels, minlength=CLASSES)
    assert np.abs(counts - size / CLASSES).max() < 5 * np.sqrt(size * 3 / 16)


SMALL = {"pool_size": 40, "batch_size": 16, "num_rounds": 8, "nomix": 2, "restart_probability": 0.2}


def test_equal_seeds_give_equal_samples_and_fewer_are_the_first_of_more():
    first, again = (pooled_chains(Counter(True), 100, 5, **SMALL) for _ in range(2))
    np.testing.assert_array_equal(first.samples, again.samples)
    np.testing.assert_array_equal(first.labels, again.labels)
    fewer = pooled_chains(Counter(True), 45, 5, **SMALL)
    np.testing.assert_array_equal(first.samples[:45], fewer.samples)
    np.testing.assert_array_equal(first.labels[:45], fewer.labels)
    other = pooled_chains(Counter(True), 100, 6, **SMALL)
    assert not np.isin(first.samples[:, 1], other.samples[:, 1]).any()


def test_pools_are_different():
    names = pooled_chains(Counter(), 120, 5, **SMALL).samples[:, 1]
    # Of 2²³ possible names or more, two among 120 are equal once in a thousand seeds.
    assert len(np.unique(names)) == 120


def test_one_trace_for_all_rounds_and_pools_and_progress_after_each():
    model, calls = Counter(), []
    pools = list(pooled_chains_by_pool(model, 100, 5, report=lambda *c: calls.append(c), **SMALL))
    assert model.traces == 1
    assert [len(pool.samples) for pool in pools] == [40, 40, 20]
    assert calls == [(k, 24) for k in range(1, 25)]


def test_steps_reach_the_sampler():
    settings = {**SMALL, "restart_probability": 0.0}
    result = pooled_chains(Counter(), 40, 5, num_steps=7, **settings)
    assert runs(result).sum() == 7 * 8 * 16


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_number_of_samples():
    class Large(Counter):
        sample_shape = (250_000,)

        def fresh_batch(self, count, seed, labels=None):
            return Batch(tf.zeros([count, 250_000]), None)

        def sampler(self, energy_fn, initial_state, seed):
            return initial_state + 1.0

    def mebibytes():
        # Resident pages; the peak that `resource` knows may stem from another test.
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    # A pool takes 19 MiB; thirteen more that stayed would take 247. Pages come and go in between
    # (67 MiB were seen), so the highest of each half counts, and half of those 247 is the limit.
    settings = {"pool_size": 20, "batch_size": 5, "num_rounds": 4, "nomix": 1}
    used = [mebibytes() for _ in pooled_chains_by_pool(Large(), 520, 1, **settings)]
    assert len(used) == 26
    assert max(used[13:]) - max(used[:13]) < 124


# Weights. E(x) = w·x, and the sampler subtracts the gradient: ends tell the sum of all w used.


class Descent:
    bounds = (0.0, 1.0)

    def __call__(self, energy_fn, initial_state, seed):
        return initial_state - tf.gradients(energy_fn(initial_state), initial_state)[0]


@pytest.fixture
def linear(make):
    def build(**settings):
        energy = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        variational = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        return make(networks=(energy, variational), sampler=Descent(), **settings)

    return build


EACH = {"pool_size": 10, "batch_size": 10, "num_rounds": 5, "nomix": 0, "restart_probability": 0.0}


def moved(model, **settings):
    """How far the chains of two pools went, and what the weight was between the pools."""
    start = pooled_chains(model, 20, 3, ensemble=[[np.zeros((1, 1)), np.zeros(1)]], **EACH).samples
    between, ends = [], []
    for pool in pooled_chains_by_pool(model, 20, 3, **EACH, **settings):
        between.append(model.energy_network.get_weights()[0].item())
        ends.append(pool.samples)
    return (start - np.concatenate(ends))[:, 0], between


def test_an_ensemble_takes_turns_and_leaves_the_model_alone(linear):
    model = linear(buffer=None)
    own = model.energy_network.get_weights()[0].item()
    members = [[np.full((1, 1), w), np.zeros(1)] for w in (1.0, 10.0, 100.0)]
    distance, between = moved(model, ensemble=members)
    # Five rounds: 1, 10, 100, 1, 10. float32 of numbers about 100.
    np.testing.assert_allclose(distance, 122.0, atol=1e-4)
    assert between == [own, own]
    assert model.energy_network.get_weights()[0].item() == own


def test_the_weights_come_back_when_a_round_fails(linear):
    model = linear(buffer=None)
    own = model.energy_network.get_weights()[0].item()

    def stop(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        pooled_chains(model, 20, 3, ensemble=[[np.ones((1, 1)), np.ones(1)]], report=stop, **EACH)
    assert model.energy_network.get_weights()[0].item() == own


def test_averaged_weights_on_request(linear):
    model = linear(buffer=None, average_decay=0.9)
    own = model.energy_network.get_weights()[0].item()
    model.average.averages[0].assign([[3.0]])
    np.testing.assert_allclose(moved(model)[0], 5 * own, atol=1e-4)
    distance, between = moved(model, averaged=True)
    np.testing.assert_allclose(distance, 15.0, atol=1e-4)
    assert between == [own, own]


def test_it_refuses_weights_that_do_not_fit(linear):
    model = linear(buffer=None)
    with pytest.raises(
        ValueError, match=r"ensemble\[1\] must have .*received \[\(2, 1\), \(1,\)\]"
    ):
        good, bad = [np.ones((1, 1)), np.ones(1)], [np.ones((2, 1)), np.ones(1)]
        pooled_chains(model, 20, ensemble=[good, bad], **EACH)
    with pytest.raises(ValueError, match="at least one set of weights"):
        pooled_chains(model, 20, ensemble=[], **EACH)
    with pytest.raises(ValueError, match="averaged=True goes without an ensemble"):
        pooled_chains(model, 20, ensemble=[good], averaged=True, **EACH)
    with pytest.raises(ValueError, match="keeps no average"):
        pooled_chains(model, 20, averaged=True, **EACH)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "num_samples must be a whole number ≥ 1; received 0"),
        ({"pool_size": 0}, "pool_size must be a whole number ≥ 1; received 0"),
        ({"batch_size": 2000}, "batch_size must be at most pool_size=1000; received 2000"),
        ({"num_rounds": 9}, "num_rounds must be at least nomix=10.*received 9"),
        ({"batch_size": 10, "num_rounds": 99}, "the 100 in which every chain runs.*received 99"),
        ({"nomix": -1}, "nomix must be a whole number ≥ 0; received -1"),
        (
            {"restart_probability": 1.5},
            r"restart_probability must be a number in \[0, 1\]; received 1.5",
        ),
        ({"label_probability": -0.1}, "label_probability must be .*received -0.1"),
    ],
)
def test_it_refuses(settings, message):
    with pytest.raises(ValueError, match=message):
        pooled_chains(Counter(), **{"num_samples": 10, **settings})


def test_it_refuses_a_model_without_a_shape():
    model = Counter()
    model.sample_shape = None
    with pytest.raises(ValueError, match="no shape yet"):
        pooled_chains(model, 10)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [None, 3])
def test_ten_thousand_images_of_a_model_twice(make, classes):
    model = make(classes=classes)
    model.build((None, 4, 4, 1))
    settings = {"num_rounds": 8, "nomix": 2, "num_steps": 3, "restart_probability": 0.1}
    one, other = (pooled_chains(model, 10_000, (1, 2), **settings) for _ in range(2))
    assert one.samples.shape == (10_000, 4, 4, 1)
    np.testing.assert_array_equal(one.samples, other.samples)
    assert one.samples.min() >= 0.0
    assert one.samples.max() <= 1.0
    if classes:
        np.testing.assert_array_equal(one.labels, other.labels)
        assert set(one.labels) == {0, 1, 2}
    # The chains of the sampler, not noise: its energies are below those of the noise.
    noise = samplers.Langevin(num_steps=0)
    model.sampler, kernel = noise, model.sampler
    start = pooled_chains(model, 1000, (1, 2), num_rounds=2, nomix=0)
    model.sampler = kernel
    labels = (one.labels[:1000], start.labels) if classes else (None, None)
    ends, starts = model.energy(one.samples[:1000], labels[0]), model.energy(*start)
    assert float(tf.reduce_mean(ends)) < float(tf.reduce_mean(starts))
