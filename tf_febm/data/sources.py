"""The registry of data sources, and `load`.

To add a source: write a reader in a module of its own and add one entry to `_SOURCES`.
"""

import operator
import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tf_febm.data import (
    celeba,
    cifar,
    digits,
    image_folder,
    mnist,
    npz,
    stacked,
    svhn,
    table,
    testbeds,
    tfds_source,
)
from tf_febm.data.classes import warn_of_empty
from tf_febm.data.files import Split, VectorSplit, existing
from tf_febm.data.image_data import ImageData, warn_of_scale
from tf_febm.data.images import resize_array
from tf_febm.data.tfds_source import Remote
from tf_febm.data.vector_data import VectorData

__all__ = ["load", "names"]

_SPLITS = ("train", "test")


class _Source(NamedTuple):
    """How one data set is read.

    Attributes:
        layouts: What `data_dir` may be; error messages quote it.
        from_files: (path, split) to `Split` or `VectorSplit`, or to None where the path holds
            nothing of the kind. If there is a `default_size`, the image size is its third argument.
        bundled: Split to `Split` or `VectorSplit`, for data that need no files.
        remote: What TensorFlow Datasets knows it as, if it does.
        default_size: Height and width that image files of any size are brought to.
        takes: Which arguments of `load` `from_files` takes besides; they are its alone.
    """

    layouts: str
    from_files: Callable[..., Split | VectorSplit | None] | None = None
    bundled: Callable[[str], Split | VectorSplit] | None = None
    remote: Remote | None = None
    default_size: int | None = None
    takes: tuple[str, ...] = ()


_SOURCES: dict[str, _Source] = {
    "digits": _Source("none, it is part of scikit-learn", bundled=digits.read),
    "mnist": _Source(
        mnist.layouts("mnist"),
        partial(mnist.read, "mnist"),
        remote=Remote("mnist", "https://storage.googleapis.com", 10),
    ),
    "fashion_mnist": _Source(
        mnist.layouts("fashion_mnist"),
        partial(mnist.read, "fashion_mnist"),
        remote=Remote(
            "fashion_mnist", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com", 10
        ),
    ),
    "stacked_mnist": _Source(mnist.layouts("mnist"), stacked.read),
    "cifar10": _Source(
        cifar.layouts("cifar10"),
        partial(cifar.read, "cifar10"),
        remote=Remote("cifar10", "https://www.cs.toronto.edu", 10),
    ),
    "cifar100": _Source(
        cifar.layouts("cifar100"),
        partial(cifar.read, "cifar100"),
        remote=Remote("cifar100", "https://www.cs.toronto.edu", 100),
    ),
    "svhn": _Source(
        svhn.LAYOUTS, svhn.read, remote=Remote("svhn_cropped", "http://ufldl.stanford.edu", 10)
    ),
    "celeba": _Source(
        celeba.LAYOUTS,
        celeba.read,
        remote=Remote("celeb_a", "https://drive.google.com", None, celeba.CROP),
        default_size=32,
    ),
    "folder": _Source(
        image_folder.LAYOUTS, image_folder.read, default_size=32, takes=("subfolders",)
    ),
    "npz": _Source(npz.LAYOUTS, npz.read),
    "csv": _Source(table.LAYOUTS, table.read, takes=("header", "index_column")),
    **{
        name: _Source("none, it is drawn from its density", bundled=partial(testbeds.read, name))
        for name in testbeds.names()
    },
}


def names() -> tuple[str, ...]:
    """Return the names that `load` accepts."""
    return tuple(_SOURCES)


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    split: str = "train",
    image_size: int | None = None,
    *,
    header: bool | None = None,
    index_column: bool | None = None,
    subfolders: str | None = None,
) -> ImageData | VectorData:
    """Read one split of a data set into memory.

    | name | from `data_dir` | without it | test split |
    |---|---|---|---|
    | digits | – | scikit-learn | a fifth, stratified |
    | mnist, fashion_mnist | .npz as Keras keeps it, or idx files | TFDS | the official one |
    | stacked_mnist | as mnist: three digits as the channels of an image | – | the official one |
    | cifar10, cifar100 | pickled or binary batches | TFDS | the official one |
    | svhn | the .mat files of cropped digits | TFDS | the official one |
    | celeba | folder of aligned JPEG files, or .npz | TFDS | official, else the last tenth |
    | folder | image files at any depth | – | `test/` or `val/` in it, else every tenth file |
    | npz | .npz of images, or of vectors [n, d] | – | `x_test`, else every tenth example |
    | csv | .csv of numbers, one vector a line | – | every tenth row |
    | `testbeds.names()` | – | 50,000 points of a known density | 10,000 others |

    TFDS is TensorFlow Datasets: a copy that it prepared earlier works without network; otherwise
    it downloads, if the host answers within five seconds.

    Args:
        name: One of `names()`.
        data_dir: Folder or file; what is accepted stands in the error message of a wrong one.
        split: "train" or "test".
        image_size: Cut each image to its largest centred square (celeba: to the face) and average
            that to image_size × image_size. None keeps the size, except that celeba and folder,
            whose files may have any size, then take 32.
        header: Whether the first line of a table (csv) holds names; see `table.read_table`.
        index_column: Whether the first column of a table only numbers its rows, and is left out;
            with it those behind it that are called as an index too.
        subfolders: What the sub-folders of a folder of images are: "splits", "classes", or None to
            tell by their names; see `image_folder.read`.

    Returns:
        The split, all of it in memory: images as 8-bit integers, vectors as float32. Classes are
        numbered from 0; `class_names` holds the ids or names that the data have for them.

    Warns:
        UserWarning: Of images whose values suggest another scale than 0 … 255 and, for the training
            split, of classes without examples.

    Raises:
        ValueError: An argument is not accepted, or a file is damaged; the message names it.
        FileNotFoundError: `data_dir` is missing, or holds nothing usable.
        ConnectionError: There is no `data_dir`, no prepared copy and no network.
        OSError: A file may not be read, or a download failed.
    """
    if not isinstance(name, str) or name not in _SOURCES:
        raise ValueError(f"Unknown data set {name!r}; accepted: {', '.join(names())}.")
    if split not in _SPLITS:
        raise ValueError(f"split must be one of {', '.join(_SPLITS)}; received {split!r}.")
    source = _SOURCES[name]
    size = source.default_size if image_size is None else _checked_size(image_size)
    # A command-line flag that was not given is often the empty string.
    answers = {"header": header, "index_column": index_column, "subfolders": subfolders}
    answers = {key: value for key, value in answers.items() if value is not None}
    for key in answers:
        if key not in source.takes:
            takers = [other for other, known in _SOURCES.items() if key in known.takes]
            kind = "folders of images" if key == "subfolders" else "tables"
            raise ValueError(f"{key} is for {kind} ({', '.join(takers)}), not for {name}.")
    if data_dir is None or data_dir == "":
        found = _without_files(name, source, split, size)
    else:
        found = _from_files(name, source, data_dir, split, size, answers)
    if isinstance(found, VectorSplit):
        if size is not None:
            raise ValueError(f"image_size is for images, not for {name}; received {image_size!r}.")
        data: ImageData | VectorData = VectorData(name, *found)
    else:
        images = found.images if size is None else resize_array(found.images, size)
        data = ImageData(name, images, *found[1:])
    if split == "train" and data.labels is not None:
        warn_of_empty(data.labels, data.class_names, data.source)
    if isinstance(data, ImageData):
        warn_of_scale(data.images, data.source)
    return data


def _from_files(name, source, data_dir, split, size, answers):
    if source.from_files is None:
        raise ValueError(f"{name} takes no data_dir ({source.layouts}); received {data_dir!r}.")
    path = existing(data_dir)
    arguments = (path, split) if source.default_size is None else (path, split, size)
    found = source.from_files(*arguments, **answers)
    if found is None:
        raise FileNotFoundError(
            f"{name}: nothing usable for split={split!r} in {path}; accepted: {source.layouts}."
        )
    return found


def _without_files(name, source, split, size):
    if source.bundled is not None:
        return source.bundled(split)
    if source.remote is None:
        raise ValueError(f"{name} needs data_dir ({source.layouts}); received none.")
    return tfds_source.read(name, source.remote, source.layouts, split, size)


def _checked_size(image_size):
    try:
        size = 0 if isinstance(image_size, bool) else operator.index(image_size)
    except TypeError:
        size = 0
    if size < 1:
        raise ValueError(f"image_size must be a whole number ≥ 1 or None; received {image_size!r}.")
    return size
