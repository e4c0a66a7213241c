"""The ring, its 8-bit storage and its restarts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import ReplayBuffer
from tf_febm.recipes import ranges
from tf_febm.samplers import places, storage


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


class TestReplacement:
    def of_numbers(self, replacement, batches, size=20, capacity=50, **settings):
        """Write 0, 1, 2, … in batches; return what is there in the end."""
        buffer = ReplayBuffer(capacity, replacement=replacement, storage="float32", **settings)
        buffer.build((1,))
        write = tf.function(buffer.write, input_signature=[tf.TensorSpec([None, 1])])
        for k in range(batches):
            write(tf.range(size * k, size * (k + 1), dtype=tf.float32)[:, None])
        assert int(buffer.written) == size * batches
        return buffer, buffer.samples.numpy()[:, 0].astype(int)

    @pytest.mark.parametrize("replacement", ["random", "reservoir"])
    def test_until_it_is_full_nothing_is_lost(self, replacement):
        _, there = self.of_numbers(replacement, 2)
        assert there[:40].tolist() == list(range(40)) and not there[40:].any()

    def test_a_reservoir_is_a_uniform_draw_of_all_that_was_written(self):
        """A quarter of the stream holds a quarter of the places: 20 streams of other batches.

        A thousand places; four standard deviations of a binomial share, which is wider than that of
        draws without replacement.
        """
        quarters = np.zeros(4)
        for stream in range(20):
            buffer = ReplayBuffer(50, replacement="reservoir")
            buffer.build((1,))
            # Full at once, then batches of other sizes: other numbers of samples, other draws.
            buffer.write(tf.range(50.0)[:, None])
            size, number = stream % 7 + 4, 50
            while number < 500:
                last = min(number + size, 500)
                buffer.write(tf.range(number, last, dtype=tf.float32)[:, None])
                number = last
            there = buffer.samples.numpy()[:, 0]
            assert len(set(there)) == 50
            quarters += np.histogram(there, 4, (0, 500))[0]
        assert np.abs(quarters / 1000 - 0.25).max() < 4 * np.sqrt(0.25 * 0.75 / 1000)

    def test_ages_of_random_places_are_geometric(self):
        """A place outlives a batch of 20 in 50 with the chance 0.6; four binomial deviations."""
        _, there = self.of_numbers("random", 400)
        assert len(set(there)) == 50 and (there >= 20 * 399).sum() == 20
        ages = np.concatenate(
            [n - 1 - self.of_numbers("random", n)[1] // 20 for n in range(40, 60)]
        )
        for k in range(1, 5):
            expected = 0.6**k
            assert abs((ages >= k).mean() - expected) < 4 * np.sqrt(expected / len(ages))

    def test_labels_and_bad_samples_go_with_it(self):
        buffer = ReplayBuffer(8, replacement="reservoir", restart_probability=0.0)
        buffer.build((1,), num_classes=3)
        for k in range(30):
            labels = tf.constant([0, 1, 2, 1])
            samples = tf.cast(labels, tf.float32)[:, None] + 10.0
            samples = tf.where(tf.constant([[False]] * 3 + [[k % 2 == 1]]), np.nan, samples)
            buffer.write(samples, labels)
        assert int(buffer.written) == 105
        np.testing.assert_array_equal(buffer.samples[:, 0] - 10.0, buffer.labels)

    def test_a_restored_buffer_goes_on_as_the_first(self):
        first, _ = self.of_numbers("reservoir", 10)
        second = ReplayBuffer(50, replacement="reservoir")
        second.build((1,))
        second.load_state(first.state())
        for buffer in (first, second):
            buffer.write(tf.fill([20, 1], -1.0))
        np.testing.assert_array_equal(first.samples, second.samples)

    def test_images_move_between_chains(self):
        image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
        buffer = ReplayBuffer(1, 0.0, storage="float32", random_flip=True)
        buffer.build((4, 4, 1))
        buffer.write(tf.constant(image))
        start = buffer.start(tf.zeros([400, 4, 4, 1]), tf.constant([1, 2])).numpy()
        mirrored = (start == image[:, :, ::-1]).all(axis=(1, 2, 3))
        assert (mirrored | (start == image).all(axis=(1, 2, 3))).all()
        assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / 20
        # What is stored stays where it is.
        np.testing.assert_array_equal(buffer.samples, image)
        shifted = ReplayBuffer(1, 0.0, storage="float32", random_crop=1)
        shifted.build((4, 4, 1))
        shifted.write(tf.constant(image))
        corners = shifted.start(tf.zeros([200, 4, 4, 1]), tf.constant([1, 2]))[:, 1, 1, 0]
        assert set(corners.numpy().astype(int)) == {0, 1, 2, 4, 5, 6, 8, 9, 10}

    @pytest.mark.parametrize(
        ("settings", "shape", "message"),
        [
            (
                {"replacement": "newest"},
                (1,),
                "replacement must be .oldest., .random. or .reservoir.",
            ),
            ({"random_flip": True}, (3,), "are for images .* shape .3,.: leave them out"),
            ({"random_crop": 4}, (4, 5, 1), "less than the sides of an image, 4; received 4"),
            ({"random_crop": -1}, (4, 5, 1), "random_crop must be"),
        ],
    )
    def test_what_cannot_be(self, settings, shape, message):
        with pytest.raises(ValueError, match=message):
            ReplayBuffer(4, **settings).build(shape)

    def test_a_model_trains_with_all_of_it_and_keeps_it_in_its_file(self, tmp_path):
        network = tf_febm.networks.mlp((4, 4, 1), (4,), "swish", num_classes=2, name="energy")
        buffer = ReplayBuffer(12, 0.1, replacement="reservoir", random_flip=True, random_crop=1)
        sampler = tf_febm.samplers.Langevin(num_steps=1)
        model = tf_febm.ContrastiveDivergence(network, sampler=sampler, buffer=buffer, seed=0)
        model.compile()
        x = np.random.default_rng(0).random((32, 4, 4, 1)).astype("f4")
        model.fit(x, np.arange(32) % 2, batch_size=8, verbose=0)
        assert int(buffer.written) == 32
        model.save(tmp_path / "m.keras")
        loaded = keras.saving.load_model(tmp_path / "m.keras").buffer
        assert loaded.get_config() == buffer.get_config() and int(loaded.written) == 32
        np.testing.assert_array_equal(loaded.samples, buffer.samples)

    def test_recipes_know_the_same_names(self):
        """They are written out there: it takes TensorFlow to ask for them."""
        assert ranges.CHOICES["buffer_replacement"] == places.REPLACEMENTS
        assert ranges.CHOICES["buffer_storage"] == storage.STORAGES
