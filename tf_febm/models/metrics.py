"""One Keras metric for all numbers of a step."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments

__all__ = ["MeanOfEach"]


class MeanOfEach(keras.metrics.Metric):
    """Keep the running means of several named scalars.

    A `keras.metrics.Mean` for each would take some ten operations per scalar and step; this takes
    three for all of them. Like any Keras metric it sums over replicas.

    Args:
        names: The scalars' names.
    """

    def __init__(self, names: Any, name: str = "means"):
        super().__init__(name=name)
        self.names = tuple(names)
        # Weighted sums, behind them the sum of the weights of each, and last the number of updates.
        self.total = self.add_variable(
            (2 * len(self.names) + 1,), initializer="zeros", name="total", aggregation="sum"
        )
        self.given = self.names

    def update_state(
        self, values: dict, counted: dict | None = None, weight: arguments.Tensor = 1.0
    ) -> None:
        """Add scalars. Every update between two resets must give the same names.

        Args:
            values: name -> value.
            counted: name -> 1 or 0, whether the value counts; it does unless told otherwise. The
                mean of values none of which counts is 0.
            weight: What these values count for, positive: the size of the batch that they are means
                of, so that the means are those of all examples, in batches of whatever sizes.
        """
        weight = tf.cast(weight, tf.float32)
        self.given = tuple(name for name in self.names if name in values)
        row = [tf.cast(values.get(name, 0.0), tf.float32) for name in self.names]
        weights = [weight] * len(row)
        for name, counts in (counted or {}).items():
            i = self.names.index(name)
            # Not a product: a value that does not count may be no number.
            row[i] = tf.where(counts > 0.0, row[i], 0.0)
            weights[i] = weight * counts
        row = weight * tf.stack(row)
        self.total.assign_add(tf.concat([row, tf.stack([*weights, tf.constant(1.0)])], axis=0))

    def save_own_variables(self, store: Any) -> None:
        """Save nothing: sums of an epoch are no state, and all workers would have to read them."""

    def load_own_variables(self, store: Any) -> None:
        """Load nothing, whatever an earlier version saved."""

    # No property: Keras would read it, which takes all workers, where one of them saves the model.
    def updates(self) -> tf.Tensor:
        """Return the number of updates since the last reset, float32; in a replica, its own."""
        return tf.convert_to_tensor(self.total)[-1]

    def result(self) -> dict:
        """Return the means of the scalars that were given last: name -> value."""
        sums, counts = tf.split(tf.convert_to_tensor(self.total)[:-1], 2)
        means = tf.unstack(tf.math.divide_no_nan(sums, counts))
        return {n: m for n, m in zip(self.names, means, strict=True) if n in self.given}
