"""Filling in by levels of noise, against the conditional laws of Gaussians."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_inpainting import check_law, conditional, smooth_images, vectors

import tf_febm
from tf_febm import networks
from tf_febm.applications import chain_evolution, denoise, inpaint
from tf_febm.applications.level_chains import held_law
from tf_febm.models.reference_levels import ReferenceLevels

SIGMAS = (0.3, 0.8, 2.0)


class LevelLinear(keras.layers.Layer):
    """f(x, t, y) = table[t]·x, and (1 + y) times that for class y."""

    def __init__(self, table, levels):
        super().__init__()
        self.table, self.levels = np.asarray(table, np.float32), levels

    def call(self, inputs):
        x, rows = inputs
        flat = tf.reshape(x, [tf.shape(x)[0], -1])
        value = tf.reduce_sum(tf.matmul(rows[:, : self.levels], self.table) * flat, axis=1)
        if rows.shape[1] > self.levels:
            value *= 1.0 + tf.matmul(rows[:, self.levels :], [[0.0], [1.0]])[:, 0]
        return value


def linear_model(data, shift, covariance="full"):
    """Return a model whose energy at level t is that of N(μ + shift, Σ + σ_t²U²), and Σ + σ_0²U².

    Its f, −shiftᵀ(Σ + σ_t²U²)⁻¹(x − μ), is linear in what the network sees, c_t(x − μ)/u.
    """
    reference = networks.GaussianReference(covariance).adapt(data).without_factors()
    levels = ReferenceLevels(reference, SIGMAS)
    shift, table = np.asarray(shift, np.float64), []
    for t in range(2):
        noisy = reference.with_noise(SIGMAS[t])
        origin = noisy.color(tf.zeros([1, *data.shape[1:]], tf.float64))
        with tf.GradientTape() as tape:
            x = origin + shift[np.newaxis]
            tape.watch(x)
            energy = noisy.energy(x)
        slope = -tape.gradient(energy, x)[0].numpy() * reference.units
        seen = levels._scale[t] * (0.25 if data.ndim == 4 else 1.0)
        table.append((slope / (seen * levels._gain[t])).ravel())
    model = tf_febm.MultiscaleScoreMatching(LevelLinear(table, 2), reference, levels=SIGMAS, seed=0)
    model.build((None, *data.shape[1:]))
    return model, reference.with_noise(SIGMAS[0])


@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_a_linear_energy_is_filled_in_by_its_conditional_law(covariance):
    """The law of the level of the data given known values, from rounds at each level."""
    data = vectors(400)
    shift = data.std(axis=0) * np.array([1.0, -0.5, 0.5, 0.0, 1.0])
    model, noisy = linear_model(data, shift, covariance)
    known = np.array([True, False, True, False, False])
    images = np.repeat(data[:1], 4000, axis=0)
    filled = inpaint(model, np.where(known, images, np.nan), known, seed=1, num_steps=80)
    np.testing.assert_array_equal(filled[:, known], images[:, known])
    mean, matrix = conditional(noisy, known, data[0] - shift)
    check_law(filled, known, mean + shift[~known], matrix)


def test_the_first_law_of_a_walk_is_exact_at_every_width():
    """Σ + σ²U² given known pixels by conjugate gradients, though Σ has a condition of 1e4."""
    data = smooth_images(400)
    reference = networks.GaussianReference("spectral", rank=0).adapt(data)
    levels = ReferenceLevels(reference, (0.01, 0.1))
    known = (np.indices((6, 6, 1)).sum(axis=0) % 2) == 0
    given = np.repeat(data[:1], 1000, axis=0)
    mask = tf.constant(np.broadcast_to(known, given.shape))
    law = held_law(levels.last_law(), levels, mask, tf.constant(given))
    mean, deviation, compose, transposed = law
    w = np.random.default_rng(0).standard_normal(given.shape).astype(np.float32)
    x = tf.function(compose)(mean + deviation * w).numpy()
    np.testing.assert_array_equal(x[:, known], given[:, known])
    check_law(x, known, *conditional(reference.with_noise(0.1), known, data[0]))
    # ⟨A w, g⟩ = ⟨w, Aᵀ g⟩ of the linear part.
    g = np.random.default_rng(1).standard_normal((4, 6, 6, 1)).astype(np.float32)
    some = held_law(levels.last_law(), levels, mask[:4], tf.constant(given[:4]))
    linear = some[2](w[:4]) - some[2](np.zeros_like(w[:4]))
    left, right = np.sum(linear * g, axis=(1, 2, 3)), np.sum(w[:4] * some[3](g), axis=(1, 2, 3))
    np.testing.assert_allclose(left, right, rtol=1e-3, atol=1e-3)


def test_the_way_of_a_walk_is_its_levels():
    model, _ = linear_model(vectors(400), np.zeros(5))
    ways = chain_evolution(model, 4, 3, seed=1)
    np.testing.assert_array_equal(ways.steps, [0, 1, 2])
    np.testing.assert_array_equal(ways.frames[-1], model.sample(4, seed=1))


@pytest.mark.parametrize("noise", [0.3, 0.8, 0.5])
def test_noise_is_taken_off_by_the_energy_of_its_level(noise):
    """The posterior mean of a Gaussian, exact at the levels' own noise; the weight is found, 1."""
    model, _ = linear_model(smooth_images(300), np.full((6, 6, 1), 0.2), "spectral")
    law, rng = model.levels.reference, np.random.default_rng(3)
    clean = law.color(tf.constant(rng.standard_normal((500, 6, 6, 1)))).numpy() + 0.2
    y = (clean + noise * rng.standard_normal(clean.shape)).astype(np.float32)
    expected = y - noise**2 * gradient_of(law.with_noise(noise), y - np.float32(0.2))
    found = denoise(model, y, noise, energy_weight=1.0).images
    error = np.abs(found - expected).max() / np.abs(expected - y).max()
    # Between levels as far apart as 0.3 and 0.8 it is near.
    assert error < (0.15 if noise == 0.5 else 1e-4)
    assert denoise(model, y, noise, seed=1).energy_weight == pytest.approx(1.0, abs=0.1)


def gradient_of(law, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        energy = law.energy(x)
    return tape.gradient(energy, x).numpy()


def test_noise_is_taken_off_where_levels_shrink_the_data():
    """f = 0: every level is N(c, s²I), and the posterior mean c + (y − c) s²/(s² + noise²)."""
    players = [networks.mlp((n,), (4,), "tanh", num_classes=5) for n in (3, 6)]
    model = tf_febm.Recovery(*players, levels=5, center=1.0, spread=2.0, seed=0)
    for weights in players[0].weights:
        weights.assign(tf.zeros_like(weights))
    y = np.random.default_rng(0).normal(1.0, 3.0, (50, 3)).astype(np.float32)
    noise = float(model.levels.noise[2])
    expected = 1.0 + (y - 1.0) * 4.0 / (4.0 + noise**2)
    np.testing.assert_allclose(
        denoise(model, y, noise, energy_weight=1.0).images, expected, rtol=1e-4, atol=1e-4
    )
    # Of a deviation for each coordinate no level has one noise: a chain runs.
    model.levels.spread = np.array([1.0, 2.0, 3.0], np.float32)
    assert model.levels.noise is None
