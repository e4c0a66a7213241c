"""Exact divergences against closed forms between Gaussians, and the table of exact optima."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import analysis

tfd = tfp.distributions

# Minima of each divergence for the mixture below, by fine quadrature elsewhere, to five digits.
OPTIMA = {
    "kl": (1.01000, 1.83044),
    "reverse_kl": (1.58409, 1.62942),
    "js": (1.31252, 1.75247),
    "neyman_chi2": (1.82856, 1.51705),
    "pearson_chi2": (0.56632, 1.92675),
}


def normal(mean, scale):
    return tfd.Normal(tf.constant(mean, tf.float64), tf.constant(scale, tf.float64))


@pytest.fixture(scope="module")
def target():
    return analysis.gaussian_mixture([0.33, 0.67], [-1.0, 2.0], [0.0625, 2.0])


@pytest.mark.parametrize("name", OPTIMA)
def test_table_of_optima(target, name):
    fit = analysis.best_normal(name, target)
    np.testing.assert_allclose((fit.mean, fit.scale), OPTIMA[name], atol=6e-6)


def test_closed_forms_between_gaussians():
    """KL both ways and squared Hellinger, for three q at once."""
    means, scales = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.7, 1.5])
    m, s = 0.5, 1.2
    p, q = normal(m, s), normal(means, scales)
    kl = np.log(scales / s) + (s**2 + (m - means) ** 2) / (2 * scales**2) - 0.5
    reverse = np.log(s / scales) + (scales**2 + (m - means) ** 2) / (2 * s**2) - 0.5
    total = s**2 + scales**2
    overlap = np.sqrt(2 * s * scales / total) * np.exp(-((m - means) ** 2) / (4 * total))
    for name, exact in (
        ("kl", kl),
        ("reverse_kl", reverse),
        ("squared_hellinger", 2 - 2 * overlap),
    ):
        np.testing.assert_allclose(analysis.f_divergence(name, p, q), exact, atol=1e-8, rtol=1e-8)


def test_pearson_is_infinite_where_its_integral_diverges():
    """∫p²/q is finite only if var p < 2 var q."""
    assert math.isinf(analysis.f_divergence("pearson_chi2", normal(0.0, 1.5), normal(0.0, 1.0)))
    finite = float(analysis.f_divergence("pearson_chi2", normal(0.0, 1.2), normal(0.0, 1.0)))
    assert math.isclose(finite, 1 / (1.2 * math.sqrt(2 - 1.44)) - 1, abs_tol=1e-8)


def test_bad_mixtures():
    with pytest.raises(ValueError, match="sum to 1"):
        analysis.gaussian_mixture([0.5, 0.4], [0.0, 1.0], [1.0, 1.0])
