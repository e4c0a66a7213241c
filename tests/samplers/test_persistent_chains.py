"""Chains that go on where they ended: the window, the precision, the state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import PersistentChains, ReplayBuffer

SEED = tf.constant([1, 2])


def built(num_chains, shape=(1,), **kwargs):
    chains = PersistentChains(num_chains, **kwargs)
    chains.build(shape)
    return chains


def test_the_window_rotates_and_every_chain_continues():
    """Chain i holds 100 i plus its steps. After 12 steps of 3 in 5 chains: 36 moves."""
    chains = built(5)
    moves = np.zeros(5, int)
    for step in range(12):
        slots = (3 * step + np.arange(3)) % 5
        start = chains.start(tf.constant(100.0 * slots, tf.float32)[:, None], SEED)
        np.testing.assert_array_equal(start[:, 0], 100 * slots + moves[slots])
        chains.write(start + 1.0)
        moves[slots] += 1
    np.testing.assert_array_equal(chains.samples[:, 0], 100 * np.arange(5) + moves)
    assert int(chains.written) == 36 and int(chains.size) == 5


def test_chains_that_have_not_begun_are_fresh():
    chains = built(4)
    chains.write(tf.ones([3, 1]))
    start = chains.start(tf.fill([3, 1], 7.0), SEED)
    np.testing.assert_array_equal(start[:, 0], [7, 1, 1])
    np.testing.assert_array_equal(chains.read(50, SEED)[0], 1.0)


def test_states_are_exact_in_float32_even_with_bounds():
    chains = PersistentChains(8)
    chains.build((2, 2), bounds=(0.0, 1.0))
    chains.build((2, 2), bounds=(0.0, 1.0))
    x = tf.random.stateless_uniform([8, 2, 2], (0, 1), -0.1, 1.1)
    chains.write(x)
    start = chains.start(tf.zeros_like(x), SEED)
    np.testing.assert_array_equal(start, x)


def test_restarts_come_with_their_probability():
    chains = built(20_000, restart_probability=0.05)
    chains.write(tf.ones([20_000, 1]))
    start = chains.start(tf.zeros([20_000, 1]), SEED)
    restarted = float(tf.reduce_mean(1.0 - start))
    assert abs(restarted - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 20_000)


def test_works_compiled_and_in_one_trace():
    chains = built(6, (2,))

    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def cycle(x):
        start = chains.start(x, SEED)
        chains.write(start + 1.0)

    for count in (4, 3, 5):
        cycle(tf.zeros([count, 2]))
    assert cycle.experimental_get_tracing_count() == 1
    np.testing.assert_array_equal(chains.samples[:, 0], 2.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="more examples than the 6"):
        cycle(tf.zeros([7, 2]))


def test_state_and_config_round_trip():
    chains = built(5, restart_probability=0.25)
    chains.write(tf.constant([[1.0], [2.0], [3.0]]))
    config = keras.saving.serialize_keras_object(chains)
    other = keras.saving.deserialize_keras_object(config)
    assert isinstance(other, PersistentChains) and isinstance(other, ReplayBuffer)
    assert (other.capacity, other.restart_probability) == (5, 0.25)
    other.build((1,))
    other.load_state(chains.state())
    for mine, theirs in zip(other.variables, chains.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    # The window goes on at the fourth chain; it and the fifth have not begun.
    for one in (chains, other):
        one.restart_probability = 0.0
        start = one.start(tf.zeros([4, 1]), SEED)
        np.testing.assert_array_equal(start[:, 0], [0, 0, 1, 2])


def test_bad_arguments():
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="num_chains"):
            PersistentChains(bad)
    with pytest.raises(ValueError, match="restart_probability"):
        PersistentChains(3, 1.5)
    with pytest.raises(ValueError, match="batch of 6 .* capacity 5"):
        built(5).write(tf.zeros([6, 1]))
    with pytest.raises(ValueError, match="received"):
        built(5).build((2,))
