"""One Keras metric for all the numbers of a step: small models feel every operation."""

import keras
import tensorflow as tf

__all__ = ["MeanOfEach"]


class MeanOfEach(keras.metrics.Metric):
    """Keep the running means of several named scalars.

    A `keras.metrics.Mean` for each would take some ten operations per scalar and step; this takes
    three for all of them. Like any Keras metric it sums over replicas.

    Args:
        names: The scalars' names.
    """

    def __init__(self, names, name: str = "means"):
        super().__init__(name=name)
        self.names = tuple(names)
        # The last entry counts the updates.
        self.total = self.add_variable(
            (len(self.names) + 1,), initializer="zeros", name="total", aggregation="sum"
        )
        self.given = self.names

    def update_state(self, values: dict):
        """Add scalars: name -> value. Every update between two resets must give the same names."""
        self.given = tuple(name for name in self.names if name in values)
        row = [tf.cast(values.get(name, 0.0), tf.float32) for name in self.names]
        self.total.assign_add(tf.stack([*row, tf.constant(1.0)]))

    def result(self) -> dict:
        """Return the means of the scalars that were given last: name -> value."""
        total = tf.convert_to_tensor(self.total)
        means = tf.unstack(tf.math.divide_no_nan(total[:-1], total[-1]))
        return {n: m for n, m in zip(self.names, means, strict=True) if n in self.given}
