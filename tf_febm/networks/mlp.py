"""A multilayer perceptron over vectors, or over the pixels of small images."""

import math
from collections.abc import Sequence

import keras

from tf_febm import arguments
from tf_febm.networks.activations import fused_activation
from tf_febm.networks.inputs import energy_inputs
from tf_febm.networks.layers import Dense
from tf_febm.networks.precision import output_dtype

__all__ = ["mlp"]


@arguments.checked
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
    inputs, x, label = energy_inputs(input_shape, num_classes)
    if len(input_shape) > 1:
        x = keras.layers.Reshape((math.prod(input_shape),), dtype=x.dtype)(x)
    of_pixels = len(input_shape) > 1
    energy = perceptron(x, label, hidden_units, activation, of_pixels)
    return keras.Model(inputs, energy, name=name)


def perceptron(x, label, hidden_units: Sequence[int], activation, of_pixels: bool = False):
    """Apply hidden layers and one linear output to a symbolic vector, beside a label if given.

    Under a mixed policy the first product takes x in float32, all 24 bits of it, and the last one
    is float32; what lies between computes in 16 bits. So do chains in bfloat16, whose first product
    takes pixels in 8 bits, of which they have no more.

    Args:
        x: Keras tensor [n, d].
        label: Keras tensor [n, num_classes], or None.
        hidden_units: Width of each hidden layer.
        activation: A Keras activation.
        of_pixels: Whether x are pixels, not coordinates.

    Returns:
        A Keras tensor [n, 1].
    """
    dtype, activation = output_dtype(), fused_activation(activation)
    if label is not None:
        x = keras.layers.Concatenate(dtype=dtype)([x, label])
    is_mixed = keras.config.dtype_policy().compute_dtype != dtype
    for i, units in enumerate(hidden_units):
        kind = Dense if i or of_pixels else keras.layers.Dense
        if i == 0 and is_mixed:
            x = kind(units, dtype=dtype)(x)
            x = keras.layers.Activation(activation)(x)
        else:
            x = kind(units, activation=activation)(x)
    return keras.layers.Dense(1, dtype=dtype)(x)
