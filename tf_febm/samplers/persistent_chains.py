"""Chains that never start again: each goes on where the last step left it."""

import keras
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.samplers.replay_buffer import ReplayBuffer

__all__ = ["PersistentChains"]


@keras.saving.register_keras_serializable(package="tf_febm")
class PersistentChains(ReplayBuffer):
    """Keep the state of a fixed set of chains, as persistent contrastive divergence does.

    It takes the place of a `ReplayBuffer`, from which it differs in three ways: `start` returns the
    next n chains in order, not random ones; `write` puts their ends back into the same slots; and
    states are float32 always, so that a chain goes on exactly where it ended. A step of n chains
    moves the window on by n, around the ring of `num_chains`. `read` draws uniformly from all
    chains that have begun. A chain that is not finite keeps its slot as it is, so that every step
    that runs it shows it, until it starts afresh.

    Args:
        num_chains: Number of chains, at least the batch size.
        restart_probability: Probability, in [0, 1], that a chain starts afresh instead.

    Raises:
        ValueError: If an argument is out of its range.

    Source: Tieleman 2008: Training restricted Boltzmann machines using approximations to the
    likelihood gradient.
    """

    def __init__(self, num_chains: int, restart_probability: float = 0.0):
        super().__init__(
            arguments.whole_number("num_chains", num_chains, 1),
            restart_probability,
            storage="float32",
        )

    def start(self, fresh: tf.Tensor, seed, fresh_labels=None):
        """Return the next chains in order, at their last states.

        Args:
            fresh: Where chains start that have not begun yet, or restart, float32 [n, …].
            seed: Integer tensor [2].
            fresh_labels: Their labels, int32 [n], if labels are kept.

        Returns:
            Starting points [n, …] and their labels, [n] or None. If n exceeds the number of chains,
            as it may where nothing is written back, some start in the same state.
        """
        count = tf.shape(fresh)[0]
        index = self._slots(count)
        restart = randomness.uniform([count], seed) < self.restart_probability
        restart |= index >= self.size
        labels = None if self.labels is None else tf.gather(self.labels, index)
        return self._choose(restart, fresh, tf.gather(self.samples, index), fresh_labels, labels)

    def write(self, samples: tf.Tensor, labels=None) -> None:
        """Put the ends of the chains into the slots that `start` read, and go on to the next.

        Args:
            samples: Floating [n, …], n ≤ num_chains.
            labels: int32 [n], if labels are kept.

        Raises:
            ValueError: If the shape is not that of the states, or n exceeds the number of chains.
        """
        # Where the batch size is only known now; models show the framed message as a ValueError.
        message = f"tf_febm:more examples than the {self.capacity} persistent chains;"
        if samples.shape[0] is None:
            check = tf.debugging.Assert(tf.shape(samples)[0] <= self.capacity, [message])
            with tf.control_dependencies([check]):
                samples = tf.identity(samples)
        super().write(samples, labels)

    def _storable(self, samples):
        # A slot is a chain's own: left out, its end would pass to the next one.
        return tf.ones(tf.shape(samples)[:1], tf.bool)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {"num_chains": self.capacity, "restart_probability": self.restart_probability}
