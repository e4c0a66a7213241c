"""CIFAR-10 and CIFAR-100: the original pickled batches, or the binary ones."""

import io
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_febm.data.files import Split, checked_labels, first_folder, reason

_SHAPE = (3, 32, 32)
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

    @property
    def layouts(self) -> str:
        """What `data_dir` may be."""
        pickled, binary = self.folders
        names = ", ".join(name for batch in self.batches.values() for name in batch)
        return (
            f"a folder that is or contains {pickled}/ ({names}) or {binary}/ (the same with .bin)"
        )


_FORMATS = {
    "cifar10": _Format(
        title="CIFAR-10",
        num_classes=10,
        folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
        batches={
            "train": tuple(f"data_batch_{k}" for k in range(1, 6)),
            "test": ("test_batch",),
        },
        label_key=b"labels",
        label_bytes=1,
    ),
    # The 100 fine classes; the 20 coarse ones stand beside them and are not read.
    "cifar100": _Format(
        title="CIFAR-100",
        num_classes=100,
        folders=("cifar-100-python", "cifar-100-binary"),
        batches={"train": ("train",), "test": ("test",)},
        label_key=b"fine_labels",
        label_bytes=2,
    ),
}


def layouts(name: str) -> str:
    """Say what `data_dir` may be."""
    return _FORMATS[name].layouts


def read(name: str, path: Path, split: str) -> Split | None:
    """Read a split of CIFAR-10 or CIFAR-100, or return None where there is none.

    Training batches that are missing are left out; `source` names those that were read.

    Args:
        name: "cifar10" or "cifar100", whose labels are the 100 fine classes.
        path: The folder of the batches, or one that contains it under its own name.
        split: "train" or "test".

    Raises:
        ValueError: A batch is damaged, or holds something else than it should.
    """
    if path.is_file():
        return None
    form = _FORMATS[name]
    for nested, suffix, read_batch in zip(
        form.folders, ("", ".bin"), (_read_pickle, _read_binary), strict=True
    ):
        folder = first_folder(path, (nested,))
        files = [folder / (batch + suffix) for batch in form.batches[split]]
        files = [file for file in files if file.is_file()]
        if files:
            images, labels = zip(*(read_batch(form, file) for file in files), strict=True)
            source = f"{folder}: {', '.join(file.name for file in files)}"
            return Split(np.concatenate(images), np.concatenate(labels), form.num_classes, source)
    return None


def _read_pickle(form, file):
    content = _content(file)
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:
        # A damaged pickle can raise nearly anything.
        raise ValueError(f"{file}: not a readable {form.title} batch ({reason(error)}).") from error
    keys = (b"data", form.label_key)
    missing = [key for key in keys if not isinstance(batch, dict) or key not in batch]
    if missing:
        raise ValueError(
            f"{file}: a {form.title} batch has the keys {keys[0]}, {keys[1]}; no {missing[0]}."
        )
    data = batch[b"data"]
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or data.ndim != 2
        or data.shape[1] != _PIXELS
        or len(data) == 0
    ):
        kind = (
            f"{data.dtype} {list(data.shape)}"
            if isinstance(data, np.ndarray)
            else type(data).__name__
        )
        raise ValueError(f"{file}: b'data' must be uint8 [n, {_PIXELS}]; received {kind}.")
    where = f"{file}, key {form.label_key}"
    labels = checked_labels(batch[form.label_key], len(data), form.num_classes, where)
    return _channels_last(data), labels


def _read_binary(form, file):
    content = _content(file)
    width = form.label_bytes + _PIXELS
    if not content or len(content) % width:
        raise ValueError(
            f"{file}: the size must be a multiple of {width} bytes; received {len(content)}."
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, width)
    labels = rows[:, form.label_bytes - 1]
    return _channels_last(rows[:, form.label_bytes :]), checked_labels(
        labels, len(rows), form.num_classes, str(file)
    )


def _content(file):
    try:
        return file.read_bytes()
    except PermissionError as error:
        raise PermissionError(f"{file}: this file may not be read.") from error


def _channels_last(rows):
    return np.ascontiguousarray(rows.reshape(-1, *_SHAPE).transpose(0, 2, 3, 1))


def _make_dtype(spec, align=False, copy=False):
    # Pickles of the time say 0 and 1; NumPy 2.4 warns unless these are booleans.
    return np.dtype(spec, align=bool(align), copy=bool(copy))


def _make_bytes(text, encoding):
    # How Python 3 writes bytes into pickles of protocol 2 and below.
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"unexpected encoding {encoding!r}.")
    return text.encode("latin1") if isinstance(text, str) else bytes(text)


# Unpickling calls what the file names. This is everything that a plain array needs, in both
# spellings of NumPy's private module; anything else is refused before it is imported.
_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _make_dtype,
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("_codecs", "encode"): _make_bytes,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle dictionaries, lists, numbers and arrays, and refuse every other object."""

    def find_class(self, module, name):
        """Return the constructor under a name, from the list above only."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}.") from None
