"""How samples are stored: codings, their law over many visits, and what is not finite."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import PersistentChains, ReplayBuffer, randomness
from tf_febm.samplers import Langevin

CODINGS = {
    "uint8": lambda u: np.minimum(np.floor(256 * u), 255),
    "uint8_published": lambda u: np.floor(255 * u),
}
IMAGE, VECTOR = (2, 2, 1), (3,)


def built(capacity, shape=VECTOR, bounds=None, num_classes=None, **settings):
    buffer = ReplayBuffer(capacity, **settings)
    buffer.build(shape, bounds, num_classes)
    return buffer


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("storage", CODINGS)
def test_codings(storage, bounds):
    low, high = bounds
    buffer = built(1000, IMAGE, bounds, storage=storage)
    assert buffer.samples.dtype == tf.uint8
    x = tf.random.stateless_uniform([1000, *IMAGE], (0, 1), low, high)
    buffer.write(x)
    unit = (x.numpy() - low) / (high - low)
    np.testing.assert_array_equal(buffer.samples, CODINGS[storage](unit))
    read = buffer.read(5000, tf.constant([0, 1]))[0].numpy()
    assert read.min() >= low and read.max() <= high
    # The noise makes the level within its 256th part uniform: mean 1/2 with deviation 1/√(12 n).
    phase = ((read - low) / (high - low) * 256) % 1.0
    assert abs(phase.mean() - 0.5) < 4 / np.sqrt(12 * phase.size)
    # Without noise it is the middle of that part, newest first.
    middle = low + (high - low) * (CODINGS[storage](unit) + 0.5) / 256
    np.testing.assert_allclose(buffer.newest(1000), middle[::-1], atol=1e-6)


@pytest.mark.parametrize(
    ("storage", "shape"),
    # "auto" is one of these: test_what_auto_is.
    [
        ("uint8", (1, 1, 1)),
        ("uint8_published", (1,)),
        # Samples as they are: of the sampler's law tests of the sampler tell.
        pytest.param("float32", (1,), marks=pytest.mark.thorough),
    ],
)
def test_chains_keep_their_law_over_many_visits(storage, shape):
    """E = x²/2 on (−4, 4), Eq. 5 with ε = 1e-3, ten steps a visit: the mean is 0.

    A visit multiplies it by a = (1 − ε/2)¹⁰. The published coding returns x − (x − low)/256, so
    that m becomes a(m − (m + 4)/256) at each visit, which ends at −1.75.
    """
    # Reading with replacement lets chains meet: their mean is as noisy as that of n/(1 + 1/(2 ·
    # 0.005)) = n/101 independent ones of variance 1.
    n, visits, last, deviation = 3000, 450, 150, np.sqrt(101 / 3000)
    buffer = built(n, shape, (-4.0, 4.0), restart_probability=0.0, storage=storage)
    sampler = Langevin.from_epsilon(1e-3, 10, bounds=(-4.0, 4.0))
    first = tf.random.stateless_normal([n, *shape], (1, 2))
    buffer.write(first)

    def energy(x):
        return 0.5 * tf.reduce_sum(tf.square(tf.reshape(x, [n, -1])), axis=1)

    @tf.function(autograph=False)
    def run():
        def body(k, means):
            start_seed, seed = tf.unstack(randomness.split(tf.stack([7, k]), 2))
            x = sampler(energy, buffer.start(first, start_seed), seed)
            buffer.write(x)
            return k + 1, means.write(k, tf.reduce_mean(x))

        means = tf.TensorArray(tf.float32, visits)
        return tf.while_loop(lambda k, _: k < visits, body, (tf.constant(0), means))[1].stack()

    expected = [0.0]
    for _ in range(visits):
        m = expected[-1]
        expected.append((1 - 0.0005) ** 10 * (m - (m + 4) / 256))
    assert np.mean(expected[-last:]) < -1.6
    right = np.mean(expected[-last:]) if storage == "uint8_published" else 0.0
    assert abs(np.mean(run().numpy()[-last:]) - right) < 4 * deviation


@pytest.mark.parametrize(
    ("shape", "bounds", "dtype"),
    [
        (VECTOR, (0.0, 1.0), tf.float32),
        (VECTOR, None, tf.float32),
        (IMAGE, None, tf.float32),
        ((28, 28), (0.0, 1.0), tf.uint8),
        (IMAGE, (-1.0, 1.0), tf.uint8),
        ((1, 1, 1), (-4.0, 4.0), tf.uint8),
    ],
)
def test_what_auto_is(shape, bounds, dtype):
    buffer = built(4, shape, bounds)
    assert buffer.samples.dtype == dtype
    assert buffer.bounds == bounds


def test_float32_keeps_samples_as_they_are():
    x = tf.random.stateless_uniform([50, *IMAGE], (0, 1), -0.1, 1.1)
    buffer = built(50, IMAGE, (0.0, 1.0), storage="float32")
    buffer.write(x)
    np.testing.assert_array_equal(buffer.newest(50), x[::-1])


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.float64])
def test_samples_of_other_precisions_are_coded_in_float32(dtype):
    """Values that each type has exactly must land in their own cells."""
    x = tf.cast(tf.range(0.5, 256.0) / 256.0, dtype)[:, None, None]
    buffer = built(256, (1, 1), (0.0, 1.0))
    buffer.write(x)
    exact = np.minimum(np.floor(256 * tf.cast(x, tf.float64).numpy()), 255)
    np.testing.assert_array_equal(buffer.samples, exact)


@pytest.mark.parametrize("compiled", [False, True, "xla"])
@pytest.mark.parametrize("storage", ["uint8", "uint8_published", "float32"])
def test_chains_that_are_not_finite_take_no_place(storage, compiled):
    """Of chains 1 … 6 the second, fourth and fifth are broken; labels go with their chains."""
    buffer = built(4, (1, 1), (0.0, 8.0), num_classes=10, storage=storage)
    x = np.arange(1.0, 7.0, dtype=np.float32)[:, None, None] + 0.01
    x[1], x[3], x[4] = np.nan, np.inf, -np.inf

    def write():
        buffer.write(tf.constant(x[:4]), tf.range(1, 5))
        buffer.write(tf.constant(x[3:5]), tf.range(4, 6))
        buffer.write(tf.constant(x[5:]), tf.range(6, 7))

    if compiled:
        write = tf.function(write, autograph=False, jit_compile=compiled == "xla")
    write()
    assert int(buffer.written) == int(buffer.size) == 3
    np.testing.assert_allclose(buffer.newest(4)[:, 0, 0], [6, 3, 1], atol=8 / 256)
    np.testing.assert_array_equal(buffer.labels, [1, 3, 6, 0])
    write()
    # Around the ring: 1 came to the last place and 3, 6 to the first two.
    assert int(buffer.written) == 6
    np.testing.assert_array_equal(buffer.labels, [3, 6, 6, 1])
    np.testing.assert_allclose(buffer.newest(4)[:, 0, 0], [6, 3, 1, 6], atol=8 / 256)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_broken_persistent_chain_keeps_its_slot_and_shows(value):
    chains = PersistentChains(4)
    chains.build((2,), (0.0, 1.0))
    x = np.full((4, 2), 0.5, np.float32)
    x[2, 1] = value
    chains.write(tf.constant(x))
    np.testing.assert_array_equal(chains.start(tf.zeros([4, 2]), tf.constant([0, 0])), x)


@pytest.mark.parametrize("buffer", [ReplayBuffer(64), PersistentChains(64)])
def test_metrics_of_training_show_broken_chains(buffer):
    """Data are far from the one point, where the energy of any chain becomes NaN."""

    def breaking(energy_fn, initial_state, seed, **options):
        return tf.fill(tf.shape(initial_state), np.nan)

    breaking.bounds = (0.0, 1.0)
    network = tf_febm.networks.mlp((4, 4, 1), (8,))
    model = tf_febm.ContrastiveDivergence(network, sampler=breaking, buffer=buffer, seed=0)
    model.compile(run_eagerly=True)
    history = model.fit(np.full((8, 4, 4, 1), 0.5, np.float32), batch_size=8, verbose=0)
    assert np.isnan(history.history["energy_model"][-1])


def test_samplers_of_the_same_bounds_may_follow_each_other():
    """The bounds of persistent chains are those they were built with."""
    for buffer in (PersistentChains(16), ReplayBuffer(16)):
        network = tf_febm.networks.mlp((2,), (8,))
        sampler = Langevin(num_steps=2, bounds=(-2.0, 2.0))
        model = tf_febm.ContrastiveDivergence(network, sampler=sampler, buffer=buffer, seed=0)
        model.compile(run_eagerly=True)
        model.fit(np.zeros((8, 2), np.float32), batch_size=8, verbose=0)
        assert buffer.bounds == (-2.0, 2.0)
        model.sampler = Langevin(num_steps=3, bounds=(-2.0, 2.0))
        model.fit(np.zeros((8, 2), np.float32), batch_size=8, verbose=0)
        with pytest.raises(ValueError, match=r"bounds \(-2.0, 2.0\); received .*\(0.0, 1.0\)"):
            model.sampler = Langevin()


@pytest.mark.parametrize("storage", ["auto", "uint8", "uint8_published", "float32"])
def test_config_and_state_round_trip(storage):
    buffer = built(5, IMAGE, (0.0, 1.0), storage=storage)
    buffer.write(tf.random.stateless_uniform([3, *IMAGE], (0, 1)))
    other = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(buffer))
    assert other.storage == storage
    other.build(IMAGE, (0.0, 1.0))
    other.load_state(buffer.state())
    np.testing.assert_array_equal(other.newest(5), buffer.newest(5))


def test_a_config_without_storage_is_of_an_earlier_version():
    """These stored bounded vectors in bytes: they come back as the centres of their cells."""
    old = built(5, (1,), (0.0, 1.0), storage="uint8_published")
    old.write(tf.constant([[0.5], [1.0]]))
    new = ReplayBuffer.from_config({"capacity": 5, "restart_probability": 0.05})
    new.build((1,), (0.0, 1.0))
    new.load_state(old.state())
    np.testing.assert_allclose(new.newest(2)[:, 0], [255.5 / 256, 127.5 / 256])


@pytest.mark.parametrize(("mine", "theirs"), [("uint8", "float32"), ("float32", "uint8")])
def test_states_of_another_storage_are_refused(mine, theirs, tmp_path):
    own, other = (built(5, IMAGE, (0.0, 1.0), storage=s) for s in (mine, theirs))
    other.write(tf.zeros([2, *IMAGE]))
    with pytest.raises(ValueError, match=f"in {theirs}; this one keeps .* in {mine}: give it"):
        own.load_state(other.state())

    def model(storage):
        network = tf_febm.networks.mlp(IMAGE, (8,))
        buffer = ReplayBuffer(20, storage=storage)
        model = tf_febm.ContrastiveDivergence(network, buffer=buffer, seed=0)
        model.compile()
        model.build((None, *IMAGE))
        return model

    tf_febm.training.Checkpoints(tmp_path, model(theirs)).save()
    message = f"first buffer/0 with shape .* {theirs} there and .* {mine} here. Give the buffer"
    with pytest.raises(ValueError, match=message):
        tf_febm.training.Checkpoints(tmp_path, model(mine)).restore()


def test_a_larger_buffer_takes_what_is_there_and_reads_nothing_else():
    """More were written than are kept: the places behind them hold nothing yet."""
    small, large = built(3), built(8)
    for k in range(1, 6):
        small.write(tf.fill([1, *VECTOR], float(k)))
    large.load_state(small.state())
    assert int(large.size) == 3 and int(large.written) == 3
    np.testing.assert_array_equal(large.newest(8)[:, 0], [5.0, 4.0, 3.0])
    assert {*large.read(50, (0, 1))[0][:, 0].numpy()} == {3.0, 4.0, 5.0}
    large.write(tf.fill([1, *VECTOR], 6.0))
    np.testing.assert_array_equal(large.newest(8)[:, 0], [6.0, 5.0, 4.0, 3.0])


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"written": np.int64(-5)}, "3 samples, of -5 that were written"),
        ({"written": np.int64(2)}, "3 samples, of 2 that"),
        ({"written": np.float32(3)}, "3 samples, of 3.0 that"),
        ({"written": np.arange(3)}, "that were written: it is damaged"),
        ({"written": np.uint64(2**63)}, "that were written: it is damaged"),
        ({"samples": np.zeros((0, *VECTOR), "float32")}, "none of 3 samples"),
        ({"samples": np.full((3, *VECTOR), np.nan, "float32")}, "NaN or infinity"),
        ({"labels": np.array([0, 1, 2])}, r"labels from 0 to 2; this one keeps labels in 0 … 1"),
        ({"labels": np.array([0, -1, 1])}, "labels from -1 to 1"),
        ({"labels": np.array([1])}, "integers 'labels', one for each of 3"),
        ({"labels": np.array([0.5, 1.0, 0.0])}, "integers 'labels'"),
        ({"written": None}, "no 'written'"),
    ],
)
def test_states_that_no_buffer_has(part, message):
    buffer = built(5, num_classes=2)
    buffer.write(tf.zeros([3, *VECTOR]), tf.constant([0, 1, 0]))
    state = {name: array for name, array in (buffer.state() | part).items() if array is not None}
    with pytest.raises(ValueError, match=message):
        built(5, num_classes=2).load_state(state)


def test_more_places_than_a_tensor_can_have():
    with pytest.raises(ValueError, match="there is no memory"):
        built(2**62)


def test_it_refuses():
    with pytest.raises(ValueError, match="storage must be one of auto, .*; received 'int8'"):
        ReplayBuffer(5, storage="int8")
    for storage in CODINGS:
        with pytest.raises(ValueError, match=f"storage='{storage}' needs bounds"):
            built(5, IMAGE, storage=storage)
    with pytest.raises(ValueError, match="call build before load_state"):
        ReplayBuffer(5).load_state(built(5).state())
    with pytest.raises(ValueError, match="has 3 samples; this one takes up to 2"):
        full = built(3)
        full.write(tf.zeros([3, *VECTOR]))
        built(2).load_state(full.state())
    with pytest.raises(ValueError, match="has no labels; this one keeps labels"):
        built(5, num_classes=2).load_state(built(5).state())
