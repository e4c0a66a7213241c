"""Images of one split of a data set, in memory."""

import dataclasses
import warnings

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.data.in_memory import InMemory
from tf_febm.data.pixels import dequantise
from tf_febm.data.rows import Rows

__all__ = ["ImageData", "warn_of_scale"]

# More channels than this is almost always an array in channels-first order.
MAX_CHANNELS = 4
# No picture that is meant as one has no level above this: 4 bits of 8, or 12 bits of 16.
DARKEST = 16


@arguments.checked
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImageData(InMemory):
    """Hold one split of an image data set in memory.

    The arrays are not copied: the fields are read-only views of what was given. The whole split is
    in memory, `images.nbytes` = n · height · width · channels bytes: 147 MiB for CIFAR-10's 50,000
    images, 477 MiB for CelebA's 162,770 at 32×32; unless `rows` says where the rest is.

    Args:
        name: Name of the source, as in `tf_febm.data.names()`.
        images: uint8 `[n, height, width, channels]`, n ≥ 1, 1 to 4 channels, channels last.
        labels: int32 `[n]` with values in `[0, num_classes)`, or None.
        num_classes: Number of classes, given exactly when `labels` are.
        source: One line that says where the images came from, for the record of a run.
        class_names: What the classes are called where the images came from, their ids written out;
            "0", "1", … if None and there are classes.
        rows: Where the whole split is, if the arrays are only a sample of it, which is what
            everything but `stream` then takes for the data; None if they are all of it.

    Raises:
        TypeError: A field is not of the type above.
        ValueError: A field has the wrong shape, dtype or range; the message says what was received.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    num_classes: int | None = None
    source: str = ""
    class_names: tuple[str, ...] | None = None
    rows: Rows | None = None

    # What `stream` yields lies in it, and so do the chains of a model of it.
    bounds = (0.0, 1.0)
    _field = "images"

    def __post_init__(self):
        images = self.images
        if not isinstance(images, np.ndarray):
            raise TypeError(f"images must be a numpy array; received {type(images).__name__}.")
        good = images.dtype == np.uint8 and images.ndim == 4 and 0 not in images.shape
        if not good or images.shape[3] > MAX_CHANNELS:
            raise ValueError(
                "images must be uint8 [n, height, width, channels], none of them 0, with 1 to "
                f"{MAX_CHANNELS} channels; received {images.dtype} {list(images.shape)}."
            )
        self._settle()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels), which `sample_shape` is for all kinds of data."""
        return self.images.shape[1:]

    def examples(self, count: int, seed: int = 0) -> tf.Tensor:
        """Return the first `count` images as networks see them, float32 in [0, 1].

        Args:
            count: How many; all if there are fewer.
            seed: That of `tf_febm.data.dequantise`.
        """
        return dequantise(self.images[:count], seed)


def warn_of_scale(images: arguments.Tensor, source: str) -> None:
    """Warn of uint8 images, [n, …], whose values suggest another scale than 0 … 255, in one line.

    Levels are read as v/255 of white whatever they are: what was meant as bright is black.
    """
    low, high = int(images.min()), int(images.max())
    if low == high:
        what = "black" if high == 0 else "white" if low == 255 else f"of one level, {low}"
        meaning = f"are all {what}: there is nothing in them to learn"
    elif high == 1:
        meaning = (
            "have no values but 0 and 1, which are black and nearly black: if 1 is meant as white, "
            "multiply by 255"
        )
    elif high <= DARKEST:
        meaning = (
            f"have values from {low} to {high} of 255, which is nearly black: if {high} is meant "
            f"as white, multiply by 255/{high}; of 16-bit files that hold 12 bits, by 16"
        )
    else:
        return
    warnings.warn(f"{source}: the images {meaning}.", stacklevel=3)
