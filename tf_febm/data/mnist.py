"""MNIST and data sets of its form: the original idx files, or the archive that Keras keeps."""

import gzip
from pathlib import Path

import numpy as np

from tf_febm.data.files import Split, checked_labels, first_folder, reason
from tf_febm.data.npz import Archive

NUM_CLASSES = 10
_PREFIX = {"train": "train", "test": "t10k"}
_IMAGES, _LABELS = ("images", 3), ("labels", 1)
# Where torchvision unpacks them inside its root folder.
_NESTED = {"mnist": ("MNIST/raw",), "fashion_mnist": ("FashionMNIST/raw",)}


def layouts(name: str) -> str:
    """Say what `data_dir` may be."""
    return (
        f"a folder with {name}.npz, or that file (keys x_train, y_train, x_test, y_test), or a "
        "folder with train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz] and t10k-…"
    )


def read(name: str, path: Path, split: str) -> Split | None:
    """Read a split of MNIST or Fashion-MNIST, or return None where there is none.

    Args:
        name: "mnist" or "fashion_mnist": the name of the archive, when `path` is a folder.
        path: The .npz file, or a folder with it or with idx files.
        split: "train" or "test".

    Raises:
        ValueError: A file is damaged, of another kind, or images and labels do not belong together.
    """
    archive = path if path.is_file() else path / f"{name}.npz"
    if archive.suffix.lower() == ".npz" and archive.is_file():
        return _read_archive(archive, split)
    if path.is_file():
        return None
    folder = first_folder(path, _NESTED[name])
    images_file = _find(folder, split, _IMAGES)
    labels_file = _find(folder, split, _LABELS)
    if images_file is None and labels_file is None:
        return None
    if images_file is None or labels_file is None:
        raise FileNotFoundError(
            f"{folder}: {_PREFIX[split]} images and labels are both needed; "
            f"received only {(images_file or labels_file).name}."
        )
    images = read_idx(images_file, rank=3)[..., np.newaxis]
    labels = checked_labels(
        read_idx(labels_file, rank=1), len(images), NUM_CLASSES, str(labels_file)
    )
    return Split(images, labels, NUM_CLASSES, f"{images_file}: {len(images)} images")


def read_idx(file: Path, rank: int) -> np.ndarray:
    """Read an idx file of unsigned bytes, compressed or not.

    The format: two zero bytes, 8 (unsigned byte), the rank, one big-endian uint32 per axis, data.

    Raises:
        ValueError: Not such a file, another rank, or fewer or more data than the header says.
    """
    try:
        content = file.read_bytes()
        # The name may lie: browsers unpack .gz and keep the suffix.
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except PermissionError as error:
        raise PermissionError(f"{file}: this file may not be read.") from error
    except Exception as error:
        raise ValueError(f"{file}: damaged or cut-off gzip file ({reason(error)}).") from error
    header = 4 + 4 * rank
    if len(content) < header or content[:4] != bytes([0, 0, 8, rank]):
        raise ValueError(
            f"{file}: an idx file of unsigned bytes of rank {rank} starts with "
            f"{bytes([0, 0, 8, rank]).hex()}; received {content[:4].hex() or 'an empty file'}."
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, offset=4))
    expected = int(np.prod(shape, dtype=object))
    if len(content) - header != expected or expected == 0:
        raise ValueError(
            f"{file}: the header promises {expected} bytes of data for {list(shape)}; "
            f"received {len(content) - header}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(folder, split, part):
    kind, rank = part
    names = (
        f"{_PREFIX[split]}-{kind}{dot}idx{rank}-ubyte{gz}" for gz in ("", ".gz") for dot in "-."
    )
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_archive(file, split):
    with Archive(file) as archive:
        images = archive.images(f"x_{split}")
        labels = archive.labels(f"y_{split}", len(images), NUM_CLASSES)
    return Split(images, labels, NUM_CLASSES, f"{file}, key x_{split}: {len(images)} images")
