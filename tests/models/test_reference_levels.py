"""Tests of levels of noise over a Gaussian reference, against NumPy and SciPy."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tf_febm
from tf_febm import networks
from tf_febm.models import ReferenceLevels
from tf_febm.models.noise_levels import NoiseLevels

SIGMAS = (0.1, 0.4, 1.5)


def fitted(kind):
    """Return a reference, and its mean and covariance of flattened examples by the map it is."""
    rng = np.random.default_rng(0)
    shape = (4, 4, 1) if kind == "spectral" else (3,)
    size = int(np.prod(shape))
    x = (rng.normal(size=(500, size)) @ rng.normal(size=(size, size)) * 0.3 + 0.5).astype("float32")
    reference = networks.GaussianReference(kind, rank=0 if kind == "spectral" else None)
    reference.adapt(x.reshape(-1, *shape))
    origin = np.asarray(reference.color(tf.zeros((1, *shape), tf.float64))).ravel()
    columns = reference.color(tf.reshape(tf.eye(size, dtype=tf.float64), (size, *shape)))
    root = np.asarray(columns).reshape(size, size) - origin
    return reference, origin, root.T @ root


@pytest.mark.parametrize("kind", ["full", "diagonal", "spectral"])
class TestLaws:
    def test_with_noise_adds_white_noise(self, kind):
        """The covariance becomes Σ + σ²U²; the mean stays."""
        reference, mean, covariance = fitted(kind)
        noisy = reference.with_noise(0.7)
        units = np.broadcast_to(reference.units, reference.sample_shape).ravel()
        wanted = scipy.stats.multivariate_normal(mean, covariance + np.diag((0.7 * units) ** 2))
        x = np.random.default_rng(1).normal(size=(5, len(mean)))
        given = tf.constant(x.reshape(-1, *reference.sample_shape))
        np.testing.assert_allclose(noisy.log_prob(given), wanted.logpdf(x), rtol=1e-6)

    def test_energies_are_those_of_the_noisy_gaussians(self, kind):
        reference, mean, covariance = fitted(kind)
        levels = ReferenceLevels(reference, SIGMAS)
        units = np.broadcast_to(reference.units, reference.sample_shape).ravel()
        x = np.random.default_rng(1).normal(size=(6, len(mean)))
        given = tf.constant(x.reshape(-1, *reference.sample_shape), tf.float32)
        for t in range(2):
            law = scipy.stats.multivariate_normal(
                mean, covariance + np.diag((SIGMAS[t] * units) ** 2)
            )
            found = np.asarray(levels.energy(given, tf.one_hot([t] * 6, 2)))
            wanted = -law.logpdf(x)
            np.testing.assert_allclose(found - found[0], wanted - wanted[0], rtol=1e-3, atol=1e-3)

    def test_law_of_a_level_given_the_next_is_by_bayes(self, kind):
        """Mean and covariance of x_t given x_{t+1}, by NumPy's inverses."""
        reference, mean, covariance = fitted(kind)
        levels = ReferenceLevels(reference, SIGMAS)
        units = np.broadcast_to(reference.units, reference.sample_shape).ravel()
        size, t = len(mean), 1
        prior = covariance + np.diag((SIGMAS[t] * units) ** 2)
        between = np.diag((SIGMAS[t + 1] ** 2 - SIGMAS[t] ** 2) * units**2)
        noisier = np.random.default_rng(2).normal(size=(1, *reference.sample_shape))
        gain = prior @ np.linalg.inv(prior + between)
        wanted = mean + gain @ (noisier.ravel() - mean)
        law = levels.before(tf.constant(noisier, tf.float32), tf.one_hot([t], 2))
        energy = tf_febm.energies.RecoveryEnergy(lambda x: 0.0 * x[..., 0], *law)
        origin = np.asarray(energy.place(tf.zeros((1, *reference.sample_shape)))).ravel()
        np.testing.assert_allclose(origin, wanted, rtol=1e-3, atol=1e-4)
        basis = tf.reshape(tf.eye(size), (size, 1, *reference.sample_shape))
        # As several moments of one chain, for which there is a way of its own.
        root = np.asarray(energy.place(basis)).reshape(size, size) - origin
        np.testing.assert_allclose(
            root.T @ root, prior - gain @ prior, rtol=2e-3, atol=2e-4 * prior.max()
        )

    def test_gradients_of_chains_are_those_of_their_energy(self, kind):
        """∇_w of the energy of x_t given x_{t+1}, with any f, by autodiff."""
        reference, *_ = fitted(kind)
        levels = ReferenceLevels(reference, SIGMAS)
        rng = np.random.default_rng(3)
        w, noisier = (
            tf.constant(rng.normal(size=(2, *reference.sample_shape)), tf.float32) for _ in range(2)
        )
        axes = list(range(1, w.shape.rank))
        law = levels.before(noisier, tf.one_hot([0, 1], 2))
        energy = tf_febm.energies.RecoveryEnergy(lambda x: tf.reduce_sum(tf.sin(x), axes), *law)
        with tf.GradientTape() as tape:
            tape.watch(w)
            total = tf.reduce_sum(energy(w))
        value, gradient = energy.value_and_gradient(w)
        np.testing.assert_allclose(tf.reduce_sum(value), total, rtol=1e-5)
        np.testing.assert_allclose(gradient, tape.gradient(total, w), rtol=1e-4, atol=1e-5)

    def test_noise_has_its_moments(self, kind):
        reference, mean, covariance = fitted(kind)
        levels = ReferenceLevels(reference, SIGMAS)
        units = np.broadcast_to(reference.units, reference.sample_shape).ravel()
        count = 20_000
        x = tf.zeros((count, *reference.sample_shape))
        rows = tf.one_hot(tf.ones([count], tf.int32), 2)
        first = levels.noised(x, rows, (0, 1))
        for drawn, sigma in (
            (first, SIGMAS[1]),
            (levels.following(first, rows, (0, 2)), SIGMAS[2]),
        ):
            deviations = np.asarray(drawn).reshape(count, -1).std(axis=0)
            # Five standard errors, 1/√(2n) each.
            np.testing.assert_allclose(deviations, sigma * units, rtol=5 / np.sqrt(2 * count))
        last = np.asarray(levels.last((count, *reference.sample_shape), (0, 3))).reshape(count, -1)
        wanted = covariance + np.diag((SIGMAS[2] * units) ** 2)
        scale = np.sqrt(np.outer(wanted.diagonal(), wanted.diagonal()))
        np.testing.assert_allclose(np.cov(last.T) / scale, wanted / scale, atol=5 / np.sqrt(count))
        np.testing.assert_allclose(
            last.mean(0), mean, atol=5 * np.sqrt(wanted.diagonal().max() / count)
        )

    def test_what_networks_see_has_one_scale(self, kind):
        reference, mean, covariance = fitted(kind)
        levels = ReferenceLevels(reference, SIGMAS)
        count = 20_000
        x = reference.sample(count, (1, 2))
        for t in range(2):
            rows = tf.one_hot(tf.fill([count], t), 2)
            seen = np.asarray(levels.seen(levels.noised(x, rows, (3, t)), rows))
            center, scale = (0.5, 0.25) if kind == "spectral" else (0.0, 1.0)
            spread = np.sqrt(np.square(seen - center).mean())
            # Coordinates of "diagonal" have variances of their own, whose mean is the scale.
            assert spread == pytest.approx(scale, rel=0.03)


def test_usual_levels_and_bad_ones():
    reference, *_ = fitted("full")
    levels = ReferenceLevels(reference, 4)
    assert levels.count == 4
    np.testing.assert_allclose(levels.sigmas, np.geomspace(0.02, 3.0, 5))
    for bad in ((0.1,), (0.2, 0.1), (0.0, 1.0)):
        with pytest.raises(ValueError, match="levels must be a number of levels, .* received"):
            ReferenceLevels(reference, bad)
    for bad in ({0.1: 1, 0.2: 2}, np.array(3)):
        with pytest.raises(ValueError, match="levels must be a whole number"):
            ReferenceLevels(reference, bad)
    for of in (lambda count: ReferenceLevels(reference, count), NoiseLevels):
        with pytest.raises(ValueError, match="levels must be at most 10,000; received 1000000000"):
            of(10**9)
    with pytest.raises(ValueError, match="no fit yet"):
        ReferenceLevels(networks.GaussianReference(), 4)


def test_shared_factors_are_left_out():
    """A low-rank covariance has none of the diagonal form, and keeps its variances."""
    x = np.random.default_rng(0).normal(size=(300, 5)).astype("float32")
    x += x[:, :1]
    reference = networks.GaussianReference("low_rank", rank=2).adapt(x)
    with pytest.raises(ValueError, match="not diagonal"):
        _ = reference.variances
    kept = ReferenceLevels(reference, 3).reference
    np.testing.assert_allclose(kept.variances, x.var(axis=0), rtol=0.1)
