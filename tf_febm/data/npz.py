"""Images in a NumPy archive (.npz), with or without labels and test images."""

import contextlib
import warnings
from pathlib import Path

import numpy as np

from tf_febm import arguments, untrusted_files
from tf_febm.data import npz_keys
from tf_febm.data.classes import checked_ids, listed, numbered
from tf_febm.data.files import (
    Reader,
    Split,
    every_tenth,
    only_file,
    reading,
    reason,
    rows_of_split,
)
from tf_febm.data.image_data import MAX_CHANNELS
from tf_febm.data.resolution import check_float32_resolution
from tf_febm.data.table import check_columns_vary, checked_vectors

__all__ = ["NPZ", "Archive", "read"]

# As they are written most often; `npz_keys` knows others.
IMAGE_KEYS = ("x_train", "x", "images", "samples", "arr_0")
LABEL_KEYS = ("y_train", "y", "labels")
_ACCEPTED = (
    "accepted: uint8, or floating point in [0, 1], of shape [n, height, width] or "
    f"[n, height, width, channels] with 1 to {MAX_CHANNELS} channels"
)


class Archive:
    """Read arrays from an .npz; whatever is wrong with it is one line naming file and key."""

    def __init__(self, path: Path):
        self.path = path
        with reading(path, "not a readable .npz archive"):
            self._file = untrusted_files.ArrayFile(path)
        self.keys = self._file.keys
        # Reading decompresses, and several questions are asked about each array.
        self._arrays: dict[str, np.ndarray] = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def where(self, key: str) -> str:
        """Name the array in an error message."""
        return f"{self.path}, key {key!r}"

    def array(self, key: str) -> np.ndarray:
        """Return the array under a key."""
        if key not in self.keys:
            raise ValueError(f"{self.path}: no key {key!r}; received {sorted(self.keys)}.")
        if key not in self._arrays:
            try:
                self._arrays[key] = self._file.array(key)
            except (untrusted_files.NoArrayError, untrusted_files.RefusedError) as error:
                raise ValueError(f"{self.where(key)}: {error}.") from None
            except Exception as error:
                # A truncated archive raises zlib.error, BadZipFile, EOFError or ValueError.
                raise ValueError(f"{self.where(key)}: cannot be read ({reason(error)}).") from error
        return self._arrays[key]

    def header(self, key: str) -> untrusted_files.Header | None:
        """Return shape and dtype of the array under a key, which is not read, or None."""
        # Whatever is wrong, nobody has asked for it.
        with contextlib.suppress(Exception):
            return self._file.header(key)
        return None

    def images(self, key: str) -> np.ndarray:
        """Return the images under a key as uint8 `[n, height, width, channels]`.

        Floating-point values in [0, 1] are rounded to 8 bits: round(255·x).
        """
        array = self.array(key)
        received = f"received {array.dtype} {list(array.shape)}"
        good_rank = array.ndim == 3 or (array.ndim == 4 and array.shape[3] <= MAX_CHANNELS)
        good_dtype = array.dtype == np.uint8 or np.issubdtype(array.dtype, np.floating)
        if not good_rank or not good_dtype or 0 in array.shape:
            raise ValueError(f"{self.where(key)}: {received}; {_ACCEPTED}.")
        if array.dtype != np.uint8:
            low, high = array.min(), array.max()
            # Written so that NaN fails too.
            if not (low >= 0 and high <= 1):
                raise ValueError(
                    f"{self.where(key)}: {received} with values from {low} to {high}; {_ACCEPTED}."
                )
            array = np.rint(array.astype(np.float32, copy=False) * 255).astype(np.uint8)
        return array if array.ndim == 4 else array[..., np.newaxis]

    def ids(self, key: str, count: int | None = None) -> np.ndarray:
        """Return the ids of classes under a key; see `classes.checked_ids`."""
        return checked_ids(self.array(key), count, self.where(key))


def read(path: Path, split: str, held_out: arguments.Data = every_tenth) -> Split | None:
    """Read a split from an archive, or return None where there is none.

    An array of rank 2 holds vectors, any other one images. Which arrays hold the examples and the
    labels of which split, their keys say; see `npz_keys`. Without a test split, one example in ten
    is held out, of images as `held_out` says of their number. The classes are the ids that occur in
    either split, numbered in sorted order.
    """
    file = only_file(path, (".npz",))
    if file is None:
        return None
    with Archive(file) as archive:
        try:
            chosen = npz_keys.choose(archive.keys)
        except ValueError as error:
            raise ValueError(f"{file}: {error}.") from None
        if chosen is None:
            raise ValueError(
                f"{file}: no images; expected one of the keys {list(IMAGE_KEYS)}; "
                f"received {sorted(archive.keys)}."
            )
        keys = chosen.splits
        _check_shapes(archive, chosen)
        own_key, own_label_key = keys.get(split, keys["train"])
        raw, where = archive.array(own_key), archive.where(own_key)
        are_vectors = raw.ndim == 2
        found = checked_vectors(raw, where) if are_vectors else archive.images(own_key)
        labels, names = _read_labels(archive, keys, own_label_key, len(found))
        rows = np.arange(len(found))
        if "test" not in keys:
            mask = (every_tenth if are_vectors else held_out)(len(found))
            rows = rows_of_split(mask, split, str(file))
        if are_vectors:
            if split == "train":
                # Held-out rows may happen to agree.
                check_columns_vary(found[rows], where)
            check_float32_resolution(raw, where)
        if split == "train":
            _warn_of_unread(archive, chosen, raw)
    what = "vectors" if are_vectors else "images"
    source = f"{file}, key {own_key}, {split}: {len(rows)} of {len(found)} {what}"
    if chosen.unused:
        source += f"; {listed(sorted(chosen.unused))} not read"
    if labels is None:
        return Split(found[rows], None, None, source)
    return Split(found[rows], labels[rows], len(names), source, names)


def _read_labels(archive, keys, own_key, count):
    """Return the numbers of the classes of one split, and the names of the classes of all."""
    if own_key is None:
        return None, None
    # First: what is wrong with them matters more than what is wrong with others.
    archive.ids(own_key, count)
    ids = {y: archive.ids(y, len(archive.array(x))) for x, y in keys.values() if y is not None}
    labels, names = numbered(list(ids.values()), str(archive.path))
    return labels[list(ids).index(own_key)], names


def _check_shapes(archive, chosen):
    """Raise an error if the examples of the splits, read or not, have different shapes."""
    shapes = {key: list(archive.array(key).shape) for key in chosen.examples}
    # Grey images may have an axis of one channel or none.
    kinds = {tuple(s[1:-1] if len(s) == 4 and s[3] == 1 else s[1:]) for s in shapes.values()}
    if len(kinds) > 1:
        received = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise ValueError(
            f"{archive.path}: examples of all splits must have one shape; received {received}."
        )


def _warn_of_unread(archive, chosen, examples):
    """Warn of arrays that look like examples or labels and are not called so."""
    headers = {key: archive.header(key) for key in chosen.unused if key not in chosen.examples}
    known = {key: found for key, found in headers.items() if found is not None}
    count, *shape = examples.shape
    alike = [key for key, (other, _) in known.items() if shape and [*other[1:]] == shape]
    columns = [key for key, (other, _) in known.items() if other in ((count,), (count, 1))]
    labels = [k for k in columns if known[k][1].kind in "iuUS" and k not in alike]
    if alike:
        warnings.warn(
            f"{archive.path}: {listed(alike)} may hold examples, and are not read; those that are "
            "held out are known by such keys as x_test.",
            stacklevel=3,
        )
    if labels and chosen.splits["train"][1] is None:
        warnings.warn(
            f"{archive.path}: {listed(labels)} may hold labels, and are not read; they are known "
            "by such keys as y or labels.",
            stacklevel=3,
        )


NPZ = Reader(
    f"an .npz file, or a folder with exactly one, with images, or vectors [n, d], under "
    f"{' / '.join(IMAGE_KEYS)} (optionally labels under {' / '.join(LABEL_KEYS)}, and x_test or "
    "x_val, with y_test or y_val), or such names as X_train or test_images",
    read,
)
