"""One update of one network: from a loss to new weights, and what is told about it."""

from typing import NamedTuple

import keras
import tensorflow as tf

from tf_febm import distribution

__all__ = ["GradientNorm", "forget_losses", "learnable", "losses_of", "stepping", "take_step"]


class GradientNorm(NamedTuple):
    """The global L2 norm of the gradients of an update.

    Attributes:
        value: The norm, for the loss as it is, without any scale; a scalar.
        counted: 1 if the update was made, 0 if the loss scale of a mixed precision policy skipped
            it because some gradient was not finite; a scalar.
    """

    value: tf.Tensor
    counted: tf.Tensor


def take_step(tape, loss, network, optimizer) -> GradientNorm:
    """Let an optimizer change the weights of a network along the gradient of a loss.

    Args:
        tape: The `tf.GradientTape` that recorded the loss; it is used up.
        loss: A scalar; on several replicas this replica's share.
        network: The Keras model or layer whose trainable weights change.
        optimizer: Its optimizer, built.

    Returns:
        The norm of the gradients.
    """
    variables = network.trainable_variables
    if not variables:
        return GradientNorm(tf.constant(0.0), tf.constant(1.0))
    # Before the update, which may change the scale.
    scale = tf.cast(optimizer.scale_loss(tf.constant(1.0)), tf.float32)
    with tape:
        scaled = optimizer.scale_loss(loss)
    gradients = distribution.total(tape.gradient(scaled, variables))
    norm = tf.linalg.global_norm(gradients) / scale
    optimizer.apply(gradients, variables)
    counted = tf.constant(1.0)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        counted = tf.cast(tf.math.is_finite(norm), tf.float32)
    return GradientNorm(norm, counted)


def losses_of(network):
    """Return the sum of a network's `losses`, as of its last call: this replica's share of it.

    Regularisers of weights count once; what a call adds (`add_loss`, activity regularisers) counts
    as the last call added it, so a step asks for it after the call on the data.
    """
    losses = [tf.cast(loss, tf.float32) for loss in network.losses]
    return tf.add_n(losses) / distribution.replicas() if losses else 0.0


def forget_losses(*networks) -> None:
    """Drop what calls inside a compiled step added to `losses`: it means nothing outside of it."""
    for network in networks:
        network._clear_losses()


def learnable(network) -> list:
    """Return the weights of a network that are trained unless their layer is frozen.

    Keras' `trainable_variables` leaves frozen ones out, and so changes when a layer is frozen.
    """
    ids = {
        id(variable)
        for layer in network._flatten_layers()
        for variable in layer._trainable_variables
    }
    return [variable for variable in network.weights if id(variable) in ids]


def stepping(optimizer):
    """Return the optimizer that changes the weights: the one inside of a `LossScaleOptimizer`."""
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer
