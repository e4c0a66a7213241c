"""Any data set of pictures or of numbers that TensorFlow Datasets knows, as `tfds:<name>`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from tf_febm import catalogue, untrusted_files
from tf_febm.data import tfds_source
from tf_febm.data.classes import listed
from tf_febm.data.files import Reader, Split, reading, reason
from tf_febm.data.images import resize_array
from tf_febm.data.rows import Block, Rows, block_edges, joined
from tf_febm.data.streaming import ALL_IN_MEMORY, STREAMED, checked_block, streamed

__all__ = ["TFDS", "read"]

# The host of TensorFlow Datasets' own copies, where a data set does not say where it comes from.
_HOST = "https://storage.googleapis.com"
_BATCH = 256


class _Fields(NamedTuple):
    """What is read of an example.

    Attributes:
        image: Path of the picture, or None.
        numbers: Paths of the numbers of a vector.
        columns: Names of these coordinates.
        label: Path of the class, or None.
        class_names: Of the classes, or None.
        unused: Names of what is not read.
    """

    image: tuple[str, ...] | None
    numbers: list[tuple[str, ...]]
    columns: tuple[str, ...]
    label: tuple[str, ...] | None
    class_names: tuple[str, ...] | None
    unused: list[str]


def read(
    name: str,
    path: Path | None,
    split: str,
    image_size: int | None,
    shuffle_buffer: int | None = None,
) -> Split:
    """Read a split of a data set of TensorFlow Datasets.

    Examples with one picture are images, others vectors of all their numbers. The class is what the
    data set names as its target, or its only class label; other class labels, and text, are not
    read. The test split is `test`, if its labels are given; else `validation`; else the last tenth
    of `train`, whose order TensorFlow Datasets has mixed.

    Args:
        name: "tfds:name" or "tfds:name:config".
        path: Where prepared copies are; None for the usual place.
        split: "train" or "test".
        image_size: Side to which pictures are cut and averaged; None where they are of one size.
        shuffle_buffer: See `load`.
    """
    builder = _builder(name, path)
    if not builder.data_path.exists():
        urls = [*(getattr(builder, "url_infos", None) or ()), _HOST]
        host = urlsplit(next((url for url in urls if url.startswith("http")), _HOST))
        tfds_source.prepare(
            builder, name, catalogue.tfds_name(name), f"{host.scheme}://{host.netloc}"
        )
    fields = _fields(name, builder.info)
    if fields.image is not None and image_size is None:
        shape = _feature(builder.info.features, fields.image).shape
        if None in shape:
            raise ValueError(f"{name} has pictures of any size: give image_size (--image_size=32).")
    if fields.image is None and image_size is not None:
        raise ValueError(f"image_size is for images, not for {name}; received {image_size!r}.")
    for piece in _pieces(name, builder.info, split):
        first = next(iter(_batches(builder, piece.slice(0, 1), fields, image_size)))
        if first.labels is None or (first.labels >= 0).all():
            break
        # Labels of test splits are often kept back.
    shape = first.examples.shape[1:]
    num_classes = None if fields.class_names is None else len(fields.class_names)
    where = f"tensorflow_datasets {catalogue.tfds_name(name)} in {builder.data_path}, {piece.name}"

    def block(start: int, stop: int | None) -> Block:
        try:
            part = joined([*_batches(builder, piece.slice(start, stop), fields, image_size)])
        except Exception as error:
            raise ValueError(
                f"{name}: the copy of TensorFlow Datasets in {builder.data_path} cannot be read "
                f"({reason(error)}); delete it to prepare it anew."
            ) from error
        return checked_block(part.examples, part.labels, num_classes, shape, where)

    source = where + (f"; {', '.join(fields.unused)} not read" if fields.unused else "")
    known = (fields.class_names, fields.columns if fields.image is None else None)
    if shuffle_buffer is not None:
        if piece.size is None:
            raise ValueError(f"{name}: TensorFlow Datasets does not say how many examples it has.")
        rows = Rows(block_edges(piece.size, shuffle_buffer), block, shuffle_buffer)
        return streamed(rows, num_classes, source, *known)
    if piece.size is not None:
        needed = piece.size * first.examples.nbytes
        with reading(Path(builder.data_path), "cannot be read"):
            size = int(builder.info.dataset_size)
            untrusted_files.check_bytes(ALL_IN_MEMORY, needed, size)
    whole = block(0, None)
    return Split(whole.examples, whole.labels, num_classes, source, *known)


class _Piece(NamedTuple):
    """A split, or a part of one.

    Attributes:
        name: Of the split.
        begin: Number of its first example.
        size: How many it has; None where that is not known.
    """

    name: str
    begin: int
    size: int | None

    def slice(self, start: int, stop: int | None) -> str:
        """Return rows as TensorFlow Datasets takes them; all from `start` on if `stop` is None."""
        if self.size is None:
            return self.name
        stop = self.size if stop is None else stop
        return f"{self.name}[{self.begin + start}:{self.begin + stop}]"


def _pieces(name: str, info, split: str) -> list[_Piece]:
    """Return where a split may be, the first choice first."""
    counts = {key: int(part.num_examples) for key, part in info.splits.items()}
    if not counts:
        return [_Piece(split, 0, None)]
    if "train" not in counts:
        raise ValueError(f"{name} has no split called train; it has {', '.join(counts)}.")
    others = [_Piece(key, 0, counts[key]) for key in ("test", "validation") if key in counts]
    count = counts["train"]
    kept = count // 10 if not others else 0
    if split == "train":
        return [_Piece("train", 0, count - kept)]
    if not others and not kept:
        raise ValueError(
            f"{name}: split='test' holds out one example in ten; received only {count}."
        )
    return others or [_Piece("train", count - kept, kept)]


def _builder(name: str, path: Path | None) -> Any:
    asked = catalogue.tfds_name(name)
    try:
        return tfds_source.make_builder(asked, path)
    except ImportError as error:
        raise ImportError(
            f"{name}: TensorFlow Datasets needs more to make this data set ({reason(error)})."
        ) from error
    except Exception as error:
        # What follows is a list of others.
        what = reason(error).partition(". Available")[0][:300]
        raise ValueError(
            f"{name}: TensorFlow Datasets has no {asked!r} ({what}); "
            "https://www.tensorflow.org/datasets/catalog lists what it has."
        ) from error


def _fields(name: str, info) -> _Fields:
    import tensorflow_datasets as tfds

    # A prepared copy keeps them in any order.
    flat = dict(sorted(_flat(info.features), key=lambda item: item[0]))
    classes = [p for p, feature in flat.items() if isinstance(feature, tfds.features.ClassLabel)]
    given, target = (info.supervised_keys or (None, None))[:2]
    label = next((p for p in classes if p == (target,)), classes[0] if len(classes) == 1 else None)
    images = [p for p, feature in flat.items() if isinstance(feature, tfds.features.Image)]
    image = next((p for p in images if p == (given,)), images[0] if len(images) == 1 else None)
    if images and image is None:
        raise ValueError(
            f"{name} has several pictures in an example, {listed(['/'.join(p) for p in images])}: "
            "write those that are meant to a folder, or by data.write_records."
        )
    if image is not None and np.dtype(flat[image].np_dtype) != np.uint8:
        raise ValueError(
            f"{name}: pictures must have levels of 8 bits; received {flat[image].np_dtype}."
        )
    numbers, columns = [], []
    for p, feature in flat.items() if image is None else ():
        shape, kind = feature.shape, np.dtype(getattr(feature, "np_dtype", object)).kind
        if p not in classes and kind in "iufb" and len(shape) < 2 and None not in shape:
            numbers.append(p)
            each = [""] if not shape else [f"[{k}]" for k in range(shape[0])]
            columns += ["/".join(p) + ending for ending in each]
    if image is None and not numbers:
        raise ValueError(
            f"{name} has neither a picture nor numbers in an example; it has "
            f"{listed(['/'.join(p) for p in flat])}."
        )
    used = {image, label, *numbers}
    names = None if label is None else tuple(map(str, flat[label].names))
    unused = ["/".join(p) for p in flat if p not in used]
    return _Fields(image, numbers, tuple(columns), label, names, unused)


def _flat(features, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and feature of all that are not made of others."""
    if hasattr(features, "items"):
        for key, feature in features.items():
            yield from _flat(feature, (*path, key))
    elif getattr(features, "shape", None) is not None and isinstance(features.shape, tuple):
        yield path, features


def _feature(tree, path: tuple[str, ...]):
    for key in path:
        tree = tree[key]
    return tree


def _batches(builder, piece: str, fields: _Fields, image_size) -> Iterator[Block]:
    """Yield the examples of a part of a split."""
    # Files are not shuffled, so that the order is the same in every run.
    examples = builder.as_dataset(split=piece, shuffle_files=False)
    wanted = fields.numbers if fields.image is None else [fields.image]
    label = fields.label

    def choose(example):
        found = [_feature(example, p) for p in wanted]
        return tuple(found), (() if label is None else _feature(example, label))

    examples = examples.map(choose)
    shapes = [_feature(builder.info.features, p).shape for p in wanted]
    alike = all(None not in shape for shape in shapes)
    for arrays, labels in examples.batch(_BATCH if alike else 1).as_numpy_iterator():
        if fields.image is None:
            parts = [np.asarray(a, np.float32).reshape(len(a), -1) for a in arrays]
            x = np.concatenate(parts, axis=1)
        else:
            x = arrays[0] if image_size is None else resize_array(arrays[0], image_size)
        yield Block(x, None if label is None else labels)


TFDS = Reader(
    "the folder in which TensorFlow Datasets keeps prepared copies",
    takes=(STREAMED,),
    from_name=read,
)
