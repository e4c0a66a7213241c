"""SVHN: the street view house numbers, as the .mat files of cropped 32×32 digits."""

from pathlib import Path

import numpy as np

from tf_febm import untrusted_files
from tf_febm.data.classes import checked_labels
from tf_febm.data.files import Reader, Remote, Split, reading

__all__ = ["SVHN", "read"]


def read(path: Path, split: str) -> Split | None:
    """Read a split of SVHN, or return None where there is none.

    The files call the digit 0 class 10; here it is class 0, as in TensorFlow Datasets. The third
    published file, extra_32x32.mat, is not read.
    """
    file = path / f"{split}_32x32.mat"
    if not file.is_file():
        return None
    with reading(file, "not a readable .mat file"):
        content = untrusted_files.read_matlab(untrusted_files.read_bytes(file), ("X", "y"))
    missing = [name for name in ("X", "y") if name not in content]
    if missing:
        raise ValueError(f"{file}: a file of SVHN has the variables X and y; no {missing[0]}.")
    images = content["X"]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise ValueError(
            f"{file}, variable X: images must be uint8 [32, 32, 3, n]; received {images.dtype} "
            f"{list(images.shape)}."
        )
    # The images are along the last axis, in MATLAB's manner.
    images = np.ascontiguousarray(images.transpose(3, 0, 1, 2))
    labels = checked_labels(content["y"], len(images), 11, f"{file}, variable y")
    return Split(images, labels % 10, 10, f"{file}: {len(images)} images")


SVHN = Reader(
    "a folder with train_32x32.mat and test_32x32.mat",
    read,
    remote=Remote("svhn_cropped", "http://ufldl.stanford.edu", 10),
)
