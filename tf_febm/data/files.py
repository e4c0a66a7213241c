"""Helpers of readers: finding files, splits, and errors of one line."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_febm import untrusted_files
from tf_febm.data.rows import Rows

__all__ = [
    "Reader",
    "Remote",
    "Split",
    "entries",
    "every_tenth",
    "existing",
    "first_folder",
    "last_tenth",
    "only_file",
    "reading",
    "reason",
    "rows_of_split",
]


class Split(NamedTuple):
    """What a reader hands to `load`, which checks it, and resizes images.

    Attributes:
        examples: Images, uint8 `[n, height, width, channels]`, or vectors, float32 `[n, d]`.
        labels: int32 `[n]` or None.
        num_classes: Number of classes, given exactly when `labels` are.
        source: One line that says where they came from.
        class_names: Of the classes, or None for their numbers.
        columns: Names of the coordinates of vectors, or None.
        rows: Where the whole split is, if the examples are only a sample of it.
    """

    examples: np.ndarray
    labels: np.ndarray | None
    num_classes: int | None
    source: str
    class_names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    rows: Rows | None = None


class Remote(NamedTuple):
    """A data set of TensorFlow Datasets.

    Attributes:
        builder: Its name there.
        url: The host that TFDS downloads it from.
        num_classes: Number of classes, if the examples have a "label"; otherwise None.
        share: Side of the centred crop, as a share of the shorter side, where images are resized.
    """

    builder: str
    url: str
    num_classes: int | None
    share: float = 1.0


class Reader(NamedTuple):
    """How one data set is read; the table `tf_febm.catalogue.DATASETS` says where each is defined.

    Attributes:
        layouts: What `data_dir` may be; error messages quote it.
        from_files: (path, split) to `Split`, or to None where the path holds nothing of the kind.
            If there is a `default_size`, the image size is its third argument. What is wrong with a
            file is one line that names it.
        bundled: Split to `Split`, for data that need no files.
        remote: What TensorFlow Datasets knows it as, if it does.
        default_size: Height and width that image files of any size are brought to.
        takes: Which arguments of `load` `from_files` takes besides; they are its alone.
        from_name: (name, path or None, split, image size) to `Split`, for names that say more than
            which reader it is; it takes what `takes` names, too.
    """

    layouts: str
    from_files: Callable[..., Split | None] | None = None
    bundled: Callable[[str], Split] | None = None
    remote: Remote | None = None
    default_size: int | None = None
    takes: tuple[str, ...] = ()
    from_name: Callable[..., Split] | None = None


def reason(error: BaseException) -> str:
    """Put a foreign exception on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def reading(file: Path, fault: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into one line that names the file.

    Args:
        file: The file that is read.
        fault: What is said where it is damaged or of another kind: libraries raise nearly anything.

    Raises:
        PermissionError: The file may not be read.
        OSError: It cannot be read at the moment.
        ValueError: Anything else.
    """
    try:
        yield
    except PermissionError as error:
        raise PermissionError(f"{file}: this file may not be read.") from error
    except untrusted_files.RefusedError as error:
        raise ValueError(f"{file}: {error}.") from None
    except OSError as error:
        # What libraries raise about contents has no number, and a link may lead nowhere.
        if error.errno is None or error.errno in (errno.EINVAL, errno.ENOENT, errno.ELOOP):
            raise ValueError(f"{file}: {fault} ({reason(error)}).") from error
        raise OSError(error.errno, error.strerror, str(file)) from error
    except Exception as error:
        raise ValueError(f"{file}: {fault} ({reason(error)}).") from error


def existing(data_dir: str | os.PathLike) -> Path:
    """Return `data_dir` as a path that exists and can be read."""
    path = Path(data_dir).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"data_dir {str(data_dir)!r} does not exist.")
    if path.is_dir():
        entries(path)
        return path
    with reading(path, "cannot be read"):
        untrusted_files.regular_size(path)
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
        raise PermissionError(f"{folder}: this folder may not be read.") from error
    # Names with a dot are caches and macOS resource forks (._x.jpg), which are not images.
    names = (name for name in sorted(found) if not name.startswith("."))
    return [folder / name for name in names if name.lower() not in _NOT_OF_PEOPLE]


def only_file(path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """Return the file meant by a path: itself, or the only one of these suffixes in it, or None."""
    candidates = [path] if path.is_file() else entries(path)
    found = [file for file in candidates if file.suffix.lower() in suffixes]
    return found[0] if len(found) == 1 else None


def first_folder(path: Path, nested: tuple[str, ...]) -> Path:
    """Return the first of `path/nested[i]` that is a folder, else `path` itself."""
    return next((path / name for name in nested if (path / name).is_dir()), path)


def last_tenth(count: int) -> np.ndarray:
    """Return a mask of the held-out items: the last count // 10 of them."""
    return np.arange(count) >= count - count // 10


def every_tenth(count: int) -> np.ndarray:
    """Return a mask of the held-out items, every tenth: images sorted by class stay balanced."""
    return np.arange(count) % 10 == 9


def rows_of_split(held_out: np.ndarray, split: str, where: str) -> np.ndarray:
    """Return the row numbers of a split, of a mask of the test split; `where` is for the error."""
    if split == "test" and not held_out.any():
        raise ValueError(
            f"{where}: split='test' holds out one example in ten; received only {len(held_out)}."
        )
    return np.flatnonzero(held_out == (split == "test"))
