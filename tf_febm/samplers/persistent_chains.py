"""Chains that never start again: each goes on where the last step left it."""

from typing import NamedTuple

import keras
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.samplers.replay_buffer import ReplayBuffer

__all__ = ["PersistentChains"]


class _Turn(NamedTuple):
    """Which chains the next step takes.

    Attributes:
        slot: Where each goes on, int64 [n], all different if there are enough chains.
        source: Where each comes from, int64 [n].
        fresh: Whether it starts afresh, bool [n].
    """

    slot: tf.Tensor
    source: tf.Tensor
    fresh: tf.Tensor


@keras.saving.register_keras_serializable(package="tf_febm")
class PersistentChains(ReplayBuffer):
    """Keep the state of a fixed set of chains, as persistent contrastive divergence does.

    It takes the place of a `ReplayBuffer`, from which it differs in three ways: `start` returns the
    next n chains in order, not random ones; `write` puts their ends back into the same slots; and
    states are float32 always, so that a chain goes on exactly where it ended. A step of n chains
    moves the window on by n, around the ring of `num_chains`. `read` draws uniformly from all
    chains that have begun.

    The chains of a conditional model have the labels of the data batch. Of each label those go on
    that have waited longest. If the batch has more of a label than there are chains, the others go
    on as copies of them, in the slots of the chains that have waited longest of all; so the numbers
    of chains follow those of the labels, and only a label that has no chain at all begins afresh.
    With match_labels=False the window moves on as without labels, and a chain gets whatever label
    the batch has at its place.

    Args:
        num_chains: Number of chains, at least the batch size. In a conditional model some more
            keep rare labels alive.
        restart_probability: Probability, in [0, 1], that a chain starts afresh instead.
        match_labels: Whether a chain keeps its label.

    Raises:
        ValueError: If an argument is out of its range.

    Source: Tieleman 2008: Training restricted Boltzmann machines using approximations to the
    likelihood gradient. The treatment of labels is this library's.
    """

    def __init__(
        self, num_chains: int, restart_probability: float = 0.0, match_labels: bool = True
    ):
        super().__init__(
            arguments.whole_number("num_chains", num_chains, 1),
            restart_probability,
            match_labels,
        )

    def build(self, sample_shape, bounds=None, num_classes: int | None = None) -> None:
        """Create the variables; see `ReplayBuffer.build`. The bounds change nothing."""
        # Without bounds the ring stores float32.
        super().build(sample_shape, None, num_classes)

    def _create(self, sample_shape, num_classes) -> dict[str, tf.Variable]:
        part = super()._create(sample_shape, num_classes)
        if num_classes is not None:
            # When each chain went on last, counted in chains; 0 if it has not begun.
            turn = tf.zeros([self.capacity], tf.int64)
            part["turn"] = tf.Variable(turn, trainable=False, name="turn")
        return part

    def _beside_samples(self) -> list[str]:
        return [*super()._beside_samples(), *([] if self.labels is None else ["turn"])]

    def start(self, fresh: tf.Tensor, seed, labels=None) -> tf.Tensor:
        """Return the next chains, at their last states.

        Args:
            fresh: Where chains start that have not begun yet, or restart, float32 [n, …].
            seed: Integer tensor [2].
            labels: Class numbers of the chains, int32 [n], if labels are kept.

        Returns:
            Starting points [n, …]. If n exceeds the number of chains, as it may where nothing is
            written back, some start in the same state.
        """
        count = tf.shape(fresh)[0]
        turn = self._next_turn(count, labels)
        restart = randomness.uniform([count], seed) < self.restart_probability
        return self._choose(restart | turn.fresh, fresh, tf.gather(self.samples, turn.source))

    def write(self, samples: tf.Tensor, labels=None) -> None:
        """Put the ends of the chains where `start` took them from, and go on to the next.

        Args:
            samples: Floating [n, …], n ≤ num_chains.
            labels: int32 [n], if labels are kept; those that `start` was given.

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

    def _slots(self, count, labels=None):
        return self._next_turn(count, labels).slot

    def _advance(self, index, count) -> None:
        if self.labels is not None:
            turns = self.written + 1 + tf.range(count)
            self._part("turn").scatter_nd_update(index[:, None], turns)
        super()._advance(index, count)

    def _next_turn(self, count, labels) -> _Turn:
        """Return the chains of the next step; the same for `start` and the `write` after it."""
        count = tf.cast(count, tf.int64)
        window = super()._slots(count)
        if self.labels is None or not self.match_labels:
            return _Turn(window, window, window >= self.size)
        number = tf.range(count)
        # As long as there are slots in which no chain has begun, those are filled first.
        empty = number < self.capacity - self.size
        by_age = tf.argsort(self._part("turn")[: self.size], stable=True)
        by_age = tf.cast(by_age, tf.int64)
        chains = tf.concat([*self._places_by_class(by_age), [0]], axis=0)
        counts = tf.cast(self._class_counts(), tf.int64)
        first = tf.gather(tf.cumsum(counts, exclusive=True), labels)
        available = tf.gather(counts, labels)
        # The how-manieth of its label each one is, among those that do not fill an empty slot.
        rows = tf.one_hot(labels, self.num_classes, dtype=tf.int64)
        rows *= tf.cast(~empty, tf.int64)[:, None]
        rank = tf.gather(tf.cumsum(rows, exclusive=True), labels, axis=1, batch_dims=1)
        own = ~empty & (rank < available)
        place = first + tf.math.floormod(rank, tf.maximum(available, 1))
        source = tf.gather(chains, tf.where(available > 0, place, 0))
        # Those without a chain of their own take the slots that are left, the oldest first.
        taken = tf.scatter_nd(
            tf.boolean_mask(source, own)[:, None],
            tf.ones_like(tf.boolean_mask(source, own)),
            [tf.maximum(self.size, 1)],
        )
        left = tf.boolean_mask(by_age, tf.gather(taken, by_age) == 0)
        left = tf.concat([left, [0]], axis=0)
        without = ~empty & ~own
        nth = tf.cumsum(tf.cast(without, tf.int64), exclusive=True)
        spare = tf.gather(left, tf.minimum(nth, tf.size(left, tf.int64) - 1))
        slot = tf.where(empty, window, tf.where(own, source, spare))
        return _Turn(slot, source, empty | (available == 0))

    def newest(self, count: int, replica: int = 0) -> tf.Tensor:
        """Return the states of the chains that went on last; see `ReplayBuffer.newest`."""
        part = self._parts[replica]
        if "turn" not in part or not self.match_labels:
            return super().newest(count, replica)
        begun = int(tf.minimum(part["written"], self.capacity))
        index = tf.argsort(part["turn"][:begun], direction="DESCENDING")[:count]
        return tf.gather(part["samples"], index)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {
            "num_chains": self.capacity,
            "restart_probability": self.restart_probability,
            "match_labels": self.match_labels,
        }
