"""Images in a NumPy archive (.npz), with or without labels and test images."""

from pathlib import Path

import numpy as np

from tf_febm.data.files import (
    Split,
    VectorSplit,
    checked_labels,
    entries,
    every_tenth,
    reason,
    rows_of_split,
)
from tf_febm.data.image_data import MAX_CHANNELS
from tf_febm.data.table import checked_vectors, varying_columns

IMAGE_KEYS = ("x_train", "x", "images", "samples", "arr_0")
LABEL_KEYS = ("y_train", "y", "labels")
LAYOUTS = (
    f"an .npz file, or a folder with exactly one, with images, or vectors [n, d], under "
    f"{' / '.join(IMAGE_KEYS)} (optionally labels under {' / '.join(LABEL_KEYS)}, and x_test, "
    "y_test)"
)
_ACCEPTED = (
    "accepted: uint8, or floating point in [0, 1], of shape [n, height, width] or "
    f"[n, height, width, channels] with 1 to {MAX_CHANNELS} channels"
)


class Archive:
    """Read arrays from an .npz; whatever is wrong with it is one line naming file and key."""

    def __init__(self, path: Path):
        self.path = path
        try:
            # Never allow_pickle: an archive from elsewhere must not be able to run code.
            self._file = np.load(path, allow_pickle=False)
        except PermissionError as error:
            raise PermissionError(f"{path}: this file may not be read.") from error
        except Exception as error:
            raise ValueError(f"{path}: not a readable .npz archive ({reason(error)}).") from error
        if isinstance(self._file, np.ndarray):
            raise ValueError(f"{path}: expected an .npz archive; received a single array (.npy).")
        self.keys = tuple(self._file.files)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def first_key(self, keys: tuple[str, ...]) -> str | None:
        """Return the first of `keys` that the archive has, or None."""
        return next((key for key in keys if key in self.keys), None)

    def where(self, key: str) -> str:
        """Name the array in an error message."""
        return f"{self.path}, key {key!r}"

    def array(self, key: str) -> np.ndarray:
        """Return the array under a key.

        Raises:
            ValueError: No such key, a damaged member, or an array of Python objects.
        """
        if key not in self.keys:
            raise ValueError(f"{self.path}: no key {key!r}; received {sorted(self.keys)}.")
        try:
            array = self._file[key]
        except Exception as error:
            # A truncated archive raises zlib.error, BadZipFile, EOFError or ValueError.
            raise ValueError(f"{self.where(key)}: cannot be read ({reason(error)}).") from error
        if not isinstance(array, np.ndarray):
            raise ValueError(
                f"{self.where(key)}: expected an array; received {type(array).__name__}."
            )
        return array

    def images(self, key: str) -> np.ndarray:
        """Return the images under a key as uint8 `[n, height, width, channels]`.

        Floating-point values in [0, 1] are rounded to 8 bits: round(255·x).

        Raises:
            ValueError: Wrong dtype, rank, number of channels or range, NaN or infinity.
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

    def labels(self, key: str, count: int | None, num_classes: int | None = None) -> np.ndarray:
        """Return the labels under a key as int32; see `files.checked_labels`."""
        values = self.array(key)
        count = len(np.atleast_1d(values)) if count is None else count
        return checked_labels(values, count, num_classes, self.where(key))


def locate(path: Path) -> Path | None:
    """Return the archive meant by a path: itself, or the only .npz in it, or None."""
    if path.is_file():
        return path if path.suffix.lower() == ".npz" else None
    found = [entry for entry in entries(path) if entry.suffix.lower() == ".npz"]
    return found[0] if len(found) == 1 else None


def read(path: Path, split: str, held_out=every_tenth) -> Split | VectorSplit | None:
    """Read a split from an archive, or return None where there is none.

    An array of rank 2 holds vectors, any other one images. They stand under the first of
    `IMAGE_KEYS` that is there, labels under the first of `LABEL_KEYS`. If there is an `x_test` it
    is the test split, with labels `y_test`; otherwise one example in ten is held out. The number of
    classes is one more than the largest label of both.

    Args:
        path: The file, or a folder with exactly one .npz.
        split: "train" or "test".
        held_out: count → mask of the held-out images, for archives without `x_test`.

    Raises:
        ValueError: The archive or one of its arrays cannot be used; one line naming it.
    """
    file = locate(path)
    if file is None:
        return None
    with Archive(file) as archive:
        key = archive.first_key(IMAGE_KEYS)
        if key is None:
            raise ValueError(
                f"{file}: no images; expected one of the keys {list(IMAGE_KEYS)}; "
                f"received {sorted(archive.keys)}."
            )
        label_key = archive.first_key(LABEL_KEYS)
        if archive.array(key).ndim == 2:
            return _read_vectors(archive, split, key, label_key)
        if "x_test" in archive.keys:
            return _read_with_test_images(archive, split, key, label_key)
        images = archive.images(key)
        rows = rows_of_split(held_out(len(images)), split, str(file))
        labels, num_classes = None, None
        if label_key is not None:
            labels = archive.labels(label_key, len(images))
            num_classes = int(labels.max()) + 1
            labels = labels[rows]
        source = f"{file}, key {key}, {split}: {len(rows)} of {len(images)} images"
        return Split(images[rows], labels, num_classes, source)


def _read_vectors(archive, split, key, label_key):
    where = archive.where(key)
    given = "x_test" in archive.keys
    keys = {"train": (key, label_key), "test": (key, label_key)}
    if given:
        keys["test"] = ("x_test", archive.first_key(("y_test",)))
    own_key, own_label_key = keys[split]
    vectors = checked_vectors(archive.array(own_key), archive.where(own_key))
    labels = None if own_label_key is None else archive.labels(own_label_key, len(vectors))
    count = len(vectors)
    if not given:
        rows = rows_of_split(every_tenth(count), split, str(archive.path))
        vectors, labels = vectors[rows], None if labels is None else labels[rows]
    if split == "train":
        vectors = varying_columns(vectors, where)
    num_classes = None
    if labels is not None:
        label_keys = {pair[1] for pair in keys.values() if pair[1]}
        num_classes = 1 + max(int(archive.labels(k, None).max()) for k in label_keys)
    source = f"{archive.path}, key {own_key}, {split}: {len(vectors)} of {count} vectors"
    return VectorSplit(vectors, labels, num_classes, source)


def _read_with_test_images(archive, split, key, label_key):
    keys = {"train": (key, label_key), "test": ("x_test", archive.first_key(("y_test",)))}
    image_key, own_label_key = keys[split]
    images = archive.images(image_key)
    labels = None if own_label_key is None else archive.labels(own_label_key, len(images))
    num_classes = None
    if labels is not None:
        # A class may be missing from one split; both must agree on the number of classes.
        num_classes = 1 + max(
            int(archive.labels(other, None).max()) for _, other in keys.values() if other
        )
    source = f"{archive.path}, key {image_key}: {len(images)} images"
    return Split(images, labels, num_classes, source)
