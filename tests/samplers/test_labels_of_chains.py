"""Where chains of a conditional model start: in stored samples of their own label."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm.samplers import PersistentChains, ReplayBuffer

SEED = tf.constant([1, 2])


def filled(buffer, labels, num_classes=3):
    """Return a buffer whose sample of label y, written as the i-th, is (y, i)."""
    buffer.build((2,), None, num_classes)
    labels = np.asarray(labels, "int32")
    buffer.write(tagged(labels), tf.constant(labels))
    return buffer


def tagged(labels, first=0):
    numbers = np.arange(first, first + len(labels))
    return tf.constant(np.stack([labels, numbers], axis=1).astype("float32"))


def fresh(n):
    return tf.fill([n, 2], -1.0)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_chain_starts_in_a_sample_of_its_label(compiled):
    buffer = filled(ReplayBuffer(50, 0.0), [0] * 20 + [1] * 3 + [2] * 7)
    start = tf.function(buffer.start) if compiled else buffer.start
    labels = tf.constant(np.repeat([0, 1, 2], 40), tf.int32)
    begun = start(fresh(120), SEED, labels).numpy()
    np.testing.assert_array_equal(begun[:, 0], labels)
    # With replacement, from all that there are: 40 draws out of 3 and 7 miss none.
    assert set(begun[40:80, 1]) == {20, 21, 22}
    assert set(begun[80:, 1]) == set(range(23, 30))


def test_draws_within_a_label_are_uniform():
    """4,000 draws of each of four samples: χ² with three degrees of freedom, 99.9 % below 16.3."""
    buffer = filled(ReplayBuffer(20, 0.0), [1, 0, 1, 1, 0, 1])
    begun = buffer.start(fresh(16_000), SEED, tf.ones([16_000], tf.int32)).numpy()
    counts = np.unique(begun[:, 1], return_counts=True)[1]
    assert len(counts) == 4
    assert np.sum((counts - 4000) ** 2 / 4000) < 16.3


def test_a_label_without_samples_begins_afresh():
    buffer = filled(ReplayBuffer(50, 0.0), [0, 2, 2])
    begun = buffer.start(fresh(4), SEED, tf.constant([0, 1, 2, 1])).numpy()
    np.testing.assert_array_equal(begun[:, 0], [0, -1, 2, -1])
    np.testing.assert_array_equal(buffer.holds(tf.constant([0, 1, 2])), [True, False, True])


def test_an_empty_buffer_begins_afresh():
    buffer = ReplayBuffer(5, 0.0)
    buffer.build((2,), None, 3)
    np.testing.assert_array_equal(buffer.start(fresh(2), SEED, tf.constant([0, 1])), fresh(2))


def test_the_published_way_takes_any_sample():
    buffer = filled(ReplayBuffer(50, 0.0, match_labels=False), [0] * 10 + [1] * 10)
    begun = buffer.start(fresh(200), SEED, tf.zeros([200], tf.int32)).numpy()
    # 100 of 200 expected, standard deviation 7.
    assert 70 < np.sum(begun[:, 0] == 1) < 130


def test_reading_by_label():
    buffer = filled(ReplayBuffer(50), [0, 1, 1])
    samples, labels = buffer.read(3, SEED, tf.constant([1, 0, 1]))
    np.testing.assert_array_equal(labels, [1, 0, 1])
    np.testing.assert_array_equal(samples[:, 0], [1, 0, 1])


def step(chains, labels, mark, start=None, write=None):
    """Take one step, whose chains end at (label, mark)."""
    labels = np.asarray(labels, "int32")
    begun = (start or chains.start)(fresh(len(labels)), SEED, tf.constant(labels)).numpy()
    ends = np.stack([labels, np.full(len(labels), mark)], axis=1).astype("float32")
    (write or chains.write)(tf.constant(ends), tf.constant(labels))
    return begun


def test_persistent_chains_go_on_with_their_label_the_longest_waiting_first():
    chains = PersistentChains(6)
    chains.build((2,), None, 2)
    step(chains, [0, 1, 0], 1)
    assert (step(chains, [1, 0, 1], 2) == -1).all(), "empty slots are filled first"
    # Of label 0 there are two chains that ended at 1 and one at 2.
    np.testing.assert_array_equal(step(chains, [0, 0, 1], 3), [[0, 1], [0, 1], [1, 1]])
    np.testing.assert_array_equal(step(chains, [0, 1, 1], 4), [[0, 2], [1, 2], [1, 2]])
    assert sorted(chains.labels.numpy()) == [0, 0, 0, 1, 1, 1]


def test_more_of_a_label_than_there_are_chains_are_copies():
    chains = PersistentChains(4)
    chains.build((2,), None, 2)
    step(chains, [0, 0, 0, 1], 1)
    begun = step(chains, [1, 1, 0, 1], 2)
    np.testing.assert_array_equal(begun, [[1, 1], [1, 1], [0, 1], [1, 1]])
    # The numbers of chains follow those of the labels; each slot is taken once.
    assert sorted(chains.labels.numpy()) == [0, 1, 1, 1]
    np.testing.assert_array_equal(np.sort(chains.samples.numpy()[:, 1]), [2, 2, 2, 2])


def test_a_label_without_a_chain_begins_afresh():
    chains = PersistentChains(3)
    chains.build((2,), None, 3)
    step(chains, [0, 0, 1], 1)
    np.testing.assert_array_equal(step(chains, [2, 0, 1], 2), [[-1, -1], [0, 1], [1, 1]])


@pytest.mark.parametrize("batch", [pytest.param(3, marks=pytest.mark.thorough), 7])
def test_slots_are_never_taken_twice(batch):
    """By brute force: after each write as many slots as the batch is long have the new mark."""
    rng = np.random.default_rng(batch)
    chains = PersistentChains(7)
    chains.build((2,), None, 4)
    compiled = tf.function(chains.start), tf.function(chains.write)
    for mark in range(1, 60):
        labels = rng.choice(4, batch, p=[0.6, 0.25, 0.1, 0.05])
        before = set(map(tuple, chains.samples.numpy()[: int(chains.size)]))
        begun = step(chains, labels, mark, *compiled)
        samples, kept = chains.samples.numpy(), chains.labels.numpy()
        newest = samples[:, 1] == mark
        assert newest.sum() == batch
        np.testing.assert_array_equal(np.sort(kept[newest]), np.sort(labels))
        np.testing.assert_array_equal(samples[: int(chains.size), 0], kept[: int(chains.size)])
        for label, start in zip(labels, begun, strict=True):
            assert start[0] == -1 or (start[0] == label and tuple(start) in before)


def test_compiled_and_eager_take_the_same_chains():
    results = []
    for wrap in (lambda f: f, tf.function):
        chains = PersistentChains(8)
        chains.build((2,), None, 3)
        start, write = wrap(chains.start), wrap(chains.write)
        rng = np.random.default_rng(0)
        for mark in range(10):
            labels = tf.constant(rng.integers(0, 3, 5), tf.int32)
            start(fresh(5), SEED, labels)
            write(tagged(labels.numpy(), 5 * mark), labels)
        results.append(chains.state())
    for name, value in results[0].items():
        np.testing.assert_array_equal(value, results[1][name])


def test_state_comes_back_with_the_order_of_the_chains():
    chains = PersistentChains(4)
    chains.build((2,), None, 2)
    for mark in range(3):
        step(chains, [0, 1, 0], mark)
    other = PersistentChains.from_config(chains.get_config())
    other.build((2,), None, 2)
    other.load_state(chains.state())
    np.testing.assert_array_equal(step(other, [0, 1, 1], 9), step(chains, [0, 1, 1], 9))
    np.testing.assert_array_equal(other.newest(3), chains.newest(3))


@pytest.mark.parametrize("make", [lambda: ReplayBuffer(9), lambda: PersistentChains(9)])
def test_xla_takes_them(make):
    """Every shape is known: nothing of a size that only the data tell."""
    buffer = make()
    buffer.build((2,), None, 3)
    start = tf.function(buffer.start, jit_compile=True)
    write = tf.function(buffer.write, jit_compile=True)
    for mark in range(4):
        labels = tf.constant([0, 2, 2, 1, 0])
        begun = start(fresh(5), SEED, labels).numpy()
        assert ((begun[:, 0] == labels.numpy()) | (begun[:, 0] == -1.0)).all()
        write(tagged(labels.numpy(), 5 * mark), labels)
    assert int(buffer.written) == 20


def test_files_without_the_order_of_the_chains_are_read():
    """As earlier versions wrote them: chains go on in the order of the ring."""
    chains = PersistentChains(4)
    chains.build((2,), None, 2)
    for mark in range(3):
        step(chains, [0, 0, 1], mark)
    state = {name: value for name, value in chains.state().items() if name != "turn"}
    other = PersistentChains(4)
    other.build((2,), None, 2)
    other.load_state(state)
    # Nine were written, so the ring goes on at slot 1.
    assert np.argsort(other._part("turn").numpy()).tolist() == [1, 2, 3, 0]
