"""Keys of archives: examples or labels, and of which split, however that is spelt."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tf_febm import arguments, untrusted_files
from tf_febm.data.files import only_file
from tf_febm.data.split_names import words

__all__ = ["Chosen", "Key", "choose", "holds_vectors", "read_key"]

# Of examples, the first of which is taken; `np.savez` calls what has no name arr_0.
_EXAMPLES = (
    "x", "xs", "images", "image", "imgs", "img", "samples", "sample", "data", "features",
    "feature", "inputs", "input", "vectors", "vector", "arr",
)  # fmt: skip
_LABELS = (
    "y", "ys", "labels", "label", "lbls", "lbl", "targets", "target", "class", "category",
    "categories",
)  # fmt: skip
_FILLERS = ("set", "dataset", "split", "array")
# What of these words splits are called in keys, as one of them each. Others say what a model gave.
_SPLITS = {
    **dict.fromkeys(("train", "training", "trn", "tr"), "train"),
    **dict.fromkeys(("test", "testing", "tests", "tst", "te", "ts"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "va"), "val"),
    **dict.fromkeys(("holdout", "heldout"), "holdout"),
    "dev": "dev",
    "eval": "eval",
    "evaluation": "eval",
    "unseen": "unseen",
}
# The first of these that is there is the test split.
_HELD_OUT = ("test", "val", "dev", "holdout", "eval", "unseen")
# These are examples even where the key says nothing else; "valid" may be a mask.
_ALONE = ("train", "training", "test", "testing", "val", "validation", "holdout")
_KNOWN = frozenset((*_EXAMPLES, *_LABELS, *_SPLITS, *_FILLERS))


class Key(NamedTuple):
    """What a key says.

    Attributes:
        key: The key.
        split: "train" or one of those that are held out, or None.
        kind: Its word for what it holds; "" where it is the word for a split alone, or None.
        rest: What else is in it, in small letters.
    """

    key: str
    split: str | None
    kind: str | None
    rest: tuple[str, ...]


def read_key(key: str) -> Key:
    """Read a key of an archive."""
    found = [word.lower() for word in words(key, _KNOWN)]
    roles = [word for word in found if word in _SPLITS]
    splits = {_SPLITS[word] for word in roles}
    # "test_data_labels" holds labels.
    kinds = [w for w in found if w in _LABELS] or [w for w in found if w in _EXAMPLES]
    rest = [w for w in found if w not in _KNOWN]
    if kinds == ["arr"] and rest == ["0"]:
        rest = []
    if len(splits) > 1:
        return Key(key, None, kinds[0] if kinds else None, (*rest, *roles))
    kind = kinds[0] if kinds else "" if roles and roles[0] in _ALONE and not rest else None
    return Key(key, splits.pop() if splits else None, kind, tuple(rest))


class Chosen(NamedTuple):
    """Which arrays of an archive are read.

    Attributes:
        splits: "train", and "test" where there is one -> (key of the examples, key of the labels).
        examples: The keys of all examples of either split or of others that are held out.
        unused: The keys of all else.
    """

    splits: dict[str, tuple[str, str | None]]
    examples: list[str]
    unused: list[str]


def choose(keys: Iterable[str]) -> Chosen | None:
    """Choose the arrays of both splits by their keys, or return None if none holds examples.

    The examples for training are called so, or else of no split; `images` and `x_train` come before
    keys with something of their own, as `x_train_scaled`, which their test split then has too.
    """
    parts = [read_key(key) for key in keys]
    examples = [part for part in parts if part.kind == "" or part.kind in _EXAMPLES]
    train = (
        _first([p for p in examples if p.split == "train" and p.kind])
        or _first([p for p in examples if not p.split and not p.rest])
        or _first([p for p in examples if p.split == "train"])
    )
    if train is None:
        return None
    held_out = [p for p in examples if p.split in _HELD_OUT and p.rest == train.rest]
    splits = {"train": (train.key, _labels_of(train, parts))}
    test = _first(held_out)
    if test is not None:
        splits["test"] = (test.key, _labels_of(test, parts))
    read = {key for pair in splits.values() for key in pair}
    unused = [part.key for part in parts if part.key not in read]
    return Chosen(splits, [train.key, *(part.key for part in held_out)], unused)


def holds_vectors(path: arguments.Path) -> bool:
    """Whether the examples of an archive are vectors [n, d]; no array is read.

    Args:
        path: The file, or a folder with exactly one. False is returned of what cannot be read:
            whoever reads it says why.
    """
    with (
        contextlib.suppress(Exception),
        untrusted_files.ArrayFile(only_file(Path(path), (".npz",))) as file,
    ):
        return len(file.header(choose(file.keys).examples[0]).shape) == 2
    return False


def _first(parts: list[Key]) -> Key | None:
    """Return the first of keys, in the order of what they say."""

    def order(part):
        split = _HELD_OUT.index(part.split) if part.split in _HELD_OUT else 0
        kind = _EXAMPLES.index(part.kind) if part.kind else len(_EXAMPLES)
        return len(part.rest), split, kind

    found = sorted(parts, key=order)
    if len(found) > 1 and order(found[0]) == order(found[1]):
        raise ValueError(
            f"the keys {found[0].key!r} and {found[1].key!r} say the same; leave one of them out"
        )
    return found[0] if found else None


def _labels_of(examples: Key, parts: list[Key]) -> str | None:
    """Return the key of the labels of examples, or None."""
    fitting = [p for p in parts if p.kind in _LABELS and p.rest in ((), examples.rest)]
    of_split = [p for p in fitting if p.split == examples.split]
    if not of_split and examples.split not in _HELD_OUT:
        of_split = [p for p in fitting if p.split not in _HELD_OUT]
    found = sorted(of_split, key=lambda p: (p.rest != examples.rest, _LABELS.index(p.kind)))
    return found[0].key if found else None
