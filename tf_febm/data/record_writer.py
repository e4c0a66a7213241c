"""Writing of data as TFRecord files, which `load("records")` reads."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.data.arrays import as_data
from tf_febm.data.image_data import ImageData
from tf_febm.data.records import COLUMNS, LABELS
from tf_febm.data.rows import Block
from tf_febm.data.vector_data import VectorData
from tf_febm.files import replacing, write_atomically

__all__ = ["write_records"]


@arguments.checking({"data": None, "split": arguments.NAME})
def write_records(
    folder: str | os.PathLike,
    data: ImageData | VectorData | arguments.Tensor,
    split: str = "train",
    per_file: int = 10_000,
) -> list[Path]:
    """Write a split of a data set as TFRecord files; see `data.records` for their layout.

    Data that are not in memory are read block by block, and all of them are written.

    Args:
        folder: Where they shall be; it is made if it is not there.
        data: `ImageData` or `VectorData`, or an array as `as_data` takes it.
        split: "train" or "test".
        per_file: Examples of a file, at least 1.

    Returns:
        The files, in the order of the examples.

    Raises:
        ValueError: There are files of this split already, or those of another split have other
            classes; or an argument is not accepted.
        OSError: They cannot be written.
    """
    if split not in ("train", "test"):
        raise ValueError(f"split must be one of train, test; received {split!r}.")
    source = as_data(data, what="data")
    per_file = arguments.whole_number("per_file", per_file, 1)
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(folder.glob(f"{split}-*.tfrecord"))
    if there:
        raise ValueError(f"{there[0]} is there already: give another folder, or remove the split.")
    _write_names(folder / LABELS, source.class_names)
    _write_names(folder / COLUMNS, getattr(source, "columns", None))
    files, examples = [], _examples(source)
    last = -(-source.total // per_file)
    for number in range(last):
        file = folder / f"{split}-{number:05}-of-{last:05}.tfrecord"
        with replacing(file) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            for _ in range(min(per_file, source.total - number * per_file)):
                writer.write(next(examples))
            writer.close()
        files.append(file)
    return files


def _write_names(file: Path, names) -> None:
    if names is None:
        if file.exists():
            raise ValueError(f"{file} is there, and the data have no such names: another folder.")
        return
    if any(not name.strip() or len(name.splitlines()) != 1 for name in names):
        raise ValueError(f"Names must be one line each to be written to {file}.")
    text = "".join(f"{name}\n" for name in names).encode()
    if file.exists() and file.read_bytes() != text:
        raise ValueError(f"{file} has other names than the data: give another folder.")
    write_atomically(file, lambda out: out.write(text))


def _examples(source) -> Iterator[bytes]:
    """Yield the records."""
    whole = Block(getattr(source, source._field), source.labels)
    for block in (whole,) if source.rows is None else source.rows.blocks():
        for k, example in enumerate(block.examples):
            entries = (
                {"vector": _floats(example)}
                if example.ndim == 1
                else {"image": _bytes(example.tobytes()), "shape": _whole(example.shape)}
            )
            if block.labels is not None:
                entries["label"] = _whole([block.labels[k]])
            features = tf.train.Features(feature=entries)
            yield tf.train.Example(features=features).SerializeToString()


def _bytes(content: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))


def _floats(values: np.ndarray) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _whole(values) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value) for value in values]))
