"""One optimizer step of one network: gradients, their norm, the new weights."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, parallel

__all__ = [
    "Counted",
    "forget_losses",
    "learnable",
    "losses_of",
    "mark_unmoved",
    "marked",
    "stepping",
    "take_step",
]


class Counted(NamedTuple):
    """A number of a step that some steps lack.

    Attributes:
        value: The number, a scalar.
        counted: 1 if this step has it, 0 if not; a scalar.
    """

    value: tf.Tensor
    counted: tf.Tensor


def take_step(
    tape: Any,
    loss: arguments.Tensor,
    network: arguments.Network,
    optimizer: arguments.Optimizer,
    fresh: arguments.Tensor = frozenset(),
) -> Counted:
    """Let an optimizer change the weights of a network along the gradient of a loss.

    Args:
        tape: The `tf.GradientTape` that recorded the loss; it is used up.
        loss: A scalar; on several replicas this replica's share.
        network: The Keras model or layer whose trainable weights change.
        optimizer: Its optimizer, built.
        fresh: The ids of weights that were frozen while the optimizer took steps, and begin with
            this one, or did with an earlier one; see `mark_unmoved`.

    Returns:
        The global L2 norm of the gradients, for the loss as it is, without any scale. It does not
        count if the loss scale of a mixed precision policy skipped the update, as some gradient was
        not finite.
    """
    variables = network.trainable_variables
    if not variables:
        return Counted(tf.constant(0.0), tf.constant(1.0))
    # Before the update, which may change the scale.
    scale = tf.cast(optimizer.scale_loss(tf.constant(1.0)), tf.float32)
    with tape:
        scaled = optimizer.scale_loss(loss)
    gradients = parallel.all_reduce_sum(tape.gradient(scaled, variables))
    norm = tf.cast(tf.linalg.global_norm(gradients), tf.float32) / scale
    for variable, gradient in zip(variables, gradients, strict=True):
        if id(variable) in fresh and gradient is not None:
            _begin_moments(optimizer, variable, gradient / tf.cast(scale, gradient.dtype))
    # A step whose batch is stopped is not counted either.
    with tf.control_dependencies([g for g in gradients if g is not None]):
        optimizer.apply(gradients, variables)
    counted = tf.constant(1.0)
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        counted = tf.cast(tf.math.is_finite(norm), tf.float32)
    return Counted(norm, counted)


# Stands in Adam's second moment of a weight that begins with the next update. It is part of the
# optimizer's state, so that a model that is saved before then, and loaded, goes on alike.
_BEGINS = -1.0


def mark_unmoved(players: Any, ids: arguments.Tensor) -> None:
    """Have weights that an optimizer of the Adam kind has never moved begin anew; see `take_step`.

    Args:
        players: Pairs (network, optimizer or None).
        ids: The ids of the weights that were frozen until now.
    """
    for variable, velocity in _second_moments(players):
        if id(variable) in ids and not _local(velocity).any():
            velocity.assign(tf.fill(velocity.shape, tf.constant(_BEGINS, velocity.dtype)))


def marked(players: Any) -> frozenset[int]:
    """Return the ids of the weights that begin with the next update."""
    return frozenset(
        id(variable)
        for variable, velocity in _second_moments(players)
        if (_local(velocity) == _BEGINS).all()
    )


def _second_moments(players) -> Iterator[tuple]:
    """Yield (weight, second moment) of optimizers that have taken steps and divide by 1 − βᵗ."""
    for network, optimizer in players:
        if optimizer is None or not network.built:
            continue
        optimizer = stepping(optimizer)
        divides = hasattr(optimizer, "beta_1") and hasattr(optimizer, "beta_2")
        slots = getattr(optimizer, "_velocities", None)
        if not divides or not slots:
            continue
        if _local(optimizer.iterations):
            for variable in learnable(network):
                yield variable, slots[optimizer._get_variable_index(variable)]


def _local(variable) -> np.ndarray:
    return parallel.local(getattr(variable, "value", variable)).numpy()


def _begin_moments(optimizer, variable, gradient) -> None:
    """Let Adam and its like begin with a weight that they have not moved yet.

    Their moments of it are 0, and are divided by 1 − βᵗ for the t steps taken without it: the
    first steps would be too large by up to √((1 − β₁)²/(1 − β₂)), 31 for β = (0, 0.999). So they
    begin as if its present gradient had been that of all steps before.
    """
    optimizer = stepping(optimizer)
    index = optimizer._get_variable_index(variable)
    slots = optimizer._momentums[index], optimizer._velocities[index]
    steps = tf.cast(optimizer.iterations, tf.float32)
    begins = tf.reduce_all(tf.equal(tf.convert_to_tensor(slots[1]), _BEGINS))
    # Where it is not finite, a loss scale skips the update.
    begins &= tf.reduce_all(tf.math.is_finite(gradient))
    values = gradient, tf.square(gradient)
    betas = optimizer.beta_1, optimizer.beta_2
    for slot, beta, value in zip(slots, betas, values, strict=True):
        known = tf.convert_to_tensor(slot)
        seen = tf.cast(1.0 - tf.pow(beta, steps), known.dtype) * tf.cast(value, known.dtype)
        slot.assign(tf.where(begins, seen, known))


def losses_of(network: arguments.Network) -> Any:
    """Return the sum of a network's `losses`, as of its last call: this replica's share of it.

    Regularisers of weights count once; what a call adds (`add_loss`, activity regularisers) counts
    as the last call added it, so a step asks for it after the call on the data.
    """
    losses = [tf.cast(loss, tf.float32) for loss in network.losses]
    return tf.add_n(losses) / parallel.replicas() if losses else 0.0


def forget_losses(*networks: Any) -> None:
    """Drop what calls inside a compiled step added to `losses`: it means nothing outside of it."""
    for network in networks:
        network._clear_losses()


def learnable(network: arguments.Network) -> list:
    """Return the weights of a network that are trained unless their layer is frozen.

    Keras' `trainable_variables` leaves frozen ones out, and so changes when a layer is frozen.
    """
    ids = {
        id(variable)
        for layer in network._flatten_layers()
        for variable in layer._trainable_variables
    }
    return [variable for variable in network.weights if id(variable) in ids]


def stepping(optimizer: arguments.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer that changes the weights: the one inside of a `LossScaleOptimizer`."""
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    return optimizer
