"""Generator networks: Keras models from latent variables z ~ N(0, I_d) to data.

Under a mixed policy z, the first layer and the last one are in float32, so that neither z nor data
are rounded to 16 bits; what lies between computes in 16 bits.
"""

import math
from collections.abc import Sequence

import keras

from tf_febm import arguments
from tf_febm.networks.inputs import latent_input
from tf_febm.networks.precision import output_dtype

__all__ = ["generator_coupling", "generator_dcgan", "generator_mlp", "generator_resnet"]

# Whatever Keras' global setting is.
_LAST = "channels_last"


@arguments.checked
def generator_mlp(
    latent_dim: int,
    output_shape: int | tuple[int, ...],
    hidden_units: Sequence[int] = (100, 100),
    activation: str = "swish",
    output_activation: str | None = None,
    batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Return a multilayer perceptron from latent variables to vectors or small images.

    Smooth activations matter more here than in most networks: with a piecewise linear one (relu,
    or the published prelu) log det JᵀJ is constant on each piece, its gradient zero, and what
    p_g does at the seams is in no gradient penalty. With relu J also loses rank.

    Args:
        latent_dim: d, the length of z.
        output_shape: Length of a vector, or the shape of an image.
        hidden_units: Width of each hidden layer.
        activation: A Keras activation.
        output_activation: Of the last layer: None for data without bounds, "sigmoid" for [0, 1],
            "tanh" for [−1, 1].
        batch_norm: Whether hidden layers are batch-normalised; see `BidirectionalEBM` for what that
            means there.
        name: The Keras name.

    Returns:
        A model from [n, latent_dim] to [n, *output_shape].
    """
    output_shape = arguments.shape("output_shape", output_shape)
    z = latent_input(latent_dim)
    x = _hidden(z, arguments.shape("hidden_units", hidden_units), activation, batch_norm)
    size = math.prod(output_shape)
    x = keras.layers.Dense(size, activation=output_activation, dtype=z.dtype)(x)
    return keras.Model(z, in_shape(x, output_shape), name=name)


@arguments.checked
def generator_coupling(
    latent_dim: int,
    output_shape: int | tuple[int, ...],
    hidden_units: Sequence[int] = (64, 64),
    activation: str = "swish",
    output_activation: str | None = None,
    batch_norm: bool = False,
    num_layers: int = 8,
    name: str | None = None,
) -> keras.Model:
    """Return affine couplings: a map that is one to one and onto, whatever its weights.

        x_B = z_B · exp(2 tanh(s(z_A))) + t(z_A),   x_A = z_A

    s and t share the hidden layers of a perceptron; the halves A and B change places from layer to
    layer. So the entropy of p_g from its Jacobian is exact, and the bounds of `BidirectionalEBM`
    are those of the theory: see `objectives.upper_bound`. What it pays for that is that it cannot
    tear the plane: modes far apart remain connected by thin bridges.

    Args:
        latent_dim: d, the length of z, at least 2.
        output_shape: d, or a shape of d entries.
        hidden_units: Width of each hidden layer of one coupling.
        activation: A Keras activation; see `generator_mlp`.
        output_activation: See `generator_mlp`. A strictly increasing one keeps the map one to one,
            and onto its range.
        batch_norm: Whether the hidden layers are batch-normalised.
        num_layers: Couplings, at least 1.
        name: The Keras name.

    Returns:
        A model from [n, d] to [n, *output_shape].

    Raises:
        ValueError: The data have another number of entries than z, or an argument is out of its
            range.

    Source: Dinh, Sohl-Dickstein, Bengio 2017 (RealNVP).
    """
    output_shape = arguments.shape("output_shape", output_shape)
    latent_dim = arguments.whole_number("latent_dim", latent_dim, 2)
    z = x = latent_input(latent_dim, 2)
    check_one_to_one("coupling", latent_dim, output_shape)
    hidden_units = arguments.shape("hidden_units", hidden_units)
    layers, ops = keras.layers, keras.ops
    # Near the identity: a product of many couplings would begin anywhere otherwise.
    small = {"kernel_initializer": keras.initializers.VarianceScaling(0.01), "dtype": z.dtype}
    for k in range(arguments.whole_number("num_layers", num_layers, 1)):
        count = latent_dim // 2 if k % 2 == 0 else latent_dim - latent_dim // 2
        kept, moved = x[:, :count], x[:, count:]
        h = _hidden(kept, hidden_units, activation, batch_norm)
        log_scale = 2.0 * layers.Dense(latent_dim - count, activation="tanh", **small)(h)
        moved = moved * ops.exp(log_scale) + layers.Dense(latent_dim - count, **small)(h)
        x = ops.concatenate([moved, kept], axis=1)
    return keras.Model(z, in_shape(x, output_shape, output_activation), name=name)


@arguments.checked
def generator_dcgan(
    latent_dim: int,
    output_shape: tuple[int, int, int],
    num_filters: int = 64,
    activation: str = "swish",
    output_activation: str | None = "sigmoid",
    batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Return transposed convolutions that double an image from 4 to 7 pixels a side to its size.

    A dense layer to the smallest image; for each doubling a 4×4 transposed convolution of stride 2,
    with num_filters channels in the last and twice as many in each one before; a 3×3 convolution.
    For 32×32×3 with 64 filters and batch normalisation that is the published generator, 512 × 4 × 4
    to 256, 128, 64 and 3 channels, but for its relu and tanh.

    Args:
        latent_dim: d, the length of z.
        output_shape: (height, width, channels).
        num_filters: Channels after the last doubling.
        activation: A Keras activation; see `generator_mlp`.
        output_activation: See `generator_mlp`.
        batch_norm: See `generator_mlp`.
        name: The Keras name.

    Returns:
        A model from [n, latent_dim] to [n, height, width, channels].
    """
    filters = arguments.whole_number("num_filters", num_filters, 1)
    z, x, doublings = _smallest_image(latent_dim, output_shape, filters)
    for k in reversed(range(doublings)):
        x = keras.layers.Conv2DTranspose(
            filters * 2**k, 4, 2, "same", data_format=_LAST, use_bias=not batch_norm
        )(x)
        x = _activated(x, activation, batch_norm)
    return keras.Model(z, _image(x, output_shape[-1], output_activation), name=name)


@arguments.checked
def generator_resnet(
    latent_dim: int,
    output_shape: tuple[int, int, int],
    num_filters: int = 64,
    activation: str = "swish",
    output_activation: str | None = "sigmoid",
    batch_norm: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Return residual blocks that double an image from 4 to 7 pixels a side to its size.

        h = c2(act(c1(up(act(x))))),   x' = h + bypass(up(x))

    c1 and c2 are 3×3 convolutions, the bypass is a 1×1 one, and `up` repeats each pixel. If
    batch-normalised, both activations are. All blocks have four times num_filters channels; an
    activation and a 3×3 convolution end the network.

    Args:
        latent_dim: d, the length of z.
        output_shape: (height, width, channels).
        num_filters: A quarter of the channels of all blocks.
        activation: A Keras activation; see `generator_mlp`.
        output_activation: See `generator_mlp`.
        batch_norm: See `generator_mlp`.
        name: The Keras name.

    Returns:
        A model from [n, latent_dim] to [n, height, width, channels].
    """
    layers = keras.layers
    width = 4 * arguments.whole_number("num_filters", num_filters, 1)
    z, x, doublings = _smallest_image(latent_dim, output_shape, width, grow=False)

    def convolution(size, **settings):
        return layers.Conv2D(width, size, padding="same", data_format=_LAST, **settings)

    def doubled(x):
        return layers.UpSampling2D(data_format=_LAST)(x)

    for _ in range(doublings):
        h = doubled(_activated(x, activation, batch_norm))
        h = convolution(3, use_bias=not batch_norm)(h)
        h = convolution(3)(_activated(h, activation, batch_norm))
        x = layers.Add()([h, convolution(1)(doubled(x))])
    x = _activated(x, activation, batch_norm)
    return keras.Model(z, _image(x, output_shape[-1], output_activation), name=name)


def check_one_to_one(kind: str, latent_dim: int, output_shape: tuple[int, ...]) -> None:
    """Raise a ValueError if data have another number of entries than z."""
    if math.prod(output_shape) != latent_dim:
        raise ValueError(
            f"A {kind} generator has as many latent variables as entries of an example; received "
            f"latent_dim={latent_dim} for shape {output_shape}."
        )


def in_shape(x, output_shape: tuple[int, ...], activation: str | None = None):
    """Return symbolic data of a shape from as many numbers, after an activation if given."""
    if activation is not None:
        x = keras.layers.Activation(activation, dtype=output_dtype())(x)
    if len(output_shape) > 1:
        x = keras.layers.Reshape(output_shape, dtype=output_dtype())(x)
    return x


def halvings(height: int, width: int) -> int:
    """Return how often images can be halved until 4 to 7 pixels a side, or odd sides, are left."""
    count = 0
    while min(height, width) > 7 and height % 2 == width % 2 == 0:
        height, width, count = height // 2, width // 2, count + 1
    return count


def _smallest_image(latent_dim, output_shape, filters: int, grow: bool = True):
    """Return z, the image that a dense layer makes of it, and how often it is to be doubled."""
    height, width, _ = arguments.shape("output_shape", output_shape, 3)
    doublings = halvings(height, width)
    height, width = height >> doublings, width >> doublings
    channels = filters * 2**doublings if grow else filters
    z = latent_input(latent_dim)
    x = keras.layers.Dense(height * width * channels, dtype=z.dtype)(z)
    return z, keras.layers.Reshape((height, width, channels))(x), doublings


def _image(x, channels: int, output_activation: str | None):
    """Return the image that the last convolution makes of feature maps."""
    return keras.layers.Conv2D(
        channels, 3, 1, "same", _LAST, activation=output_activation, dtype=output_dtype()
    )(x)


def _hidden(x, hidden_units, activation: str, batch_norm: bool):
    """Return the output of the hidden layers of a perceptron."""
    for i, units in enumerate(hidden_units):
        dtype = None if i else output_dtype()
        x = keras.layers.Dense(units, use_bias=not batch_norm, dtype=dtype)(x)
        x = _activated(x, activation, batch_norm)
    return x


def _activated(x, activation: str, batch_norm: bool):
    if batch_norm:
        # Statistics follow the weights within some ten steps, and are those of the whole batch
        # where it is split over replicas.
        x = keras.layers.BatchNormalization(momentum=0.9, synchronized=True)(x)
    return keras.layers.Activation(activation)(x)
