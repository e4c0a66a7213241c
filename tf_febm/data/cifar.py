"""CIFAR-10: the original pickled batches, or the binary ones."""

import io
import pickle
from pathlib import Path

import numpy as np

from tf_febm.data.files import Split, checked_labels, first_folder, reason

NUM_CLASSES = 10
_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
LAYOUTS = (
    "a folder that is or contains cifar-10-batches-py/ (data_batch_1 … 5, test_batch) or "
    "cifar-10-batches-bin/ (the same with .bin)"
)


def read(path: Path, split: str) -> Split | None:
    """Read a split of CIFAR-10, or return None where there is none.

    Training batches that are missing are left out; `source` names those that were read.

    Raises:
        ValueError: A batch is damaged, or holds something else than it should.
    """
    if path.is_file():
        return None
    names = [f"data_batch_{k}" for k in range(1, 6)] if split == "train" else ["test_batch"]
    for nested, suffix, read_batch in (
        ("cifar-10-batches-py", "", _read_pickle),
        ("cifar-10-batches-bin", ".bin", _read_binary),
    ):
        folder = first_folder(path, (nested,))
        files = [folder / (name + suffix) for name in names]
        files = [file for file in files if file.is_file()]
        if files:
            images, labels = zip(*(read_batch(file) for file in files), strict=True)
            source = f"{folder}: {', '.join(file.name for file in files)}"
            return Split(np.concatenate(images), np.concatenate(labels), NUM_CLASSES, source)
    return None


def _read_pickle(file):
    content = _content(file)
    try:
        batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:
        # A damaged pickle can raise nearly anything.
        raise ValueError(f"{file}: not a readable CIFAR-10 batch ({reason(error)}).") from error
    missing = [
        key for key in (b"data", b"labels") if not isinstance(batch, dict) or key not in batch
    ]
    if missing:
        raise ValueError(
            f"{file}: a CIFAR-10 batch has the keys b'data', b'labels'; no {missing[0]}."
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
    labels = checked_labels(batch[b"labels"], len(data), NUM_CLASSES, f"{file}, key b'labels'")
    return _channels_last(data), labels


def _read_binary(file):
    content = _content(file)
    if not content or len(content) % (1 + _PIXELS):
        raise ValueError(
            f"{file}: the size must be a multiple of {1 + _PIXELS} bytes; received {len(content)}."
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return _channels_last(rows[:, 1:]), checked_labels(
        rows[:, 0], len(rows), NUM_CLASSES, str(file)
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
