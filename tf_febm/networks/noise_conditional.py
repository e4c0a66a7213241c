"""A residual energy of images at several levels of noise, a sum over places at every resolution."""

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.networks.activations import swish
from tf_febm.networks.inputs import energy_inputs
from tf_febm.networks.layers import Conv2D

__all__ = ["IndexFeatures", "Modulation", "SumOfPlaces", "noise_conditional"]

# Units of the layers that see the level of noise and the class.
CONDITION_UNITS = 64
# Harmonics of the level's place in the row.
HARMONICS = 4
# Filters grow with every halving of the image, up to so many times the first ones.
MOST_FILTERS = 8


@arguments.checked
def noise_conditional(
    image_shape: tuple[int, ...],
    num_filters: int = 32,
    dense_units: int = 256,
    num_classes: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return an energy network for images whose gradient can be a good denoiser.

    A 3×3 convolution, then for each halving of the image until 4 pixels a side are left a residual
    block of two, the first of stride 2 and with twice the filters. Every block is scaled and
    shifted by what the row tells: level of noise and class. The energy is a sum over all places of
    all resolutions, and a dense layer's part: its gradient for x then is what a network of the
    shape of a U computes, down and up again, with the weights of the way down.

    For `MultiscaleScoreMatching` and `Recovery`; with other models the row is a label.

    Args:
        image_shape: (height, width, channels).
        num_filters: Filters of the first convolution.
        dense_units: Width of the dense layer over what is left of the image.
        num_classes: Length of the rows, T levels and classes behind them. None: there are none.
        name: The Keras name.

    Returns:
        A model from [n, height, width, channels], about ½ and of deviation ¼, or such and rows, to
        [n, 1].
    """
    image_shape = arguments.shape("image_shape", image_shape, 3)
    first = filters = arguments.whole_number("num_filters", num_filters, 1)
    dense_units = arguments.whole_number("dense_units", dense_units, 1)
    layers = keras.layers
    inputs, x, row = energy_inputs(image_shape, num_classes)
    dtype = x.dtype
    condition = None
    if row is not None:
        condition = IndexFeatures(HARMONICS, dtype=dtype)(row)
        for _ in range(2):
            condition = layers.Dense(CONDITION_UNITS, activation=swish)(condition)

    def modulated(h):
        return h if condition is None else Modulation()([h, condition])

    def convolved(h, filters, gain=1.0, **options):
        scaled = keras.initializers.VarianceScaling(gain)
        return Conv2D(
            filters,
            options.pop("kernel_size", 3),
            padding="same",
            kernel_initializer=scaled,
            **options,
        )(h)

    x = layers.Rescaling(4.0, -2.0, dtype=dtype)(x)
    h = modulated(convolved(x, filters))
    parts = [SumOfPlaces(dtype=dtype)(h)]
    size = max(image_shape[:2])
    while size > 4:
        filters, size = min(2 * filters, MOST_FILTERS * first), (size + 1) // 2
        inner = convolved(layers.Activation(swish)(h), filters, strides=2)
        inner = convolved(layers.Activation(swish)(modulated(inner)), filters, gain=0.25)
        # The mean of each square of 2×2 goes around the block.
        h = layers.AveragePooling2D(2, padding="same", data_format="channels_last")(h)
        if h.shape[-1] != filters:
            h = convolved(h, filters, kernel_size=1)
        h = layers.Add()([h, inner])
        parts.append(SumOfPlaces(dtype=dtype)(h))
    h = layers.Flatten(data_format="channels_last")(layers.Activation(swish)(h))
    h = layers.Dense(dense_units)(h)
    if condition is not None:
        h = layers.Add()([h, layers.Dense(dense_units)(condition)])
    h = layers.Activation(swish)(h)
    parts.append(layers.Dense(1, kernel_initializer=_small(), dtype=dtype)(h))
    return keras.Model(inputs, layers.Add(dtype=dtype)(parts), name=name)


def _small() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.02)


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class IndexFeatures(keras.layers.Layer):
    """Put beside a row, [n, k], sines and cosines of the place of its ones.

    Levels that are neighbours are seen as such; each has a column of its own besides.

    Args:
        harmonics: Number of sines, at least 1.
    """

    def __init__(self, harmonics: int = HARMONICS, **kwargs):
        super().__init__(**kwargs)
        self.harmonics = arguments.whole_number("harmonics", harmonics, 1)

    def call(self, inputs: arguments.Tensor) -> tf.Tensor:
        """Return [n, 3·k′]: the row, and features of it."""
        count = inputs.shape[-1]
        angles = np.pi * np.outer(np.arange(count) / count, np.arange(1, self.harmonics + 1))
        waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
        seen = tf.matmul(inputs, tf.constant(waves, inputs.dtype))
        return tf.concat([inputs, seen], axis=-1)

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return [n, k + 2·harmonics]."""
        return (*input_shape[:-1], input_shape[-1] + 2 * self.harmonics)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {**super().get_config(), "harmonics": self.harmonics}


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class Modulation(keras.layers.Layer):
    """Scale and shift each channel by linear functions of a condition: x·(1 + c·S) + c·B.

    The weight `kernel`, [condition, 2·channels], holds S and B.
    """

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights for images [n, …, channels] and conditions [n, k]."""
        images, condition = input_shape
        self.kernel = self.add_weight(
            shape=(condition[-1], 2 * images[-1]), initializer=_small(), name="kernel"
        )

    def call(self, inputs: arguments.Tensor) -> tf.Tensor:
        """Return the images of (images, conditions), modulated."""
        images, condition = inputs
        both = tf.matmul(condition, tf.convert_to_tensor(self.kernel))
        scale, shift = tf.split(both[:, tf.newaxis, tf.newaxis, :], 2, axis=-1)
        return images * (1.0 + scale) + shift

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the images."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class SumOfPlaces(keras.layers.Layer):
    """Sum s·w + s²·v over places and channels, s = swish(x): [n, height, width, c] to [n, 1].

    The weights `linear` w and `square` v have one number a channel.
    """

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights."""
        self.linear, self.square = (
            self.add_weight(shape=input_shape[-1:], initializer=_small(), name=name)
            for name in ("linear", "square")
        )

    def call(self, inputs: arguments.Tensor) -> tf.Tensor:
        """Return the sums, [n, 1]."""
        seen = swish(inputs)
        linear, square = map(tf.convert_to_tensor, (self.linear, self.square))
        return tf.reduce_sum(seen * (linear + square * seen), axis=[1, 2, 3])[:, tf.newaxis]

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return [n, 1]."""
        return (input_shape[0], 1)
