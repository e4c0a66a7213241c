"""Attacks on classifiers: examples a little aside that are taken for another class."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.evaluation.classifier import checked_labels

__all__ = ["projected_gradient_attack"]

# The length of all steps together, in radii.
REACH = 2.5


@arguments.checking(
    {"x": arguments.ARRAY, "labels": arguments.LABELS, "epsilon": None, "scale": None}
)
def projected_gradient_attack(
    log_probs_fn: Callable,
    x: arguments.Array,
    labels: arguments.Labels,
    epsilon: float,
    *,
    num_steps: int = 10,
    bounds: tuple[float, float] | None = None,
    scale: Any = None,
    seed: arguments.Seed = 0,
) -> tf.Tensor:
    """Look for examples within a radius that a classifier takes for another class.

    Projected gradient descent on the margin log p(y | x) − max_{k≠y} log p(k | x) by the signs of
    its gradient, from a random point of the box |x' − x| ≤ ε·scale on, cut to the box and the
    bounds after every step. Each example is left at the lowest margin that it had. The margin has a
    gradient where probabilities are 0 and 1 to all digits, which the cross-entropy has not.

    Not guaranteed: that there is no such example where none is found.

    Args:
        log_probs_fn: x, float32 [n, …] -> log p(y | x) or logits, [n, classes], differentiable.
        x: Examples, real [n, …].
        labels: Their classes, integers [n].
        epsilon: The radius, positive.
        num_steps: At least 1; each goes 2.5·ε/num_steps.
        bounds: (low, high) of x, or None.
        scale: Unit of each coordinate, positive, of the shape of one example; 1 if None.
        seed: An int or a pair of ints.

    Returns:
        Float32, of the shape of x.

    Raises:
        ValueError: An argument is out of its range.

    Source: Madry et al., "Towards deep learning models resistant to adversarial attacks", 2018;
    Carlini and Wagner 2017 for the margin.
    """
    epsilon = arguments.number("epsilon", epsilon, above=True)
    num_steps = arguments.whole_number("num_steps", num_steps, 1)
    x = tf.cast(x, tf.float32)
    if tf.executing_eagerly():
        labels = checked_labels(labels, x.shape[0], log_probs_fn(x[:1]).shape[1])
    labels = tf.cast(labels, tf.int32)
    radius = np.float32(epsilon) * tf.ones_like(x) * (1.0 if scale is None else scale)
    low, high = x - radius, x + radius
    if bounds is not None:
        least, most = arguments.interval("bounds", bounds)
        low, high = tf.maximum(low, least), tf.minimum(high, most)

    def margin(values):
        log_probs = log_probs_fn(values)
        own = tf.gather(log_probs, labels, axis=1, batch_dims=1)
        mine = tf.one_hot(labels, log_probs.shape[1], on_value=np.inf, off_value=0.0)
        return own - tf.reduce_max(log_probs - mine, axis=1)

    def kept(values, found, best, lowest):
        better = found < lowest
        mask = tf.reshape(better, [-1] + [1] * (x.shape.rank - 1))
        return tf.where(mask, values, best), tf.where(better, found, lowest)

    def body(i, values, best, lowest):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            found = margin(values)
        best, lowest = kept(values, found, best, lowest)
        step = tf.sign(tape.gradient(found, values)) * radius * np.float32(REACH / num_steps)
        return i + 1, tf.clip_by_value(values - step, low, high), best, lowest

    # Not the uniform law of the box alone: the example itself may be taken for another class.
    at = low + (high - low) * randomness.uniform(tf.shape(x), randomness.sampling_seed(seed))
    first = (tf.constant(0), at, x, margin(x))
    _, values, best, lowest = tf.while_loop(
        lambda i, *_: i < num_steps, body, first, parallel_iterations=1
    )
    return kept(values, margin(values), best, lowest)[0]
