import itertools
import math
import time

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import data


def numbered(count, shape=(2, 2, 1), labels=True):
    """Images whose pixels all say the row number, and the row number as label."""
    rows = np.arange(count)
    images = np.broadcast_to(rows.reshape(-1, 1, 1, 1), (count, *shape)).astype(np.uint8)
    return data.ImageData(
        "numbered", images, rows.astype(np.int32) if labels else None, count if labels else None
    )


def rows_of(dataset, steps):
    return np.concatenate([labels.numpy() for _, labels in dataset.take(steps)])


def batches(dataset, steps):
    return [batch.numpy() for batch in dataset.take(steps)]


@pytest.mark.parametrize(("count", "batch_size"), [(12, 4), (10, 4), (7, 7), (5, 12), (1, 3)])
def test_every_epoch_visits_each_image_once(count, batch_size):
    # Batches that divide the epoch, straddle two, equal one, and hold several.
    epochs = 6
    dataset = data.stream(numbered(count), batch_size, seed=5, conditional=True)
    rows = rows_of(dataset, math.ceil(epochs * count / batch_size))[: epochs * count]
    for epoch in rows.reshape(epochs, count):
        assert sorted(epoch) == list(range(count))


def test_epochs_differ_and_their_order_is_uniform():
    # 3! = 6 orders over 1,200 epochs: chi-square with 5 degrees of freedom stays below 20.5 with
    # probability 0.999.
    dataset = data.stream(numbered(3), 300, seed=1, conditional=True)
    orders = rows_of(dataset, 12).reshape(-1, 3)
    counts = [np.all(orders == order, axis=1).sum() for order in itertools.permutations(range(3))]
    assert sum(counts) == 1200
    assert sum((c - 200) ** 2 / 200 for c in counts) < 20.5


def test_neighbours_in_one_epoch_are_not_neighbours_in_all():
    # A shuffle of poor quality keeps pairs together: image 0 must be followed by many others.
    orders = rows_of(data.stream(numbered(100), 1000, conditional=True), 20).reshape(-1, 100)
    following = {row[(list(row).index(0) + 1) % 100] for row in orders}
    # 200 draws from 99 leave 99·(1 − (1 − 1/99)^200) ≈ 86 distinct values, standard deviation 3.
    assert len(following) > 74


def test_pixels_belong_to_their_labels():
    x, labels = next(iter(data.stream(numbered(200), 64, conditional=True)))
    np.testing.assert_array_equal(np.floor(x.numpy() * 256)[:, 0, 0, 0], labels.numpy())


# Starts inside the first epoch, at its end and behind it, for batches that straddle epochs, divide
# them and hold several.
@pytest.mark.parametrize(
    ("count", "batch_size", "noise_stddev", "starts"),
    [(10, 4, 0.1, (1, 5, 23)), (8, 4, 0.0, (1, 4)), (3, 8, 0.1, (4, 23))],
)
def test_resumes_exactly(count, batch_size, noise_stddev, starts):
    options = {"seed": 3, "noise_stddev": noise_stddev}
    source = numbered(count, labels=False)
    whole = batches(data.stream(source, batch_size, **options), 26)
    for start in starts:
        resumed = data.stream(source, batch_size, start_step=start, **options)
        np.testing.assert_array_equal(whole[start : start + 3], batches(resumed, 3))


def test_starts_late_without_delay():
    dataset = data.stream(numbered(10), 4, start_step=10**15, conditional=True)
    begin = time.monotonic()
    assert sorted(rows_of(dataset, 5)) == sorted(2 * list(range(10)))
    assert time.monotonic() - begin < 5


def test_repeats_with_the_seed_and_only_with_it():
    source = numbered(50, labels=False)
    first, again = (batches(data.stream(source, 20, seed=9), 4) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    # Seeds that agree in their lower 32 bits are different seeds.
    for other in (8, 9 + 2**32):
        assert not np.array_equal(first, batches(data.stream(source, 20, seed=other), 4))


def test_labels_do_not_change_the_images():
    source = numbered(50)
    pairs = data.stream(source, 20, conditional=True)
    np.testing.assert_array_equal(
        [x for x, _ in pairs.take(3)], batches(data.stream(source, 20), 3)
    )


def test_every_step_and_image_has_its_own_dequantisation():
    source = data.ImageData("black", np.zeros((4, 8, 8, 3), np.uint8))
    values = np.concatenate(batches(data.stream(source, 4), 3)).ravel()
    # 2,304 draws from 65,536 values: 40 coincide in expectation, standard deviation 6.
    assert len(np.unique(values)) > values.size - 80


def test_form_of_the_elements():
    source = numbered(10, (3, 5, 2))
    plain, pairs = data.stream(source, 4), data.stream(source, 4, conditional=True)
    x, labels = pairs.element_spec
    assert plain.element_spec == x == tf.TensorSpec([4, 3, 5, 2], tf.float32)
    assert labels == tf.TensorSpec([4], tf.int32)
    for dataset in (plain, pairs):
        assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY


def test_black_and_white_stay_in_the_unit_interval():
    images = np.zeros((2, 64, 64, 3), np.uint8)
    images[1] = 255
    for noise_stddev in (0.0, 0.3):
        for x in batches(data.stream(data.ImageData("x", images), 8, noise_stddev=noise_stddev), 4):
            assert x.min() >= 0.0
            assert x.max() <= 1.0
            assert np.isfinite(x).all()


def test_noise_has_its_standard_deviation():
    images = np.full((16, 32, 32, 1), 128, np.uint8)
    (x,) = batches(data.stream(data.ImageData("grey", images), 16, noise_stddev=0.05), 1)
    # n = 16,384, no clipping (ten standard deviations off); the variance of the dequantisation is
    # 1/(12·256²). The mean is (128 + 1/2)/256; tolerances are five standard errors.
    sigma = math.sqrt(0.05**2 + 1 / (12 * 256**2))
    assert abs(x.mean() - 128.5 / 256) < 5 * sigma / math.sqrt(x.size)
    assert abs(x.std() - sigma) < 5 * sigma / math.sqrt(2 * x.size)


def test_noise_that_is_not_clipped_is_gaussian_on_black_pixels_too():
    black = data.ImageData("black", np.zeros((16, 32, 32, 1), np.uint8))
    (x,) = batches(data.stream(black, 16, noise_stddev=0.25, clip_noise=False), 1)
    # As above, for standard deviations and means of n = 16,384 numbers.
    sigma = math.sqrt(0.25**2 + 1 / (12 * 256**2))
    assert abs(x.mean() - 0.5 / 256) < 5 * sigma / math.sqrt(x.size)
    assert abs(x.std() - sigma) < 5 * sigma / math.sqrt(2 * x.size)


def test_dequantisation_fills_its_interval_exactly():
    images = np.repeat(np.arange(256, dtype=np.uint8), 4096)
    x = data.dequantise(images, seed=4).numpy()
    assert x.dtype == np.float32
    np.testing.assert_array_equal(np.floor(x.astype(np.float64) * 256), images)
    assert x.max() < 1.0
    # u ~ U[0, 1) has mean 1/2 and variance 1/12; n = 2²⁰, tolerance five standard errors (those of
    # the variance from the fourth moment: Var (u − 1/2)² = 1/180).
    u = x.astype(np.float64) * 256 - images
    assert abs(u.mean() - 0.5) < 5 * math.sqrt(1 / 12 / u.size)
    assert abs(u.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / u.size)


def test_dequantisation_is_a_function_of_its_seed():
    images = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    one = data.dequantise(images, seed=1).numpy()
    np.testing.assert_array_equal(one, data.dequantise(tf.constant(images), seed=1))
    np.testing.assert_array_equal(
        one, tf.function(lambda x: data.dequantise(x, seed=1))(tf.constant(images))
    )
    assert not np.array_equal(one, data.dequantise(images, seed=2))
    np.testing.assert_array_equal(
        data.dequantise(images, seed=(1, 2)), data.dequantise(images, seed=[1, 2])
    )


@pytest.mark.parametrize("images", [np.zeros(3), [1, 2], np.zeros(3, np.int32), None])
def test_dequantisation_takes_8_bits_only(images):
    with pytest.raises(TypeError, match="images must be a uint8 array; received"):
        data.dequantise(images)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, r"batch_size must be a whole number ≥ 1 and < 2147483648; received 0"),
        ({"batch_size": 2.5}, r"batch_size must be a whole number .*received 2.5"),
        ({"batch_size": True}, r"batch_size must be a whole number .*received True"),
        ({"seed": -1}, r"seed must be a whole number ≥ 0 .*received -1"),
        ({"seed": 2**63}, rf"seed must be a whole number ≥ 0 and < {2**63}; received"),
        ({"seed": None}, r"seed must be a whole number .*received None"),
        ({"start_step": -1}, r"start_step must be a whole number ≥ 0 .*received -1"),
        ({"start_step": 2**61}, r"start_step must be a whole number ≥ 0 and < "),
        ({"noise_stddev": -0.1}, r"noise_stddev must be a finite number ≥ 0; received -0.1"),
        ({"noise_stddev": float("nan")}, r"noise_stddev must be a finite number.*nan"),
        ({"noise_stddev": float("inf")}, r"noise_stddev must be a finite number.*inf"),
        ({"noise_stddev": "much"}, r"noise_stddev must be a finite number .*received 'much'"),
        ({"conditional": True}, r"conditional=True needs labels; received ImageData"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.stream(numbered(5, labels=False), **({"batch_size": 2} | arguments))


def test_takes_image_data_only():
    with pytest.raises(TypeError, match="received ndarray"):
        data.stream(numbered(5).images, 2)


def test_numpy_integers_are_integers():
    source = numbered(5, labels=False)
    np.testing.assert_array_equal(
        batches(data.stream(source, np.int64(2), seed=np.int32(1), start_step=np.int64(3)), 2),
        batches(data.stream(source, 2, seed=1, start_step=3), 2),
    )


def test_same_batches_inside_a_function():
    source = numbered(20, labels=False)

    @tf.function
    def total():
        result = 0.0
        for x in data.stream(source, 8, seed=2).take(3):
            result += tf.reduce_sum(x)
        return result

    # Sums of 96 numbers below 1 in another order: float32 leaves 96 · 2⁻²⁴ · 96 ≈ 5e-4 at most.
    expected = np.sum(batches(data.stream(source, 8, seed=2), 3))
    assert abs(float(total()) - expected) < 5e-4


def test_pixels_are_not_in_the_graph():
    source = data.ImageData("large", np.zeros((500, 64, 64, 1), np.uint8))

    @tf.function
    def first():
        return next(iter(data.stream(source, 2)))

    assert first.get_concrete_function().graph.as_graph_def().ByteSize() < 100_000


def test_no_thread_tunes_a_stream():
    """See `without_tuning`: with the tuning thread, ends would wait for it."""
    dataset = data.without_tuning(tf.data.Dataset.range(3).prefetch(1))
    assert dataset.options().autotune.enabled is False
    assert list(dataset.as_numpy_iterator()) == [0, 1, 2]
    assert data.stream(data.load("digits"), 8, seed=0).options().autotune.enabled is False
