"""Adaptation of step sizes: dual averaging of the acceptance rate."""

from typing import NamedTuple

import tensorflow as tf

from tf_febm import arguments

__all__ = ["DualAveraging"]

# As Hoffman & Gelman chose them.
SHRINKAGE, OFFSET, DECAY, BOLDNESS = 0.05, 10.0, 0.75, 10.0


class DualAveraging(NamedTuple):
    """A step size that moves until proposals are accepted at a given rate.

    With the rate a_t of step t = 1, 2, … and the target δ,

        H_t = (1 − 1/(t + 10)) H_{t−1} + (δ − a_t)/(t + 10)
        log h_{t+1} = log(10 h_1) − √t/0.05 · H_t
        log h̄_t = t^(−0.75) log h_{t+1} + (1 − t^(−0.75)) log h̄_{t−1}

    h is what the chain uses while it adapts, h̄ what it keeps. A chain that adapts has no stationary
    law; one that has stopped has.

    Attributes:
        step: t, the number of updates so far, a float scalar.
        error: H_t.
        log_size: log h_{t+1}.
        log_average: log h̄_t.
        log_start: log h_1.

    Source: Hoffman & Gelman, The No-U-Turn Sampler, JMLR 2014, Section 3.2.
    """

    step: tf.Tensor
    error: tf.Tensor
    log_size: tf.Tensor
    log_average: tf.Tensor
    log_start: tf.Tensor

    @classmethod
    def start(cls, size: float, dtype: arguments.DtypeLike = tf.float32) -> "DualAveraging":
        """Begin with a step size h_1."""
        zero, log_size = tf.zeros([], dtype), tf.math.log(tf.constant(size, dtype))
        return cls(zero, zero, log_size, log_size, log_size)

    def update(self, rate: arguments.Tensor, target: float) -> "DualAveraging":
        """Return the state after a step of the chain.

        Args:
            rate: a_t, the mean probability of acceptance of all chains, in [0, 1].
            target: δ, in (0, 1).
        """
        step = self.step + 1.0
        share = 1.0 / (step + OFFSET)
        error = (1.0 - share) * self.error + share * (target - rate)
        log_size = tf.cast(tf.math.log(BOLDNESS), error.dtype) + self.log_start
        log_size -= tf.sqrt(step) / SHRINKAGE * error
        weight = tf.pow(step, -DECAY)
        log_average = weight * log_size + (1.0 - weight) * self.log_average
        return DualAveraging(step, error, log_size, log_average, self.log_start)
