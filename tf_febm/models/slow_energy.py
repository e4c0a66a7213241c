"""Slow copy of an energy network: its exponential moving average as a network of its own."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, parallel
from tf_febm.models.averaging import averaged_variables

__all__ = ["slow_copy", "update_slow_copy"]


def slow_copy(network: arguments.Network) -> keras.Layer:
    """Return a network like another one, with weights of its own that are never trained.

    Raises:
        TypeError: The network cannot be made from its configuration.
    """
    try:
        copied = type(network).from_config(network.get_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise TypeError(
            "slow_energy_decay needs an energy network that can be made from its get_config(), as "
            f"functional models can; {network.name} cannot: {str(error).splitlines()[0]}"
        ) from error
    copied.trainable = False
    return copied


def update_slow_copy(
    slow: arguments.Network, network: arguments.Network, decay: Any, changed: Any = True
) -> None:
    """Take the present weights into a slow copy: w̄ ← d w̄ + (1 − d) w.

    Args:
        slow: Result of `slow_copy`, built.
        network: What it is the copy of.
        decay: d, in [0, 1).
        changed: Whether the weights have changed; a scalar tensor, or True.
    """
    weight = tf.cast(changed, tf.float32) * (1.0 - decay)
    for target, source in zip(averaged_variables(slow), averaged_variables(network), strict=True):
        value = tf.convert_to_tensor(source)
        # Every replica has the same weights and updates its own copy: nothing need be sent.
        target = parallel.local(target.value)
        target.assign_add(tf.cast(weight, value.dtype) * (value - target))
