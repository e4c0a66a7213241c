"""Codings of stored samples: floats, or bytes within bounds."""

import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.data import pixels

__all__ = ["STORAGES", "check", "choose", "decode", "dtype", "encode", "update"]

STORAGES = ("auto", "uint8", "uint8_published", "float32")


def check(storage: str) -> str:
    """Return the name of a coding; a ValueError if it is none."""
    if storage not in STORAGES:
        raise ValueError(f"storage must be one of {', '.join(STORAGES)}; received {storage!r}.")
    return storage


def dtype(storage: str, bounds: tuple[float, float] | None, sample_shape: tuple) -> tf.DType:
    """Return what samples of a shape, without batch axis, are stored in.

    Raises:
        ValueError: They are to be stored in 8 bits and have no bounds.
    """
    if bounds is None and storage.startswith("uint8"):
        raise ValueError(
            f"storage={storage!r} needs bounds, and the sampler has none: give it some, "
            "or the buffer storage='float32'."
        )
    images = bounds is not None and len(sample_shape) > 1
    in_bytes = images if storage == "auto" else storage != "float32"
    return tf.uint8 if in_bytes else tf.float32


def encode(
    samples: tf.Tensor, dtype: tf.DType, storage: str, bounds: arguments.Bounds | None
) -> tf.Tensor:
    """Return what is stored of samples, clipped to the bounds in 8 bits; see `ReplayBuffer`."""
    samples = tf.cast(samples, tf.float32)
    if dtype == tf.float32:
        return samples
    low, high = bounds
    unit = tf.clip_by_value((samples - low) / (high - low), 0.0, 1.0)
    if storage == "uint8_published":
        return tf.cast(255.0 * unit, tf.uint8)
    return pixels.to_levels(unit)


def decode(
    stored: tf.Tensor, bounds: arguments.Bounds | None, seed: arguments.Seed | None = None
) -> tf.Tensor:
    """Return samples from what is stored, with noise of a seed, or the centres of cells."""
    if stored.dtype == tf.float32:
        return stored
    low, high = bounds
    noise = 0.5 if seed is None else randomness.uniform(tf.shape(stored), seed)
    return low + (high - low) * pixels.from_levels(stored, noise)


def update(variable: tf.Variable, index: tf.Tensor, chosen: tf.Tensor, values: tf.Tensor) -> None:
    """Write the chosen of `values` to their places in a variable."""
    values = tf.where(_like(chosen, values), values, tf.gather(variable, index))
    variable.scatter_nd_update(index[:, None], values)


def choose(restart: tf.Tensor, fresh: tf.Tensor, stored: tf.Tensor) -> tf.Tensor:
    """Return fresh samples where `restart` is true, stored ones elsewhere."""
    return tf.ensure_shape(tf.where(_like(restart, fresh), fresh, stored), fresh.shape)


def _like(mask, samples):
    return tf.reshape(mask, [-1] + [1] * (samples.shape.rank - 1))
