"""TFRecord files of examples: their layout, and its reader.

A folder holds `train-*.tfrecord` and, if anything is held out, `test-*.tfrecord`. Each record is a
`tf.train.Example`:

| entry | list | |
|---|---|---|
| `image` | bytes | the levels, uint8, row by row, channels last |
| `shape` | int64 | height, width, channels of the image |
| `vector` | float | in place of these two: the coordinates |
| `label` | int64 | the class, where there are classes |

All examples have one shape. Where there are labels, `labels.txt` names the classes, one a line, in
the order of their numbers. `columns.txt`, if it is there, names the coordinates likewise.
"""

import contextlib
import re
from pathlib import Path

import numpy as np

from tf_febm import arguments, untrusted_files
from tf_febm.data.files import Reader, Split, entries, every_tenth, reading, rows_of_split
from tf_febm.data.rows import Block, Rows, block_edges, joined
from tf_febm.data.streaming import ALL_IN_MEMORY, STREAMED, checked_block, streamed
from tf_febm.untrusted_files import tfrecords

__all__ = ["RECORDS", "holds_vectors", "read"]

_FILE = re.compile(r"(train|test)-[\w\-.]*\.tfrecords?")
# Of files that were written together.
_OF = re.compile(r"-\d+-of-(\d+)\.")
LABELS, COLUMNS = "labels.txt", "columns.txt"


def read(path: Path, split: str, shuffle_buffer: int | None = None) -> Split | None:
    """Read a split, or return None where there is none.

    Without files of a test split every tenth example is it.
    """
    if path.is_file():
        return None
    files = {name: _files(path, name) for name in ("train", "test")}
    own = files[split] or files["train"]
    if not own:
        return None
    places = _Places(own)
    first = places.examples(np.arange(1))[0]
    if not files["test"]:
        places.rows = rows_of_split(every_tenth(len(places.rows)), split, str(path))
    labels = _names(path / LABELS)
    num_classes = len(labels) if labels else None
    shape = _array(first, own[0]).shape
    columns = _names(path / COLUMNS, shape[0]) if len(shape) == 1 else None
    if "label" in first and not labels:
        raise ValueError(
            f"{path}: examples with a label need {LABELS}, the name of a class a line."
        )

    def block(start: int, stop: int) -> Block:
        parts = [(_array(one, path), one) for one in places.examples(places.rows[start:stop])]
        found = [array for array, _ in parts]
        if len({array.shape for array in found}) > 1:
            raise ValueError(f"{path}: all examples must have one shape, {shape}.")
        classes = [one.get("label") for _, one in parts]
        if labels and not all(isinstance(c, np.ndarray) and c.shape == (1,) for c in classes):
            raise ValueError(f"{path}: each example must have one label, as {LABELS} is there.")
        numbers = np.concatenate(classes) if labels else None
        return checked_block(np.stack(found), numbers, num_classes, shape, str(path))

    count = len(places.rows)
    source = f"{path}: {split} of {len(own)} TFRecord files"
    if shuffle_buffer is not None:
        rows = Rows(block_edges(count, shuffle_buffer), block, shuffle_buffer)
        return streamed(rows, num_classes, source, labels, columns)
    needed = count * _array(first, own[0]).nbytes
    with reading(path, "cannot be read"):
        size = sum(untrusted_files.regular_size(file) for file in own)
        untrusted_files.check_bytes(ALL_IN_MEMORY, needed, size)
    whole = joined([block(k, min(k + 1000, count)) for k in range(0, count, 1000)])
    return Split(whole.examples, whole.labels, num_classes, source, labels, columns)


def holds_vectors(path) -> bool:
    """Whether a folder holds records of vectors; False if it cannot be told."""
    # Whatever is wrong with it is said when it is read.
    with contextlib.suppress(Exception):
        files = _files(Path(path).expanduser(), "train")
        places = tfrecords.record_places(files[0])[:1]
        return "vector" in tfrecords.parse_example(tfrecords.read_records(files[0], places)[0])
    return False


class _Places:
    """Where the records of several files are; `rows` are those of the split."""

    def __init__(self, files: list[Path]):
        self._files, parts = files, []
        for file in files:
            with reading(file, "not a readable TFRecord file"):
                parts.append(tfrecords.record_places(file))
        self._places = np.concatenate(parts)
        self._ends = np.cumsum([len(part) for part in parts])
        self.rows = np.arange(len(self._places))
        if not len(self.rows):
            raise ValueError(f"{files[0]}: there are no records in it.")

    def examples(self, rows: np.ndarray) -> list[dict]:
        """Return the examples of ascending row numbers."""
        numbers = np.searchsorted(self._ends, rows, side="right")
        found = []
        for number in np.unique(numbers):
            file = self._files[number]
            with reading(file, "not a readable TFRecord file"):
                places = self._places[rows[numbers == number]]
                contents = tfrecords.read_records(file, places)
                found += [tfrecords.parse_example(content) for content in contents]
        return found


def _files(path: Path, split: str) -> list[Path]:
    found = [file for file in entries(path) if _FILE.fullmatch(file.name) and file.is_file()]
    found = [file for file in found if file.name.startswith(split)]
    promised = _OF.search(found[0].name) if found else None
    if promised and int(promised[1]) != len(found):
        raise ValueError(
            f"{path}: {found[0].name} is one of {int(promised[1])} files; received {len(found)}: "
            "write them again."
        )
    return found


def _names(file: Path, count: int | None = None) -> tuple[str, ...] | None:
    """Return different names, `count` of them if given, or None where there is no such file."""
    if not file.is_file():
        return None
    with reading(file, "not a readable list of names"):
        lines = untrusted_files.read_bytes(file).decode("utf-8").splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise ValueError(f"{file}: there are no names in it.")
    if len(set(names)) < len(names) or count not in (None, len(names)):
        many = "" if count is None else f"{count} "
        raise ValueError(
            f"{file}: it must hold {many}different names, one a line; received {len(names)}, "
            f"{len(set(names))} of them different."
        )
    return names


def _array(example: dict, where: Path) -> np.ndarray:
    """Return an image, uint8 [height, width, channels], or a vector, float32 [d]."""
    vector, image, shape = (example.get(name) for name in ("vector", "image", "shape"))
    if isinstance(vector, np.ndarray) and vector.dtype == np.float32 and len(vector):
        return vector
    sizes = shape.tolist() if isinstance(shape, np.ndarray) and shape.dtype == np.int64 else []
    if (
        not isinstance(image, bytes)
        or len(sizes) != 3
        or not all(0 < size <= 1 << 20 for size in sizes)
        or len(image) != sizes[0] * sizes[1] * sizes[2]
    ):
        received = ", ".join(sorted(example)) or "nothing"
        raise ValueError(
            f"{where}: an example has 'image', levels as bytes, and its 'shape' [height, width, "
            f"channels], or 'vector', floats; received {arguments.shown(received)}."
        )
    return np.frombuffer(image, np.uint8).reshape(sizes)


RECORDS = Reader(
    "a folder of train-*.tfrecord and test-*.tfrecord, as data.write_records writes them",
    read,
    takes=(STREAMED,),
)
