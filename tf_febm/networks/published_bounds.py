"""The networks of the public code of Geng et al. 2021.

For images a convolutional energy and a DCGAN, both made for images in [−1, 1]. Here images lie in
[0, 1]: the energy begins with 2x − 1 and the generator ends with (1 + tanh)/2, so that both are the
published functions, in other units. The entropy differs by a constant, and the penalty in latent
space by nothing. For points two perceptrons with PReLU.

Weights begin as PyTorch's do, uniform up to one over the root of the number of inputs.
"""

import math

import keras
from keras import layers

from tf_febm import arguments
from tf_febm.networks.generators import halvings
from tf_febm.networks.inputs import energy_inputs, latent_input
from tf_febm.networks.layers import Conv2D
from tf_febm.networks.spectral import SpectralDense

__all__ = ["generator_published_bounds", "published_bounds"]

# Slope of the energy's activation below zero, and where PReLU's begins.
LEAK, PRELU = 0.1, 0.25
_LAST = "channels_last"


@arguments.checked
def published_bounds(
    input_shape: int | tuple[int, ...], num_filters: int = 64, name: str | None = None
) -> keras.Model:
    """Return the energy network of images, or of points if the shape has one axis.

    Images: 3×3 convolutions and, after each, a 4×4 one of stride 2 of as many channels, until 4 to
    7 pixels a side are left; the channels double after each halving. Then one 3×3 convolution and
    one linear unit: 64-64-128-128-256-256-512 for 32×32 pixels with 64 filters.

    Points: two layers, spectrally normalised with one power iteration a step, and a factor that
    gives the energy its scale back.

    Args:
        input_shape: Of an example: (height, width, channels), or the length of a vector.
        num_filters: Channels of the first convolution, or units of each layer.
        name: The Keras name.

    Returns:
        A model from [n, *input_shape] to [n, 1].

    Source: Geng et al., Bounds all around: training energy-based models with bidirectional bounds,
    NeurIPS 2021, and its public code.
    """
    shape = _shape("input_shape", input_shape)
    num_filters = arguments.whole_number("num_filters", num_filters, 1)
    inputs, x, _ = energy_inputs(shape, None)
    dtype = x.dtype
    if len(shape) == 1:
        for _ in range(2):
            x = _prelu(dtype)(SpectralDense(num_filters, dtype=dtype)(x))
        x = SpectralDense(1, dtype=dtype)(x)
        energy = layers.Dense(1, use_bias=False, dtype=dtype, **_initializers(1))(x)
        return keras.Model(inputs, energy, name=name)

    def convolved(x, filters: int, size: int, stride: int):
        begin = _initializers(x.shape[-1] * size**2)
        return layers.LeakyReLU(LEAK)(Conv2D(filters, size, stride, padding="same", **begin)(x))

    x = layers.Rescaling(2.0, -1.0, dtype=dtype)(x)
    doublings = halvings(*shape[:2])
    for k in range(doublings):
        for size, stride in ((3, 1), (4, 2)):
            x = convolved(x, num_filters * 2**k, size, stride)
    x = convolved(x, num_filters * 2**doublings, 3, 1)
    x = layers.Flatten(data_format=_LAST)(x)
    energy = layers.Dense(1, dtype=dtype, **_initializers(x.shape[-1]))(x)
    return keras.Model(inputs, energy, name=name)


@arguments.checked
def generator_published_bounds(
    latent_dim: int,
    output_shape: int | tuple[int, ...],
    num_filters: int = 64,
    batch_norm: bool = True,
    name: str | None = None,
) -> keras.Model:
    """Return the generator of images in [0, 1], or of points if the shape has one axis.

    Images: a dense layer to the smallest image; for each doubling a 4×4 transposed convolution of
    stride 2, batch normalisation, relu; a 3×3 convolution, tanh. Points: two layers, each with
    PReLU and then batch normalisation, and a linear one.

    Args:
        latent_dim: Length of the latent variables.
        output_shape: Of an example: (height, width, channels), or the length of a vector.
        num_filters: Channels after the last doubling, or units of each layer.
        batch_norm: Whether there is batch normalisation, as published.
        name: The Keras name.

    Returns:
        A model from [n, latent_dim] to [n, *output_shape].

    Source: As of `published_bounds`.
    """
    shape = _shape("output_shape", output_shape)
    num_filters = arguments.whole_number("num_filters", num_filters, 1)
    x = z = latent_input(latent_dim)
    dtype = z.dtype

    def normalised(x):
        if not batch_norm:
            return x
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True)(x)

    if len(shape) == 1:
        for _ in range(2):
            begin = _initializers(x.shape[-1])
            x = normalised(_prelu(dtype)(layers.Dense(num_filters, dtype=dtype, **begin)(x)))
        x = layers.Dense(*shape, dtype=dtype, **_initializers(num_filters))(x)
        return keras.Model(z, x, name=name)
    height, width, channels = shape
    doublings = halvings(height, width)
    small = (height >> doublings, width >> doublings, num_filters * 2**doublings)
    x = layers.Dense(math.prod(small), dtype=dtype, **_initializers(latent_dim))(x)
    x = layers.Reshape(small)(x)
    for k in reversed(range(doublings)):
        filters = num_filters * 2**k
        # PyTorch counts the inputs of a transposed convolution by its outputs.
        begin = _initializers(filters * 4**2)
        x = layers.Conv2DTranspose(filters, 4, 2, "same", data_format=_LAST, **begin)(x)
        x = layers.ReLU()(normalised(x))
    begin = _initializers(num_filters * 3**2)
    x = layers.Conv2D(channels, 3, 1, "same", _LAST, dtype=dtype, **begin)(x)
    x = layers.Activation("tanh", dtype=dtype)(x)
    return keras.Model(z, layers.Rescaling(0.5, 0.5, dtype=dtype)(x), name=name)


def _shape(name: str, value) -> tuple[int, ...]:
    shape = arguments.shape(name, value)
    return shape if len(shape) == 1 else arguments.shape(name, value, 3)


def _prelu(dtype: str):
    """Return the activation with one slope for all units."""
    return layers.PReLU(keras.initializers.Constant(PRELU), shared_axes=[1], dtype=dtype)


def _initializers(num_inputs: int) -> dict:
    """Return the initialisers of a layer; those of kernel and bias are two objects."""
    limit = num_inputs**-0.5
    return {
        f"{name}_initializer": keras.initializers.RandomUniform(-limit, limit)
        for name in ("kernel", "bias")
    }
