"""Stateless random numbers: a seed is an argument, and equal seeds give equal numbers."""

import numbers

import tensorflow as tf

from tf_febm import arguments

__all__ = ["as_seed", "normal", "sampling_seed", "split", "uniform"]

# Makes the first word of a seed negative, which the seeds of training steps do not have.
_SAMPLING = (-0x61C88647, 0x2545F491)


def as_seed(seed: arguments.Seed) -> tf.Tensor:
    """Return a seed as an int32 tensor of shape [2].

    Args:
        seed: An int, a pair of ints, or an integer tensor of shape [2].

    Raises:
        ValueError: It is anything else.
    """
    if isinstance(seed, numbers.Integral) and not isinstance(seed, bool):
        # 62 bits count.
        seed = ((int(seed) >> 31) & 0x7FFFFFFF, int(seed) & 0x7FFFFFFF)
    message = f"A seed is an int or a pair of ints; received {seed!r}."
    try:
        tensor = tf.convert_to_tensor(seed)
    except (ValueError, TypeError):
        raise ValueError(message) from None
    if tensor.shape != (2,) or not tensor.dtype.is_integer:
        raise ValueError(message)
    return tf.cast(tensor, tf.int32)


def sampling_seed(seed: arguments.Seed) -> tf.Tensor:
    """Return a seed that was given for sampling or evaluation as one that training never takes.

    Step k of a model with seed s draws its numbers from (s, k). Taken as it is, the seed k of
    `sample` would be that of step k of a model with seed 0, and the samples no independent ones.

    Args:
        seed: As in `as_seed`. Different seeds stay different.
    """
    return tf.bitwise.bitwise_xor(as_seed(seed), tf.constant(_SAMPLING, tf.int32))


def split(seed: arguments.Seed, count: arguments.Whole) -> tf.Tensor:
    """Return `count` independent seeds, an int or a scalar tensor, int32 [count, 2]."""
    return tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[count, 2], **_generator(seed), dtype=tf.int32
    )


def normal(
    shape: arguments.Shape, seed: arguments.Seed, dtype: arguments.DtypeLike = tf.float32
) -> tf.Tensor:
    """Return standard normal numbers that depend on the seed alone."""
    return tf.raw_ops.StatelessRandomNormalV2(shape=shape, **_generator(seed), dtype=dtype)


def uniform(
    shape: arguments.Shape,
    seed: arguments.Seed,
    minval: arguments.Tensor = 0.0,
    maxval: arguments.Tensor = 1.0,
    dtype: arguments.DtypeLike = tf.float32,
) -> tf.Tensor:
    """Return numbers uniform on [minval, maxval) that depend on the seed alone."""
    generator = _generator(seed)
    if dtype.is_integer:
        return tf.raw_ops.StatelessRandomUniformIntV2(
            shape=shape,
            **generator,
            minval=tf.cast(minval, dtype),
            maxval=tf.cast(maxval, dtype),
        )
    unit = tf.raw_ops.StatelessRandomUniformV2(shape=shape, **generator, dtype=dtype)
    if not (tf.is_tensor(minval) or tf.is_tensor(maxval)) and (minval, maxval) == (0.0, 1.0):
        return unit
    return unit * (maxval - minval) + minval


def _generator(seed) -> dict:
    """Return what the raw operations take in place of a seed.

    The functions of `tf.random.stateless_…` derive the same key and counter from up to 45 small
    operations: on small batches they cost more than the numbers. The numbers are the same. The
    algorithm is named, so that eager and compiled calls, on any device, draw the same numbers; XLA
    draws others.
    """
    state = tf.raw_ops.StatelessRandomGetKeyCounter(seed=as_seed(seed))
    return {"key": state.key, "counter": state.counter, "alg": 1}  # 1 is philox.
