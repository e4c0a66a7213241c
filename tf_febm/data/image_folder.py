"""Any folder of image files; sub-folders may be the splits, and the classes."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_febm.data.classes import listed, numbered
from tf_febm.data.files import Split, entries, every_tenth, rows_of_split
from tf_febm.data.images import SUFFIXES, are_all_grey, decode_images, find_images

LAYOUTS = (
    f"a folder with images ({', '.join(SUFFIXES)}) at any depth; if all of them are in "
    "sub-folders, these are the classes, or train/ and test/ or val/ with the classes in them"
)
# What people call the folders of splits, in small letters; the first of those for the test that is
# there is read.
_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation")


class _Part(NamedTuple):
    """The files of a split.

    Attributes:
        root: Their folder, for messages.
        files: The files.
        classes: The class of each, or None where some file has none.
    """

    root: Path
    files: list[Path]
    classes: np.ndarray | None


def read(path: Path, split: str, image_size: int) -> Split | None:
    """Read a split of a folder of images, or return None where there is none.

    If folders of one level are called train (or training) and test, val, dev and the like, in any
    case, they are the splits, with the classes in them, above them or without: the test split is
    test/ if it is there, else val/ or what else there is, else every tenth file of train/. In other
    folders every tenth file (the 10th, 20th, …, in the order of their paths) is the test split, so
    adding files later moves the boundary.

    If no image lies directly in the folder, or in that of its split, the folder that directly holds
    an image is its class, by its path; otherwise there are no labels. The classes are those of both
    splits, numbered in sorted order. If all files are grey without transparency, of whatever depth,
    there is one channel, otherwise three.

    Files that cannot be decoded are skipped with a warning while they are at most 1 % of a split;
    that changes neither the split nor the class of any other file.

    Args:
        path: The folder.
        split: "train" or "test".
        image_size: Each image's largest centred square is averaged to this height and width.

    Raises:
        ValueError: More than 1 % of the files cannot be decoded, there are too few files to hold
            one out, or folders of splits stand beside others.
    """
    if path.is_file():
        return None
    files = find_images(path)
    if not files:
        return None
    parts, unused = _parts(path, files)
    own = parts.get(split, parts["train"])
    rows = np.arange(len(own.files))
    if "test" not in parts:
        rows = rows_of_split(every_tenth(len(own.files)), split, str(own.root))
    every = [file for part in parts.values() for file in part.files]
    decoded = decode_images([own.files[k] for k in rows], image_size, grey=are_all_grey(every))
    skipped = decoded.note(len(rows))
    source = f"{own.root}, {split}: {len(rows)} of {len(own.files)} image files{skipped}"
    if unused:
        source += f"; {', '.join(unused)} not read"
    if own.classes is None:
        return Split(decoded.images, None, None, source)
    labelled = {name: part for name, part in parts.items() if part.classes is not None}
    numbers, names = numbered([part.classes for part in labelled.values()], str(path))
    labels = numbers[list(labelled).index(split if split in parts else "train")]
    if split == "train":
        _warn_of_empty_folders(own)
    source = f"{source}, {len(names)} classes by sub-folder"
    return Split(decoded.images, labels[rows[decoded.rows]], len(names), source, names)


def _parts(path: Path, files: list[Path]) -> tuple[dict[str, _Part], list[str]]:
    """Return "train", and "test" where the folder has one, and the folders that are not read."""
    folders = [file.relative_to(path).parts[:-1] for file in files]
    level = _level_of_splits(path, folders)
    if level is None:
        return {"train": _part(path, files, folders)}, []
    names = sorted({folder[level] for folder in folders})
    train = [name for name in names if name.lower() in _TRAIN]
    tests = [name for name in names if name not in train]
    if len(train) > 1:
        raise ValueError(f"{path}: has several folders for training, {', '.join(train)}.")
    # A folder around the splits is no class; several are.
    above = {folder[:level] for folder in folders}
    root = path.joinpath(*above.pop()) if len(above) == 1 else path
    start = len(root.relative_to(path).parts)
    chosen = [train[0], *sorted(tests, key=lambda name: _TEST.index(name.lower()))]
    parts = {}
    for key, name in zip(("train", "test"), chosen, strict=False):
        rows = [k for k, folder in enumerate(folders) if folder[level] == name]
        classes = [folders[k][start:level] + folders[k][level + 1 :] for k in rows]
        place = root / name if start == level else root
        parts[key] = _part(place, [files[k] for k in rows], classes)
    return parts, [f"{name}/" for name in chosen[2:]]


def _level_of_splits(path: Path, folders: list[tuple[str, ...]]) -> int | None:
    """Return the level at which all folders have the names of splits, one of them of training."""
    for level in range(min(map(len, folders))):
        names = {folder[level] for folder in folders}
        known = {name for name in names if name.lower() in _TRAIN + _TEST}
        if known == names and any(name.lower() in _TRAIN for name in names):
            return level
    # A lone class may be called "train": two names of splits together mean splits.
    tops = {folder[0] if folder else "" for folder in folders}
    train, tests = ([n for n in sorted(tops) if n.lower() in kind] for kind in (_TRAIN, _TEST))
    others = [n or "images of its own" for n in sorted(tops - {*train, *tests})]
    if (train and tests) or (tests and not others):
        raise ValueError(
            f"{path}: has folders of splits, {', '.join(train + tests)}, beside "
            f"{listed(others) if others else 'no training one'}; keep train/ and test/ or val/ "
            "alone, or name the folder of one split."
        )
    return None


def _part(root: Path, files: list[Path], classes: list[tuple[str, ...]]) -> _Part:
    names = None if () in classes else np.array(["/".join(folder) for folder in classes])
    return _Part(root, files, names)


def _warn_of_empty_folders(part: _Part) -> None:
    """Warn of folders beside those of the classes that hold no images."""
    known = {file.relative_to(part.root).parts[0] for file in part.files}
    empty = [e.name for e in entries(part.root) if e.is_dir() and e.name not in known]
    if empty:
        warnings.warn(
            f"{part.root}: no images that can be read in {listed(empty)}; a class of that name "
            "does not exist.",
            stacklevel=2,
        )
