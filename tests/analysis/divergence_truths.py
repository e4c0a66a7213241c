"""Divergences of log densities by QUADPACK and by the textbook, beside the library's."""

import functools
import math

import numpy as np
import scipy.integrate
import tensorflow as tf

from tf_febm import analysis, divergences

# q f(p/q) from log p and log q, as the textbook has it; JS is twice the mean of the two KLs.
TEXTBOOK = {
    "kl": lambda p, q: np.exp(p) * (p - q),
    "reverse_kl": lambda p, q: np.exp(q) * (q - p),
    "js": lambda p, q: (
        np.exp(p) * (math.log(2) - np.logaddexp(0, q - p))
        + np.exp(q) * (math.log(2) - np.logaddexp(0, p - q))
    ),
    "squared_hellinger": lambda p, q: (np.exp(p / 2) - np.exp(q / 2)) ** 2,
    "pearson_chi2": lambda p, q: np.exp(2 * p - q) - 2 * np.exp(p) + np.exp(q),
    "neyman_chi2": lambda p, q: np.exp(2 * q - p) - 2 * np.exp(q) + np.exp(p),
    "alpha:0.9": lambda p, q: (
        (0.9 * np.exp(p) + 0.1 * np.exp(q) - np.exp(0.9 * p + 0.1 * q)) / 0.09
    ),
    "alpha:-0.5": lambda p, q: (
        (np.exp(1.5 * q - 0.5 * p) + 0.5 * np.exp(p) - 1.5 * np.exp(q)) / 0.75
    ),
    "le_cam": lambda p, q: (np.exp(p) - np.exp(q)) * np.tanh((p - q) / 2),
}
LE_CAM = divergences.from_generator(lambda u: (u - 1.0) ** 2 / (u + 1.0), "le_cam")


# Log densities by hand: QUADPACK asks point by point, where scipy.stats takes 50 µs each.
def normal(mean, scale):
    return lambda x: -0.5 * ((x - mean) / scale) ** 2 - math.log(scale * math.sqrt(2 * math.pi))


def laplace(mean, scale):
    return lambda x: -abs(x - mean) / scale - math.log(2 * scale)


def student(freedom):
    factor = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    factor -= 0.5 * math.log(freedom * math.pi)
    return lambda x: factor - 0.5 * (freedom + 1) * math.log1p(x * x / freedom)


def mixture(weights, means, scales):
    parts = [normal(*part) for part in zip(means, scales, strict=True)]
    logs = [math.log(weight) for weight in weights]
    return lambda x: functools.reduce(
        np.logaddexp, [log + part(x) for log, part in zip(logs, parts, strict=True)]
    )


def c(*values):
    return [tf.constant(value, tf.float64) for value in values]


def measure(name, p, q):
    return analysis.f_divergence(LE_CAM if name == "le_cam" else name, p, q).numpy()


def integral(name, log_p, log_q, edges):
    """Integrate by QUADPACK between the edges; both densities must be positive there."""
    pieces = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        value, error = scipy.integrate.quad(
            lambda x: TEXTBOOK[name](log_p(x), log_q(x)), low, high, epsabs=1e-13, epsrel=1e-13
        )
        # The truth must be better than what is asked of us.
        assert error < 1e-10, (name, low, high, error)
        pieces.append(value)
    return math.fsum(pieces)


def heavy_integral(name, log_p, log_q):
    """Integrate over the whole line in t = asinh x, in which power laws are exponentials."""

    def density(log):
        return lambda t: log(math.sinh(t)) + math.log(math.cosh(t))

    return integral(name, density(log_p), density(log_q), np.linspace(-44.0, 44.0, 177))


def assert_exact(value, truth):
    # What the docstring promises: 1e-8·max(1, D).
    np.testing.assert_allclose(value, truth, rtol=1e-8, atol=1e-8)
