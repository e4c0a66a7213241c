"""One update of one network: from a loss to new weights, and what is told about it."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_febm import distribution

__all__ = [
    "GradientNorm",
    "forget_losses",
    "learnable",
    "losses_of",
    "stepping",
    "take_step",
    "unmoved",
]


class GradientNorm(NamedTuple):
    """The global L2 norm of the gradients of an update.

    Attributes:
        value: The norm, for the loss as it is, without any scale; a scalar.
        counted: 1 if the update was made, 0 if the loss scale of a mixed precision policy skipped
            it because some gradient was not finite; a scalar.
    """

    value: tf.Tensor
    counted: tf.Tensor


def take_step(tape, loss, network, optimizer, fresh=frozenset()) -> GradientNorm:
    """Let an optimizer change the weights of a network along the gradient of a loss.

    Args:
        tape: The `tf.GradientTape` that recorded the loss; it is used up.
        loss: A scalar; on several replicas this replica's share.
        network: The Keras model or layer whose trainable weights change.
        optimizer: Its optimizer, built.
        fresh: The ids of weights that were frozen while the optimizer took steps.

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
    norm = tf.cast(tf.linalg.global_norm(gradients), tf.float32) / scale
    for variable, gradient in zip(variables, gradients, strict=True):
        if id(variable) in fresh and gradient is not None:
            _begin_moments(optimizer, variable, gradient / tf.cast(scale, gradient.dtype))
    optimizer.apply(gradients, variables)
    counted = tf.constant(1.0)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        counted = tf.cast(tf.math.is_finite(norm), tf.float32)
    return GradientNorm(norm, counted)


def unmoved(players) -> frozenset[int]:
    """Return the ids of the trainable weights that an optimizer of the Adam kind has never moved.

    They were frozen while it took steps, or have had no gradient.

    Args:
        players: Pairs (network, optimizer or None).
    """
    found = set()
    for network, optimizer in players:
        if optimizer is None or not network.built:
            continue
        optimizer = stepping(optimizer)
        slots = getattr(optimizer, "_velocities", None)
        if not optimizer.built or not slots or not _local(optimizer.iterations).any():
            continue
        for variable in network.trainable_variables:
            index = optimizer._get_variable_index(variable)
            if not _local(slots[index]).any():
                found.add(id(variable))
    return frozenset(found)


def _local(variable) -> np.ndarray:
    return distribution.local(getattr(variable, "value", variable)).numpy()


def _begin_moments(optimizer, variable, gradient) -> None:
    """Let Adam and its like begin with a weight that they have not moved yet.

    Their moments of it are 0, and are divided by 1 − βᵗ for the t steps taken without it: the
    first steps would be too large by up to √((1 − β₁)²/(1 − β₂)), 31 for β = (0, 0.999). So they
    begin as if its present gradient had been that of all steps before.
    """
    optimizer = stepping(optimizer)
    slots = [getattr(optimizer, name, None) for name in ("_momentums", "_velocities")]
    betas = [getattr(optimizer, name, None) for name in ("beta_1", "beta_2")]
    if None in (*slots, *betas) or optimizer.gradient_accumulation_steps:
        return
    index = optimizer._get_variable_index(variable)
    velocity = tf.convert_to_tensor(slots[1][index])
    steps = tf.cast(optimizer.iterations, tf.float32)
    begins = tf.reduce_all(velocity == 0.0) & tf.reduce_all(tf.math.is_finite(gradient))
    for slot, beta, value in zip(slots, betas, (gradient, tf.square(gradient)), strict=True):
        known = tf.convert_to_tensor(slot[index])
        seen = tf.cast(1.0 - tf.pow(beta, steps), known.dtype) * tf.cast(value, known.dtype)
        slot[index].assign(tf.where(begins, seen, known))


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
