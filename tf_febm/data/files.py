"""The user's files: finding them, and one clear line when they are not what they should be."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Split(NamedTuple):
    """What a reader hands to `load`: an `ImageData` that is not checked and not resized yet."""

    images: np.ndarray
    labels: np.ndarray | None
    num_classes: int | None
    source: str
    class_names: tuple[str, ...] | None = None


class VectorSplit(NamedTuple):
    """What a reader hands to `load`: a `VectorData` that is not checked yet."""

    vectors: np.ndarray
    labels: np.ndarray | None
    num_classes: int | None
    source: str
    columns: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None


def reason(error: BaseException) -> str:
    """Put a foreign exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def existing(data_dir: str | os.PathLike) -> Path:
    """Return `data_dir` as a path that exists and can be read.

    Raises:
        FileNotFoundError: There is no such file or folder.
        PermissionError: The folder may not be listed.
    """
    path = Path(data_dir).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"data_dir {str(data_dir)!r} does not exist.")
    if path.is_dir():
        entries(path)
    return path


# What systems and archivers put beside the files of people, pictures among it.
_NOT_OF_PEOPLE = (
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    "__pycache__",
)  # fmt: skip


def entries(folder: Path) -> list[Path]:
    """Return what is directly in a folder, sorted by name.

    Hidden entries are left out, and folders of systems and archivers, as __MACOSX.
    """
    try:
        found = os.listdir(folder)
    except PermissionError as error:
        raise PermissionError(
            f"{folder}: this folder may not be read ({error.strerror})."
        ) from error
    # Names with a dot are caches and macOS resource forks (._x.jpg), which are not images.
    names = (name for name in sorted(found) if not name.startswith("."))
    return [folder / name for name in names if name.lower() not in _NOT_OF_PEOPLE]


def first_folder(path: Path, nested: tuple[str, ...]) -> Path:
    """Return the first of `path/nested[i]` that is a folder, else `path` itself."""
    return next((path / name for name in nested if (path / name).is_dir()), path)


def last_tenth(count: int) -> np.ndarray:
    """Return a mask of the held-out items: the last count // 10 of them."""
    return np.arange(count) >= count - count // 10


def every_tenth(count: int) -> np.ndarray:
    """Return a mask of the held-out items, every tenth: 9, 19, 29 and so on.

    Images sorted by class stay balanced this way.
    """
    return np.arange(count) % 10 == 9


def rows_of_split(held_out: np.ndarray, split: str, where: str) -> np.ndarray:
    """Return the row numbers that belong to a split.

    Args:
        held_out: bool `[n]`, true for the items of the test split.
        split: "train" or "test".
        where: The file or folder, for the error message.

    Raises:
        ValueError: Nothing is held out because there are fewer than ten items.
    """
    if split == "test" and not held_out.any():
        raise ValueError(
            f"{where}: split='test' holds out one example in ten; received only {len(held_out)}."
        )
    return np.flatnonzero(held_out == (split == "test"))


def checked_labels(values, count: int, num_classes: int, where: str) -> np.ndarray:
    """Return labels of a data set with classes of its own as int32, or say what is wrong with them.

    Ids of other data are numbered by `classes.numbered`.

    Args:
        values: integers, `[count]` or `[count, 1]`.
        count: Number of images.
        num_classes: Labels must be below it.
        where: The file and key, for the error message.

    Raises:
        ValueError: Wrong dtype, shape or range.
    """
    try:
        values = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{where}: labels must be a flat list ({reason(error)}).") from error
    if values.shape == (count, 1):
        values = values[:, 0]
    if not np.issubdtype(values.dtype, np.integer) or values.shape != (count,) or not count:
        raise ValueError(
            f"{where}: labels must be integers of shape [{count}], one per image; "
            f"received {values.dtype} {list(values.shape)}."
        )
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= num_classes:
        raise ValueError(
            f"{where}: labels must be in [0, {num_classes}); received {low} to {high}."
        )
    return values.astype(np.int32)
