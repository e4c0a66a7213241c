"""CIFAR-10 and CIFAR-100: the original pickled batches, or the binary ones."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_febm import untrusted_files
from tf_febm.data.classes import checked_labels
from tf_febm.data.files import Reader, Remote, Split, first_folder, reading

__all__ = ["CIFAR10", "CIFAR100", "read"]

_PIXELS = 3 * 32 * 32


class _Format(NamedTuple):
    """How one of the two data sets is laid out.

    Attributes:
        title: Its name, for messages.
        num_classes: Number of classes.
        folders: Names of the folder of pickled and of that of binary batches.
        batches: Split to the names of its batches, without the suffix of the binary ones.
        label_key: Where a pickled batch has its labels.
        label_bytes: Bytes before the pixels of a binary image, the last of which is the label.
    """

    title: str
    num_classes: int
    folders: tuple[str, str]
    batches: dict[str, tuple[str, ...]]
    label_key: bytes
    label_bytes: int


def read(form: _Format, path: Path, split: str) -> Split | None:
    """Read a split of CIFAR-10 or CIFAR-100, or return None where there is none.

    Training batches that are missing are left out; `source` names those that were read.
    """
    for nested, suffix, read_batch in zip(
        form.folders, ("", ".bin"), (_read_pickle, _read_binary), strict=True
    ):
        folder = first_folder(path, (nested,))
        files = [folder / (batch + suffix) for batch in form.batches[split]]
        files = [file for file in files if file.is_file()]
        if files:
            read_ones = [read_batch(form, file) for file in files]
            rows, labels = (np.concatenate(part) for part in zip(*read_ones, strict=True))
            images = np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
            source = f"{folder}: {', '.join(file.name for file in files)}"
            return Split(images, labels, form.num_classes, source)
    return None


def _read_pickle(form, file):
    # A damaged pickle can raise nearly anything.
    with reading(file, f"not a readable {form.title} batch"):
        batch = untrusted_files.read_pickle(untrusted_files.read_bytes(file))
    keys = (b"data", form.label_key)
    missing = [key for key in keys if not isinstance(batch, dict) or key not in batch]
    if missing:
        raise ValueError(
            f"{file}: a {form.title} batch has the keys {keys[0]}, {keys[1]}; no {missing[0]}."
        )
    rows = batch[b"data"]
    kind = type(rows).__name__
    if isinstance(rows, np.ndarray):
        kind = f"{rows.dtype} {list(rows.shape)}"
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.shape[1:] != (_PIXELS,):
        raise ValueError(f"{file}: b'data' must be uint8 [n, {_PIXELS}]; received {kind}.")
    where = f"{file}, key {form.label_key}"
    labels = batch[form.label_key]
    # A list of lists may be far longer than the file.
    if not isinstance(labels, np.ndarray) and not (
        isinstance(labels, (list, tuple)) and all(isinstance(label, int) for label in labels)
    ):
        raise ValueError(f"{where}: labels must be a flat list of whole numbers, or an array.")
    return rows, checked_labels(labels, len(rows), form.num_classes, where)


def _read_binary(form, file):
    with reading(file, "cannot be read"):
        content = untrusted_files.read_bytes(file)
    width = form.label_bytes + _PIXELS
    if not content or len(content) % width:
        raise ValueError(
            f"{file}: the size must be a multiple of {width} bytes; received {len(content)}."
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, width)
    labels = checked_labels(rows[:, form.label_bytes - 1], len(rows), form.num_classes, str(file))
    return rows[:, form.label_bytes :], labels


def _source(form: _Format, name: str) -> Reader:
    pickled, binary = form.folders
    names = ", ".join(name for batch in form.batches.values() for name in batch)
    layouts = f"a folder that is or contains {pickled}/ ({names}) or {binary}/ (the same with .bin)"
    remote = Remote(name, "https://www.cs.toronto.edu", form.num_classes)
    return Reader(layouts, partial(read, form), remote=remote)


CIFAR10 = _source(
    _Format(
        title="CIFAR-10",
        num_classes=10,
        folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
        batches={"train": tuple(f"data_batch_{k}" for k in range(1, 6)), "test": ("test_batch",)},
        label_key=b"labels",
        label_bytes=1,
    ),
    "cifar10",
)
# The 100 fine classes; the 20 coarse ones stand beside them and are not read.
CIFAR100 = _source(
    _Format(
        title="CIFAR-100",
        num_classes=100,
        folders=("cifar-100-python", "cifar-100-binary"),
        batches={"train": ("train",), "test": ("test",)},
        label_key=b"fine_labels",
        label_bytes=2,
    ),
    "cifar100",
)
