"""Any folder of image files; sub-folders, if the images are in them, are the classes."""

from pathlib import Path

import numpy as np

from tf_febm.data.files import Split, every_tenth, rows_of_split
from tf_febm.data.images import SUFFIXES, are_all_grey, decode_images, find_images

LAYOUTS = (
    f"a folder with images ({', '.join(SUFFIXES)}) at any depth; "
    "if all of them are in sub-folders, these are the classes"
)


def read(path: Path, split: str, image_size: int) -> Split | None:
    """Read a split of a folder of images, or return None where there is none.

    Files are taken in the order of their path relative to the folder. Every tenth of them (the
    10th, 20th, …) is the test split, so adding files later moves the boundary. If no image lies
    directly in the folder, the folder that directly holds an image, relative to `path`, is its
    class, numbered in sorted order; otherwise there are no labels. If all files are grey without
    transparency (Pillow's modes L and 1) there is one channel, otherwise three.

    Files that cannot be decoded are skipped with a warning while they are at most 1 % of a split;
    that changes neither the split nor the class of any other file.

    Args:
        path: The folder.
        split: "train" or "test".
        image_size: Each image's largest centred square is averaged to this height and width.

    Raises:
        ValueError: More than 1 % of the files cannot be decoded, or there are too few files to hold
            one out.
    """
    if path.is_file():
        return None
    files = find_images(path)
    if not files:
        return None
    rows = rows_of_split(every_tenth(len(files)), split, str(path))
    decoded = decode_images([files[row] for row in rows], image_size, grey=are_all_grey(files))
    skipped = decoded.note(len(rows))
    source = f"{path}, {split}: {len(rows)} of {len(files)} image files{skipped}"
    folders = [file.parent.relative_to(path).as_posix() for file in files]
    if "." in folders:
        return Split(decoded.images, None, None, source)
    classes = sorted(set(folders))
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[folders[row]] for row in rows[decoded.rows]], np.int32)
    source = f"{source}, {len(classes)} classes by sub-folder"
    return Split(decoded.images, labels, len(classes), source)
