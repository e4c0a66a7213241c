"""Whitening by a spectrum or a covariance, as a layer, and the network that sees images so."""

import keras
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import tensorflow as tf

from tf_febm import networks

RNG = np.random.default_rng(4)
# Neighbours alike, colours mixed.
IMAGES = scipy.ndimage.gaussian_filter(RNG.normal(size=(300, 8, 8, 3)), (0, 1, 1, 0.5)) + 0.5


def fitted(rank=4):
    return networks.GaussianReference("spectral", noise=0.01, rank=rank).adapt(IMAGES)


def test_the_spectrum_becomes_flat_and_the_image_stays_one():
    """The coefficients of the whitened images have variance 1, but for the noise of the fit."""
    white = np.asarray(networks.Whiten(fitted(), dtype="float64")(IMAGES))
    centred = IMAGES - IMAGES.mean(0)
    colours = np.linalg.svd(centred.reshape(-1, 3), full_matrices=False)[2].T
    of_data = scipy.fft.dctn(centred @ colours, axes=(1, 2), norm="ortho")
    found = scipy.fft.dctn(white @ colours, axes=(1, 2), norm="ortho")
    noise = (0.01 * IMAGES.std()) ** 2
    expected = of_data / np.sqrt(of_data.var(axis=0) + noise)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def test_factors_are_left_out():
    """With them and without, the variances of coefficients are the same."""
    np.testing.assert_allclose(
        fitted(4).without_factors().zca(IMAGES), fitted(0).zca(IMAGES), rtol=1e-5, atol=1e-8
    )


def test_the_network_is_saved_with_it(tmp_path):
    network = networks.strided((8, 8, 3), 4, 8, whiten=fitted())
    x = tf.constant(IMAGES[:5], tf.float32)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    (whiten,) = (layer for layer in loaded.layers if isinstance(layer, networks.Whiten))
    np.testing.assert_array_equal(loaded(x), network(x))
    # Without the factors a file holds no more than the spectrum.
    assert whiten.reference.rank == 0


def test_fine_structure_counts():
    """Grain of a twentieth of the range is large in the whitened image of smooth data."""
    coarse = tf.zeros([1, 8, 8, 3]) + 0.5
    grain = coarse + 0.05 * tf.cast(RNG.choice([-1.0, 1.0], (1, 8, 8, 3)), tf.float32)
    white = networks.Whiten(fitted())
    assert np.abs(white(grain) - white(coarse)).max() > 1.0 > np.abs(grain - coarse).max()


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("spectral", TypeError),
        (networks.GaussianReference("spectral"), ValueError),
    ],
)
def test_errors(reference, error):
    with pytest.raises(error):
        networks.Whiten(reference)


def test_vectors_become_white(tmp_path):
    """By the covariance, to the noise that the fit adds; a file keeps it."""
    mixed = RNG.normal(size=(500, 3)) @ np.array(
        [[2.0, 0.5, 0.0], [0.0, 0.1, 0.3], [0.0, 0.0, 5.0]]
    )
    reference = networks.GaussianReference("full", noise=0.0).adapt(mixed)
    inputs = keras.Input((3,))
    network = keras.Model(inputs, networks.Whiten(reference)(inputs))
    white = np.asarray(network(mixed.astype(np.float32)), np.float64)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(3), atol=1e-3)
    np.testing.assert_allclose(white.mean(0), 0.0, atol=1e-3)
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(mixed[:5].astype("f4")), network(mixed[:5].astype("f4")))


def test_other_networks_have_none():
    with pytest.raises(ValueError, match="takes no whiten"):
        networks.build("conv", (8, 8, 3), 4, whiten=fitted())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_whitening_is_in_float32_whatever_the_layers_compute_in(policy):
    """Narrow directions are scaled up by far more than 16 bits resolve."""
    x = tf.constant(IMAGES[:5], tf.float32)
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        network = networks.strided((8, 8, 3), 4, 8, whiten=fitted())
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    (whiten,) = (layer for layer in network.layers if isinstance(layer, networks.Whiten))
    assert whiten(x).dtype == network(x).dtype == tf.float32
    np.testing.assert_array_equal(whiten(x), networks.Whiten(fitted())(x))
