"""Flips and crops: what each may do to a pixel, how often, and that a stream still resumes."""

import numpy as np
import pytest

from tf_febm import data
from tf_febm.data.augmentation import flip_and_crop

HEIGHT, WIDTH = 5, 7
# Each pixel tells where it was.
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
PLACES = np.stack([ROWS, COLUMNS], axis=-1).astype(np.uint8)


def augmented(count, flip, crop, seed=(1, 2)):
    return flip_and_crop(np.tile(PLACES, (count, 1, 1, 1)), seed, flip, crop).numpy()


def by_definition(top, left, mirrored, crop):
    """Continue the image by reflection, cut the crop out, mirror it."""
    padded = np.pad(PLACES, ((crop, crop), (crop, crop), (0, 0)), mode="reflect")
    image = padded[top : top + HEIGHT, left : left + WIDTH]
    return image[:, ::-1] if mirrored else image


@pytest.mark.parametrize("flip", [False, True])
# Larger ones repeat themselves on an image so small.
@pytest.mark.parametrize("crop", [0, 1, 2])
def test_each_image_is_one_of_the_possible_ones_and_all_are_equally_likely(flip, crop):
    side, count = 2 * crop + 1, 20_000
    possible = [
        by_definition(top, left, mirrored, crop)
        for top in range(side)
        for left in range(side)
        for mirrored in ((False, True) if flip else (False,))
    ]
    images = augmented(count, flip, crop)
    matches = np.stack([np.all(images == image, axis=(1, 2, 3)) for image in possible])
    np.testing.assert_array_equal(matches.sum(axis=0), 1)
    # Chi-square with k − 1 degrees of freedom has mean k − 1 and variance 2(k − 1): five of its
    # standard deviations.
    expected, degrees = count / len(possible), len(possible) - 1
    statistic = np.sum((matches.sum(axis=1) - expected) ** 2 / expected)
    assert statistic <= degrees + 5 * np.sqrt(2 * degrees)


def test_rows_columns_and_flips_are_independent():
    images = augmented(20_000, True, 1).astype(int)
    # The middle pixel shows the vertical shift; its right neighbour minus it, whether mirrored.
    vertical = images[:, 2, 3, 0] - 2
    mirrored = images[:, 2, 4, 1] - images[:, 2, 3, 1]
    # Both have mean 0 and variances 2/3 and 1; the correlation's standard error is 1/√n.
    assert abs(np.corrcoef(vertical, mirrored)[0, 1]) < 5 / np.sqrt(20_000)


def test_equal_seeds_give_equal_images():
    np.testing.assert_array_equal(augmented(50, True, 2), augmented(50, True, 2))
    assert not np.array_equal(augmented(50, True, 2), augmented(50, True, 2, seed=(1, 3)))


@pytest.fixture
def places():
    return data.ImageData("places", np.tile(PLACES, (12, 1, 1, 1)))


OPTIONS = {"random_flip": True, "random_crop": 2, "noise_stddev": 0.01}


def batches(dataset, steps):
    return [batch.numpy() for batch in dataset.take(steps)]


def test_an_augmented_stream_resumes_exactly(places):
    whole = batches(data.stream(places, 5, seed=3, **OPTIONS), 10)
    resumed = data.stream(places, 5, seed=3, start_step=7, **OPTIONS)
    np.testing.assert_array_equal(whole[7:], batches(resumed, 3))


def test_every_step_has_its_own_augmentation(places):
    steps = batches(data.stream(places, 12, random_flip=True, random_crop=2), 3)
    pixels = [np.floor(256 * x) for x in steps]
    assert not np.array_equal(pixels[0], pixels[1])
    assert not np.array_equal(pixels[1], pixels[2])


def test_augmentation_leaves_the_order_and_the_dequantisation_alone():
    rows = np.arange(30, dtype=np.uint8).reshape(-1, 1, 1, 1)
    source = data.ImageData("flat", np.broadcast_to(rows, (30, 4, 4, 1)).copy())
    plain, moved = (
        batches(data.stream(source, 8, seed=2, **options), 3)
        for options in ({}, {"random_flip": True, "random_crop": 3})
    )
    # Flat images do not change when they move.
    np.testing.assert_array_equal(plain, moved)


@pytest.mark.parametrize(
    ("crop", "message"),
    [
        (-1, "random_crop must be a whole number ≥ 0 and < 5; received -1"),
        (5, "random_crop must be a whole number ≥ 0 and < 5; received 5"),
        (1.5, "random_crop must be a whole number .*received 1.5"),
    ],
)
def test_refuses(places, crop, message):
    with pytest.raises(ValueError, match=message):
        data.stream(places, 2, random_crop=crop)
