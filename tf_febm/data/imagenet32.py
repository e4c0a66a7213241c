"""ImageNet at 32×32 (or 64×64, 16×16, 8×8) pixels, in the batches in which it is distributed.

The original code trained on these: pickles `train_data_batch_1` … `_10` and `val_data` with
dictionaries of `data`, uint8 [n, 3·side²] with all red before all green before all blue, `labels`
from 1 to 1000 and, in training batches, their `mean`, which is not read. The .npz batches hold
the same.
"""

import re
from pathlib import Path

import numpy as np

from tf_febm import arguments, untrusted_files
from tf_febm.data.classes import checked_ids
from tf_febm.data.files import Reader, Split, entries, first_folder, reading
from tf_febm.data.rows import Block, Rows, joined
from tf_febm.data.streaming import ALL_IN_MEMORY, STREAMED, checked_block, streamed

__all__ = ["IMAGENET32", "read"]

_CLASSES = 1000
# Examples of every batch that stay in memory, for a sample of all.
_HEAD = 1000
_SIDES = (8, 16, 32, 64)
_NAMES = {
    "train": re.compile(r"train_data_batch_(\d+)(\.npz)?"),
    "test": re.compile(r"val_data()(\.npz)?"),
}
_NESTED = ("imagenet32", "Imagenet32_train", "Imagenet32_train_npz")
# Folders of the validation images, where archives were unpacked side by side.
_BESIDE = ("Imagenet32_val", "Imagenet32_val_npz")


def read(path: Path, split: str, shuffle_buffer: int | None = None) -> Split | None:
    """Read a split, or return None where there is none; the test split is the validation one.

    With `shuffle_buffer` a file, of a tenth of the images, is the block that is read at once.
    Training batches that are missing are left out; `source` names those that were read.
    """
    if path.is_file():
        return None
    folders = [first_folder(path, _NESTED)]
    folders += [path / name for name in _BESIDE if split == "test" and (path / name).is_dir()]
    found: dict[int, Path] = {}
    for folder in folders:
        for file in entries(folder):
            match = _NAMES[split].fullmatch(file.name)
            if match and file.is_file():
                # The pickle, where both are there.
                found.setdefault(int(match[1] or 0), file)
    files = [found[number] for number in sorted(found)]
    if not files:
        return None
    source = f"{files[0].parent}: {', '.join(file.name for file in files)}"
    if shuffle_buffer is None:
        needed = sum(untrusted_files.regular_size(file) for file in files)
        with reading(files[0].parent, "cannot be read"):
            untrusted_files.check_bytes(ALL_IN_MEMORY, needed, needed)
        blocks = [_read_batch(file)[0] for file in files]
        shape = blocks[0].examples.shape[1:]
        whole = joined(
            [
                checked_block(block.examples, block.labels, _CLASSES, shape, str(file))
                for file, block in zip(files, blocks, strict=True)
            ]
        )
        return Split(whole.examples, whole.labels, _CLASSES, source)
    heads = [_read_batch(file, _HEAD) for file in files]
    edges = (0, *np.cumsum([count for _, count in heads]).tolist())
    shape = heads[0][0].examples.shape[1:]

    def part(start: int, stop: int) -> Block:
        number = int(np.searchsorted(edges, start, side="right")) - 1
        first, last = start - edges[number], stop - edges[number]
        block = heads[number][0]
        if last > len(block.examples):
            block = _read_batch(files[number])[0]
        part = block._replace(examples=block.examples[first:last], labels=block.labels[first:last])
        return checked_block(*part, _CLASSES, shape, str(files[number]))

    return streamed(Rows(edges, part, shuffle_buffer), _CLASSES, source)


def _read_batch(file: Path, most: int | None = None) -> tuple[Block, int]:
    """Return the first examples of a batch, all if `most` is None, and how many it has."""
    with reading(file, "not a readable batch of the downsampled ImageNet"):
        if file.suffix == ".npz":
            with untrusted_files.ArrayFile(file) as archive:
                batch = {k: archive.array(k) for k in ("data", "labels") if k in archive.keys}
        else:
            batch = untrusted_files.read_pickle(untrusted_files.read_bytes(file))
    if isinstance(batch, dict):
        batch = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    missing = [k for k in ("data", "labels") if not isinstance(batch, dict) or k not in batch]
    if missing:
        raise ValueError(f"{file}: a batch has the keys 'data', 'labels'; no {missing[0]!r}.")
    rows, labels = batch["data"], batch["labels"]
    widths = [3 * side**2 for side in _SIDES]
    if (
        not isinstance(rows, np.ndarray)
        or rows.dtype != np.uint8
        or rows.ndim != 2
        or not len(rows)
        or rows.shape[1] not in widths
    ):
        received = arguments.shown(rows)
        raise ValueError(f"{file}: 'data' must be uint8 [n, {widths}]; received {received}.")
    # A list of lists may be far longer than the file.
    if not isinstance(labels, np.ndarray) and not (
        isinstance(labels, (list, tuple)) and all(type(label) is int for label in labels)
    ):
        raise ValueError(f"{file}: 'labels' must be a flat list of whole numbers, or an array.")
    labels = checked_ids(labels, len(rows), f"{file}, key 'labels'")
    if labels.dtype.kind not in "iu" or not 1 <= int(labels.min()) <= int(labels.max()) <= _CLASSES:
        low, high = labels.min(), labels.max()
        raise ValueError(f"{file}: 'labels' must be in 1 … {_CLASSES}; received {low} to {high}.")
    side = _SIDES[widths.index(rows.shape[1])]
    images = rows[:most].reshape(-1, 3, side, side).transpose(0, 2, 3, 1)
    return Block(np.ascontiguousarray(images), labels[:most].astype(np.int32) - 1), len(rows)


IMAGENET32 = Reader(
    "a folder that is or contains train_data_batch_1 … train_data_batch_10 and val_data of the "
    "downsampled ImageNet, as pickles or .npz",
    read,
    takes=(STREAMED,),
)
