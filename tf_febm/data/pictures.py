"""Pixels of picture files: mode, depth, transparency and orientation, in one place.

It depends on nothing else of this library: `examples/score_images.py`, which must run without it,
has what stands between the two marks word for word, and a test keeps the two equal.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["PICTURE_FORMATS", "picture_levels", "picture_parts"]

# --- the same in tf_febm/data/pictures.py and examples/score_images.py ---------------------------

# What Pillow reads everywhere. A file is known by its first bytes, whatever its name.
PICTURE_FORMATS = ("PNG", "JPEG", "MPO", "BMP", "DIB", "GIF", "TIFF", "WEBP")


def picture_levels(image: Any, channels: Any) -> np.ndarray:
    """Return a picture of `PIL.Image.open` as levels, 0 to 255, [height, width, channels].

    White is 2ⁿ − 1 of n bits, and 1 of floating-point numbers, which must lie in [0, 1].
    Transparency is put on white, the orientation tag is obeyed, and grey is
    0.299 R + 0.587 G + 0.114 B. An animation, or a file of several pages, gives the first picture.
    Levels are uint8 if that is exact, else float64 that is not rounded; what cannot be read exactly
    is a ValueError.
    """
    height, width, part = picture_parts(image, channels)
    return part(0, height, 0, width)


def picture_parts(image: Any, channels: Any) -> tuple[int, int, Callable]:
    """Return height, width and a function from (top, bottom, left, right) to levels of that part.

    Levels are those of `picture_levels`, and take eight times the memory of the picture itself: of
    a large one they are best had part by part.
    """
    if image.format not in PICTURE_FORMATS:
        raise ValueError(f"{image.format} is not among {', '.join(PICTURE_FORMATS)}")
    if image.format == "TIFF" and 2 in np.atleast_1d(image.tag_v2.get(339, 1)):
        raise ValueError(
            "a TIFF of signed whole numbers, which have no agreed white: save it as PNG, or as "
            "grey of 16 bits"
        )
    if image.format == "PNG" and (_bits(image) > 8 or "transparency" in image.info):
        stored, white = _png_pixels(image), 65535
    elif _bits(image) > 8:
        stored, white = _tiff_pixels(image)
    else:
        image.load()
        stored, white = _pillow_pixels(image), 255
    (width, height), orientation = image.size, image.getexif().get(0x0112, 1)
    if orientation in (5, 6, 7, 8):
        width, height = height, width

    def part(top, bottom, left, right):
        pixels, alpha = stored(*_as_stored((top, bottom, left, right), image.size, orientation))
        pixels = pixels.reshape(*pixels.shape[:2], -1)
        if channels == 1 and pixels.shape[2] == 3:
            # Whole numbers up to here, so that grey remains what it was.
            pixels = pixels.astype(np.int64) @ [[299], [587], [114]] / 1000
        if white != 255:
            pixels = pixels * (255 / white)
        if alpha is not None and alpha.min() < 1:
            pixels = 255 - alpha * (255.0 - pixels)
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], channels))
        return _turned(pixels, orientation)

    return height, width, part


def _bits(image):
    """Return the bits of a channel in the file: Pillow turns 16 of a colour into 8 unasked."""
    if image.format == "PNG":
        place = image.fp.tell()
        image.fp.seek(24)
        bits = image.fp.read(1)[0]
        image.fp.seek(place)
        return bits
    return max(image.tag_v2.get(258, (1,))) if image.format == "TIFF" else 8


def _pillow_pixels(image):
    """Return (top, bottom, left, right) -> colours, opacity in [0, 1] or None, of 8 bits."""
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info

    def part(top, bottom, left, right):
        cut = image.crop((left, top, right, bottom))
        if transparent:
            pixels = np.asarray(cut.convert("RGBA"))
            return pixels[..., :3], pixels[..., 3:] / 255
        return np.asarray(cut if cut.mode == "L" else cut.convert("RGB")), None

    return part


def _png_pixels(image):
    """Return (top, bottom, left, right) -> colours, opacity in [0, 1], of a PNG of any depth."""
    import tensorflow as tf

    place = image.fp.tell()
    image.fp.seek(0)
    content = image.fp.read()
    image.fp.seek(place)
    try:
        # Exact for fewer bits too: those of 8 times 257.
        pixels = tf.io.decode_png(content, channels=4, dtype=tf.uint16).numpy()
    except tf.errors.InvalidArgumentError:
        raise ValueError("the file is damaged or cut short") from None

    def part(top, bottom, left, right):
        cut = pixels[top:bottom, left:right]
        return cut[..., :3], cut[..., 3:] / 65535

    return part


def _tiff_pixels(image):
    """Return (top, bottom, left, right) -> grey of a TIFF of more than 8 bits, and its white."""
    bits, inverted = _bits(image), image.tag_v2.get(262, 0) == 0
    if image.mode.startswith("I;16"):
        image.load()
        white, pixels = 2**bits - 1, np.asarray(image)
        sign, black = (-1, white) if inverted else (1, 0)
        return lambda a, b, c, d: (black + sign * pixels[a:b, c:d].astype(np.int64), None), white
    if image.mode == "F" and not inverted:
        image.load()
        pixels = np.asarray(image)
        if not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError(
                f"floating-point numbers from {pixels.min():g} to {pixels.max():g}: "
                "they must lie in [0, 1], from black to white"
            )
        return lambda a, b, c, d: (pixels[a:b, c:d].astype(np.float64), None), 1
    kind = (
        "signed or 32-bit whole numbers, which have no agreed white"
        if image.mode == "I"
        else (f"{image.mode} of {bits} bits a channel, which would be cut to 8")
    )
    raise ValueError(f"a TIFF of {kind}: save it as PNG, or as grey of 16 bits")


def _as_stored(box, size, orientation):
    """Return (top, bottom, left, right) of a part as it is to be seen, as the file has it."""
    top, bottom, left, right = box
    (width, height) = size
    if orientation in (5, 6, 7, 8):
        top, bottom, left, right = left, right, top, bottom
    # Turned over along either axis after that, as `_turned` does before it.
    flips = {2: (0, 1), 3: (1, 1), 4: (1, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}
    down, across = flips.get(orientation, (0, 0))
    if down:
        top, bottom = height - bottom, height - top
    if across:
        left, right = width - right, width - left
    return top, bottom, left, right


def _turned(pixels, orientation):
    """Return pixels as an orientation tag, 1 to 8, says that they are to be seen."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    down = -1 if orientation in (3, 4, 7, 8) else 1
    right = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::down, ::right]


# --- the end of what is the same -----------------------------------------------------------------
