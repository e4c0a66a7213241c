"""The networks of Geng et al. 2021: layers, numbers of parameters and ranges as published."""

import keras
import numpy as np
import pytest

from tf_febm import networks


def kinds(network):
    """Return the names of the layers' classes, without the input."""
    return [type(layer).__name__ for layer in network.layers[1:]]


@pytest.fixture(scope="module")
def energy():
    return networks.published_bounds((32, 32, 3))


@pytest.fixture(scope="module")
def generator():
    return networks.generator_published_bounds(128, (32, 32, 3))


def test_the_energy_of_images(energy):
    """Channels and parameters as the published layers have them: in·out·k² + out each."""
    found = [layer for layer in energy.layers if isinstance(layer, keras.layers.Conv2D)]
    channels, sizes = (3, 64, 64, 128, 128, 256, 256, 512), (3, 4, 3, 4, 3, 4, 3)
    assert [layer.filters for layer in found] == [*channels[1:]]
    assert [layer.kernel_size[0] for layer in found] == [*sizes]
    assert [layer.strides[0] for layer in found] == [1, 2, 1, 2, 1, 2, 1]
    convolutions = sum(
        i * o * k**2 + o for i, o, k in zip(channels[:-1], channels[1:], sizes, strict=True)
    )
    assert energy.count_params() == convolutions + 4 * 4 * 512 + 1
    assert kinds(energy).count("LeakyReLU") == 7 and "BatchNormalization" not in kinds(energy)
    slopes = {x.negative_slope for x in energy.layers if isinstance(x, keras.layers.LeakyReLU)}
    assert slopes == {0.1}


def test_the_generator_of_images(generator):
    shapes = [
        layer.output.shape[1:]
        for layer in generator.layers
        if isinstance(layer, (keras.layers.Reshape, keras.layers.ReLU))
    ]
    assert shapes == [(4, 4, 512), (8, 8, 256), (16, 16, 128), (32, 32, 64)]
    assert kinds(generator).count("BatchNormalization") == 3
    weights = 128 * 8192 + 8192
    for i, o in ((512, 256), (256, 128), (128, 64)):
        # A transposed convolution, and scale, shift and two moving statistics.
        weights += i * o * 16 + o + 4 * o
    assert generator.count_params() == weights + 64 * 3 * 9 + 3


def test_the_range_of_images_is_that_of_tanh(energy, generator):
    """x of our generator is (1 + t)/2 of the published one, and its energy sees t again."""
    z = np.random.default_rng(1).normal(size=(5, 128)).astype("float32")
    (tanh,) = (x for x in generator.layers if x.name.startswith("activation"))
    published = keras.Model(generator.input, tanh.output)(z)
    np.testing.assert_allclose(generator(z), (1 + np.asarray(published)) / 2, atol=1e-6)
    seen = keras.Model(energy.input, energy.layers[1].output)(generator(z))
    np.testing.assert_allclose(seen, published, atol=1e-6)


def test_of_points():
    energy = networks.published_bounds(2, 100)
    generator = networks.generator_published_bounds(2, 2, 100)
    layers = ["SpectralDense", "PReLU", "SpectralDense", "PReLU", "SpectralDense", "Dense"]
    assert kinds(energy) == layers
    # Each PReLU has one slope, a spectrally normalised layer a vector of its outputs.
    slopes, vectors = 2, 100 + 100 + 1
    weights = (2 * 100 + 100) + (100 * 100 + 100) + (100 + 1) + 1
    assert energy.count_params() == weights + slopes + vectors
    assert kinds(generator) == [*2 * ["Dense", "PReLU", "BatchNormalization"], "Dense"]
    for layer in (*energy.layers, *generator.layers):
        if isinstance(layer, keras.layers.PReLU):
            np.testing.assert_array_equal(layer.alpha, [0.25])
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


def test_weights_begin_as_pytorchs(generator):
    """Uniform up to 1/√inputs: standard deviation of that over √3."""
    dense = next(x for x in generator.layers if isinstance(x, keras.layers.Dense))
    up = next(x for x in generator.layers if isinstance(x, keras.layers.Conv2DTranspose))
    for kernel, inputs in ((dense.kernel, 128), (up.kernel, 256 * 16)):
        kernel = np.asarray(kernel)
        assert np.abs(kernel).max() <= inputs**-0.5
        # Millions of entries.
        assert kernel.std() == pytest.approx((3 * inputs) ** -0.5, rel=0.01)
    assert np.asarray(dense.bias).std() == pytest.approx((3 * 128) ** -0.5, rel=0.05)


def test_smaller_images_without_normalisation():
    energy = networks.published_bounds((28, 28, 1), 8)
    generator = networks.generator_published_bounds(5, (28, 28, 1), 8, batch_norm=False)
    assert energy(generator(np.ones((2, 5), np.float32))).shape == (2, 1)
    assert "BatchNormalization" not in kinds(generator)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="input_shape must be 3 positive"):
        networks.published_bounds((8, 8))
    with pytest.raises(ValueError, match="num_filters"):
        networks.generator_published_bounds(2, 2, 0)
