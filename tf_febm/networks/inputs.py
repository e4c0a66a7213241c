"""Input layers of energy networks and of generators."""

import keras

from tf_febm import arguments
from tf_febm.networks.precision import output_dtype

__all__ = ["energy_inputs", "latent_input"]


def energy_inputs(shape: tuple[int, ...], num_classes: int | None) -> tuple:
    """Return (inputs of a model, x, label), symbolic.

    Args:
        shape: Of one x.
        num_classes: Length of a one-hot label, which is beside x among the inputs then; if None,
            there is no label, None is returned for it, and the inputs are x alone.
    """
    dtype = output_dtype()
    x = keras.Input(shape, dtype=dtype, name="x")
    if num_classes is None:
        return x, x, None
    num_classes = arguments.class_count("num_classes", num_classes)
    label = keras.Input((num_classes,), dtype=dtype, name="label")
    return (x, label), x, label


def latent_input(latent_dim: int, minimum: int = 1) -> keras.KerasTensor:
    """Return the symbolic latent variables of a generator, at least `minimum` of them."""
    latent_dim = arguments.whole_number("latent_dim", latent_dim, minimum)
    return keras.Input((latent_dim,), dtype=output_dtype(), name="z")
