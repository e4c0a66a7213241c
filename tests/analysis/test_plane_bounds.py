"""The bounds of models in the plane against Gaussians, where all of it has a closed form."""

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

import tf_febm
from tf_febm import analysis, networks

tfd = tfp.distributions

# x = z A + b; the energy is that of a Gaussian of these moments.
A, B = np.array([[1.2, 0.4], [-0.3, 0.8]], np.float32), np.array([0.2, 0.1], np.float32)
MEAN, SCALE = np.array([-0.3, 0.4]), np.array([0.8, 1.1])
# Of ν, the Gaussian that the energy becomes in z.
PRECISION = A @ np.diag(SCALE**-2.0) @ A.T


def make(generator, latent_dim=2):
    energy = networks.quadratic(2)
    energy.get_layer("gaussian").set_weights([MEAN, np.log(SCALE)])
    model = tf_febm.BidirectionalEBM(
        energy, generator, latent_dim, sampler=tf_febm.samplers.Langevin.from_epsilon(0.01, 1)
    )
    model.build((None, 2))
    return model


@pytest.fixture(scope="module")
def linear():
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    generator.layers[0].set_weights([A, B])
    return make(generator)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(500, 2)) + [0.5, -1.0]


def test_against_closed_forms(linear, x):
    found = analysis.plane_bounds(linear, x, [-9.0] * 2, [9.0] * 2, 300, reach=6.0)
    model = tfd.MultivariateNormalDiag(MEAN, SCALE)
    likelihood = -float(model.log_prob(x).numpy().mean())
    # The entropy: ½ log det(2πe AᵀA), an independent formula.
    made = tfd.MultivariateNormalFullCovariance(B.astype(float), (A.T @ A).astype(float))
    full = tfd.MultivariateNormalFullCovariance(MEAN, np.diag(SCALE**2.0))
    mean = (MEAN - B) @ np.linalg.inv(A)
    squares = np.sum((PRECISION - np.eye(2)) ** 2) + np.sum((PRECISION @ mean) ** 2)
    assert found.likelihood == pytest.approx(likelihood, abs=1e-5)
    assert found.entropy == pytest.approx(float(made.entropy()), abs=1e-5)
    assert found.likelihood - found.lower == pytest.approx(
        float(made.kl_divergence(full)), abs=1e-4
    )
    assert found.penalty == pytest.approx(0.5 * squares, rel=1e-4)
    assert found.curvature == pytest.approx(np.linalg.eigvalsh(PRECISION)[0], rel=1e-4)
    assert found.edge_share < 1e-6


def test_weights(linear, x):
    found = analysis.plane_bounds(linear, x, [-9.0] * 2, [9.0] * 2, 100)
    rho = np.linalg.eigvalsh(PRECISION)[0]
    assert found.certified_weight == pytest.approx(1.0 / rho, rel=1e-4)
    assert 0.0 < found.sufficient_weight < found.certified_weight
    assert found.lower < found.likelihood < found.upper(found.certified_weight)
    assert found.upper(found.sufficient_weight) == pytest.approx(found.likelihood, abs=1e-9)
    # Where curvature proves nothing, a bounded perturbation of p₀ does.
    found = found._replace(curvature=-1.0, oscillation=0.5)
    assert found.certified_weight == pytest.approx(np.exp(0.5))
    nothing = found._replace(oscillation=1e4)
    assert nothing.certified_weight == nothing.upper(nothing.certified_weight) == np.inf


def test_the_oscillation(linear, x):
    """log p₀/ν of two Gaussians is a quadratic, whose range over a square is at its border."""
    found = analysis.plane_bounds(linear, x, [-9.0] * 2, [9.0] * 2, 50, reach=2.0, num_latents=41)
    axis = np.linspace(-2.0, 2.0, 41)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    energy = 0.5 * np.square((z @ A + B - MEAN) / SCALE).sum(axis=1)
    expected = np.ptp(energy - 0.5 * np.square(z).sum(axis=1))
    assert found.oscillation == pytest.approx(expected, rel=1e-4)


def test_a_map_that_folds_breaks_the_lower_bound(x):
    """x = |z| covers a quadrant four times, so its entropy is overstated by log 4.

    With the model N(μ, I) at the mean μ = √(2/π) of |z|, E_g[E] is its variance, 1 − 2/π, and
    ⌊L⌋ − L comes out at 2/π; with the true entropy it would be 2/π − log 4 < 0.
    """
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Activation(keras.ops.abs)])
    model = make(generator)
    mean = np.full(2, np.sqrt(2.0 / np.pi))
    model.energy_network.get_layer("gaussian").set_weights([mean, np.zeros(2)])
    found = analysis.plane_bounds(model, x, [-9.0] * 2, [9.0] * 2, 200, num_latents=400)
    # |z| has a kink, where the trapezoidal rule errs by about the square of the spacing.
    assert found.lower - found.likelihood == pytest.approx(2.0 / np.pi, abs=1e-3)


def test_refuses(linear, x):
    wide = make(keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)]), latent_dim=1)
    with pytest.raises(ValueError, match=r"received one from 1 to shape \(2,\)"):
        analysis.plane_bounds(wide, x, [-1.0] * 2, [1.0] * 2)
    with pytest.raises(ValueError, match="reach must be"):
        analysis.plane_bounds(linear, x, [-1.0] * 2, [1.0] * 2, reach=0.0)
