"""Folders of image files, whose sub-folders may be splits and classes."""

import itertools
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_febm.data import split_names
from tf_febm.data.classes import listed, numbered
from tf_febm.data.files import Reader, Split, entries, every_tenth, rows_of_split
from tf_febm.data.images import SUFFIXES, are_all_grey, decode_images, find_images

__all__ = ["FOLDER", "read"]

# What `load` takes as `subfolders`.
MEANINGS = ("splits", "classes")


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


def read(path: Path, split: str, image_size: int, subfolders: str | None = None) -> Split | None:
    """Read a split of a folder of images, or return None where there is none.

    If the folders of one level are called as splits are, they are that, with the classes in them,
    above them or without: the test split is test/ if it is there, else val/ or what else there is,
    else every tenth file of train/. How names may be spelt, and what is asked about, stands in
    `split_names`. In other folders every tenth file (the 10th, 20th, …, in the order of their
    paths) is the test split, so adding files later moves the boundary.

    If no image lies directly in the folder, or in that of its split, the folder that directly holds
    an image is its class, by its path; otherwise there are no labels. The classes are those of both
    splits, numbered in sorted order. Folders of masks and the like beside those of the pictures
    are no classes, and are left out with a warning. If all files are grey without transparency, of
    whatever depth, there is one channel, otherwise three.

    Files that cannot be decoded are skipped with a warning while they are at most 1 % of a split;
    that changes neither the split nor the class of any other file.

    Where `subfolders` is "splits", those that are called so are that whatever is beside them, which
    is not read; where it is "classes", no folder is a split.
    """
    if subfolders is not None and subfolders not in MEANINGS:
        raise ValueError(
            f"subfolders must be one of {', '.join(MEANINGS)} or None; received {subfolders!r}."
        )
    if path.is_file():
        return None
    files = find_images(path)
    if not files:
        return None
    parts, unused = _parts(path, files, subfolders, warn=split == "train")
    own = parts.get(split, parts["train"])
    rows = np.arange(len(own.files))
    if "test" not in parts:
        rows = rows_of_split(every_tenth(len(own.files)), split, str(own.root))
    every = [file for part in parts.values() for file in part.files]
    decoded = decode_images([own.files[k] for k in rows], image_size, grey=are_all_grey(every))
    source = f"{own.root}, {split}: {len(rows)} of {len(own.files)} image files{decoded.note}"
    if unused:
        source += f"; {', '.join(f'{name}/' for name in unused)} not read"
    if own.classes is None:
        return Split(decoded.images, None, None, source)
    labelled = {name: part for name, part in parts.items() if part.classes is not None}
    numbers, names = numbered([part.classes for part in labelled.values()], str(path))
    labels = numbers[list(labelled).index(split if split in parts else "train")]
    if split == "train":
        _warn_of_empty_folders(own, files)
    source = f"{source}, {len(names)} classes by sub-folder"
    return Split(decoded.images, labels[rows[decoded.rows]], len(names), source, names)


def _parts(path, files, subfolders, warn) -> tuple[dict[str, _Part], list[str]]:
    """Return "train", and "test" where the folder has one, and the folders that are not read."""
    folders = [file.relative_to(path).parts[:-1] for file in files]
    beside, pictures = _beside_pictures(folders) if subfolders != "classes" else (set(), set())
    if beside:
        kept = [k for k, folder in enumerate(folders) if not beside & set(enumerate(folder))]
        names = sorted({name for _, name in beside})
        if warn:
            warnings.warn(
                f"{path}: {listed(names)} seem to belong to the pictures in "
                f"{listed(sorted({name or '.' for _, name in pictures}))}, and are not read; "
                "subfolders='classes' (--subfolders=classes) reads them too.",
                stacklevel=2,
            )
        files, folders = [files[k] for k in kept], [folders[k] for k in kept]
    unused = sorted({name for _, name in beside})
    levels = set()
    if subfolders != "classes":
        # What only says that pictures are in it is no class.
        at = enumerate(_names_by_level(folders))
        levels = {k for k, names in at if split_names.say_pictures(names - {""})}
    level, start = _level_of_splits(path, folders, subfolders), 0

    def class_of(folder, own):
        named = (own[name] if k == level else (name,) for k, name in enumerate(folder))
        kept = (name for k, name in enumerate(named) if k >= start and k not in levels)
        return "/".join(itertools.chain(*kept))

    def part_of(root, rows, own=None):
        classes = [class_of(folders[k], own) for k in rows]
        return _Part(root, [files[k] for k in rows], np.array(classes) if all(classes) else None)

    if level is None:
        return {"train": part_of(path, range(len(files)))}, unused
    inside = [folder for folder in folders if len(folder) > level]
    found = split_names.choose(folder[level] for folder in inside)
    # A folder around the splits is no class; several are.
    above = {folder[:level] for folder in inside}
    root = path.joinpath(*above.pop()) if len(above) == 1 else path
    start = len(root.relative_to(path).parts)
    parts = {}
    for key, own in (("train", found.train), ("test", found.test)):
        rows = [k for k, f in enumerate(folders) if len(f) > level and f[level] in own]
        if rows:
            place = root / next(iter(own)) if start == level and len(own) == 1 else root
            parts[key] = part_of(place, rows, own)
    return parts, [*found.unused, *unused]


def _names_by_level(folders) -> list[set[str]]:
    """Return the names of the folders of each level; "" stands for images outside of them."""
    depth = max(map(len, folders))
    return [{f[k] if len(f) > k else "" for f in folders} for k in range(depth)]


def _beside_pictures(folders) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
    """Return (level, name) of folders that hold masks and the like, and of those beside them."""
    beside, pictures = set(), set()
    for level, names in enumerate(_names_by_level(folders)):
        others = split_names.beside_pictures(names)
        beside |= {(level, name) for name in others}
        if others:
            pictures |= {(level, name) for name in names - others}
    return beside, pictures


def _level_of_splits(path, folders, subfolders) -> int | None:
    """Return the level of the folders of splits, or None where there are none."""
    if subfolders == "classes":
        return None
    alone = None
    levels = _names_by_level(folders)
    if subfolders == "splits":
        # Words that only may be of splits, such as "tr", where there are no others.
        for perhaps in (False, True):
            for level, names in enumerate(levels):
                if any(split_names.split_name(name, perhaps).trains for name in names):
                    return level
    for level, names in enumerate(levels if subfolders is None else []):
        trains = {name for name in names if split_names.split_name(name).trains}
        verdict = split_names.judged(names)
        if verdict == split_names.CLASSES and _share_folders(folders, level, trains):
            verdict = split_names.DOUBT
        if verdict == split_names.SPLITS:
            return level
        if verdict == split_names.DOUBT:
            raise ValueError(f"{path}: {_question(names)}")
        if verdict == split_names.TRAINING_ALONE and alone is None:
            # Unless there are splits further down.
            alone = level
    if subfolders == "splits":
        raise ValueError(
            f"{path}: subfolders='splits' needs one called train; received "
            f"{listed(sorted({name for folder in folders for name in folder[:1]})) or 'none'}."
        )
    return alone


def _share_folders(folders, level, trains) -> bool:
    """Whether a folder called train and one that is called otherwise have the same classes."""
    below: dict[str, set[str]] = {}
    for folder in folders:
        if len(folder) > level + 1:
            below.setdefault(folder[level], set()).add(folder[level + 1])
    plain = [name for name in trains if not split_names.split_name(name).own]
    return any(
        len(below.get(one, set()) & inside) > 1
        for one in plain
        for other, inside in below.items()
        if other != one
    )


def _question(names: set[str]) -> str:
    """Say what was seen where it is not clear whether folders are splits, and how to say it."""
    parts = split_names.read(sorted(names))
    train = [part.name for part in parts if part.trains]
    tests = [part.name for part in parts if part.word and not part.trains]
    others = [part.name or "images of its own" for part in parts if not part.word]
    shown = ", ".join((train + tests)[:8])
    if others or not train:
        what = f"has folders of splits, {shown}, beside "
        what += listed(others) if others else "no training one"
    elif len(train) > 1:
        what = f"has several folders for training, {', '.join(train[:8])}"
    else:
        what = f"has folders that may be splits or classes, {shown}"
    return (
        f"{what}; keep train/ and test/ or val/ alone, name the folder of one split, or say what "
        "they are: subfolders='splits' or subfolders='classes' (--subfolders=splits or classes)."
    )


def _warn_of_empty_folders(part: _Part, files: list[Path]) -> None:
    """Warn of folders beside those of the classes that hold no images."""
    known = {f.relative_to(part.root).parts[0] for f in files if f.is_relative_to(part.root)}
    empty = [e.name for e in entries(part.root) if e.is_dir() and e.name not in known]
    if empty:
        warnings.warn(
            f"{part.root}: no images that can be read in {listed(empty)}; a class of that name "
            "does not exist.",
            stacklevel=2,
        )


FOLDER = Reader(
    f"a folder with images ({', '.join(SUFFIXES)}) at any depth; if all of them are in "
    "sub-folders, these are the classes, or train/ and test/ or val/ with the classes in them",
    read,
    default_size=32,
    takes=("subfolders",),
)
