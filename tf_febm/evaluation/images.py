"""Grids of images for people to look at."""

import os
import secrets
from pathlib import Path

import numpy as np
from PIL import Image

from tf_febm.evaluation.scale import to_bytes

__all__ = ["image_grid", "save_png"]

READABLE_CELL = 32


def image_grid(images, columns=None, padding=1, upscale=None, background=255):
    """Arrange images in a grid, row by row.

    Floats become 8-bit values by floor(256 x), the inverse of dequantisation x = (v + u) / 256:
    8-bit data passes through unchanged either way. Each pixel is repeated `upscale` times in both
    directions (nearest neighbour). `padding` lines separate the images and frame the grid; they,
    and the cells left over in the last row, have the background value.

    Args:
        images: array [n, height, width, channels], n ≥ 1, channels 1 or 3; uint8, or float in
            [0, 1].
        columns: images in a row, ≥ 1; None makes the grid as square as it can be.
        padding: width of the lines in pixels of the result, ≥ 0.
        upscale: int ≥ 1; None takes the smallest that makes both sides of an image at least 32
            pixels long.
        background: int in [0, 255].

    Returns:
        uint8 array [rows·(upscale·height + padding) + padding,
        columns·(upscale·width + padding) + padding, channels].

    Raises:
        ValueError: if a shape, a pixel value or a setting is out of range.
        TypeError: if the dtype is neither uint8 nor floating point.
    """
    images = _as_bytes(images)
    count, height, width, channels = images.shape
    if columns is None:
        columns = int(np.ceil(np.sqrt(count)))
    if upscale is None:
        upscale = -(-READABLE_CELL // min(height, width, READABLE_CELL))
    for name, value, lowest in (
        ("columns", columns, 1),
        ("upscale", upscale, 1),
        ("padding", padding, 0),
    ):
        if not isinstance(value, int | np.integer) or value < lowest:
            raise ValueError(f"{name} must be an integer ≥ {lowest}; received {value!r}.")
    if not 0 <= background <= 255:
        raise ValueError(f"background must lie in [0, 255]; received {background}.")

    images = images.repeat(upscale, axis=1).repeat(upscale, axis=2)
    rows = -(-count // columns)
    step_y, step_x = upscale * height + padding, upscale * width + padding
    grid = np.full(
        (rows * step_y + padding, columns * step_x + padding, channels), background, np.uint8
    )
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        y, x = padding + row * step_y, padding + column * step_x
        grid[y : y + image.shape[0], x : x + image.shape[1]] = image
    return grid


def save_png(path, array):
    """Write an image as a PNG file, whole or not at all.

    The file is written under a temporary name in the same folder and then renamed, so a reader
    never sees half a picture and a failure leaves an older one in place. The folder must exist.

    Args:
        path: str or path-like that ends in ".png".
        array: uint8 array [height, width, channels] with 1 or 3 channels, for example the result
            of `image_grid`.

    Raises:
        ValueError: if the shape or the suffix is another.
        TypeError: if the dtype is not uint8.
        OSError: if the file can not be written; the message names it.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"path must end in .png; received {str(path)!r}.")
    array = np.asarray(array)
    if array.dtype != np.uint8:
        raise TypeError(f"array must be uint8; received dtype {array.dtype}.")
    if array.ndim != 3 or 0 in array.shape or array.shape[2] not in (1, 3):
        raise ValueError(
            "array must have shape [height, width, channels] with 1 or 3 channels; received shape "
            f"{array.shape}."
        )
    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    # Not tempfile: its files can be read by their owner alone, and the rename would keep that.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                picture.save(file, format="PNG")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(error.errno, f"Can not write the picture: {reason}", str(path)) from error


def _as_bytes(images):
    shape = np.shape(images)
    if len(shape) == 4 and shape[3] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels; received shape {shape}.")
    return to_bytes(images)
