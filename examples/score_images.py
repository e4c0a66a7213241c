"""Score a folder of pictures with an exported model; needs TensorFlow and Pillow.

    python examples/score_images.py runs/digits/saved_model path/to/pictures > energies.csv

Prints file and energy, the least likely first. As in training, pictures are turned as their
orientation tag says, transparency is put on white, and the central square is averaged down to the
size of the model's images. A file that cannot be read is named, and left out.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def read(path, height, width, channels):
    """Return a picture as float32 [height, width, channels] in [0, 1]."""
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("L" if channels == 1 else "RGB")
    image = np.asarray(picture).reshape(picture.height, picture.width, channels)
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = tf.image.crop_to_bounding_box(image, top, left, side, side)
    # The middle of each 8-bit level: training adds uniform noise of one level.
    return (tf.image.resize(square, (height, width), method="area") + 0.5) / 256.0


def main():
    """Read the command line, score all pictures, print the table."""
    parser = argparse.ArgumentParser(description="Score a folder of pictures.")
    parser.add_argument("model", help="folder that tf_febm.export wrote")
    parser.add_argument("pictures", type=Path, help="folder of pictures")
    parser.add_argument("--batch_size", type=int, default=64)
    options = parser.parse_args()
    energy = tf.saved_model.load(options.model).signatures["energy"]
    inputs = energy.structured_input_signature[1]
    if "labels" in inputs:
        sys.exit("error: the model is conditional; this client has no labels.")
    if inputs["x"].shape.rank != 4:
        sys.exit(f"error: the model takes no images but {inputs['x'].shape}.")
    files = sorted(p for p in options.pictures.rglob("*") if p.suffix.lower() in SUFFIXES)
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
            rows += zip(energy(x=tf.stack(pixels))["energy"].numpy(), read_files, strict=True)
    if not rows:
        sys.exit("error: none of the pictures can be read.")
    table = csv.writer(sys.stdout)
    table.writerow(["file", "energy"])
    for value, path in sorted(rows, reverse=True):
        table.writerow([path.relative_to(options.pictures), f"{value:.6g}"])


if __name__ == "__main__":
    main()
