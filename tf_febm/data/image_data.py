"""ImageData: one split of one data set, checked once and read-only from then on."""

import dataclasses
import warnings

import numpy as np

from tf_febm.data.classes import check_names
from tf_febm.data.pixels import dequantise

__all__ = ["ImageData", "warn_of_scale"]

# More channels than this is almost always an array in channels-first order.
MAX_CHANNELS = 4
# No picture that is meant as one has no level above this: 4 bits of 8, or 12 bits of 16.
DARKEST = 16


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Hold one split of an image data set in memory.

    The arrays are not copied: the fields are read-only views of what was given. The whole split is
    in memory, `images.nbytes` = n · height · width · channels bytes: 147 MiB for CIFAR-10's 50,000
    images, 477 MiB for CelebA's 162,770 at 32×32. Nothing here reads images lazily.

    Args:
        name: Name of the source, as in `tf_febm.data.names()`.
        images: uint8 `[n, height, width, channels]`, n ≥ 1, 1 to 4 channels, channels last.
        labels: int32 `[n]` with values in `[0, num_classes)`, or None.
        num_classes: Number of classes, given exactly when `labels` are.
        source: One line that says where the images came from, for the record of a run.
        class_names: What the classes are called where the images came from, their ids written out;
            "0", "1", … if None and there are classes.

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

    def __post_init__(self):
        for field in ("name", "source"):
            value = getattr(self, field)
            if not isinstance(value, str):
                raise TypeError(f"{field} must be a string; received {value!r}.")
        if not self.name:
            raise ValueError("name must not be empty; received ''.")
        _check_images(self.images)
        object.__setattr__(self, "images", read_only(self.images))
        labels, num_classes = check_labels(self.labels, self.num_classes, len(self.images))
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "num_classes", num_classes)
        object.__setattr__(self, "class_names", check_names(self.class_names, num_classes))

    # What `stream` yields lies in it, and so do the chains of a model of it.
    bounds = (0.0, 1.0)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels)."""
        return self.images.shape[1:]

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Return `image_shape`, under the name that it has for all kinds of data."""
        return self.image_shape

    def examples(self, count: int, seed: int = 0):
        """Return the first `count` images as networks see them, float32 in [0, 1].

        Args:
            count: How many; all if there are fewer.
            seed: That of `tf_febm.data.dequantise`.
        """
        return dequantise(self.images[:count], seed)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        # The generated one would print the pixels.
        return (
            f"ImageData(name={self.name!r}, images=uint8 {list(self.images.shape)}, "
            f"num_classes={self.num_classes}, source={self.source!r})"
        )


def _check_images(images):
    if not isinstance(images, np.ndarray):
        raise TypeError(f"images must be a numpy array; received {type(images).__name__}.")
    received = f"received {images.dtype} {list(images.shape)}"
    if images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"images must be uint8 [n, height, width, channels], {received}.")
    if 0 in images.shape:
        raise ValueError(f"images must not be empty along any axis; {received}.")
    if images.shape[3] > MAX_CHANNELS:
        raise ValueError(
            f"images must have 1 to {MAX_CHANNELS} channels, on the last axis; {received}."
        )


def warn_of_scale(images, source: str) -> None:
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


def check_labels(labels, num_classes, count):
    """Return labels, read-only, and the number of classes, both None or both checked.

    Raises:
        TypeError: One of them is not of the type that the data classes document.
        ValueError: Only one is given, or a shape, dtype or value does not fit `count` examples.
    """
    if labels is None and num_classes is None:
        return None, None
    if labels is None or num_classes is None:
        raise ValueError(
            "labels and num_classes must be given together; received "
            f"labels={'None' if labels is None else 'an array'}, num_classes={num_classes!r}."
        )
    if isinstance(num_classes, bool) or not isinstance(num_classes, (int, np.integer)):
        raise TypeError(f"num_classes must be an integer; received {num_classes!r}.")
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1; received {num_classes}.")
    if not isinstance(labels, np.ndarray):
        raise TypeError(f"labels must be a numpy array; received {type(labels).__name__}.")
    if labels.dtype != np.int32 or labels.shape != (count,):
        raise ValueError(
            f"labels must be int32 [{count}], one per example; "
            f"received {labels.dtype} {list(labels.shape)}."
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"labels must be in [0, {num_classes}); received values from {low} to {high}."
        )
    return read_only(labels), int(num_classes)


def read_only(array):
    """Return a view of an array that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view
