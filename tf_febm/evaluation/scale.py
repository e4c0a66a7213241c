"""One scale for samples and real images, and one way back to 8 bits.

Models are trained on dequantised pixels x = (v + u) / 256 with v the 8-bit value and u uniform in
[0, 1), so their samples are floats in [0, 1]. Everything in `tf_febm.evaluation` that takes images
passes them through `to_unit_interval`, so that an 8-bit image and a float one mean the same.
"""

import numpy as np

from tf_febm import arguments
from tf_febm.data import pixels

__all__ = ["to_bytes", "to_unit_interval"]


@arguments.checked
def to_unit_interval(images: arguments.Array, name: str = "images") -> np.ndarray:
    """Bring images to float32 in [0, 1], on the scale of dequantised data.

    8-bit values map to the centre of their interval, (v + 0.5) / 256, which is the mean of the
    dequantised pixel (v + u) / 256; v / 255 would stretch the contrast by 256/255 and shift black
    by half a step against what the model was trained on. (`tf_febm.data.dequantise` draws u
    instead, for training; here equal images must give equal figures.) Floats are taken to be on
    that scale already and are returned as they are.

    The two sides become equal in location, not in noise: a float sample still holds the
    dequantisation noise, of standard deviation 1 / (256·√12) ≈ 0.0011. In the features of a digits
    classifier this moves the training split by a Fréchet distance of 2e-5 where the two real splits
    are 1.6 apart. It would matter for a classifier of real against generated images.

    Args:
        images: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 1.
        name: What to call the array in error messages.

    Returns:
        float32 of the same shape, in [0, 1].

    Raises:
        ValueError: The rank is not 4, a dimension is empty, or a float value is not finite or
            outside [0, 1].
        TypeError: The dtype is neither uint8 nor floating point.
    """
    images = np.asarray(images)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(
            f"{name} must have shape [n, height, width, channels] without empty dimensions; "
            f"received shape {images.shape}."
        )
    if images.dtype == np.uint8:
        return pixels.from_levels(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(f"{name} must be uint8 or floating point; received dtype {images.dtype}.")
    low, high = images.min(), images.max()
    # NaN fails both comparisons.
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"{name} of dtype {images.dtype} must lie in [0, 1]; received values from {low} to "
            f"{high}."
        )
    return images.astype(np.float32, copy=False)


@arguments.checked
def to_bytes(images: arguments.Array, name: str = "images") -> np.ndarray:
    """Bring images to 8 bits: floor(256 x), the inverse of dequantisation x = (v + u) / 256.

    8-bit images come back as they are. This is also what the original code does to its samples
    before it measures them. Arguments and errors are those of `to_unit_interval`.

    Returns:
        uint8 of the same shape.
    """
    return pixels.to_levels(to_unit_interval(images, name))
