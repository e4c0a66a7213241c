"""Common parts of readers of data that are not in memory: checked blocks, and splits of them."""

import numpy as np

from tf_febm.data.classes import checked_labels
from tf_febm.data.files import Split
from tf_febm.data.rows import Block, Rows

__all__ = ["ALL_IN_MEMORY", "STREAMED", "checked_block", "streamed"]

# What `load` takes for such a reader.
STREAMED = "shuffle_buffer"
# What takes the memory, where that is too much, and how it need not.
ALL_IN_MEMORY = "the split in memory, which shuffle_buffer (--shuffle_buffer=) keeps out of it,"
# How a source says that the arrays are not all.
_NOTE = "{} examples, read as they are trained on through a buffer of {}"


def streamed(
    rows: Rows,
    num_classes: int | None,
    source: str,
    class_names: tuple[str, ...] | None = None,
    columns: tuple[str, ...] | None = None,
) -> Split:
    """Return a split of which a sample is in memory.

    Args:
        rows: All of it.
        num_classes: Number of classes, or None.
        source: Where it is.
        class_names: See `Split`.
        columns: See there.
    """
    sample = rows.sample()
    source = f"{source}: {_NOTE.format(f'{len(rows):,}', f'{rows.buffer:,}')}"
    return Split(sample.examples, sample.labels, num_classes, source, class_names, columns, rows)


def checked_block(
    examples: np.ndarray,
    labels: np.ndarray | None,
    num_classes: int | None,
    shape: tuple[int, ...],
    where: str,
) -> Block:
    """Return what was read, as what it must be.

    Args:
        examples: uint8 or float32 [n, …].
        labels: Whole numbers [n], exactly where there are classes.
        num_classes: Their number, or None.
        shape: Of an example.
        where: What begins an error message.

    Raises:
        ValueError: Shape, classes or numbers are others.
    """
    if tuple(examples.shape[1:]) != tuple(shape):
        raise ValueError(
            f"{where}: examples must have the shape {tuple(shape)} of the others; received "
            f"{tuple(examples.shape[1:])}."
        )
    if examples.dtype.kind == "f" and not np.isfinite(examples).all():
        raise ValueError(f"{where}: vectors must be finite; received NaN or infinity.")
    if num_classes is not None:
        labels = checked_labels(labels, len(examples), num_classes, where)
    return Block(examples, labels if num_classes is not None else None)
