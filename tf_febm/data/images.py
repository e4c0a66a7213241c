"""Image files as arrays: decoding, centre crop, averaging over areas."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from tf_febm.data.files import entries, reading
from tf_febm.data.pictures import picture_levels

__all__ = [
    "SUFFIXES",
    "Decoded",
    "are_all_grey",
    "centre_square",
    "decode_images",
    "find_images",
    "is_image",
    "resize_array",
]

# Formats that Pillow reads everywhere, so that a folder means the same on every machine.
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# Of whatever depth.
_GREY_MODES = ("1", "L", "I", "F")
# A few damaged files among many are no reason not to train; more than this share of them is.
MAX_SKIPPED_SHARE = 0.01
_FILES_NAMED = 3


class Decoded(NamedTuple):
    """The image files that could be decoded.

    Attributes:
        images: uint8 `[n, size, size, 1 or 3]`.
        rows: Which of the paths they are, int64 `[n]`, ascending.
        note: How many were skipped, for the record; "" if none was.
    """

    images: np.ndarray
    rows: np.ndarray
    note: str = ""


def is_image(path: Path) -> bool:
    """Say whether a path has the suffix of an image."""
    return path.suffix.lower() in SUFFIXES


def find_images(folder: Path) -> list[Path]:
    """Return all image files under a folder, sorted by their path relative to it.

    Links to folders are followed, each folder once. Hidden files and folders are left out.
    """
    found, visited, pending = [], set(), [folder]
    while pending:
        current = pending.pop()
        identity = os.path.realpath(current)
        if identity in visited:
            continue
        visited.add(identity)
        for entry in entries(current):
            if entry.is_dir():
                pending.append(entry)
            elif is_image(entry):
                found.append(entry)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def centre_square(pixels: np.ndarray, size: int, share: float = 1.0) -> np.ndarray:
    """Cut a centred square out of an image and average it to size × size.

    Each output pixel is the mean of the area that it covers, rounded once; where it covers parts
    of pixels they count in part. (Pillow's BOX filter rounds after each axis, upwards on average.)
    An image smaller than `size` is enlarged by the same rule.

    Levels of any real type, `[height, width, channels]`, become uint8. The side of the square is
    that `share` of the shorter side of the image.
    """
    height, width = pixels.shape[:2]
    side = round(share * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    if side != size:
        with tf.device("CPU:0"):
            square = tf.image.resize(square, (size, size), method="area").numpy()
    return np.rint(square).astype(np.uint8, copy=False)


def resize_array(images: np.ndarray, size: int, share: float = 1.0) -> np.ndarray:
    """Apply `centre_square` to each of uint8 `[n, height, width, channels]`."""
    if images.shape[1:3] == (size, size):
        return images
    # One by one: floating-point copies of a whole data set would not fit into memory.
    return np.stack([centre_square(pixels, size, share) for pixels in images])


def decode_images(paths: list[Path], size: int, grey: bool = False, share: float = 1.0) -> Decoded:
    """Decode image files with a thread pool, each through `centre_square`.

    What the pixels of a file mean, of any depth, `pictures.picture_levels` says: the orientation
    tag of photographs is obeyed, an animation gives its first frame, transparent pixels are put on
    white. Levels are rounded to 8 bits once, after averaging. Files that cannot be decoded are
    skipped, counted and named in a warning as long as they are at most 1 % of all, otherwise in a
    ValueError. `grey` makes one channel of three.
    """
    images = np.empty((len(paths), size, size, 1 if grey else 3), np.uint8)
    failures = {}

    def decode(row):
        try:
            with _opened(paths[row]) as image:
                pixels = picture_levels(image, 1 if grey else 3)
        except ValueError as error:
            failures[row] = str(error)
        else:
            images[row] = centre_square(pixels, size, share)

    # Pillow decodes outside the interpreter lock, so threads do use several cores.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        try:
            for future in [pool.submit(decode, row) for row in range(len(paths))]:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not failures:
        return Decoded(images, np.arange(len(paths)))
    # Threads fail in any order.
    first = " ".join(failures[row] for row in sorted(failures)[:_FILES_NAMED])
    more = " …" if len(failures) > _FILES_NAMED else ""
    count = f"{len(failures)} of {len(paths)} image files cannot be decoded"
    if len(failures) > MAX_SKIPPED_SHARE * len(paths):
        raise ValueError(f"{count}, more than {MAX_SKIPPED_SHARE:.0%}: {first}{more}")
    warnings.warn(f"{count} and are skipped: {first}{more}", stacklevel=2)
    rows = np.setdiff1d(np.arange(len(paths)), list(failures))
    return Decoded(images[rows], rows, f", {len(failures)} skipped as damaged")


def are_all_grey(paths: list[Path]) -> bool:
    """Say whether every file that can be read is a grey image without transparency.

    From the headers alone. Unreadable files have no say: `decode_images` judges them.
    """
    for path in paths:
        with contextlib.suppress(ValueError), _opened(path) as image:
            if image.mode.partition(";")[0] not in _GREY_MODES:
                return False
    return True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with (
        reading(path, "not a readable image"),
        open(path, "rb") as file,
        Image.open(file) as image,
    ):
        yield image
