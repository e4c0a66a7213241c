"""The energy of a Gaussian, the one energy whose partition function is known."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_febm import arguments
from tf_febm.networks.precision import FullPrecision, output_dtype

__all__ = ["QuadraticEnergy", "quadratic"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class QuadraticEnergy(FullPrecision, keras.layers.Layer):
    """Compute ½ Σᵢ ((xᵢ − μᵢ)/σᵢ)², the unnormalised energy of a diagonal Gaussian.

    Weights: `mean` μ [d] and `log_scale` log σ [d], so that σ stays positive. The normalising
    constant, Σ log σᵢ + (d/2) log 2π, is left out. A mixed policy leaves all of it in float32.

    Args:
        mean: Initial μ, a number.
        scale: Initial σ, a positive number.
    """

    def __init__(self, mean: float = 0.0, scale: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial_mean = arguments.number("mean", mean, minimum=-math.inf)
        self.initial_scale = arguments.number("scale", scale, above=True)

    def build(self, input_shape: arguments.Shape) -> None:
        """Create μ and log σ for inputs [n, d]."""

        def add(name, value):
            # Keras' own constant is rounded to float32 on its way to a weight in float64.
            def constant(shape, dtype):
                return ops.cast(ops.array(np.full(shape, value)), dtype)

            return self.add_weight(shape=input_shape[-1:], initializer=constant, name=name)

        self.mean = add("mean", self.initial_mean)
        self.log_scale = add("log_scale", math.log(self.initial_scale))

    @property
    def scale(self) -> Any:
        """The current σ, [d]."""
        return ops.exp(self.log_scale)

    def call(self, x: arguments.Tensor) -> Any:
        """Return the energies, [n, 1], of x, [n, d]."""
        standardised = (x - self.mean) * ops.exp(-self.log_scale)
        return 0.5 * ops.sum(ops.square(standardised), axis=-1, keepdims=True)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        config = {"mean": self.initial_mean, "scale": self.initial_scale}
        return {**super().get_config(), **config}


@arguments.checked
def quadratic(dimension: int, mean: float = 0.0, scale: float = 1.0) -> keras.Model:
    """Return the energy network of a diagonal Gaussian.

    Args:
        dimension: Length of an input vector.
        mean: Initial mean of every coordinate.
        scale: Initial standard deviation of every coordinate.

    Returns:
        A model from [n, dimension] to [n, 1]; its only layer after the input is `gaussian`, a
        QuadraticEnergy.
    """
    (dimension,) = arguments.shape("dimension", dimension, 1)
    inputs = keras.Input((dimension,), dtype=output_dtype(), name="x")
    return keras.Model(inputs, QuadraticEnergy(mean, scale, name="gaussian")(inputs))
