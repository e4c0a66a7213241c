"""The networks of the public code of Geng et al. 2021, for --network and --generator.

For images a convolutional energy and a DCGAN, both made for images in [−1, 1]. Here images lie in
[0, 1]: the energy begins with 2x − 1 and the generator ends with (1 + tanh)/2, so that both are the
published functions, in other units. The entropy differs by a constant, and the penalty in latent
space by nothing. For points two perceptrons with PReLU.

Weights begin as PyTorch's do, uniform up to one over the root of the number of inputs.
"""

import math

import keras
from keras import layers

import tf_febm

# Slope of the energy's activation below zero, and where PReLU's begins.
LEAK, PRELU = 0.1, 0.25


def energy(shape, num_filters: int, name: str) -> keras.Model:
    """Return the energy of images, or of points if the shape has one axis.

    Images: 3×3 convolutions and, after each, a 4×4 one of stride 2 of as many channels, until 4 to
    7 pixels a side are left; the channels double after each halving. Then one 3×3 convolution and
    one linear unit: 64-64-128-128-256-256-512 for 32×32 pixels with 64 filters.

    Points: two layers, spectrally normalised with one power iteration a step, and a factor that
    gives the energy its scale back.

    Args:
        shape: Of an example.
        num_filters: Channels of the first convolution, or units of each layer.
        name: The Keras name.
    """
    x = inputs = keras.Input(shape, name="x")
    if len(shape) == 1:
        for _ in range(2):
            x = _prelu()(tf_febm.networks.SpectralDense(num_filters)(x))
        x = tf_febm.networks.SpectralDense(1)(x)
        return keras.Model(inputs, layers.Dense(1, use_bias=False, **_begin(1))(x), name=name)
    x = layers.Rescaling(2.0, -1.0)(x)
    for k in range(_doublings(shape)):
        for size, stride in ((3, 1), (4, 2)):
            x = _convolved(x, num_filters * 2**k, size, stride)
    x = _convolved(x, num_filters * 2 ** _doublings(shape), 3, 1)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(1, **_begin(x.shape[-1]))(x), name=name)


def generator(latent_dim: int, shape, num_filters: int, batch_norm: bool) -> keras.Model:
    """Return the generator of images, or of points if the shape has one axis.

    Images: a dense layer to the smallest image; for each doubling a 4×4 transposed convolution of
    stride 2, batch normalisation, relu; a 3×3 convolution, tanh. Points: two layers, each with
    PReLU and then batch normalisation, and a linear one.

    Args:
        latent_dim: Length of the latent variables.
        shape: Of an example.
        num_filters: Channels after the last doubling, or units of each layer.
        batch_norm: Whether there is batch normalisation, as published.
    """
    x = z = keras.Input((latent_dim,), name="z")
    if len(shape) == 1:
        for _ in range(2):
            x = _prelu()(layers.Dense(num_filters, **_begin(x.shape[-1]))(x))
            x = _normalised(x, batch_norm)
        x = layers.Dense(shape[0], **_begin(num_filters))(x)
        return keras.Model(z, x, name="generator")
    doublings = _doublings(shape)
    height, width, channels = shape
    small = (height >> doublings, width >> doublings, num_filters * 2**doublings)
    x = layers.Dense(math.prod(small), **_begin(latent_dim))(x)
    x = layers.Reshape(small)(x)
    for k in reversed(range(doublings)):
        # PyTorch counts the inputs of a transposed convolution by its outputs.
        filters = num_filters * 2**k
        x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", **_begin(filters * 4**2))(
            x
        )
        x = layers.ReLU()(_normalised(x, batch_norm))
    x = layers.Conv2D(channels, 3, padding="same", **_begin(num_filters * 3**2))(x)
    x = layers.Activation("tanh")(x)
    return keras.Model(z, layers.Rescaling(0.5, 0.5)(x), name="generator")


def _doublings(shape) -> int:
    """Return how often images can be halved until 4 to 7 pixels a side are left."""
    height, width, _ = shape
    count = 0
    while min(height, width) > 7 and height % 2 == width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return count


def _convolved(x, filters: int, size: int, stride: int):
    begin = _begin(x.shape[-1] * size**2)
    x = layers.Conv2D(filters, size, strides=stride, padding="same", **begin)(x)
    return layers.LeakyReLU(LEAK)(x)


def _prelu():
    """Return the activation with one slope for all units."""
    return layers.PReLU(keras.initializers.Constant(PRELU), shared_axes=[1])


def _normalised(x, batch_norm: bool):
    if not batch_norm:
        return x
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, synchronized=True)(x)


def _begin(num_inputs: int) -> dict:
    """Return the initialisers of a layer; those of kernel and bias are two objects."""
    limit = num_inputs**-0.5
    return {
        f"{name}_initializer": keras.initializers.RandomUniform(-limit, limit)
        for name in ("kernel", "bias")
    }
