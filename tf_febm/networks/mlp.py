"""A multilayer perceptron over vectors."""

from collections.abc import Sequence

import keras

from tf_febm.networks import arguments

__all__ = ["mlp"]


def mlp(
    dimension: int,
    hidden_units: Sequence[int] = (64, 64),
    activation: str = "tanh",
    num_classes: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return a multilayer perceptron with one linear output.

    Two layers of 64 tanh units are the variational network of the paper's Section 6.1.

    Args:
        dimension: Length of an input vector.
        hidden_units: Width of each hidden layer.
        activation: A Keras activation. Smooth ones (tanh, swish, softplus) give smooth scores.
        num_classes: If given, the model takes (x, one_hot) and sees the label beside x.
        name: The Keras name.

    Returns:
        A model from [n, dimension] to [n, 1].
    """
    (dimension,) = arguments.shape("dimension", dimension, 1)
    inputs = x = keras.Input((dimension,), name="x")
    if num_classes is not None:
        label = keras.Input((arguments.positive_integer("num_classes", num_classes),), name="label")
        inputs = (inputs, label)
        x = keras.layers.Concatenate()([x, label])
    for units in hidden_units:
        units = arguments.positive_integer("hidden_units", units)
        x = keras.layers.Dense(units, activation=activation)(x)
    return keras.Model(inputs, keras.layers.Dense(1)(x), name=name)
