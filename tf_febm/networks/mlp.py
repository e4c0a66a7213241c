"""A multilayer perceptron over vectors, or over the pixels of small images."""

import math
from collections.abc import Sequence

import keras

from tf_febm import arguments
from tf_febm.networks.activations import faster
from tf_febm.networks.precision import output_dtype

__all__ = ["mlp"]


def mlp(
    input_shape: int | tuple[int, ...],
    hidden_units: Sequence[int] = (64, 64),
    activation: str = "tanh",
    num_classes: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return a multilayer perceptron with one linear output.

    Two layers of 64 tanh units are the variational network of the paper's Section 6.1. For images
    of some hundred pixels it is far faster than convolutions, and no worse.

    Args:
        input_shape: Length of an input vector, or the shape of an image, which is flattened.
        hidden_units: Width of each hidden layer.
        activation: A Keras activation. Smooth ones (tanh, swish, softplus) give smooth scores.
        num_classes: If given, the model takes (x, one_hot) and sees the label beside x.
        name: The Keras name.

    Returns:
        A model from [n, *input_shape] to [n, 1].
    """
    input_shape = arguments.shape("input_shape", input_shape)
    hidden_units = arguments.shape("hidden_units", hidden_units)
    inputs = x = keras.Input(input_shape, name="x")
    if len(input_shape) > 1:
        x = keras.layers.Reshape((math.prod(input_shape),))(x)
    if num_classes is not None:
        label = keras.Input((arguments.whole_number("num_classes", num_classes, 1),), name="label")
        inputs = (inputs, label)
        x = keras.layers.Concatenate()([x, label])
    for units in hidden_units:
        x = keras.layers.Dense(units, activation=faster(activation))(x)
    return keras.Model(inputs, keras.layers.Dense(1, dtype=output_dtype())(x), name=name)
