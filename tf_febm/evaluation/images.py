"""Grids of images, and images as PNG files."""

from pathlib import Path

import numpy as np

from tf_febm import arguments, extras
from tf_febm.evaluation.scale import to_bytes
from tf_febm.files import write_atomically

__all__ = ["image_grid", "save_png"]

READABLE_CELL = 32


@arguments.checked
def image_grid(
    images: arguments.Array,
    columns: int | None = None,
    padding: int = 1,
    upscale: int | None = None,
    background: int = 255,
) -> np.ndarray:
    """Arrange images in a grid, row by row.

    Floats become 8-bit values by `to_bytes`. Each pixel is repeated `upscale` times in both
    directions (nearest neighbour). `padding` lines separate the images and frame the grid; they,
    and the cells left over in the last row, have the background value.

    Args:
        images: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 1, channels 1 or 3.
        columns: Images in a row, at least 1; None makes the grid as square as it can be.
        padding: Width of the lines in pixels of the result, at least 0.
        upscale: At least 1; None takes the smallest that makes both sides of an image at least 32
            pixels long.
        background: In [0, 255].

    Returns:
        uint8 [rows·(upscale·height + padding) + padding,
        columns·(upscale·width + padding) + padding, channels].

    Raises:
        ValueError: A shape, a pixel value or a setting is out of its range.
        TypeError: The dtype is neither uint8 nor floating point.
    """
    shape = np.shape(images)
    if len(shape) == 4 and shape[3] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels; received shape {shape}.")
    images = to_bytes(images)
    count, height, width, channels = images.shape
    if columns is None:
        columns = int(np.ceil(np.sqrt(count)))
    if upscale is None:
        upscale = -(-READABLE_CELL // min(height, width, READABLE_CELL))
    columns = arguments.whole_number("columns", columns, 1)
    upscale = arguments.whole_number("upscale", upscale, 1)
    padding = arguments.whole_number("padding", padding)
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


@arguments.checked
def save_png(path: arguments.Path, array: arguments.Array) -> None:
    """Write an image as a PNG file, whole or not at all.

    Args:
        path: Ends in ".png"; the folder must exist.
        array: uint8 [height, width, channels] with 1 or 3 channels, such as the result of
            `image_grid`.

    Raises:
        ValueError: The shape or the suffix is another.
        TypeError: The dtype is not uint8.
        OSError: The file can not be written; it names the path.
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
    extras.needs("PIL")
    from PIL import Image

    picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
    write_atomically(path, lambda file: picture.save(file, format="PNG"))
