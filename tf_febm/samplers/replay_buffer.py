"""Replay buffer: a ring of past samples at which most chains of a step start."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, parallel, randomness
from tf_febm.data.augmentation import check_moves, flip_and_crop
from tf_febm.samplers import places
from tf_febm.samplers import storage as codings

__all__ = ["ReplayBuffer"]

# Sets the draw of mirror images and shifts apart from that of the samples.
_MOVES = 0x51AC


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class ReplayBuffer(arguments.Configured, tf.Module):
    """Keep the last samples of the chains in `tf.Variable`s on the device.

    Under a `tf.distribute` strategy each replica has a buffer of this capacity, and its chains
    start in its own.

    `write` puts samples in the place of others once it is full, `read` draws uniformly, with
    replacement, from what is there. Both cost O(batch), or O(capacity) where there are labels or
    places are drawn. Whose place, is by `replacement`:

        "oldest"     a ring: what is there are the last samples, each as often
        "random"     any: ages are geometric, and some chains go on for long
        "reservoir"  any, and a sample is taken only with the chance capacity/(samples so far): what
                     is there is a uniform draw of all that training has seen (Vitter 1985; for
                     energies Du et al. 2021), but for a batch by which it becomes full

    Images that chains go on from can be mirrored and shifted as data are (`random_flip`,
    `random_crop`), so that chains leave where they were: augmentation between chains (Du, Li,
    Tenenbaum, Mordatch: Improved contrastive divergence training of energy-based models, 2021, who
    blur and colour them besides). The energy then is to be of data that have the same.

    Chains of a conditional model have the labels of the data batch: only then is the expected
    gradient right, whatever the law of the labels. A chain of label y starts in a stored sample of
    label y, or afresh where there is none. With match_labels=False it starts in any stored sample,
    as in the published code: the chain then has to walk from the one class to the other.

    Samples are stored as they are, in float32, or as a byte k that is read back with the noise that
    dequantises images, low + (high − low)(k + U)/256, U ~ U[0, 1). With u = (x − low)/(high − low),
    clipped to [0, 1], that byte is

        "uint8"            k = min(⌊256 u⌋, 255): x comes back in its own cell, unbiased where the
                           density changes little within a cell of (high − low)/256
        "uint8_published"  k = ⌊255 u⌋, as in the published code: x comes back lower by
                           (x − low)/256 on average, and so at every visit. Where a visit of the
                           sampler moves no more than that, chains drift towards low

    A chain that is not finite is never stored, for neither coding could tell it from a clean
    sample: no place in the ring is taken, and no count of `written`. The step that ran it has its
    NaN or infinity in the energies and in every metric that they enter.

    A model calls `build`, which makes the variables; they are part of its checkpoints and files.

    Args:
        capacity: Number of samples kept, at least 1.
        restart_probability: Probability, in [0, 1], that a chain starts afresh instead.
        match_labels: Whether chains of a conditional model start in samples of their own label.
        storage: "uint8", "uint8_published", "float32", or "auto": "uint8" for bounded samples of
            more than one axis, such as images, and "float32" for vectors and unbounded samples.
        replacement: "oldest", "random" or "reservoir".
        random_flip: Whether an image that a chain goes on from is mirrored left to right with
            probability 1/2.
        random_crop: Up to how many pixels it is shifted, less than its sides.

    Raises:
        ValueError: An argument is out of its range.

    Source: Du & Mordatch 2019; Yu et al. 2020, Appendix G.
    """

    capacity = arguments.Settled("Make another buffer, and assign that to the model.")
    storage = arguments.Settled("Make another buffer, and assign that to the model.")
    replacement = arguments.Settled("Make another buffer, and assign that to the model.")
    random_flip = arguments.Settled("Make another buffer, and assign that to the model.")
    random_crop = arguments.Settled("Make another buffer, and assign that to the model.")

    def __init__(
        self,
        capacity: int = 10_000,
        restart_probability: float = 0.05,
        match_labels: bool = True,
        storage: str = "auto",
        replacement: str = "oldest",
        random_flip: bool = False,
        random_crop: int = 0,
    ):
        super().__init__(name="replay_buffer")
        self.match_labels = arguments.switch("match_labels", match_labels)
        self.num_classes: int | None = None
        self.capacity = arguments.whole_number("capacity", capacity, 1)
        self.restart_probability = arguments.probability("restart_probability", restart_probability)
        self.storage = codings.check(storage)
        self.replacement = arguments.choice("replacement", replacement, places.REPLACEMENTS)
        self.random_flip = arguments.switch("random_flip", random_flip)
        self.random_crop = arguments.whole_number("random_crop", random_crop)
        self.bounds: tuple[float, float] | None = None
        # One set of variables for each replica of this process; just one without a strategy.
        self._parts: list[dict[str, tf.Variable]] = []

    @property
    def samples(self) -> Any:
        """What is stored, [capacity, …]; in a replica of a strategy, its own."""
        return self._part("samples")

    @property
    def labels(self) -> Any:
        """The stored labels, int32 [capacity], or None; see `samples`."""
        return self._part("labels")

    @property
    def written(self) -> tf.Tensor:
        """Samples written since the beginning, int64; see `samples`."""
        return self._part("written")

    def _part(self, name: str):
        if not self._parts:
            return None
        # The replicas of a worker are numbered in a row.
        return self._parts[parallel.replica_number() % len(self._parts)].get(name)

    def parts(self) -> list[list[tf.Variable]]:
        """Return the variables of every replica of this process: [labels,] samples, written."""
        return [[part[name] for name in sorted(part)] for part in self._parts]

    @property
    def built(self) -> bool:
        """Whether the variables exist."""
        return bool(self._parts)

    def build(
        self,
        sample_shape: arguments.Shape,
        bounds: arguments.Bounds | None = None,
        num_classes: int | None = None,
    ) -> None:
        """Create the variables.

        Args:
            sample_shape: Shape of one sample, without batch axis.
            bounds: (low, high) of the samples, or None.
            num_classes: If given, a label is kept beside each sample.

        Raises:
            ValueError: It was built for other samples before, or they are to be stored in 8 bits
                and have no bounds.
        """
        bounds = arguments.optional(arguments.interval, "bounds", bounds)
        sample_shape = arguments.SHAPE.check("sample_shape", sample_shape)
        num_classes = arguments.optional(arguments.class_count, "num_classes", num_classes)
        kind = (tuple(sample_shape), bounds, num_classes is not None)
        check_moves(sample_shape, self.random_flip, self.random_crop)
        if self.built:
            mine = (tuple(self.samples.shape[1:]), self.bounds, self.labels is not None)
            if mine != kind:
                raise ValueError(
                    "The buffer was built for (sample shape, bounds, labelled) "
                    f"{mine}; received {kind}."
                )
            return
        self.bounds, self.num_classes = bounds, num_classes
        dtype = codings.dtype(self.storage, bounds, sample_shape)
        self._parts = parallel.for_each_local_replica(
            lambda: self._create(tuple(sample_shape), dtype, num_classes)
        )

    def _create(self, sample_shape, dtype, num_classes) -> dict[str, tf.Variable]:
        """Return the variables of one replica."""
        zeros = {"samples": tf.zeros([self.capacity, *sample_shape], dtype)}
        if num_classes is not None:
            zeros["labels"] = tf.zeros([self.capacity], tf.int32)
        # Samples written since the beginning; position and fill both follow from it.
        zeros["written"] = tf.zeros([], tf.int64)
        return {
            name: tf.Variable(value, trainable=False, name=name) for name, value in zeros.items()
        }

    @property
    def size(self) -> tf.Tensor:
        """Number of samples held, an int64 scalar."""
        return tf.minimum(self.written, self.capacity)

    def read(
        self, count: int, seed: arguments.Seed, labels: arguments.Labels | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Draw stored samples.

        Args:
            count: How many, an int or a scalar tensor.
            seed: Integer tensor [2].
            labels: Class numbers, int32 [count], that the samples are to have; any if None. A class
                of which there is none gets any sample: see `holds`.

        Returns:
            Samples, float32 [count, …], and their labels, int32 [count] or None. While the buffer
            is empty they are its initial zeros: see `start`.
        """
        index_seed, noise_seed = tf.unstack(randomness.split(seed, 2))
        labels = places.class_numbers(labels, self.num_classes)
        if labels is not None and not tf.is_tensor(count) and labels.shape[0] not in (None, count):
            raise ValueError(f"labels must be {count}, as count; received {labels.shape[0]}.")
        if labels is None:
            size = tf.maximum(self.size, 1)
            index = randomness.uniform([count], index_seed, 0, size, dtype=tf.int64)
        else:
            index = places.of_classes(self._classes(), self._class_counts(), labels, index_seed)
        stored = tf.gather(self.samples, index)
        labels = None if self.labels is None else tf.gather(self.labels, index)
        return codings.decode(stored, self.bounds, noise_seed), labels

    def holds(self, labels: arguments.Labels | None) -> tf.Tensor:
        """Return of each class number, int32 [n], whether there is a sample of it, bool [n]."""
        arguments.LABELS.check("labels", labels)
        return tf.gather(self._class_counts(), places.class_numbers(labels, self.num_classes)) > 0

    def _class_counts(self) -> tf.Tensor:
        """Return how many samples of each class there are, int32 [num_classes]."""
        classes = self._classes()
        counts = tf.math.unsorted_segment_sum(tf.ones_like(classes), classes, self.num_classes + 1)
        return counts[:-1]

    def _classes(self) -> tf.Tensor:
        """Return the label at each place of the ring, num_classes where there is none yet."""
        every = tf.range(self.capacity, dtype=tf.int64)
        return tf.where(every < self.size, self.labels, self.num_classes)

    def newest(self, count: int, replica: int = 0) -> tf.Tensor:
        """Return the samples that were written last, without the noise that `read` adds.

        Only a ring knows which these are: with another `replacement` they are any that are there.

        Where they are stored in 8 bits, that is the mean of what `read` makes of a byte, the centre
        of its cell: low + (high − low)(k + 1/2)/256.

        Args:
            count: How many at most.
            replica: Whose, of the replicas of this process.

        Returns:
            Float32 [n, …], n ≤ count, in the bounds.
        """
        replica = arguments.whole_number("replica", replica, 0, len(self._parts))
        count = arguments.whole_number("count", count)
        part = self._parts[replica]
        count = min(count, self.capacity, int(part["written"]))
        index = (part["written"] - 1 - tf.range(count, dtype=tf.int64)) % self.capacity
        return codings.decode(tf.gather(part["samples"], index), self.bounds)

    def start(
        self, fresh: tf.Tensor, seed: arguments.Seed, labels: arguments.Labels | None = None
    ) -> tf.Tensor:
        """Choose where chains start: in the buffer, or afresh with the restart probability.

        Args:
            fresh: New starting points, float32 [n, …].
            seed: Integer tensor [2].
            labels: Class numbers of the chains, int32 [n], if the buffer keeps labels.

        Returns:
            Starting points [n, …]. Those are fresh for which the buffer has nothing.
        """
        mask_seed, read_seed = tf.unstack(randomness.split(seed, 2))
        fresh = tf.convert_to_tensor(fresh)
        self._check_shape("fresh", fresh)
        count = tf.shape(fresh)[0]
        restart = randomness.uniform([count], mask_seed) < self.restart_probability
        restart |= tf.equal(self.written, 0)
        if self.labels is None or not self.match_labels:
            labels = None
        else:
            restart |= ~self.holds(labels)
        stored, _ = self.read(count, read_seed, labels)
        if self.random_flip or self.random_crop:
            move_seed = tf.random.fold_in(read_seed, _MOVES)
            stored = flip_and_crop(stored, move_seed, self.random_flip, self.random_crop)
        return codings.choose(restart, fresh, stored)

    def write(self, samples: tf.Tensor, labels: arguments.Labels | None = None) -> None:
        """Put samples in the place of others, by `replacement`; those not finite are left out.

        Args:
            samples: Floating [n, …], n ≤ capacity; clipped to the bounds where stored in 8 bits.
            labels: int32 [n], if the buffer keeps labels.

        Raises:
            ValueError: The shape is not that of the buffer's samples, or n exceeds the capacity.
        """
        samples = tf.convert_to_tensor(samples)
        labels = places.class_numbers(labels, self.num_classes)
        self._check_shape("samples", samples)
        if labels is not None and not labels.shape.is_compatible_with(samples.shape[:1]):
            raise ValueError(
                f"labels must be one for each of {samples.shape[0]} samples; received "
                f"{labels.shape[0]}."
            )
        if samples.shape[0] is not None and samples.shape[0] > self.capacity:
            raise ValueError(
                f"A batch of {samples.shape[0]} does not fit a buffer of capacity {self.capacity}."
            )
        # Where the batch size is only known now, the newest that fit are kept.
        samples = samples[-self.capacity :]
        labels = None if labels is None else labels[-self.capacity :]
        count = tf.shape(samples, out_type=tf.int64)[0]
        finite = self._storable(samples)
        stored = finite
        if self.replacement == "reservoir":
            stored &= places.taken_by_reservoir(self.capacity, self.written, count)
        # Those that are stored take the next places in their order; the others get the places after
        # these, and leave there what is there. All shapes stay known, as XLA needs them.
        total = tf.reduce_sum(tf.cast(stored, tf.int64))
        first, last = (tf.cumsum(tf.cast(m, tf.int64), exclusive=True) for m in (stored, ~stored))
        place = tf.where(stored, first, total + last)
        index = tf.gather(self._slots(count, labels), place)
        codings.update(
            self.samples,
            index,
            stored,
            codings.encode(samples, self.samples.dtype, self.storage, self.bounds),
        )
        if self.labels is not None:
            codings.update(self.labels, index, stored, tf.cast(labels, tf.int32))
        self._advance(index, tf.reduce_sum(tf.cast(finite, tf.int64)))

    def _check_shape(self, name: str, samples: tf.Tensor) -> None:
        shape = self.samples.shape[1:]
        if not samples.shape[1:].is_compatible_with(shape):
            raise ValueError(
                f"{name} must have the shape of what the buffer holds, {('n', *shape)}; received "
                f"{tuple(samples.shape)}."
            )

    def _advance(self, index, count) -> None:
        """Count the samples that were written to places in the ring."""
        self.written.assign_add(count)

    def _storable(self, samples):
        """Return which samples may take a place, booleans [n]."""
        return tf.reduce_all(tf.math.is_finite(samples), axis=list(range(1, samples.shape.rank)))

    def _slots(self, count, labels=None):
        """Return where the next `count` samples go, int64 [count], all different."""
        return places.next_slots(self.replacement, self.capacity, self.written, count)

    def state(self) -> dict:
        """Return the contents as NumPy arrays, only as many samples as there are."""
        names, size = ["samples", *self._beside_samples()], int(self.size)
        return {n: self._part(n)[:size].numpy() for n in names} | {"written": self.written.numpy()}

    def load_state(self, state: arguments.Tensor) -> None:
        """Restore what `state` returned.

        A buffer with storage="auto" takes samples of both kinds, since earlier versions stored
        bounded vectors in 8 bits: in float32 they become the centres of their cells.

        Args:
            state: Name -> array, from a buffer of samples of the same shape and bounds.

        Raises:
            ValueError: It is not built, is too small, or has another storage or sample shape.
        """
        if not self.built:
            raise ValueError("The buffer has no shape yet: call build before load_state.")
        samples = tf.convert_to_tensor(state["samples"][()])
        mine, bounds = self.samples, self.bounds
        if self.storage == "auto" and bounds is not None and mine.dtype == tf.float32:
            samples = codings.decode(samples, bounds)
        if samples.dtype != mine.dtype or samples.shape[1:] != mine.shape[1:]:
            raise ValueError(
                f"The stored buffer has samples of shape {tuple(samples.shape[1:])} in "
                f"{samples.dtype.name}; this one keeps {tuple(mine.shape[1:])} in "
                f"{mine.dtype.name}: give it the storage of the stored one "
                f"({', '.join(codings.STORAGES)}), or start with an empty buffer."
            )
        if samples.shape[0] > self.capacity:
            raise ValueError(
                f"The stored buffer has {samples.shape[0]} samples; this one takes up to "
                f"{self.capacity}."
            )
        if (self.labels is not None) != ("labels" in state):
            raise ValueError(
                f"The stored buffer {'has' if 'labels' in state else 'has no'} labels; this one "
                f"{'keeps' if self.labels is not None else 'keeps no'} labels."
            )
        beside, limits = self._beside_samples(), (self.capacity, self.num_classes)
        kept, written = codings.restorable(state, samples, beside, *limits)
        for name, array in kept.items():
            self._part(name)[: samples.shape[0]].assign(array)
        self.written.assign(written)

    def _beside_samples(self) -> list[str]:
        """Return the names of the variables that have an entry for each sample."""
        return [] if self.labels is None else ["labels"]
