"""Held-out examples that a run shows, and those whose energies it watches."""

import numpy as np
import pytest

from tf_febm import data, recipes
from tf_febm.training import run_data


@pytest.mark.parametrize("noise", [0.0, 0.04])
def test_watched_images_are_as_noisy_as_those_of_training(noise):
    """Images of one level each, known by their class: what differs within one is the noise."""
    labels = np.arange(40, dtype=np.int32) % 2
    images = np.where(labels, 200, 50).astype(np.uint8)[:, None, None, None]
    held_out = data.ImageData("levels", np.tile(images, (1, 8, 8, 1)), labels, 2)
    recipe = recipes.get("digits").changed({"conditional": True, "data_noise": noise})
    (x, of), (noisy, of_noisy) = run_data.probes(recipe, held_out)
    np.testing.assert_array_equal(of, labels)
    assert sorted(np.asarray(of_noisy)) == sorted(labels) and noisy.shape == x.shape

    def away(x, labels):
        return np.asarray(x) - np.where(labels, 200.5, 50.5)[:, None, None, None] / 256

    # Dequantisation spreads a level over 1/256; of 2,560 draws the deviation errs by 1.4 %.
    assert abs(away(x, of)).max() < 1 / 256
    expected = np.hypot(noise, 12**-0.5 / 256)
    np.testing.assert_allclose(away(noisy, of_noisy).std(), expected, rtol=0.06)


def test_watched_vectors():
    z = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32)
    held_out = data.VectorData("units", z * np.float32([1.0, 100.0]))
    recipe = recipes.get("vectors").changed({"data_noise": 0.75})
    (x, labels), (noisy, _) = run_data.probes(recipe, held_out)
    assert labels is None and len(x) == len(noisy) == 1000
    np.testing.assert_array_equal(x, held_out.vectors[:1000])
    # Independent noise adds to the variance, in units of each column.
    np.testing.assert_allclose(noisy.numpy().std(0) / held_out.scale, 1.25, rtol=0.08)
