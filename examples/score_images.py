"""Score a folder of pictures with an exported model; needs TensorFlow and Pillow.

    python examples/score_images.py runs/digits/saved_model path/to/pictures > energies.csv

Prints file and energy, and the p-value of a calibrated model, the least likely first. As in
training, pictures are turned as their orientation tag says, transparency is put on white, and the
central square is averaged down to the size of the model's images; 16 bits count in full. A file
that cannot be read exactly is named, and
left out. A conditional model scores the pictures as those of one class, --label.
"""

import argparse
import contextlib
import csv
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


@contextlib.contextmanager
def silenced():
    """Hold back what is written to standard error, unless the block ends in an error."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


# TensorFlow tells of CPU features and missing GPUs while it starts, and starts at the first tensor.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with silenced():
    import tensorflow as tf

    tf.constant(0.0)

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# What systems and archivers put beside the files of people, pictures among it.
NOT_OF_PEOPLE = (
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    "__pycache__",
)  # fmt: skip


def find(folder):
    """Return the pictures under a folder as training finds them: links are followed, once."""
    found, visited, pending = [], set(), [folder]
    while pending:
        current = pending.pop()
        if os.path.realpath(current) in visited:
            continue
        visited.add(os.path.realpath(current))
        for entry in sorted(current.iterdir(), key=lambda path: path.name):
            if entry.name.startswith(".") or entry.name.lower() in NOT_OF_PEOPLE:
                continue
            if entry.is_dir():
                pending.append(entry)
            elif entry.suffix.lower() in SUFFIXES:
                found.append(entry)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def read(path, height, width, channels):
    """Return a picture as float32 [height, width, channels] in [0, 1]."""
    if not path.is_file():
        raise ValueError("it is no regular file")
    with open(path, "rb") as opened, Image.open(opened) as file:
        image = picture_levels(file, channels)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side].astype(np.float32)
    # The middle of each 8-bit level: training adds uniform noise of one level.
    return (tf.image.resize(square, (height, width), method="area") + 0.5) / 256.0


def load(folder):
    """Return an exported model, or end with one line."""
    try:
        model = tf.saved_model.load(folder)
        if "energy" not in model.signatures:
            raise ValueError("it has no endpoint energy")
    except (OSError, ValueError, AttributeError, KeyError, TypeError, tf.errors.OpError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        sys.exit(f"error: {folder} is no folder that tf_febm.export wrote: {reason}")
    return model


def positive(text):
    """Return a whole number of at least 1, or tell argparse that it is none."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number ≥ 1; received {text!r}")
    return int(text)


def scores(model, batch):
    """Return the energies of a batch, and p-values of a calibrated model, or end with one line."""
    names = [name for name in ("energy", "p_value") if name in model.signatures]
    try:
        return [model.signatures[name](**batch)[name].numpy() for name in names]
    except tf.errors.InvalidArgumentError as error:
        # What the model checks is told behind these words, in parts.
        reason = re.search(r"assertion failed: (.*)", str(error))
        sys.exit(f"error: {re.sub(r'[][]', '', reason[1]) if reason else error}")


def number_of(label, model):
    """Return the number of a class, by the name that the training data have for it."""
    if "class_names" not in model.signatures:
        return int(label)
    names = model.signatures["class_names"]()["class_names"].numpy().tolist()
    names = [name.decode() for name in names]
    if label not in names:
        sys.exit(f"error: --label must be one of {', '.join(names)}; received {label!r}.")
    return names.index(label)


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


def main():
    """Read the command line, score all pictures, print the table."""
    parser = argparse.ArgumentParser(description="Score a folder of pictures.")
    parser.add_argument("model", help="folder that tf_febm.export wrote")
    parser.add_argument("pictures", type=Path, help="folder of pictures")
    parser.add_argument("--batch_size", type=positive, default=64)
    parser.add_argument("--label", help="class of the pictures, for a conditional model")
    options = parser.parse_args()
    # Names of files need not be text; they are printed as they are.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")
    model = load(options.model)
    energy = model.signatures["energy"]
    inputs = energy.structured_input_signature[1]
    if ("labels" in inputs) != (options.label is not None):
        need = "conditional: give" if options.label is None else "not conditional: leave out"
        sys.exit(f"error: the model is {need} --label.")
    label = None if options.label is None else number_of(options.label, model)
    if inputs["x"].shape.rank != 4:
        sys.exit(f"error: the model takes no images but {inputs['x'].shape}.")
    try:
        files = find(options.pictures)
    except OSError as error:
        sys.exit(f"error: {options.pictures} cannot be read: {error.strerror}.")
    if not files:
        sys.exit(f"error: there are no pictures in {options.pictures}.")
    rows = []
    for start in range(0, len(files), options.batch_size):
        read_files, pixels = [], []
        for path in files[start : start + options.batch_size]:
            try:
                pixels.append(read(path, *inputs["x"].shape[1:]))
                read_files.append(path)
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                print(f"warning: {path} cannot be read: {error}", file=sys.stderr)
        if read_files:
            batch = {"x": tf.stack(pixels)}
            if label is not None:
                batch["labels"] = tf.fill([len(pixels)], label)
            rows += zip(*scores(model, batch), read_files, strict=True)
    if not rows:
        sys.exit("error: none of the pictures can be read.")
    table = csv.writer(sys.stdout)
    calibrated = "p_value" in model.signatures
    table.writerow(["file", "energy", *(["p_value"] if calibrated else [])])
    for value, *p_values, path in sorted(rows, reverse=True):
        p = [f"{p_value:.4g}" for p_value in p_values]
        table.writerow([path.relative_to(options.pictures), f"{value:.6g}", *p])


if __name__ == "__main__":
    main()
