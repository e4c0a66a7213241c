"""Denoising against Gaussians, whose posterior mean is known, and on digits."""

import keras
import numpy as np
import pytest

import tf_febm
from tf_febm import data
from tf_febm.applications import denoise
from tf_febm.samplers import Langevin

NOISE = 0.5


def noisy(clean, seed=1, level=NOISE):
    noise = np.random.default_rng(seed).standard_normal(clean.shape)
    return (clean + level * noise).astype(np.float32)


@pytest.mark.parametrize("weight", [0.0, 1.0, 4.0])
def test_posterior_mean_of_a_gaussian(gaussian, samples_of_q, weight):
    """π ∝ exp(−w|x|²/2 − |x − y|²/2s²) has the mean y/(1 + w s²) and the variance s²/(1 + w s²)."""
    y = noisy(samples_of_q((3,), 200))
    steps = 2000
    result = denoise(gaussian((3,)), y, NOISE, energy_weight=weight, seed=5, num_steps=steps)
    shrinkage = 1 + weight * NOISE**2
    error = result.images - y / shrinkage
    # The mean of a chain of 1,600 steps that forgets a share 0.2·(1 + w s²) of itself in each: its
    # variance is at most (s²/(1 + w s²))·2/(0.2·1600) for small steps.
    deviation = np.sqrt(NOISE**2 / shrinkage * 2 / (0.2 * 0.8 * steps))
    assert abs(error.mean()) < 5 * deviation / np.sqrt(error.size)
    assert error.std() < 1.5 * deviation
    assert result.energy_weight == weight
    assert result.images.dtype == np.float32


@pytest.mark.parametrize("scale", [pytest.param(1.0, marks=pytest.mark.thorough), 100.0])
def test_the_weight_is_found_without_clean_images(gaussian, samples_of_q, scale):
    """Whatever the scale of the energy: for x ~ N(0, I) and E = c|x|²/2 the best weight is 1/c."""
    clean = samples_of_q((40,), 64)
    y = noisy(clean)
    model = gaussian((40,), precision=scale * np.eye(40))
    result = denoise(model, y, NOISE, seed=5)
    # Candidates are a factor of 2 apart.
    assert 0.5 < result.energy_weight * scale < 2.0
    # The least possible error is s²/(1 + s²) = 0.2 per coordinate; that of y is s² = 0.25. A factor
    # √2 in the weight costs less than 0.003; the mean of 160 states that forget 0.125 of themselves
    # in each step has the variance 0.2·(2/0.125 − 1)/160 = 0.019; five standard errors are 0.03.
    assert np.mean((result.images - clean) ** 2) < 0.25
    given = denoise(model, y, NOISE, seed=5, energy_weight=result.energy_weight)
    np.testing.assert_array_equal(given.images, result.images)


def test_labels_are_used_or_summed_out(gaussian):
    means = np.array([[-4.0, 0.0], [4.0, 0.0]])
    model = gaussian((2,), means=means)
    y = np.tile([[1.0, 0.0]], (50, 1)).astype(np.float32)
    settings = {"energy_weight": 1.0, "seed": 5, "num_steps": 400}
    # Given the class, the posterior mean is (s² mean + y)/(1 + s²).
    for label, mean in enumerate(means):
        result = denoise(model, y, NOISE, np.full(50, label), **settings)
        expected = (NOISE**2 * mean + y[0]) / (1 + NOISE**2)
        np.testing.assert_allclose(result.images.mean(axis=0), expected, atol=0.05)
    # Alone, y is far more likely of the second class: by exp(2·4·1/(1 + s²)) = 600.
    np.testing.assert_allclose(
        denoise(model, y, NOISE, **settings).images.mean(axis=0), expected, atol=0.06
    )


def test_results_stay_in_the_bounds_and_repeat(gaussian):
    bounded = Langevin(bounds=(-1.0, 1.0))
    model = gaussian((2, 2, 1), sampler=bounded)
    y = 3 * np.random.default_rng(0).standard_normal((9, 2, 2, 1)).astype(np.float32)
    one, again, other = (denoise(model, y, 1.0, seed=s, num_steps=20) for s in (1, 1, 2))
    assert np.abs(one.images).max() <= 1.0
    np.testing.assert_array_equal(one.images, again.images)
    assert one.energy_weight == again.energy_weight
    assert not np.array_equal(one.images, other.images)


def test_batches_and_weights_share_one_program(gaussian, samples_of_q):
    model = gaussian((3,))
    before = model.energy_network.traces
    result = denoise(model, samples_of_q((3,), 100), NOISE, batch_size=16, num_steps=20)
    assert result.images.shape == (100, 3)
    # Ten weights, seven batches, two evaluations each; compiled once for 16 images and once for any
    # number of them, each a few calls of Python, and four eager gradients.
    assert model.energy_network.traces - before < 15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_level": 0.0}, "noise_level must be a finite number > 0; received 0.0"),
        ({"energy_weight": -1.0}, "energy_weight must be .*received -1.0"),
        ({"num_steps": 1}, "num_steps must be a whole number ≥ 2; received 1"),
        ({"batch_size": 0}, "batch_size must be a whole number ≥ 1; received 0"),
        ({"images": np.full((2, 3), np.nan)}, "images must be finite"),
        ({"images": np.zeros((2, 4))}, r"images must have shape \('n', 3\).*received \(2, 4\)"),
        ({"images": np.zeros((0, 3))}, r"n ≥ 1; received \(0, 3\)"),
        ({"labels": [1, 2]}, "energy network takes none"),
        ({"images": np.zeros((2, 3))}, "energy is flat.*give energy_weight"),
    ],
)
def test_it_refuses(gaussian, settings, message):
    arguments = {"images": np.ones((2, 3), np.float32), "noise_level": 1.0, **settings}
    with pytest.raises(ValueError, match=message):
        denoise(gaussian((3,)), **arguments)


def test_it_refuses_integers(gaussian):
    with pytest.raises(TypeError, match="images must be floating.*received uint8"):
        denoise(gaussian((3,)), np.zeros((2, 3), np.uint8), 0.1)


@pytest.mark.slow
def test_digits():
    """A model trained for moments removes more noise than clipping to the bounds does."""
    keras.utils.set_random_seed(0)
    train, test = data.load("digits"), data.load("digits", split="test")
    networks = (
        tf_febm.networks.mlp(train.image_shape, (64, 64), "swish", name=name)
        for name in ("energy", "variational")
    )
    model = tf_febm.FEBM(
        *networks, "js", sampler=Langevin(noise_scale=0.05, num_steps=10),
        buffer=tf_febm.ReplayBuffer(2000), l2_coeff=0.1, average_decay=0.99, seed=0,
    )  # fmt: skip
    optimizers = (tf_febm.optimizers.ClippedAdam(rate, beta_1=0.0) for rate in (1.5e-3, 4e-4))
    model.compile(*optimizers)
    model.fit(data.stream(train, 64, noise_stddev=0.05), steps_per_epoch=250, verbose=0)
    clean = data.dequantise(test.images[:50], 0).numpy()
    y = noisy(clean, level=0.3)

    def psnr(images):
        return np.mean(-10 * np.log10(np.mean((images - clean) ** 2, axis=(1, 2, 3))))

    with model.averaged_weights():
        denoised = psnr(denoise(model, y, 0.3, seed=1).images)
    # Measured: 15.7 dB, of noisy images 10.6 and clipped ones 13.0; 18.2 after the whole training.
    assert denoised - psnr(y) > 4.0
    assert denoised - psnr(np.clip(y, 0.0, 1.0)) > 2.0
