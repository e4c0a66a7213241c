"""Standardisation and quadratic confinement of energies over vectors."""

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from tf_febm import arguments
from tf_febm.networks.precision import FullPrecision, output_dtype
from tf_febm.renamed import earlier_names

__all__ = ["QuadraticConfinement", "Standardise", "standardised", "with_confinement"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class Standardise(FullPrecision, keras.layers.Layer):
    """Compute z = (x − mean)/scale, coordinate by coordinate, with constant mean and scale.

    The subtraction is made in float32, or in float64 if x is, under a mixed policy too: where
    |mean| exceeds the scale by far, rounding x first would leave nothing of z. The numbers are part
    of the configuration, so a saved model holds them.

    Args:
        mean: Real [d].
        scale: Positive [d].

    Raises:
        ValueError: The two are not vectors of one length, finite, with positive scale.
    """

    def __init__(self, mean: arguments.Numbers, scale: arguments.Numbers, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.scale = checked_units(mean, scale)
        # Keras would cast x before `call` sees it.
        self.autocast = False

    def call(self, x: arguments.Tensor) -> Any:
        """Return z, [n, d], of x, [n, d], in the dtype of the layer."""
        dtype = keras.backend.result_type(x.dtype, self.compute_dtype)
        mean, scale = (ops.cast(ops.array(v), dtype) for v in (self.mean, self.scale))
        return ops.cast((ops.cast(x, dtype) - mean) / scale, self.compute_dtype)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {**super().get_config(), "mean": self.mean.tolist(), "scale": self.scale.tolist()}


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class QuadraticConfinement(arguments.Configured, FullPrecision, keras.layers.Layer):
    """Compute ½ strength ‖x‖², the energy of a Gaussian with variance 1/strength.

    Computed in float32 under a mixed policy too.

    Args:
        strength: At least 0.
    """

    def __init__(self, strength: float, **kwargs):
        super().__init__(**kwargs)
        self.strength = arguments.number("strength", strength)

    def call(self, x: arguments.Tensor) -> Any:
        """Return the energies, [n, 1], of x, [n, …]."""
        x = ops.cast(x, self.compute_dtype)
        axes = tuple(range(1, len(x.shape)))
        return 0.5 * self.strength * ops.expand_dims(ops.sum(ops.square(x), axis=axes), -1)


@arguments.checking({"network": None})
def with_confinement(network: keras.Model, strength: float) -> keras.Model:
    """Return a network with quadratic confinement: E(x) + ½ strength ‖x‖².

    Nothing else makes e^(−E) integrable over vectors without bounds: a perceptron grows linearly at
    most, and where it falls chains run away. Confined, q is a Gaussian of variance 1/strength,
    reweighted by e^(−network), and has a partition function for any Lipschitz network.

    Args:
        network: Functional model from x, or (x, one_hot), to [n, 1].
        strength: At least 0; small against 1/variance of the data, which it pulls inwards until the
            network has learned to make up for it.
    """
    inputs, dtype = _inputs_of(network)
    confinement = QuadraticConfinement(strength, name="confinement", dtype=dtype)(inputs[0])
    output = keras.layers.Add(dtype=dtype)([_energies(network, inputs, dtype), confinement])
    return keras.Model(_as_given(inputs), output, name=f"confined_{network.name}")


@arguments.checking({"network": None})
def standardised(
    network: keras.Model, mean: arguments.Numbers, scale: arguments.Numbers
) -> keras.Model:
    """Return a network that takes x in raw units and sees (x − mean)/scale.

    Its energies are −log densities of x up to a constant as before: the Jacobian of a constant
    rescaling is part of log Z. Use it with `samplers.Preconditioned`, whose chains move in the same
    units, and both with float32 in mind: where |mean| exceeds 10⁵ scales, digits are lost.

    Args:
        network: Functional model from x, or (x, one_hot), to [n, 1].
        mean: Real [d].
        scale: Positive [d].

    Raises:
        ValueError: Mean and scale do not fit each other or the network.
    """
    mean, scale = checked_units(mean, scale)
    inputs, dtype = _inputs_of(network)
    if inputs[0].shape[1:] != mean.shape:
        raise ValueError(
            f"The network takes x of shape {tuple(inputs[0].shape[1:])}; received a mean of shape "
            f"{mean.shape}."
        )
    z = Standardise(mean, scale, name="standardise", dtype=dtype)(inputs[0])
    output = _energies(network, [z, *inputs[1:]], dtype)
    return keras.Model(_as_given(inputs), output, name=f"standardised_{network.name}")


def checked_units(mean, scale) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale as float64 [d].

    Raises:
        ValueError: They are not vectors of one length, finite, with positive scale.
    """
    mean, scale = (np.asarray(v, np.float64) for v in (mean, scale))
    if mean.ndim != 1 or mean.shape != scale.shape or not mean.size:
        raise ValueError(
            "mean and scale must be vectors of one length; received shapes "
            f"{mean.shape} and {scale.shape}."
        )
    bad = ~(np.isfinite(mean) & np.isfinite(scale) & (scale > 0.0))
    if bad.any():
        k = int(bad.argmax())
        raise ValueError(
            f"mean and scale must be finite, and scale positive; {bad.sum()} of {len(mean)} "
            f"coordinates are not so, the first with mean={mean[k]} and scale={scale[k]}: "
            f"coordinate {k}."
        )
    return mean, scale


def _inputs_of(network):
    """Return inputs like a network's, and the widest of its dtypes and of `output_dtype`."""
    if not getattr(network, "input_shape", None):
        raise ValueError(
            f"network must be a functional Keras model; received {arguments.shown(network)}."
        )
    floating = [t.dtype for t in (*network.inputs, *network.outputs) if "float" in t.dtype]
    dtype = keras.backend.result_type(output_dtype(), *floating)
    pairs = zip(network.inputs, ("x", "label"), strict=False)
    return [
        keras.Input(t.shape[1:], dtype=dtype if "float" in t.dtype else t.dtype, name=name)
        for t, name in pairs
    ], dtype


def _energies(network, inputs, dtype: str):
    """Return the symbolic energies of a network, in a dtype of at least 32 bits."""
    energies = network(_as_given(inputs))
    if energies.dtype in ("float16", "bfloat16"):
        warnings.warn(
            f"The energies of {network.name} are {energies.dtype}, which no wrapper can mend; "
            "give its last layer dtype='float32'.",
            stacklevel=4,
        )
    return energies if energies.dtype == dtype else ops.cast(energies, dtype)


def _as_given(inputs):
    """One input stands alone; several are a tuple, as networks of labels take them."""
    return inputs[0] if len(inputs) == 1 else tuple(inputs)


# Files of networks from before the class had this name.
keras.saving.get_custom_objects()["tf_febm>QuadraticWell"] = QuadraticConfinement


__getattr__ = earlier_names(
    __name__,
    {
        "QuadraticWell": "tf_febm.networks.units:QuadraticConfinement",
        "confined": "tf_febm.networks.units:with_confinement",
    },
)
