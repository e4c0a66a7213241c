"""The ring, its 8-bit storage and its restarts."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import ReplayBuffer


def filled(capacity, values, **kwargs):
    buffer = ReplayBuffer(capacity, **kwargs)
    buffer.build((1,))
    buffer.write(tf.constant(values, tf.float32)[:, None])
    return buffer


def test_the_oldest_samples_are_replaced():
    buffer = filled(5, [1, 2, 3, 4])
    assert int(buffer.size) == 4
    buffer.write(tf.constant([[5.0], [6.0], [7.0]]))
    assert int(buffer.size) == 5
    np.testing.assert_array_equal(buffer.samples[:, 0], [6, 7, 3, 4, 5])


def test_reading_is_uniform_over_what_is_there():
    """Counts of 40,000 draws from 4 values: binomial standard deviation 87, four of them."""
    buffer = filled(10, [0, 1, 2, 3])
    samples, labels = buffer.read(40_000, tf.constant([1, 2]))
    assert labels is None
    counts = np.bincount(samples.numpy()[:, 0].astype(int), minlength=4)
    assert np.all(np.abs(counts - 10_000) < 4 * np.sqrt(40_000 * 0.25 * 0.75))
    np.testing.assert_array_equal(samples, buffer.read(40_000, tf.constant([1, 2]))[0])


def test_restarts_come_with_their_probability():
    buffer = filled(4, [1, 1, 1, 1], restart_probability=0.05)
    start = buffer.start(tf.zeros([20_000, 1]), tf.constant([3, 4]))
    restarted = float(tf.reduce_mean(tf.cast(start == 0.0, tf.float32)))
    assert abs(restarted - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 20_000)


def test_all_chains_start_afresh_while_the_buffer_is_empty():
    buffer = ReplayBuffer(4, restart_probability=0.0)
    buffer.build((1,))
    np.testing.assert_array_equal(buffer.start(tf.ones([3, 1]), tf.constant([0, 0])), 1.0)


def test_works_compiled_and_in_one_trace():
    buffer = ReplayBuffer(6, restart_probability=0.0)
    buffer.build((2,))

    @tf.function(input_signature=[tf.TensorSpec([None, 2]), tf.TensorSpec([2], tf.int32)])
    def cycle(x, seed):
        start = buffer.start(x, seed)
        buffer.write(start + 1.0)
        return start

    for step in range(4):
        cycle(tf.zeros([4 if step % 2 else 3, 2]), tf.constant([0, step]))
    assert cycle.experimental_get_tracing_count() == 1
    assert int(buffer.size) == 6
    assert buffer.samples.numpy().max() > 1.0


def test_state_round_trip():
    buffer = filled(5, [1, 2, 3])
    other = ReplayBuffer(5)
    other.build((1,))
    other.load_state(buffer.state())
    assert int(other.written) == 3
    np.testing.assert_array_equal(other.samples, buffer.samples)


def test_it_refuses_what_it_cannot_hold():
    buffer = filled(5, [1, 2])
    with pytest.raises(
        ValueError, match=r"samples must have the shape .* \('n', 1\); received \(1, 2\)"
    ):
        buffer.write(tf.zeros([1, 2]))
    with pytest.raises(ValueError, match="batch of 6 .* capacity 5"):
        buffer.write(tf.zeros([6, 1]))
    with pytest.raises(ValueError, match=r"built for .* received \(\(3,\), None, False\)"):
        buffer.build((3,))
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="capacity"):
            ReplayBuffer(bad)
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="restart_probability"):
            ReplayBuffer(10, bad)
