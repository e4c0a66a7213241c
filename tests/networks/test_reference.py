"""Gaussian references: against NumPy's covariances and SciPy's densities."""

import functools

import keras
import numpy as np
import pytest
import scipy.fft
import scipy.stats
import tensorflow as tf

from tf_febm import networks

RNG = np.random.default_rng(0)
# Coordinates of units four orders apart, correlated.
VECTORS = RNG.normal(size=(4000, 5)) @ RNG.normal(size=(5, 5)) * [1.0, 100.0, 0.01, 1.0, 5.0] + 3.0
# Smooth images: sums along both axes.
IMAGES = RNG.normal(size=(800, 6, 9, 3)).cumsum(1).cumsum(2) / 20.0 + 0.5
KINDS = {
    "diagonal": VECTORS,
    "full": VECTORS,
    "low_rank": VECTORS,
    "spectral": IMAGES,
    "auto": IMAGES,
    "diagonal images": IMAGES,
    "low_rank images": IMAGES,
    "full images": IMAGES,
}


@functools.cache  # No test changes one.
def fitted(kind):
    made = networks.GaussianReference(kind.split()[0], noise=0.02, rank=2)
    return made.adapt(KINDS[kind])


def covariance_of(reference):
    """Return A Aᵀ, from what `color` does to unit vectors, and μ, both of flattened examples."""
    size = int(np.prod(reference.sample_shape))
    unit = np.eye(size).reshape(-1, *reference.sample_shape)
    mean = np.asarray(reference.color(np.zeros((1, *reference.sample_shape)))).ravel()
    root = np.asarray(reference.color(unit)).reshape(size, size) - mean
    return root.T @ root, mean


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_linear_invertible_and_has_its_transpose(kind):
    reference = fitted(kind)
    x = KINDS[kind][:20]
    z = reference.whiten(x)
    np.testing.assert_allclose(reference.color(z), x, rtol=1e-8, atol=1e-8)
    v = tf.constant(RNG.normal(size=z.shape))
    with tf.GradientTape() as tape:
        tape.watch(v)
        colored = reference.color(v)
    weights = tf.constant(RNG.normal(size=z.shape))
    np.testing.assert_allclose(
        reference.gradient(weights), tape.gradient(colored, v, weights), rtol=1e-7, atol=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
def test_its_density_is_that_of_scipy(kind):
    reference = fitted(kind)
    sigma, mean = covariance_of(reference)
    x = KINDS[kind][:7]
    # In units of its own, whatever the data's: SciPy takes small eigenvalues for none.
    units = np.sqrt(np.diag(sigma))
    law = scipy.stats.multivariate_normal(mean / units, sigma / np.outer(units, units))
    expected = law.logpdf(x.reshape(7, -1) / units) - np.log(units).sum()
    np.testing.assert_allclose(reference.log_prob(x), expected, rtol=1e-6)
    np.testing.assert_allclose(-reference.energy(x) - reference.log_normaliser, expected, rtol=1e-6)


def test_full_is_the_covariance_and_a_little_noise():
    sigma, mean = covariance_of(fitted("full"))
    own = np.cov(VECTORS.T, bias=True)
    np.testing.assert_allclose(sigma, own + 0.02**2 * np.diag(np.diag(own)), rtol=1e-9)
    np.testing.assert_allclose(mean, VECTORS.mean(0), rtol=1e-12)


def test_diagonal_and_low_rank_have_the_variances():
    own = VECTORS.var(axis=0)
    sigma, _ = covariance_of(fitted("diagonal"))
    np.testing.assert_allclose(sigma, np.diag(own * (1 + 0.02**2)), rtol=1e-9)
    # Two of five dimensions by factors, each coordinate's rest its own: variances are kept by
    # maximum likelihood, and correlations to what two factors can tell.
    sigma, _ = covariance_of(fitted("low_rank"))
    np.testing.assert_allclose(np.diag(sigma), own * (1 + 0.02**2), rtol=0.02)
    found = np.linalg.norm(np.corrcoef(VECTORS.T) - sigma / np.sqrt(np.outer(own, own)))
    assert found < 0.5 * np.linalg.norm(np.corrcoef(VECTORS.T) - np.eye(5))


@pytest.mark.parametrize("rank", [0, 3])
def test_spectral_has_the_spectrum_of_the_data(rank):
    """Each coefficient of the cosine transform has its own variance, and that of the noise."""
    reference = networks.GaussianReference("spectral", noise=0.02, rank=rank).adapt(IMAGES)
    centred = IMAGES - IMAGES.mean(0)
    colours = np.linalg.svd(centred.reshape(-1, IMAGES.shape[-1]), full_matrices=False)[2].T

    def variances(images):
        found = scipy.fft.dctn(images @ colours, axes=(1, 2), norm="ortho")
        return np.square(found).sum(axis=0)

    unit = np.eye(IMAGES[0].size).reshape(-1, *IMAGES.shape[1:])
    modelled = variances(np.asarray(reference.color(unit)) - IMAGES.mean(0))
    noise = (0.02 * IMAGES.std()) ** 2
    np.testing.assert_allclose(modelled, variances(centred) / len(IMAGES) + noise, rtol=1e-7)


def test_spectral_factors_are_what_coefficients_share():
    """Images of three patterns and a little grain: three factors find their covariance."""
    rng = np.random.default_rng(5)
    patterns = rng.normal(size=(3, 6, 6, 1))
    images = np.tensordot(rng.normal(size=(4000, 3)), patterns, axes=1)
    images += 0.1 * rng.normal(size=images.shape)
    own = np.cov(images.reshape(4000, -1).T, bias=True)
    missed = {}
    for rank in (0, 3):
        made = networks.GaussianReference("spectral", noise=0.0, rank=rank).adapt(images)
        missed[rank] = np.linalg.norm(covariance_of(made)[0] - own) / np.linalg.norm(own)
    assert missed[3] < 0.02 < 0.5 < missed[0]


def test_coefficients_that_share_nothing_are_in_no_factor():
    """Of two patterns one has two coefficients, which share it; likelihood is SciPy's."""
    rng = np.random.default_rng(6)
    place = np.cos(np.pi * (np.arange(8) + 0.5) / 8)
    patterns = np.stack([np.add.outer(place, place), np.multiply.outer(place, place)])
    images = np.tensordot(rng.normal(size=(3000, 2)), patterns, axes=1)[..., None]
    images += 0.3 * rng.normal(size=images.shape)
    reference = networks.GaussianReference("spectral", noise=0.0, rank=1).adapt(images)
    kept = reference.get_config()["fit"]["kept"]["shape"][0]
    assert kept == 2
    covariance = covariance_of(reference)[0]
    own = np.cov(images.reshape(3000, -1).T, bias=True)
    assert np.linalg.norm(covariance - own) / np.linalg.norm(own) < 0.1
    x = images[:20].astype("f4")
    expected = scipy.stats.multivariate_normal(images.mean(axis=0).ravel(), covariance).logpdf(
        images[:20].reshape(20, -1)
    )
    np.testing.assert_allclose(reference.log_prob(x), expected, rtol=1e-4)
    np.testing.assert_allclose(reference.color(reference.whiten(x)), x, atol=1e-5)


def test_samples_have_its_moments():
    reference = fitted("full")
    x = reference.sample(200_000, tf.constant([1, 2])).numpy().astype(np.float64)
    own = np.cov(VECTORS.T, bias=True) * (1 + 0.02**2 * np.eye(5))
    scale = np.sqrt(np.diag(own))
    # A correlation of 200,000 samples is off by 0.0022 at most; five of these, and float32.
    units = np.outer(scale, scale)
    np.testing.assert_allclose(np.cov(x.T) / units, own / units, atol=0.012)


def test_constant_pixels_and_few_examples():
    images = np.zeros((5, 8, 8, 1), np.float32)
    images[:, 2:6, 2:6] = RNG.random((5, 4, 4, 1))
    for kind in ("spectral", "diagonal", "low_rank", "full"):
        reference = networks.GaussianReference(kind).adapt(images)
        z = np.asarray(reference.whiten(images))
        assert np.isfinite(z).all() and np.abs(z).max() < 60.0, kind


def test_a_dataset_is_as_good_as_an_array():
    batches = tf.data.Dataset.from_tensor_slices((VECTORS, np.arange(4000))).batch(37)
    by_batches = networks.GaussianReference("full").adapt(batches)
    by_array = networks.GaussianReference("full").adapt(VECTORS)
    np.testing.assert_array_equal(by_batches.whiten(VECTORS[:3]), by_array.whiten(VECTORS[:3]))


def test_auto_goes_by_shape():
    kinds = {(30, 4): "full", (30, 600): "low_rank", (30, 4, 4, 1): "spectral"}
    for shape, kind in kinds.items():
        assert networks.GaussianReference().adapt(RNG.random(shape)).covariance == kind


@pytest.mark.parametrize("kind", KINDS)
def test_its_configuration_holds_the_fit_bit_for_bit(kind):
    reference = fitted(kind)
    stored = keras.saving.serialize_keras_object(reference)
    loaded = keras.saving.deserialize_keras_object(stored)
    x = KINDS[kind][:3]
    np.testing.assert_array_equal(loaded.whiten(x), reference.whiten(x))
    assert loaded.log_normaliser == reference.log_normaliser


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: networks.GaussianReference("fourier"), ValueError, "must be one of auto, diag"),
        (lambda: networks.GaussianReference(noise=-1.0), ValueError, "noise must"),
        (lambda: networks.GaussianReference("low_rank", rank=0), ValueError, "rank must"),
        (lambda: networks.GaussianReference().whiten(VECTORS), ValueError, "call reference.adapt"),
        (lambda: fitted("full").log_prob(np.ones((9, 5), int)), TypeError, "x must be floating"),
        (lambda: fitted("full").whiten(VECTORS[0]), ValueError, r"x must have shape \('n', 5\)"),
        (lambda: fitted("full").energy(VECTORS[:, :1]), ValueError, r"x .* received \(4000, 1\)"),
        (lambda: fitted("full").color(VECTORS[..., None]), ValueError, "z must have shape"),
        (lambda: fitted("full").from_principal(VECTORS[:, :1]), ValueError, "y must have shape"),
        (lambda: fitted("full").gradient("a"), TypeError, "gradient must be an array of numbers"),
        (lambda: fitted("full").sample(-1, (0, 1)), ValueError, "num_samples must be a whole"),
        (lambda: networks.GaussianReference().adapt(np.ones((9, 2), int)), TypeError, "floating"),
        (lambda: networks.GaussianReference().adapt(np.ones((9, 2))), ValueError, "constant"),
        (lambda: networks.GaussianReference().adapt(VECTORS[:1]), ValueError, "at least 2"),
        (lambda: networks.GaussianReference().adapt(VECTORS * np.nan), ValueError, "finite"),
        (
            lambda: networks.GaussianReference("spectral").adapt(VECTORS),
            ValueError,
            r"is for images \[n, height, width, channels\]; received data of shape \(4000, 5\)",
        ),
        (
            lambda: networks.GaussianReference("full", noise=0.0).adapt(
                np.repeat(VECTORS[:, :1], 2, axis=1)
            ),
            ValueError,
            "coordinates depend on each other. Give a noise above 0",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
