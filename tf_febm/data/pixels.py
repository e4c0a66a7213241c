"""8-bit pixels: the levels 0 … 255, and the numbers in [0, 1) that models see."""

from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["NUM_LEVELS", "dequantise", "from_levels", "key", "to_levels"]

NUM_LEVELS = 256
# 16 random bits below the 8 of the pixel: together the 24 that float32 holds exactly.
_FRACTIONS = 65_536
# Each use of randomness has its own key, so that none repeats another's numbers.
ORDER, DEQUANTISATION, NOISE, AUGMENTATION = 1, 2, 3, 4


def from_levels(levels: arguments.Tensor, fraction: Any = 0.5) -> np.ndarray | tf.Tensor:
    """Return x = (v + fraction) / 256 of levels v.

    Level v is the interval [v, v + 1) / 256, so 0.5 gives its centre, the mean of the dequantised
    pixel. (v / 255 would stretch the contrast by 256/255, and shift black by half a step.)

    Args:
        levels: Whole numbers from 0 to 255, an array or a tensor.
        fraction: In [0, 1), a number or of the shape of `levels`.

    Returns:
        float32 of the shape of `levels`, an array or a tensor as they are.
    """
    if tf.is_tensor(levels):
        return (tf.cast(levels, tf.float32) + fraction) / NUM_LEVELS
    return (np.asarray(levels, np.float32) + fraction) / NUM_LEVELS


def to_levels(x: arguments.Tensor) -> np.ndarray | tf.Tensor:
    """Return the level of each x, min(⌊256 x⌋, 255): the inverse of `from_levels`.

    Args:
        x: Floating numbers in [0, 1], an array or a tensor.

    Returns:
        uint8 of the shape of `x`, an array or a tensor as it is.
    """
    # Conversion rounds towards 0.
    if tf.is_tensor(x):
        return tf.cast(tf.minimum(x * NUM_LEVELS, NUM_LEVELS - 1.0), tf.uint8)
    return np.minimum(np.asarray(x) * NUM_LEVELS, NUM_LEVELS - 1).astype(np.uint8)


@arguments.checking({"images": arguments.ANY_ARRAY | arguments.NONE})
def dequantise(images: arguments.Tensor, seed: arguments.Seed = 0) -> tf.Tensor:
    """Dequantise 8-bit images: x = (v + u) / 256 with u uniform on [0, 1).

    The sum is exact in float32 (u has 16 bits), so 0 ≤ x < 1 and floor(256·x) gives v back.

    Args:
        images: uint8, any shape; a NumPy array or a tensor.
        seed: An integer in [0, 2⁶³), or a stateless seed of two integers. The same seed gives the
            same result.

    Returns:
        float32 of the same shape.

    Raises:
        TypeError: The images are not uint8.
        ValueError: The seed is not accepted.
    """
    dtype = getattr(images, "dtype", None)
    if dtype is None or tf.as_dtype(dtype) != tf.uint8:
        raise TypeError(f"images must be a uint8 array; received {dtype or type(images).__name__}.")
    if not tf.is_tensor(seed) and np.ndim(seed) == 0:
        seed = key(arguments.whole_number("seed", seed, below=2**63), DEQUANTISATION)
    images = tf.convert_to_tensor(images)
    fraction = tf.floor(randomness.uniform(tf.shape(images), seed) * _FRACTIONS) / _FRACTIONS
    return from_levels(images, fraction)


def key(seed: int, use: int) -> tf.Tensor:
    """Return the stateless seed of one use of randomness, int64 [2]."""
    return tf.random.fold_in(tf.constant([seed, 0], tf.int64), tf.constant(use, tf.int64))
