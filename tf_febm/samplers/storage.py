"""Codings of stored samples: floats, or bytes within bounds."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.data import pixels

__all__ = ["STORAGES", "check", "choose", "decode", "dtype", "encode", "restorable", "update"]

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


def restorable(
    state: Mapping[str, Any],
    samples: tf.Tensor,
    beside: list[str],
    capacity: int,
    num_classes: int | None,
) -> tuple[dict[str, np.ndarray], int]:
    """Return the arrays of a buffer's state and its count, as they are for another capacity.

    Where there is room for more than are stored, the oldest stored one comes first, and the count
    is theirs: what is behind them is not read, and comes to be written next.

    Args:
        state: Name -> array, with "written".
        samples: The samples in it, [n, …], in the coding of the buffer.
        beside: Names of the arrays with an entry for each of them.
        capacity: Of the buffer, at least n.
        num_classes: Labels are below, if there are any.

    Raises:
        ValueError: A part is missing, or is none that a buffer has.
    """
    missing = [name for name in ("written", *beside) if name not in state]
    if missing:
        raise ValueError(f"The stored buffer has no {missing[0]!r}.")
    written = np.asarray(state["written"][()])
    count = int(samples.shape[0])
    if written.dtype.kind not in "iu" or written.ndim or not count <= written < 2**62:
        raise ValueError(
            f"The stored buffer has {count} samples, of {arguments.shown(written.tolist())} that "
            "were written: it is damaged."
        )
    if written and not count:
        raise ValueError(f"The stored buffer has none of {written} samples: it is damaged.")
    if samples.dtype.is_floating and not np.isfinite(samples).all():
        raise ValueError("The stored buffer has NaN or infinity in its samples: it is damaged.")
    kept = {"samples": np.asarray(samples)}
    for name in beside:
        kept[name] = np.asarray(state[name][()])
        if kept[name].shape != (count,) or kept[name].dtype.kind not in "iu":
            raise ValueError(
                f"The stored buffer must have integers {name!r}, one for each of {count} samples; "
                f"received {arguments.shown(kept[name])}."
            )
    labels = kept.get("labels")
    if labels is not None and count and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"The stored buffer has labels from {labels.min()} to {labels.max()}; this one keeps "
            f"labels in 0 … {num_classes - 1}."
        )
    if count < min(int(written), capacity):
        if "turn" in kept:
            raise ValueError(f"The stored chains are {count}; these are {capacity}: make as many.")
        kept = {
            name: np.roll(array, -(int(written) % count), axis=0) for name, array in kept.items()
        }
        return kept, count
    return kept, int(written)


def update(variable: tf.Variable, index: tf.Tensor, chosen: tf.Tensor, values: tf.Tensor) -> None:
    """Write the chosen of `values` to their places in a variable."""
    values = tf.where(_like(chosen, values), values, tf.gather(variable, index))
    variable.scatter_nd_update(index[:, None], values)


def choose(restart: tf.Tensor, fresh: tf.Tensor, stored: tf.Tensor) -> tf.Tensor:
    """Return fresh samples where `restart` is true, stored ones elsewhere."""
    return tf.ensure_shape(tf.where(_like(restart, fresh), fresh, stored), fresh.shape)


def _like(mask, samples):
    return tf.reshape(mask, [-1] + [1] * (samples.shape.rank - 1))
