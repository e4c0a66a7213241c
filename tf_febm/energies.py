"""One form for the output of any energy function: a vector, one value per example."""

import tensorflow as tf

__all__ = ["per_example", "scale_gradient", "value_and_gradient"]


def per_example(values, batch, what: str = "energy") -> tf.Tensor:
    """Return `values` as a vector with one entry per example.

    Args:
        values: What a network or function returned: [n] or [n, 1].
        batch: The tensor of n examples that it was given; only its static size is looked at.
        what: The name of the function, for the message.

    Returns:
        A tensor of shape [n].

    Raises:
        ValueError: If the shape is any other one. Nothing is broadcast or averaged silently.
    """
    values = tf.convert_to_tensor(values)
    if values.shape.rank == 2 and values.shape[1] == 1:
        values = tf.squeeze(values, axis=1)
    if values.shape.rank != 1 or not values.shape[:1].is_compatible_with(batch.shape[:1]):
        raise ValueError(
            f"{what} must return one value per example, shape [n] or [n, 1], for a batch of shape "
            f"{batch.shape}; received shape {values.shape}."
        )
    return values


def value_and_gradient(energy_fn, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Evaluate an energy and its gradient for x, recording nothing for parameters.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        x: Floating tensor [n, …].

    Returns:
        E(x), [n], and ∇ₓE(x), of the shape of x.

    Raises:
        ValueError: If the energy does not depend on x differentiably.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        energy = per_example(energy_fn(x), x)
    gradient = tape.gradient(energy, x)
    if gradient is None:
        raise ValueError("The energy has no gradient with respect to x; is it differentiable?")
    return energy, gradient


def scale_gradient(x: tf.Tensor, factor: float) -> tf.Tensor:
    """Return x; on the way back, its gradient is multiplied by a factor."""

    @tf.custom_gradient
    def identity(x):
        return tf.identity(x), lambda upstream: upstream * factor

    return identity(x)
