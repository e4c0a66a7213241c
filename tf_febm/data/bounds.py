"""Which numbers lie in the bounds of a model, to rounding."""

import tensorflow as tf

from tf_febm import arguments

__all__ = ["inside", "reach", "rows_in_bounds"]

# Images of other units than the model's (0 … 255, say) are further off than any noise on them.
_WIDTHS = 3.0


def inside(x: arguments.Tensor, bounds: arguments.Bounds | None) -> tf.Tensor:
    """Whether each number lies in the bounds; NaN does not."""
    low, high = bounds
    # Dequantised images reach the bounds to rounding, hence the slack.
    slack = 1e-3 * (high - low)
    return (x >= low - slack) & (x <= high + slack)


def reach(values: arguments.Bounds) -> tuple[float, float]:
    """Return what images may have around the range of those that a model is of, in its units."""
    low, high = values
    margin = _WIDTHS * (high - low)
    return low - margin, high + margin


def rows_in_bounds(x: tf.Tensor, bounds: arguments.Bounds | None) -> tf.Tensor:
    """Return of each example, [n, …], whether all of it is finite and in the bounds, bool [n]."""
    good = tf.math.is_finite(x) if bounds is None else inside(x, bounds)
    return tf.reduce_all(good, axis=tuple(range(1, x.shape.rank)))
