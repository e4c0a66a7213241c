"""SVHN: the street view house numbers, as the .mat files of cropped 32×32 digits."""

from pathlib import Path

import numpy as np

from tf_febm.data.files import Split, checked_labels, reason

NUM_CLASSES = 10
_SIDE = 32
LAYOUTS = "a folder with train_32x32.mat and test_32x32.mat"


def read(path: Path, split: str) -> Split | None:
    """Read a split of SVHN, or return None where there is none.

    The files call the digit 0 class 10; here it is class 0, as in TensorFlow Datasets. The third
    published file, extra_32x32.mat, is not read.

    Args:
        path: The folder of the files.
        split: "train" or "test".

    Raises:
        ValueError: A file is damaged, or holds something else than it should.
    """
    file = path / f"{split}_32x32.mat"
    if not file.is_file():
        return None
    content = _content(file)
    images, labels = content["X"], content["y"]
    if (
        images.dtype != np.uint8
        or images.shape[:3] != (_SIDE, _SIDE, 3)
        or images.ndim != 4
        or images.shape[3] == 0
    ):
        raise ValueError(
            f"{file}, variable X: images must be uint8 [{_SIDE}, {_SIDE}, 3, n]; received "
            f"{images.dtype} {list(images.shape)}."
        )
    # The images are along the last axis, in MATLAB's manner.
    images = np.ascontiguousarray(images.transpose(3, 0, 1, 2))
    labels = checked_labels(labels, len(images), NUM_CLASSES + 1, f"{file}, variable y")
    return Split(images, labels % NUM_CLASSES, NUM_CLASSES, f"{file}: {len(images)} images")


def _content(file):
    # Slow to import, and needed by nobody who reads other data.
    import scipy.io

    try:
        # Opened here: SciPy would turn a refusal into an error about file names.
        with open(file, "rb") as stream:
            content = scipy.io.loadmat(stream, variable_names=("X", "y"))
    except PermissionError as error:
        raise PermissionError(f"{file}: this file may not be read.") from error
    except Exception as error:
        # Damaged files raise zlib.error, TypeError, MatReadError and others; files of MATLAB 7.3
        # and later, which SVHN's are not, NotImplementedError.
        raise ValueError(f"{file}: not a readable .mat file ({reason(error)}).") from error
    missing = [name for name in ("X", "y") if not isinstance(content.get(name), np.ndarray)]
    if missing:
        raise ValueError(f"{file}: a file of SVHN has the variables X and y; no {missing[0]}.")
    return content
