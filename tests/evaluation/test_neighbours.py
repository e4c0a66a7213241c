"""Nearest neighbours against brute force, and the common scale of images."""

import numpy as np
import pytest

from tf_febm import evaluation


def brute_force(samples, reference, k):
    differences = samples.astype(np.float64)[:, None] - reference.astype(np.float64)[None]
    distances = np.sqrt((differences**2).sum(axis=(2, 3, 4)))
    indices = distances.argsort(axis=1)[:, :k]
    return indices, np.take_along_axis(distances, indices, axis=1)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_agrees_with_brute_force(k):
    generator = np.random.default_rng(0)
    samples = generator.random((30, 6, 5, 3), dtype=np.float32)
    reference = generator.random((50, 6, 5, 3), dtype=np.float32)
    found = evaluation.nearest_neighbours(samples, reference, k)
    indices, distances = brute_force(samples, reference, k)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-12)
    assert found.distances.dtype == np.float64


def test_copies_are_at_distance_zero(digits):
    train, _ = digits
    rows = np.array([7, 300, 11])
    copies = evaluation.to_unit_interval(train.images[rows])
    found = evaluation.nearest_neighbours(copies, train.images, k=2)
    np.testing.assert_array_equal(found.distances[:, 0], 0)
    np.testing.assert_array_equal(train.images[found.indices[:, 0]], train.images[rows])
    assert (found.distances[:, 1] > 0.1).all()


def test_tiny_distances_are_exact_and_sorted():
    """Cancellation in ‖x‖² − 2 x·y + ‖y‖² would lose differences of 1e-6 in bright images."""
    reference = np.full((3, 16, 16, 3), 0.75, np.float32)
    steps = np.array([2, 0, 1]) * np.float32(2.0**-20)
    reference += steps[:, None, None, None]
    found = evaluation.nearest_neighbours(reference[1:2], reference, k=3)
    np.testing.assert_array_equal(found.indices, [[1, 2, 0]])
    expected = np.sqrt(16 * 16 * 3) * np.array([[0, 1, 2]]) * 2.0**-20
    np.testing.assert_allclose(found.distances, expected, rtol=1e-12)


def test_arguments_are_validated():
    images = np.zeros((4, 3, 3, 1), np.float32)
    with pytest.raises(ValueError, match=r"k must lie in \[1, 4\]; received 5"):
        evaluation.nearest_neighbours(images, images, k=5)
    with pytest.raises(ValueError, match=r"k must lie in \[1, 4\]; received 0"):
        evaluation.nearest_neighbours(images, images, k=0)
    with pytest.raises(ValueError, match=r"\(4, 3, 3, 1\) and \(4, 3, 2, 1\)"):
        evaluation.nearest_neighbours(images, images[:, :, :2])
    with pytest.raises(ValueError, match=r"reference must have shape .*received shape \(4, 3, 3\)"):
        evaluation.nearest_neighbours(images, images[..., 0])


def test_features_and_pixels_are_searched_alike():
    generator = np.random.default_rng(4)
    samples, reference = generator.random((5, 2, 3, 1)), generator.random((9, 2, 3, 1))
    by_pixels = evaluation.nearest_neighbours(samples, reference, k=2)
    by_rows = evaluation.nearest_in_features(samples.reshape(5, 6), reference.reshape(9, 6), k=2)
    np.testing.assert_array_equal(by_pixels.indices, by_rows.indices)
    np.testing.assert_allclose(by_pixels.distances, by_rows.distances, rtol=1e-6)
    with pytest.raises(ValueError, match=r"features and reference .* \(5, 6\) and \(9, 5\)"):
        evaluation.nearest_in_features(samples.reshape(5, 6), reference.reshape(9, 6)[:, :5])


def test_features_see_past_a_shift(digits, classifier):
    """Digits shifted by a pixel: their class is found by features more often than by pixels."""
    train, held_out = digits
    shifted = np.roll(held_out.images, 1, axis=2)
    by_pixels = evaluation.nearest_neighbours(shifted, train.images).indices[:, 0]
    features = [classifier.features(images) for images in (shifted, train.images)]
    by_features = evaluation.nearest_in_features(*features).indices[:, 0]
    hits = [np.mean(train.labels[i] == held_out.labels) for i in (by_pixels, by_features)]
    assert hits[1] > hits[0]


def test_grid_of_neighbours():
    samples = np.array([10, 20], np.uint8).reshape(2, 1, 1, 1)
    reference = np.array([1, 2, 3, 4, 5], np.uint8).reshape(5, 1, 1, 1)
    grid = evaluation.neighbours_grid(
        samples, reference, [[4, 0, 0], [1, 2, 3]], padding=0, upscale=1
    )
    np.testing.assert_array_equal(grid[..., 0], [[10, 5, 1, 1], [20, 2, 3, 4]])
    # Floats are shown as the 8-bit values that they stand for.
    floats = evaluation.to_unit_interval(samples)
    mixed = evaluation.neighbours_grid(floats, reference, [[4], [1]], padding=0, upscale=1)
    np.testing.assert_array_equal(mixed[..., 0], [[10, 5], [20, 2]])
    with pytest.raises(ValueError, match=r"shape \[2, k\], .* received shape \(1, 1\)"):
        evaluation.neighbours_grid(samples, reference, [[4]])
    with pytest.raises(ValueError, match=r"\(2, 1, 1, 1\) and \(5, 1, 1, 3\)"):
        evaluation.neighbours_grid(samples, np.repeat(reference, 3, axis=3), [[4], [1]])


def test_bytes_and_back():
    every_value = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = evaluation.to_unit_interval(every_value)
    np.testing.assert_array_equal(evaluation.to_bytes(floats), every_value)
    np.testing.assert_array_equal(evaluation.to_bytes(every_value), every_value)
    below = np.nextafter(np.float32(2 / 256), np.float32(0))
    edges = np.array([0, 1 / 256, below, 1], np.float32).reshape(1, 2, 2, 1)
    assert evaluation.to_bytes(edges).ravel().tolist() == [0, 1, 1, 255]


def test_unit_interval_of_bytes_is_the_mean_of_dequantised_values():
    every_value = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    floats = evaluation.to_unit_interval(every_value)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats.ravel(), (np.arange(256) + 0.5) / 256)


def test_unit_interval_leaves_floats_alone():
    floats = np.array([0.0, 0.3, 1.0], np.float32).reshape(1, 1, 3, 1)
    np.testing.assert_array_equal(evaluation.to_unit_interval(floats), floats)
    assert evaluation.to_unit_interval(floats.astype(np.float64)).dtype == np.float32


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((2, 3, 3)), ValueError, r"received shape \(2, 3, 3\)"),
        (np.zeros((0, 3, 3, 1)), ValueError, r"received shape \(0, 3, 3, 1\)"),
        (np.zeros((2, 3, 3, 1), int), TypeError, "uint8 or floating point; received dtype int64"),
        (np.full((2, 3, 3, 1), np.nan), ValueError, "received values from nan to nan"),
        (np.full((2, 3, 3, 1), -0.25), ValueError, "received values from -0.25 to -0.25"),
        (np.full((2, 3, 3, 1), 255.0), ValueError, "received values from 255.0 to 255.0"),
    ],
)
def test_unit_interval_validates(images, error, message):
    with pytest.raises(error, match=message):
        evaluation.to_unit_interval(images)
