"""CelebA from a local copy: the folder of aligned JPEG files, or an archive made from it."""

import re
from pathlib import Path

import numpy as np

from tf_febm.data import celeba_lists
from tf_febm.data.files import (
    Reader,
    Remote,
    Split,
    entries,
    first_folder,
    last_tenth,
    rows_of_split,
)
from tf_febm.data.images import decode_images, is_image
from tf_febm.data.npz import NPZ
from tf_febm.data.npz import read as read_npz

__all__ = ["CELEBA", "read"]

# list_eval_partition.txt: 1…162770 training, …182637 validation, …202599 test.
_LAST_TRAIN, _LAST_VALIDATION = 162_770, 182_637
# Side of the crop as a share of the width.
CROP = 128 / 178
# Archives of CelebA are often unpacked into a folder of their own name.
_NESTED = ("img_align_celeba/img_align_celeba", "img_align_celeba")


def read(
    path: Path, split: str, image_size: int, label_attribute: str | None = None
) -> Split | None:
    """Read a split of CelebA, or return None where there is none.

    The crop is the centred square of 128×128 in the published 178×218 pictures, which holds the
    face and little else, averaged over areas to `image_size`; pictures of another size are cut in
    proportion. Other authors cut 108 to 178 pixels: scores are only comparable for the same crop.
    An archive is used as it is cropped.

    The split is that of list_eval_partition.txt beside or above the folder, if it is there; else
    the official one when the folder reaches into the official test set (a number above 182637);
    otherwise the last tenth is held out. Labels are what `label_attribute` names, from
    list_attr_celeba.txt likewise: one attribute is two classes, without and with it, and several
    are all of their combinations. Both lists may be the .csv of Kaggle's copies.
    """
    folder = first_folder(path, _NESTED)
    files = [] if path.is_file() else [entry for entry in entries(folder) if is_image(entry)]
    if not files:
        if label_attribute is not None:
            raise ValueError(f"label_attribute needs a folder of pictures; {path} has none.")
        return read_npz(path, split, held_out=last_tenth)
    files, kind = _files_of_split(folder, files, split)
    classes = names = None
    if label_attribute is not None:
        attributes = celeba_lists.beside(folder, "list_attr_celeba")
        if attributes is None:
            raise FileNotFoundError(
                f"{folder}: label_attribute needs list_attr_celeba.txt beside img_align_celeba/."
            )
        known, names = celeba_lists.attributes(attributes, label_attribute)
        classes = celeba_lists.labels_of(files, known, attributes)
    decoded = decode_images(files, image_size, share=CROP)
    source = f"{folder}, {split} ({kind}): {len(files)} image files{decoded.note}"
    if classes is None or names is None:
        return Split(decoded.images, None, None, source)
    source = f"{source}, classes by {label_attribute}"
    return Split(decoded.images, classes[decoded.rows], len(names), source, names)


def _files_of_split(folder, files, split):
    listed = celeba_lists.beside(folder, "list_eval_partition")
    if listed is not None:
        rows = celeba_lists.split_of(files, celeba_lists.partition(listed), split)
        if not len(rows):
            raise ValueError(f"{folder}: {listed} names no picture here for split={split!r}.")
        return [files[row] for row in rows], f"by {listed.name}"
    stems = [file.stem for file in files]
    numbers = np.array([int(stem) if re.fullmatch(r"\d+", stem) else 0 for stem in stems])
    if numbers.max() <= _LAST_VALIDATION:
        rows = rows_of_split(last_tenth(len(files)), split, str(folder))
        kind = "last tenth held out"
    elif split == "train":
        rows, kind = np.flatnonzero((numbers >= 1) & (numbers <= _LAST_TRAIN)), "official split"
    else:
        rows, kind = np.flatnonzero(numbers > _LAST_VALIDATION), "official split"
    if not len(rows):
        raise ValueError(
            f"{folder}: no image of the official {split} split; received numbers from "
            f"{numbers.min()} to {numbers.max()}."
        )
    return [files[row] for row in rows], kind


CELEBA = Reader(
    "a folder that is or contains img_align_celeba/ with the aligned images (000001.jpg, …), "
    f"or {NPZ.layouts}",
    read,
    remote=Remote("celeb_a", "https://drive.google.com", None, CROP),
    default_size=32,
    takes=("label_attribute",),
)
