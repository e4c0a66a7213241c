"""Places in a replay buffer: whose a new sample takes, and where those of a class are."""

import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["REPLACEMENTS", "class_numbers", "next_slots", "of_classes", "taken_by_reservoir"]

REPLACEMENTS = ("oldest", "random", "reservoir")
# Seeds of the draws; with the number of the samples so far, so that a resumed run repeats them.
_TAKEN, _SLOTS = (0x51AC, 0), (0x51AC, 1)


def next_slots(
    replacement: str, capacity: int, written: arguments.Tensor, count: arguments.Tensor
) -> tf.Tensor:
    """Return where the next samples go, int64 [count], all different; see `ReplayBuffer`.

    Args:
        replacement: One of `REPLACEMENTS`.
        capacity: Places there are.
        written: Samples so far, an int64 scalar.
        count: How many come, at most the capacity.
    """
    ring = (written + tf.range(tf.cast(count, tf.int64))) % capacity
    if replacement == "oldest":
        return ring
    every, seed = tf.range(capacity, dtype=tf.int64), _seed(_SLOTS, written)
    drawn = tf.random.experimental.stateless_shuffle(every, seed)[: tf.cast(count, tf.int32)]
    # Until it is full, so that what is there is in the first places.
    return tf.where(written < capacity, ring, drawn)


def taken_by_reservoir(
    capacity: int, written: arguments.Tensor, count: arguments.Tensor
) -> tf.Tensor:
    """Draw which of the next samples a reservoir takes, booleans [count].

    Each with the chance capacity/(written + count), in places that differ: then every one of the
    samples so far is there with that chance. All are taken until it is full.
    """
    drawn = randomness.uniform([count], _seed(_TAKEN, written))
    total = tf.cast(written + tf.cast(count, tf.int64), tf.float32)
    return (drawn * total < capacity) | (written < capacity)


def class_numbers(labels: arguments.Labels | None, num_classes: int | None) -> tf.Tensor | None:
    """Return class numbers as int32 [n]; those of a graph are its caller's to check.

    Raises:
        ValueError: They are no integers [n], or not in 0 … num_classes − 1.
    """
    if labels is None:
        return None
    labels = tf.convert_to_tensor(arguments.NUMBERS.check("labels", labels))
    if labels.shape.rank not in (1, None) or not labels.dtype.is_integer:
        raise ValueError(
            f"labels must be class numbers, integers [n]; received {arguments.shown(labels)}."
        )
    if tf.executing_eagerly() and num_classes is not None and labels.shape[0]:
        low, high = int(tf.reduce_min(labels)), int(tf.reduce_max(labels))
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"labels must lie in 0 … {num_classes - 1}; received values from {low} to {high}."
            )
    return tf.cast(labels, tf.int32)


def of_classes(
    classes: tf.Tensor, counts: tf.Tensor, labels: tf.Tensor, seed: arguments.Seed
) -> tf.Tensor:
    """Draw places of samples of classes, int32 [n]; any place for a class that has none.

    Args:
        classes: The class at each place, int32 [capacity]; more than all classes where none is.
        counts: How many there are of each class, int32 [num_classes].
        labels: The classes asked for, int32 [n].
        seed: Integer tensor [2].
    """
    # Places in the order of their classes.
    places = tf.argsort(classes, stable=True)
    first = tf.gather(tf.cumsum(counts, exclusive=True), labels)
    available = tf.gather(counts, labels)
    chosen = randomness.uniform(tf.shape(labels), seed) * tf.cast(available, tf.float32)
    # The product may round up to the number itself.
    chosen = tf.minimum(tf.cast(chosen, tf.int32), available - 1)
    return tf.gather(places, tf.where(available == 0, 0, first + chosen))


def _seed(of: tuple[int, int], written) -> tf.Tensor:
    return tf.random.fold_in(tf.constant(of), tf.cast(written % 2**31, tf.int32))
