"""Modes of stacked images, with a classifier that reads a pixel."""

import types

import numpy as np
import pytest

from tf_febm import evaluation


def reader(images):
    """Return probabilities that say what the first pixel says, in tenths."""
    return np.eye(10)[np.rint(10.0 * np.asarray(images)[:, 0, 0, 0]).astype(int)]


CLASSIFIER = types.SimpleNamespace(image_shape=(2, 2, 1), num_classes=10, probabilities=reader)


def images_of(modes):
    digits = np.stack([np.asarray(modes) // 10**k % 10 for k in (2, 1, 0)], axis=1)
    return np.broadcast_to(digits[:, None, None] / 10.0, (len(digits), 2, 2, 3)).astype(np.float32)


def test_counts():
    found = evaluation.stacked_modes(images_of([7, 7, 123, 999]), CLASSIFIER)
    # Shares of a half, a quarter and a quarter.
    expected = np.log(1000) - 1.5 * np.log(2)
    assert found[:2] == (3, 1000) and found.num_samples == 4
    assert found.kl == pytest.approx(expected)
    every = evaluation.stacked_modes(images_of(np.arange(1000)), CLASSIFIER)
    assert every.found == 1000 and every.kl == pytest.approx(0.0, abs=1e-12)
    one = evaluation.stacked_modes(images_of([5] * 9), CLASSIFIER)
    assert one.found == 1 and one.kl == pytest.approx(np.log(1000))


def test_channels_are_not_interchangeable():
    found = evaluation.stacked_modes(images_of([12, 21, 102, 120, 201, 210]), CLASSIFIER)
    assert found.found == 6


@pytest.mark.parametrize("count", [40, 1000, 26_000])
def test_what_to_expect_of_uniform_samples(count):
    """Against 200 draws; the tolerance is four standard errors of their means."""
    counts = np.random.default_rng(0).multinomial(count, np.full(1000, 1e-3), size=200)
    shares = counts / count
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = np.where(counts > 0, shares * np.log(1000 * shares), 0.0).sum(axis=1)
    found, expected = evaluation.expected_of_uniform(count, 1000)
    for mine, drawn in ((found, (counts > 0).sum(axis=1)), (expected, kl)):
        assert abs(mine - drawn.mean()) < 4 * drawn.std() / np.sqrt(200) + 1e-6


def test_refuses():
    for shape in ((3, 2, 2), (0, 2, 2, 3), (3, 4, 2, 3)):
        with pytest.raises(ValueError, match="samples must be"):
            evaluation.stacked_modes(np.zeros(shape, np.float32), CLASSIFIER)
