"""Running average of a network's weights."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tf_febm import arguments, parallel

__all__ = ["WeightAverage", "averaged_variables", "update_with"]


class WeightAverage(tf.Module):
    """Keep w̄ ← d·w̄ + (1 − d)·w for a set of weights.

    d rises from 0 with the number of updates n, as min(decay, n/(n + 10)), so that the random
    initial weights are soon forgotten.

    Args:
        variables: The Keras variables to average.
        decay: The final d, in [0, 1).
    """

    def __init__(self, variables: Any, decay: float):
        super().__init__(name="weight_average")
        self.decay = check_decay("average_decay", decay)
        self._sources = tuple(variables)
        self.averages = [
            tf.Variable(tf.convert_to_tensor(source), trainable=False) for source in self._sources
        ]
        self.updates = tf.Variable(tf.zeros([], tf.int64), trainable=False)

    def update(self) -> None:
        """Take the present weights into the average."""
        # Every replica has the same weights and updates its own copy: nothing need be sent.
        updates = parallel.local(self.updates)
        count = tf.cast(updates, tf.float32)
        decay = tf.minimum(self.decay, count / (count + 10.0))
        for average, source in zip(self.averages, self._sources, strict=True):
            value = tf.convert_to_tensor(source)
            average = parallel.local(average)
            average.assign_sub(tf.cast(1.0 - decay, value.dtype) * (average - value))
        updates.assign_add(1)

    def restart(self) -> None:
        """Forget the past: the average is that of the present weights alone."""
        for average, source in zip(self.averages, self._sources, strict=True):
            average.assign(tf.convert_to_tensor(source))
        self.updates.assign(0)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average in the place of the weights, for the length of a `with` block."""
        present = [source.numpy() for source in self._sources]
        for average, source in zip(self.averages, self._sources, strict=True):
            source.assign(average)
        try:
            yield
        finally:
            for value, source in zip(present, self._sources, strict=True):
                source.assign(value)


def averaged_variables(network: arguments.Network) -> list:
    """Return the weights of a network that its average is of: all that are floating.

    Frozen layers are among them, since they may be trained later; so are moving statistics, which
    belong to the weights that they were taken with.
    """
    return [weight for weight in network.weights if "float" in weight.dtype]


def update_with(average: Any, optimizer: arguments.Optimizer, before: arguments.Tensor) -> None:
    """Take the weights into their average, if an optimizer has changed them.

    It has not where it accumulates gradients over several steps, or skipped one.

    Args:
        average: The `WeightAverage`.
        optimizer: The Keras optimizer that changes the weights.
        before: Its `iterations` before the step, as a tensor.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is None and not optimizer.gradient_accumulation_steps:
        average.update()
        return
    changed = tf.convert_to_tensor(optimizer.iterations) > before
    tf.cond(changed, average.update, lambda: None)


def check_decay(name: str, decay: float) -> float:
    """Return a decay as a float, or raise a ValueError that echoes it."""
    if not 0.0 <= float(decay) < 1.0:
        raise ValueError(f"{name} must lie in [0, 1); received {decay}.")
    return float(decay)
