"""Full precision of parts of a network under a mixed policy."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments

__all__ = ["FullPrecision", "computes_in_half", "multiplied", "output_dtype"]

_SHORT = ("float16", "bfloat16")


def output_dtype(policy: Any = None) -> str:
    """Return the dtype of a network's inputs and energies: that of its weights.

    Under `mixed_bfloat16` and `mixed_float16` that is float32: the last product of a network costs
    nothing, and an energy rounded to 8 or 11 bits would be no energy, as only differences count.

    Args:
        policy: A Keras dtype policy or its name; the global one if None.

    Raises:
        ValueError: Weights themselves have 16 bits under the policy. The steps of an optimizer,
            a thousandth of a weight and less, would then be rounded away without a word.
    """
    policy = keras.dtype_policies.get(policy or keras.config.dtype_policy())
    dtype = policy.variable_dtype
    if dtype in _SHORT:
        raise ValueError(
            f"Energies and weights are never kept in 16 bits; received the dtype policy "
            f"{policy.name!r}. Use 'mixed_{dtype}', which computes in 16 bits, or 'float32'."
        )
    return dtype


@arguments.checked
class FullPrecision:
    """Mixin, before `keras.layers.Layer`, of the layers that a mixed policy leaves as they are.

    They compute in the dtype of their weights, for they cost next to nothing and what they compute
    is a coordinate, a phase or a term of the energy, whose digits no later layer brings back.

    Args:
        **kwargs: Those of the layer.

    Raises:
        ValueError: The layer's policy, its own or the global one, has weights of 16 bits.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": output_dtype(kwargs.get("dtype"))})


def computes_in_half(network: arguments.Network) -> bool:
    """Return whether any layer of a network computes in float16."""
    return any(layer.compute_dtype == "float16" for layer in network._flatten_layers())


def multiplied(x: arguments.Tensor, matrix: arguments.Tensor) -> tf.Tensor:
    """Multiply vectors by a matrix in the dtype of the matrix.

    Args:
        x: Floating [n, length].
        matrix: [length, units].

    Returns:
        [n, units], of the dtype of x.
    """
    return tf.cast(tf.matmul(tf.cast(x, matrix.dtype), matrix), x.dtype)
