"""Everything at once, of a model whose samples have no bounds."""

import numpy as np
from PIL import Image

import tf_febm
from tf_febm import applications, data


def test_a_model_without_bounds(gaussian, tmp_path):
    """As those relative to a Gaussian reference are; the pictures show what lies in [0, 1]."""
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=3)
    model = gaussian((4, 4, 1), sampler=sampler)
    assert model.bounds is None
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)
    found = applications.demonstrate(
        model, data.ImageData("made", images), tmp_path, noise=2.0, num_steps=3
    )
    assert found["inpainting"]["known_pixels_equal"]
    names = {"denoised.png", "inpainted.png", "evolution.png", "energies.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    shades = np.asarray(Image.open(tmp_path / "evolution.png").convert("L"))
    # A standard Gaussian is black below 0 in half of its pixels, and white above 1 in a sixth.
    assert 0.3 < (shades == 0).mean() < 0.6


def test_what_is_filled_in_is_shown_without_the_noise_of_training(gaussian, tmp_path):
    """By the score of N(0, I): x − s²x, three quarters of it; what is known stays."""
    sampler = tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=3)
    model = gaussian((4, 4, 1), sampler=sampler)
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)
    shown = []
    for noise in (0.0, 0.5):
        own = data.ImageData("made", images)
        applications.demonstrate(model, own, tmp_path, num_steps=3, noise_removed=noise)
        shown.append(np.asarray(Image.open(tmp_path / "inpainted.png").convert("L"), float))
    with_noise, without = shown
    moved = with_noise != without
    below = (with_noise > 0.0) & (with_noise < 255.0)
    np.testing.assert_allclose(without[moved & below], 0.75 * with_noise[moved & below], atol=1.0)
    assert 0.02 < moved.mean() < 0.2
