"""MNIST and data sets of its form: the original idx files, or the archive that Keras keeps."""

from functools import partial
from pathlib import Path

import numpy as np

from tf_febm import untrusted_files
from tf_febm.data.classes import checked_labels
from tf_febm.data.files import Reader, Remote, Split, first_folder, reading
from tf_febm.data.npz import Archive

__all__ = ["FASHION_MNIST", "MNIST", "STACKED_MNIST", "read", "read_idx", "read_stacked", "stack"]

NUM_CLASSES = 10
# Digits in an image of stacked MNIST.
CHANNELS = 3
_PREFIX = {"train": "train", "test": "t10k"}
# Where torchvision unpacks them inside its root folder.
_NESTED = {"mnist": ("MNIST/raw",), "fashion_mnist": ("FashionMNIST/raw",)}


def read(name: str, path: Path, split: str) -> Split | None:
    """Read a split of MNIST or Fashion-MNIST, or return None where there is none."""
    archive = path if path.is_file() else path / f"{name}.npz"
    if archive.suffix.lower() == ".npz" and archive.is_file():
        with Archive(archive) as arrays:
            images = arrays.images(f"x_{split}")
            labels = checked_labels(
                arrays.array(f"y_{split}"), len(images), NUM_CLASSES, arrays.where(f"y_{split}")
            )
        return Split(images, labels, NUM_CLASSES, f"{archive}, key x_{split}: {len(images)} images")
    if path.is_file():
        return None
    folder = first_folder(path, _NESTED[name])
    files = [_find(folder, split, kind, rank) for kind, rank in (("images", 3), ("labels", 1))]
    found = [file for file in files if file is not None]
    if not found:
        return None
    if len(found) == 1:
        raise FileNotFoundError(
            f"{folder}: {_PREFIX[split]} images and labels are both needed; received only "
            f"{found[0].name}."
        )
    images = read_idx(found[0], rank=3)[..., np.newaxis]
    labels = checked_labels(read_idx(found[1], rank=1), len(images), NUM_CLASSES, str(found[1]))
    return Split(images, labels, NUM_CLASSES, f"{found[0]}: {len(images)} images")


def read_idx(file: Path, rank: int) -> np.ndarray:
    """Read an idx file of unsigned bytes, compressed or not.

    The format: two zero bytes, 8 (unsigned byte), the rank, one big-endian uint32 per axis, data.
    """
    with reading(file, "damaged or cut-off gzip file"):
        content = untrusted_files.read_bytes(file)
        # The name may lie: browsers unpack .gz and keep the suffix.
        if content[:2] == b"\x1f\x8b":
            content = untrusted_files.unpack_gzip(content, "what is packed in it")
    start, header = bytes([0, 0, 8, rank]), 4 + 4 * rank
    if len(content) < header or content[:4] != start:
        raise ValueError(
            f"{file}: an idx file of unsigned bytes of rank {rank} starts with {start.hex()}; "
            f"received {content[:4].hex() or 'an empty file'}."
        )
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, offset=4))
    expected = int(np.prod(shape, dtype=object))
    if len(content) - header != expected or expected == 0:
        raise ValueError(
            f"{file}: the header promises {expected} bytes of data for {list(shape)}; "
            f"received {len(content) - header}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _find(folder, split, kind, rank):
    names = (
        f"{_PREFIX[split]}-{kind}{dot}idx{rank}-ubyte{gz}" for gz in ("", ".gz") for dot in "-."
    )
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_stacked(path: Path, split: str) -> Split | None:
    """Stack the digits of a split of MNIST at random, or return None where there is none.

    The arguments and errors are those of `read`.
    """
    digits = read("mnist", path, split)
    return None if digits is None else stack(digits, seed=int(split == "test"))


def stack(digits: Split, seed: int) -> Split:
    """Return as many stacked images as there are digits; label 100a + 10b + c for digits a, b, c.

    Each channel is a permutation of its own of all digits: none is left out, none comes twice, and
    the digits of an image are independent but for that.

    Args:
        digits: Images [n, height, width, 1] with labels below 10.
        seed: Of the permutations.

    Reader: Metz, Poole, Pfau, Sohl-Dickstein 2017, who draw the digits with replacement.
    """
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(len(digits.examples)) for _ in range(CHANNELS)]
    images = np.concatenate([digits.examples[row] for row in rows], axis=3)
    labels = np.zeros(len(images), np.int32)
    for row in rows:
        labels = NUM_CLASSES * labels + digits.labels[row]
    source = f"{digits.source}, stacked by {CHANNELS}"
    return Split(images, labels, NUM_CLASSES**CHANNELS, source)


def _layouts(name: str) -> str:
    return (
        f"a folder with {name}.npz, or that file (keys x_train, y_train, x_test, y_test), or a "
        "folder with train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz] and t10k-…"
    )


MNIST = Reader(
    _layouts("mnist"),
    partial(read, "mnist"),
    remote=Remote("mnist", "https://storage.googleapis.com", NUM_CLASSES),
)
FASHION_MNIST = Reader(
    _layouts("fashion_mnist"),
    partial(read, "fashion_mnist"),
    remote=Remote(
        "fashion_mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", NUM_CLASSES
    ),
)
STACKED_MNIST = Reader(_layouts("mnist"), read_stacked)
