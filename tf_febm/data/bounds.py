"""Which numbers lie in the bounds of a model, to rounding."""

import tensorflow as tf

from tf_febm import arguments

__all__ = ["inside", "rows_in_bounds"]


def inside(x: arguments.Tensor, bounds: arguments.Bounds | None) -> tf.Tensor:
    """Whether each number lies in the bounds; NaN does not."""
    low, high = bounds
    # Dequantised images reach the bounds to rounding, hence the slack.
    slack = 1e-3 * (high - low)
    return (x >= low - slack) & (x <= high + slack)


def rows_in_bounds(x: tf.Tensor, bounds: arguments.Bounds | None) -> tf.Tensor:
    """Return of each example, [n, …], whether all of it is finite and in the bounds, bool [n]."""
    good = tf.math.is_finite(x) if bounds is None else inside(x, bounds)
    return tf.reduce_all(good, axis=tuple(range(1, x.shape.rank)))
