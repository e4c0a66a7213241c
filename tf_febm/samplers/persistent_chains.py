"""Persistent chains: each continues where the last training step left it."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.samplers import storage as codings
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
@arguments.checked
class PersistentChains(ReplayBuffer):
    """Keep the state of a fixed set of chains, as persistent contrastive divergence does.

    It takes the place of a `ReplayBuffer`, from which it differs in three ways: `start` returns the
    next n chains in order, not random ones; `write` puts their ends back into the same slots; and
    states are float32 always, so that a chain goes on exactly where it ended. A step of n chains
    moves the window on by n, around the ring of `num_chains`. `read` draws uniformly from all
    chains that have begun. A chain that is not finite keeps its slot as it is, so that every step
    that runs it shows it, until it starts afresh.

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
        ValueError: An argument is out of its range.

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
            storage="float32",
        )

    def _create(self, sample_shape, dtype, num_classes) -> dict[str, tf.Variable]:
        part = super()._create(sample_shape, dtype, num_classes)
        if num_classes is not None:
            # When each chain went on last, counted in chains; 0 if it has not begun.
            turn = tf.zeros([self.capacity], tf.int64)
            part["turn"] = tf.Variable(turn, trainable=False, name="turn")
        return part

    def _beside_samples(self) -> list[str]:
        return [*super()._beside_samples(), *([] if self.labels is None else ["turn"])]

    def start(
        self, fresh: tf.Tensor, seed: arguments.Seed, labels: arguments.Labels | None = None
    ) -> tf.Tensor:
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
        return codings.choose(restart | turn.fresh, fresh, tf.gather(self.samples, turn.source))

    def write(self, samples: tf.Tensor, labels: arguments.Labels | None = None) -> None:
        """Put the ends of the chains where `start` took them from, and go on to the next.

        Args:
            samples: Floating [n, …], n ≤ num_chains.
            labels: int32 [n], if labels are kept; those that `start` was given.

        Raises:
            ValueError: The shape is not that of the states, or n exceeds the number of chains.
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
        classes, counts = self._classes(), self._class_counts()
        by_age = tf.argsort(self._part("turn"), stable=True)
        # The chains of each class one after the other, those that have waited longest first.
        chains = tf.gather(by_age, tf.argsort(tf.gather(classes, by_age), stable=True))
        first = tf.gather(tf.cumsum(counts, exclusive=True), labels)
        available = tf.gather(counts, labels)
        # The how-manieth of its label each one is, among those that do not fill an empty slot.
        rows = tf.one_hot(labels, self.num_classes, dtype=tf.int32)
        rows *= tf.cast(~empty, tf.int32)[:, None]
        rank = tf.gather(tf.cumsum(rows, exclusive=True), labels, axis=1, batch_dims=1)
        own = ~empty & (rank < available)
        place = first + tf.math.floormod(rank, tf.maximum(available, 1))
        source = tf.gather(chains, tf.where(available > 0, place, 0))
        # Those without a chain of their own take the slots that are left, the oldest first.
        taken = tf.math.unsorted_segment_sum(tf.cast(own, tf.int32), source, self.capacity)
        occupied = (taken > 0) | (classes == self.num_classes)
        left = tf.gather(
            by_age, tf.argsort(tf.cast(tf.gather(occupied, by_age), tf.int32), stable=True)
        )
        without = tf.cast(~empty & ~own, tf.int32)
        nth = tf.minimum(tf.cumsum(without, exclusive=True), self.capacity - 1)
        slot = tf.where(own, source, tf.gather(left, nth))
        slot, source = tf.cast(slot, tf.int64), tf.cast(source, tf.int64)
        return _Turn(tf.where(empty, window, slot), source, empty | (available == 0))

    def load_state(self, state: arguments.Tensor) -> None:
        """Restore what `state` returned; the chains must be built and as many."""
        if self.labels is not None and "turn" not in state:
            # Written before chains went on by their labels: in the order of the ring.
            written, slots = int(state["written"][()]), np.arange(len(state["samples"]))
            turn = written - (written - 1 - slots) % self.capacity
            state = {**state, "turn": turn.astype(np.int64)}
        super().load_state(state)

    def newest(self, count: int, replica: int = 0) -> tf.Tensor:
        """Return the states of the chains that went on last; see `ReplayBuffer.newest`."""
        part = self._parts[replica]
        if "turn" not in part or not self.match_labels:
            return super().newest(count, replica)
        begun = int(tf.minimum(part["written"], self.capacity))
        index = tf.argsort(part["turn"][:begun], direction="DESCENDING")[:count]
        return tf.gather(part["samples"], index)

    def _storable(self, samples):
        # A slot is a chain's own: left out, its end would pass to the next one.
        return tf.ones(tf.shape(samples)[:1], tf.bool)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {
            "num_chains": self.capacity,
            "restart_probability": self.restart_probability,
            "match_labels": self.match_labels,
        }
