"""The endless stream of training batches: a pure function of (seed, step)."""

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.data.augmentation import flip_and_crop
from tf_febm.data.image_data import ImageData
from tf_febm.data.pixels import AUGMENTATION, DEQUANTISATION, NOISE, ORDER, dequantise, key
from tf_febm.data.vector_data import VectorData

__all__ = ["stream", "without_tuning"]

_MAX_POSITION = 2**62
# Of a shuffle buffer, on its way into batches; as many are read ahead.
_PIECES = 8


@arguments.checking({"batch_size": None, "data": None, "seed": None})
def stream(
    data: ImageData | VectorData,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    conditional: bool = False,
    noise_stddev: float = 0.0,
    random_flip: bool = False,
    random_crop: int = 0,
    shard: tuple[int, int] = (0, 1),
    clip_noise: bool = True,
) -> tf.data.Dataset:
    """Return the infinite sequence of training batches, from any step on.

    Batch t holds the shuffled images at positions t·batch_size … (t+1)·batch_size − 1 of an endless
    row of epochs. Every epoch is a uniformly random permutation, drawn from (seed, epoch), that
    visits each image exactly once; a batch may hold the end of one epoch and the beginning of the
    next, and several epochs when there are fewer images than `batch_size`. Flips, crops,
    dequantisation and noise of batch t are drawn from (seed, t). So `start_step=k` yields exactly
    what skipping k batches of a stream from 0 would, at no cost, and a run resumes as if it had
    never stopped.

    Vectors are yielded as they are; noise, if any, is added in units of each coordinate's standard
    deviation. Pixels are dequantised as in `dequantise`. With `noise_stddev` > 0, Gaussian noise is
    added *after* that and the sum is clipped to [0, 1], where samplers keep their chains too. The
    clipping puts probability mass on 0 and 1 exactly, about half of it for pixels that are black
    or white. Chains without bounds, such as those of a model with a Gaussian reference, need noise
    that is not clipped: what is then taken off their samples is the noise that was put on the data.

    With `shard=(i, k)` the dataset yields the i-th of k equal parts of each batch: the k streams
    together are, to the bit, the one without shards, whatever k. Each shard makes the whole batch
    and cuts its part out, which costs it k times the work on its pixels, milliseconds in all.

    The images are held once, as 8-bit integers, and captured by the pipeline rather than written
    into its graph. Batches are made ahead while a step trains.

    Data with `rows`, which are not in memory, come through a shuffle buffer: the order of an epoch
    is that of `rows.Rows`, no longer any permutation, but as much a function of (seed, epoch). To
    start anywhere costs the reading of one buffer; three of them are in memory at a time.

    Args:
        data: What `tf_febm.data.load` returns.
        batch_size: Images per batch, all shards together, at least 1.
        seed: Integer in [0, 2⁶³).
        start_step: Number of the first batch, at least 0.
        conditional: Yield labels too.
        noise_stddev: Standard deviation of the noise, in units of the [0, 1] range of pixels, or
            of the standard deviation of each coordinate of vectors.
        random_flip: Mirror each image left to right with probability 1/2.
        random_crop: Shift each image by up to so many pixels in each direction, from 0 to
            min(height, width) − 1; see `augmentation.flip_and_crop` for what appears at the edges.
        shard: (index, count), 0 ≤ index < count, where count divides `batch_size`.
        clip_noise: Whether pixels with noise are clipped to [0, 1].

    Returns:
        An infinite `tf.data.Dataset` of float32 `[n, height, width, channels]` in [0, 1], beyond it
        by noise that is not clipped, or `[n, d]`, where n = batch_size / count, or of pairs of it
        with int32 `[n]` if `conditional`.

    Raises:
        TypeError: `data` is neither an `ImageData` nor a `VectorData`.
        ValueError: Another argument is not accepted, or `conditional` without labels.
    """
    if not isinstance(data, ImageData | VectorData):
        raise TypeError(
            "data must be an ImageData or a VectorData (see data.load); received "
            f"{type(data).__name__}."
        )
    batch_size = arguments.whole_number("batch_size", batch_size, 1, 2**31)
    seed = arguments.whole_number("seed", seed, 0, 2**63)
    start_step = arguments.whole_number("start_step", start_step, 0, _MAX_POSITION // batch_size)
    noise_stddev = arguments.number("noise_stddev", noise_stddev)
    clip_noise = arguments.switch("clip_noise", clip_noise)
    part = _part_of(batch_size, shard)
    if conditional and data.labels is None:
        raise ValueError(f"conditional=True needs labels; received {data!r} without any.")

    # The CPU explicitly: on a machine with a GPU the whole data set would go into its memory.
    # The init scope keeps the pixels out of the graph of a calling tf.function.
    with tf.init_scope(), tf.device("CPU:0"):
        if isinstance(data, VectorData):
            make_examples = _vector_examples(data, seed, noise_stddev, random_flip, random_crop)
            examples = tf.constant(data.vectors) if data.rows is None else None
        else:
            make_examples = _image_examples(
                data, seed, noise_stddev, random_flip, random_crop, clip_noise
            )
            examples = tf.constant(data.images) if data.rows is None else None
        labels = tf.constant(data.labels) if conditional and data.rows is None else None
    shape = (batch_size, *data.sample_shape)

    # There is nothing for autograph to convert, and the search for it takes a second.
    @tf.autograph.experimental.do_not_convert
    def make_batch(step, rows):
        rows = tf.ensure_shape(rows, [batch_size])
        x = tf.ensure_shape(make_examples(step, tf.gather(examples, rows)), shape)[part]
        return (x, tf.gather(labels, rows[part])) if conditional else x

    @tf.autograph.experimental.do_not_convert
    def make_read_batch(step, read):
        x, labels = read
        x = tf.ensure_shape(make_examples(step, tf.ensure_shape(x, shape)), shape)[part]
        return (x, tf.ensure_shape(labels, [batch_size])[part]) if conditional else x

    steps = tf.data.Dataset.counter(start_step)
    if data.rows is None:
        rows = _shuffled_rows(len(data), batch_size, seed, start_step)
        dataset = tf.data.Dataset.zip((steps, rows)).map(make_batch)
    else:
        read = _read_rows(data, batch_size, seed, start_step)
        dataset = tf.data.Dataset.zip((steps, read)).map(make_read_batch)
    return without_tuning(dataset.prefetch(2))


def _image_examples(data, seed, noise_stddev, random_flip, random_crop, clip_noise):
    """Return (step, uint8 images) -> float32 images."""
    random_crop = arguments.whole_number("random_crop", random_crop, 0, min(data.image_shape[:2]))
    dequantisation, noise, augmentation = (
        key(seed, use) for use in (DEQUANTISATION, NOISE, AUGMENTATION)
    )

    def make(step, x):
        if random_flip or random_crop:
            x = flip_and_crop(x, tf.random.fold_in(augmentation, step), random_flip, random_crop)
        x = dequantise(x, tf.random.fold_in(dequantisation, step))
        if noise_stddev:
            draw = randomness.normal(x.shape, tf.random.fold_in(noise, step))
            x += noise_stddev * draw
            x = tf.clip_by_value(x, 0.0, 1.0) if clip_noise else x
        return x

    return make


def _vector_examples(data, seed, noise_stddev, random_flip, random_crop):
    """Return (step, vectors) -> vectors, float32."""
    if random_flip or random_crop:
        raise ValueError(
            f"random_flip and random_crop are for images, not for vectors; received {random_flip} "
            f"and {random_crop}."
        )
    noise = key(seed, NOISE)
    scale = tf.constant(noise_stddev * data.scale, tf.float32)

    def make(step, x):
        if noise_stddev:
            x += scale * randomness.normal(x.shape, tf.random.fold_in(noise, step))
        return x

    return make


@arguments.checked
def without_tuning(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return a dataset whose iterators end at once.

    An iterator is not destroyed before the thread that tunes parallelism wakes up, which it does
    10 ms after the start, then 20, 40, …: `fit` would take up to twice as long as it trains. Only
    for datasets that leave nothing to tune, with no AUTOTUNE in them.

    Args:
        dataset: Any, of which the order of elements is kept.
    """
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    return dataset.with_options(options)


def _shuffled_rows(count, batch_size, seed, start_step):
    """Row numbers of the batches from start_step on, as a dataset of int64 [batch_size]."""
    # tf.random.experimental.index_shuffle would need no permutation in memory, but over
    # consecutive epochs it reaches a small part of all positions only; a permutation is exact,
    # takes 8 bytes an image and a millisecond for 60,000.
    first_epoch, offset = divmod(start_step * batch_size, count)
    order_key = key(seed, ORDER)

    @tf.autograph.experimental.do_not_convert
    def one_epoch(epoch):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(count, dtype=tf.int64), tf.random.fold_in(order_key, epoch)
        )
        return order[tf.where(epoch == first_epoch, tf.constant(offset, tf.int64), 0) :]

    return _rebatched(tf.data.Dataset.counter(first_epoch).map(one_epoch), batch_size)


def _read_rows(data, batch_size, seed, start_step):
    """Return a dataset of batches from start_step on, examples and int32 labels, 0 without any."""
    windows, kind = data.rows.windows, getattr(data, data._field).dtype

    def read():
        for block in windows(seed, start_step * batch_size):
            size = len(block.examples)
            labels = np.zeros(size, np.int32) if block.labels is None else block.labels
            # Each piece is copied on its way: not the whole buffer at once, again and again.
            for begin in range(0, size, -(-size // _PIECES)):
                piece = slice(begin, begin + -(-size // _PIECES))
                yield block.examples[piece], labels[piece]
            # The next buffer is filled when this one is gone.
            del block

    each = (
        tf.TensorSpec((None, *data.sample_shape), kind),
        tf.TensorSpec((None,), tf.int32),
    )
    pieces = tf.data.Dataset.from_generator(read, output_signature=each)
    return _rebatched(pieces, batch_size, _PIECES)


def _rebatched(dataset, batch_size, ahead=1):
    """Return an endless dataset of batches of longer or shorter ones, some of them read ahead."""
    # `rebatch` forgets that there is no end, which Keras asks for.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return dataset.prefetch(ahead).rebatch(batch_size).apply(endless)


def _part_of(batch_size, shard):
    """Return the rows of a batch that are a shard's, a slice."""
    try:
        index, count = shard
    except (TypeError, ValueError):
        raise ValueError(f"shard must be (index, count); received {shard!r}.") from None
    count = arguments.whole_number("shard count", count, 1, batch_size + 1)
    index = arguments.whole_number("shard index", index, 0, count)
    size, rest = divmod(batch_size, count)
    if rest:
        raise ValueError(
            f"batch_size must be a multiple of the number of shards; received {batch_size} and "
            f"{count}."
        )
    return slice(index * size, (index + 1) * size)
