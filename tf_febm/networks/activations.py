"""Fused activations: gradients in fewer passes over the memory than those of Keras."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.renamed import earlier_names

__all__ = ["fused_activation", "swish"]


@keras.saving.register_keras_serializable(package="tf_febm")
def swish(x: arguments.Tensor) -> tf.Tensor:
    """Compute swish, x·σ(x), with a derivative of three operations instead of six.

        d/dx xσ(x) = σ(x) + x·σ(x)(1 − σ(x))

    Values and derivatives, the second ones included, are those of `keras.activations.swish` up to
    rounding. σ is kept from the forward pass instead of being computed again: half as much memory
    again for the activations of a training step.

    Args:
        x: Floating tensor of any shape.

    Returns:
        The same shape and dtype.
    """
    if isinstance(x, keras.KerasTensor):
        return keras.layers.Activation(swish)(x)
    x = tf.convert_to_tensor(x)

    @tf.custom_gradient
    def activate(x):
        gate = tf.sigmoid(x)

        def backward(upstream):
            return upstream * (gate + tf.raw_ops.SigmoidGrad(y=gate, dy=x))

        return x * gate, backward

    return activate(x)


def fused_activation(activation: Any) -> Callable:
    """Return a Keras activation, with `swish` in the place of Keras' own.

    Args:
        activation: Whatever `keras.activations.get` takes.
    """
    activation = keras.activations.get(activation)
    return swish if activation is keras.activations.silu else activation


__getattr__ = earlier_names(__name__, {"faster": f"{__name__}:fused_activation"})
