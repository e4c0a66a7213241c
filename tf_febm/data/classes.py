"""Class labels: from ids of any kind to the numbers 0 … n − 1, and names.

A conditional network has weights, and a model draws samples, for every number below the number of
classes. So ids are numbered in sorted order, and none that nobody uses gets a number.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from tf_febm import arguments
from tf_febm.data.files import reason

__all__ = ["class_indices", "numbered"]

# Names in a message; the rest is counted.
_SHOWN = 5
# Labels that are numbered at once.
_AT_ONCE = 1 << 20


@arguments.checked
def class_indices(
    ids: arguments.Tensor, where: str = "labels"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number classes from 0 in the sorted order of their ids.

    Args:
        ids: Whole numbers ≥ 0 of any size, booleans or strings, [n] or [n, 1].
        where: What they are called in an error message.

    Returns:
        The numbers, int32 [n], and the names of the classes: `names[k]` is the id of class k,
        written out. `tf_febm` models take them as `class_names`.

    Raises:
        ValueError: The ids are of another kind or shape, or there are none; one line.
    """
    (labels,), names = numbered([checked_ids(ids, None, where)], where)
    return labels, names


def checked_ids(values, count: int | None, where: str) -> np.ndarray:
    """Return the ids of examples, integers, booleans or strings, [count], [n] if that is None.

    What else they are, [count, 1] but for that, is a ValueError that begins with `where`.
    """
    try:
        given = np.asarray(values)
        values = given[:, 0] if given.ndim == 2 and given.shape[1] == 1 else given
        values = np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values
    except ValueError as error:
        raise ValueError(
            f"{where}: labels must be a flat list, of UTF-8 if they are bytes ({reason(error)})."
        ) from error
    kind = values.dtype.kind
    good = kind in "iubU" and values.ndim == 1 and len(values)
    if not good or (count is not None and len(values) != count):
        expected = "" if count is None else f" of shape [{count}], one per example"
        hint = ""
        if kind == "f":
            hint = "; if they are classes, round them to integers"
        elif values.ndim == 2 and kind in "iub" and count in (None, len(values)):
            hint = "; of one-hot rows take the argmax"
        # "Integers" first: what nearly all files hold.
        raise ValueError(
            f"{where}: labels must be integers{expected} (or booleans or strings); received "
            f"{given.dtype} {list(given.shape)}{hint}."
        )
    if kind in "iu" and int(values.min()) < 0:
        raise ValueError(
            f"{where}: labels must be whole numbers ≥ 0, booleans or strings; received "
            f"{values.min()} to {values.max()}. Leave out examples without a class; other negative "
            "ids may be given as strings."
        )
    return values


def checked_labels(values, count: int, num_classes: int, where: str) -> np.ndarray:
    """Return labels of a data set with classes of its own, int32 [count], below `num_classes`.

    The other arguments and errors are those of `checked_ids`.
    """
    values = checked_ids(values, count, where)
    low, high = values.min(), values.max()
    if values.dtype.kind not in "iu" or high >= num_classes:
        raise ValueError(
            f"{where}: labels must be in [0, {num_classes}); received {low} to {high}."
        )
    return values.astype(np.int32)


def numbered(parts: Sequence[np.ndarray], where: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Return int32 numbers of the ids of several splits, from 0 in sorted order, and all names."""
    if len({part.dtype.kind == "U" for part in parts}) > 1:
        kinds = " and ".join(dict.fromkeys(str(part.dtype) for part in parts))
        raise ValueError(f"{where}: labels of all splits must be of one kind; received {kinds}.")
    own = [np.unique(part) for part in parts]
    # Of Python's objects: numpy has no common type for int64 and uint64.
    known = sorted({value for values in own for value in values.tolist()})
    rows = {value: row for row, value in enumerate(known)}
    labels = []
    for part, values in zip(parts, own, strict=True):
        numbers = np.array([rows[value] for value in values.tolist()], np.int32)
        found = np.empty(len(part), np.int32)
        # Some at a time: places are numbers of 64 bits.
        for start in range(0, len(part), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            found[some] = numbers[np.searchsorted(values, part[some])]
        labels.append(found)
    return labels, tuple(map(str, known))


def check_names(names, num_classes) -> tuple[str, ...] | None:
    """Return the names of classes, or None where there are no classes."""
    if names is None:
        return None if num_classes is None else tuple(map(str, range(num_classes)))
    names = tuple(arguments.NAMES.check("class_names", names))
    if num_classes is None:
        raise ValueError(
            f"class_names are for what has classes, with num_classes; received {len(names)} names."
        )
    if len(names) != num_classes or len(set(names)) != num_classes:
        raise ValueError(
            f"class_names must be {num_classes} different names, one a class; received "
            f"{len(names)}, {len(set(names))} of them different."
        )
    return names


def warn_of_empty(labels: np.ndarray, names: Sequence[str], source: str) -> None:
    """Warn of classes that no example has: a conditional model learns nothing of them."""
    counts = np.bincount(labels, minlength=len(names))
    empty = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if empty:
        warnings.warn(
            f"{source}: no examples of {listed(empty)} among its {len(names)} "
            "classes; a conditional model would draw them all the same.",
            stacklevel=3,
        )


def listed(names: Sequence[str]) -> str:
    """Name the first few in a message, and count the rest."""
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
