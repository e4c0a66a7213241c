"""A perceptron that sees sines and cosines of its input beside the input itself."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_febm import arguments
from tf_febm.networks.inputs import energy_inputs
from tf_febm.networks.mlp import perceptron
from tf_febm.networks.precision import FullPrecision

__all__ = ["FourierFeatures", "fourier_mlp"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class FourierFeatures(arguments.Configured, FullPrecision, keras.layers.Layer):
    """Append sin(xB) and cos(xB) to x, with fixed random frequencies B ~ N(0, frequency²).

    Phases are computed in float32 under a mixed policy too.

    Args:
        num_features: Number of frequencies, at least 1.
        frequency: Their standard deviation in radians per unit of x, positive.
        seed: Of the frequencies, an int; they are not trained, and the same seed gives the same.
    """

    def __init__(self, num_features: int, frequency: float, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.num_features = arguments.whole_number("num_features", num_features, 1)
        self.frequency = arguments.number("frequency", frequency, above=True)
        self.seed = arguments.whole_number("seed", seed)

    def build(self, input_shape: arguments.Shape) -> None:
        """Draw the frequencies for inputs [n, d]."""
        rng = np.random.default_rng(self.seed)
        frequencies = rng.normal(0.0, self.frequency, (input_shape[-1], self.num_features))
        # A weight, and so part of every file, whatever numbers another NumPy would draw.
        self.frequencies = self.add_weight(
            shape=frequencies.shape,
            initializer=lambda shape, dtype: ops.cast(ops.array(frequencies), dtype),
            trainable=False,
            name="frequencies",
        )

    def call(self, x: arguments.Tensor) -> Any:
        """Return [n, d + 2·num_features] of x, [n, d]."""
        angles = ops.matmul(x, self.frequencies)
        return ops.concatenate([x, ops.sin(angles), ops.cos(angles)], axis=-1)


@arguments.checked
def fourier_mlp(
    input_shape: int | tuple[int],
    hidden_units: Sequence[int] = (128, 128),
    activation: str = "swish",
    num_classes: int | None = None,
    name: str | None = None,
    *,
    num_features: int = 64,
    frequency: float = 3.0,
) -> keras.Model:
    """Return a perceptron over Fourier features, for densities with fine structure.

    A plain perceptron learns low frequencies first: of 25 narrow wells in the plane it still found
    none where this one had found half. Over vectors of more than a few coordinates use `mlp`.

    Args:
        input_shape: Length of an input vector.
        hidden_units: Width of each hidden layer.
        activation: A Keras activation; smooth ones give smooth scores.
        num_classes: If given, the model takes (x, one_hot) and sees the label beside x.
        name: The Keras name.
        num_features: Number of frequencies.
        frequency: Their standard deviation, in radians per unit of x: about 2 over the width of the
            finest structure that is to be learned soon. Larger ones make energies rougher.

    Returns:
        A model from [n, d] to [n, 1].

    Source: Tancik et al., "Fourier features let networks learn high frequency functions in low
    dimensional domains", 2020.
    """
    shape = arguments.shape("input_shape", input_shape, 1)
    hidden_units = arguments.shape("hidden_units", hidden_units)
    inputs, x, label = energy_inputs(shape, num_classes)
    x = FourierFeatures(num_features, frequency, name="features")(x)
    return keras.Model(inputs, perceptron(x, label, hidden_units, activation), name=name)
