"""Loading of data sets by name; `tf_febm.catalogue.DATASETS` lists them.

To add one: a `Reader` in a module of its own, and a line in that table.
"""

import os
from collections.abc import Sequence
from typing import Any

from tf_febm import arguments, catalogue, untrusted_files
from tf_febm.data import toy_datasets
from tf_febm.data.classes import warn_of_empty
from tf_febm.data.files import Reader, Split, existing
from tf_febm.data.image_data import ImageData, warn_of_scale
from tf_febm.data.images import resize_array
from tf_febm.data.vector_data import VectorData

__all__ = ["load", "names"]

_SPLITS = ("train", "test")
# What an argument is for, in words.
_FOR = {
    "subfolders": "folders of images (folder)",
    "label_attribute": "CelebA (celeba)",
    "shuffle_buffer": "data that need not be in memory (tfds:…, imagenet32, records)",
}


def names() -> tuple[str, ...]:
    """Return the names that `load` accepts."""
    return tuple(catalogue.DATASETS)


@arguments.checking({"name": arguments.NAME, "split": arguments.NAME})
def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    split: str = "train",
    image_size: int | None = None,
    *,
    header: bool | None = None,
    index_column: bool | None = None,
    label_column: str | None = None,
    drop_columns: Sequence[str] | None = None,
    subfolders: str | None = None,
    max_pixels: int | None = None,
    max_gib: float | None = None,
    max_depth: int | None = None,
    label_attribute: str | None = None,
    shuffle_buffer: int | None = None,
) -> ImageData | VectorData:
    """Read one split of a data set into memory, or find it where it stays.

    | name | from `data_dir` | without it | test split |
    |---|---|---|---|
    | digits | – | scikit-learn | a fifth, stratified |
    | mnist, fashion_mnist | .npz as Keras keeps it, or idx files | TFDS | the official one |
    | stacked_mnist | as mnist: three digits as the channels of an image | – | the official one |
    | cifar10, cifar100 | pickled or binary batches | TFDS | the official one |
    | svhn | the .mat files of cropped digits | TFDS | the official one |
    | celeba | folder of aligned JPEG files, or .npz | TFDS | official, else the last tenth |
    | imagenet32 | the batches of the downsampled ImageNet | – | its validation images |
    | records | TFRecord files of `write_records` | – | theirs, else every tenth example |
    | tfds:name, tfds:name:config | prepared copies | TFDS | `test`, `validation`, or a tenth |
    | folder | image files at any depth | – | `test/` or `val/` in it, else every tenth file |
    | npz | .npz of images, or of vectors [n, d] | – | `x_test`, else every tenth example |
    | csv | .csv of numbers, one vector a line | – | every tenth row |
    | `toy_datasets.names()` | – | 50,000 points of a known density | 10,000 others |

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
        label_column: Name of the column of a table (csv) that holds the class of each row, a number
            or a word, and is no part of the vectors; "column 3" where there are no names.
        drop_columns: Names of columns of a table (csv) to leave out, which may hold anything.
        subfolders: What the sub-folders of a folder of images are: "splits", "classes", or None to
            tell by their names; see `image_folder.read`.
        max_pixels: Largest number of pixels of a picture; 120 million if None.
        max_gib: GiB of memory that what one file holds may take; if None 1 GiB or 20 times the size
            of the file, whichever is more, and not more than half of the machine's memory.
        max_depth: How many folders may lie in one another; 32 if None.
        label_attribute: Attribute of celeba, such as "Smiling", that is the class of an image, or
            several with commas between, whose combinations are the classes; see `celeba.read`.
        shuffle_buffer: Keep the split where it is (tfds:…, imagenet32, records), and shuffle it in
            a buffer of so many examples, at least 1; see `rows.Rows`. None reads it into memory.

    Returns:
        The split, all of it in memory unless there is a `shuffle_buffer`, when a sample of at most
        10,000 examples is: images as 8-bit integers, vectors as float32. Classes are numbered from
        0; `class_names` holds the ids or names that the data have for them.

    Warns:
        UserWarning: Of images whose values suggest another scale than 0 … 255 and, for the training
            split, of classes without examples.

    Raises:
        ValueError: An argument is not accepted, or a file is damaged; the message names it.
        FileNotFoundError: `data_dir` is missing, or holds nothing usable.
        ConnectionError: There is no `data_dir`, no prepared copy and no network.
        OSError: A file may not be read, or a download failed.
    """
    if catalogue.dataset(name) is None:
        raise ValueError(f"Unknown data set name {name!r}; accepted: {', '.join(names())}.")
    if split not in _SPLITS:
        raise ValueError(f"split must be one of {', '.join(_SPLITS)}; received {split!r}.")
    source = _source(name)
    size = source.default_size
    if image_size is not None:
        size = arguments.whole_number("image_size", image_size, 1)
    given = {
        "header": header,
        "index_column": index_column,
        "label_column": label_column,
        "drop_columns": drop_columns or None,
        "subfolders": subfolders,
        "label_attribute": label_attribute or None,
        "shuffle_buffer": shuffle_buffer,
    }
    answers = {key: value for key, value in given.items() if value is not None}
    for key in answers:
        if key not in source.takes:
            raise ValueError(f"{key} is for {_FOR.get(key, 'tables (csv)')}, not for {name}.")
    with untrusted_files.limited(max_pixels, max_gib, max_depth):
        found = _read(name, source, data_dir, split, size, answers)
    classes: dict[str, Any] = {
        field: getattr(found, field) for field in ("labels", "num_classes", "source", "class_names")
    }
    data: ImageData | VectorData
    if found.examples.ndim == 2:
        if size is not None:
            raise ValueError(f"image_size is for images, not for {name}; received {image_size!r}.")
        classes["rows"] = found.rows
        data = VectorData(name, vectors=found.examples, columns=found.columns, **classes)
    else:
        images = found.examples if size is None else resize_array(found.examples, size)
        if found.rows is not None:
            classes["rows"] = found.rows.mapped(
                lambda x: x if size is None else resize_array(x, size)
            )
        data = ImageData(name, images, **classes)
        warn_of_scale(images, data.source)
    if split == "train" and data.labels is not None and data.rows is None:
        warn_of_empty(data.labels, data.class_names, data.source)
    return data


def _source(name: str) -> Reader:
    row = catalogue.dataset(name)
    if row.kind == "plane":
        return Reader(
            "none, it is drawn from its density",
            bundled=lambda split: toy_datasets.read(name, split),
        )
    return catalogue.load(row.place)


def _read(name, source, data_dir, split, size, answers) -> Split:
    # A command-line flag that was not given is often the empty string.
    if data_dir is None or data_dir == "":
        if source.from_name is not None:
            return source.from_name(name, None, split, size, **answers)
        if "label_attribute" in answers:
            raise ValueError(f"label_attribute needs the files of {name} in data_dir.")
        if source.bundled is not None:
            return source.bundled(split)
        if source.remote is None:
            raise ValueError(f"{name} needs data_dir ({source.layouts}); received none.")
        # It asks for the network, which nobody needs who has the files.
        from tf_febm.data import tfds_source

        return tfds_source.read(name, source.remote, source.layouts, split, size)
    if source.from_name is not None:
        return source.from_name(name, existing(data_dir), split, size, **answers)
    if source.from_files is None:
        raise ValueError(f"{name} takes no data_dir ({source.layouts}); received {data_dir!r}.")
    path = existing(data_dir)
    given = (path, split) if source.default_size is None else (path, split, size)
    found = source.from_files(*given, **answers)
    if found is None:
        raise FileNotFoundError(
            f"{name}: nothing usable for split={split!r} in {path}; accepted: {source.layouts}."
        )
    return found
