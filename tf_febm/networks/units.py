"""Networks over vectors in units of their own: standardised inside, raw outside."""

import keras
import numpy as np
from keras import ops

from tf_febm import arguments

__all__ = ["QuadraticWell", "Standardise", "confined", "standardised"]


@keras.saving.register_keras_serializable(package="tf_febm")
class Standardise(keras.layers.Layer):
    """Compute z = (x − mean)/scale, coordinate by coordinate.

    The numbers are constants of the layer: they are part of its configuration, so a saved model
    holds them, and training does not change them.

    Args:
        mean: Real [d].
        scale: Positive [d].

    Raises:
        ValueError: If the two are not vectors of one length, finite, with positive scale.
    """

    def __init__(self, mean, scale, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.scale = checked_units(mean, scale)

    def call(self, x):
        """Return z, [n, d], of x, [n, d]."""
        mean, scale = (ops.cast(ops.array(v), x.dtype) for v in (self.mean, self.scale))
        return (x - mean) / scale

    def compute_output_shape(self, input_shape):
        """Return the shape of x."""
        return input_shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "mean": self.mean.tolist(), "scale": self.scale.tolist()}


@keras.saving.register_keras_serializable(package="tf_febm")
class QuadraticWell(keras.layers.Layer):
    """Compute ½ strength ‖x‖², the energy of a Gaussian with variance 1/strength.

    Args:
        strength: At least 0.
    """

    def __init__(self, strength: float, **kwargs):
        super().__init__(**kwargs)
        self.strength = arguments.number("strength", strength)

    def call(self, x):
        """Return the energies, [n, 1], of x, [n, …]."""
        axes = tuple(range(1, len(x.shape)))
        return 0.5 * self.strength * ops.expand_dims(ops.sum(ops.square(x), axis=axes), -1)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "strength": self.strength}


def confined(network: keras.Model, strength: float) -> keras.Model:
    """Return a network with a quadratic well added: E(x) + ½ strength ‖x‖².

    Nothing else makes e^(−E) integrable over vectors without bounds: a perceptron grows linearly at
    most, and where it falls chains run away. With the well q is a Gaussian of variance 1/strength,
    reweighted by e^(−network), and has a partition function for any Lipschitz network.

    Args:
        network: Functional model from x, or (x, one_hot), to [n, 1].
        strength: At least 0; small against 1/variance of the data, which it pulls inwards until the
            network has learned to make up for it.
    """
    inputs = [keras.Input(shape[1:], name=name) for shape, name in _inputs_of(network)]
    output = keras.layers.Add()(
        [network(_as_given(inputs)), QuadraticWell(strength, name="well")(inputs[0])]
    )
    return keras.Model(_as_given(inputs), output, name=f"confined_{network.name}")


def standardised(network: keras.Model, mean, scale) -> keras.Model:
    """Return a network that takes x in raw units and sees (x − mean)/scale.

    Its energies are −log densities of x up to a constant as before: the Jacobian of a constant
    rescaling is part of log Z. Use it with `samplers.Standardised`, whose chains move in the same
    units, and both with float32 in mind: where |mean| exceeds 10⁵ scales, digits are lost.

    Args:
        network: Functional model from x, or (x, one_hot), to [n, 1].
        mean: Real [d].
        scale: Positive [d].

    Raises:
        ValueError: If mean and scale do not fit each other or the network.
    """
    mean, scale = checked_units(mean, scale)
    inputs = [keras.Input(shape[1:], name=name) for shape, name in _inputs_of(network)]
    if inputs[0].shape[1:] != mean.shape:
        raise ValueError(
            f"The network takes x of shape {tuple(inputs[0].shape[1:])}; received a mean of shape "
            f"{mean.shape}."
        )
    z = Standardise(mean, scale, name="standardise")(inputs[0])
    output = network(_as_given([z, *inputs[1:]]))
    return keras.Model(_as_given(inputs), output, name=f"standardised_{network.name}")


def checked_units(mean, scale) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale as float64 [d].

    Raises:
        ValueError: If they are not vectors of one length, finite, with positive scale.
    """
    mean, scale = (np.asarray(v, np.float64) for v in (mean, scale))
    good = mean.ndim == 1 and mean.shape == scale.shape and mean.size
    if not good or not np.isfinite(mean).all() or not np.isfinite(scale).all() or scale.min() <= 0:
        raise ValueError(
            "mean and scale must be vectors of one length, finite, and scale positive; received "
            f"mean={mean.tolist()} and scale={scale.tolist()}."
        )
    return mean, scale


def _inputs_of(network):
    shape = getattr(network, "input_shape", None)
    if not shape:
        raise ValueError(f"A functional Keras model is needed; received {network!r}.")
    shapes = shape if isinstance(shape[0], (tuple, list)) else [shape]
    return list(zip(shapes, ("x", "label"), strict=False))


def _as_given(inputs):
    """One input stands alone; several are a tuple, as networks of labels take them."""
    return inputs[0] if len(inputs) == 1 else tuple(inputs)
