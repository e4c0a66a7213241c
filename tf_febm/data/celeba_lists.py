"""The lists beside CelebA's pictures: attributes, and which split a picture belongs to."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tf_febm import untrusted_files
from tf_febm.data.classes import listed
from tf_febm.data.files import reading

__all__ = ["attributes", "beside", "labels_of", "partition", "split_of"]

# Sub-folder in which they are distributed; Kaggle's copies have them as .csv.
_FOLDERS = ("", "Anno", "Eval", "..", "../Anno", "../Eval", "../..", "../../Anno", "../../Eval")
_SUFFIXES = (".txt", ".csv")


def beside(folder: Path, stem: str) -> Path | None:
    """Return a list that belongs to a folder of pictures, or None where there is none."""
    places = (folder / place / f"{stem}{suffix}" for place in _FOLDERS for suffix in _SUFFIXES)
    return next((file for file in places if file.is_file()), None)


def partition(file: Path) -> dict[str, int]:
    """Return the split of each picture by its name: 0 training, 1 validation, 2 test."""
    found = {}
    for number, (name, *values) in _lines(file):
        if number == 1 and values == ["partition"]:
            continue
        if len(values) != 1 or values[0] not in ("0", "1", "2"):
            raise ValueError(
                f"{file}, line {number}: a line has a name and 0, 1 or 2; received "
                f"{' '.join([name, *values])[:80]!r}."
            )
        found[name] = int(values[0])
    return found


def attributes(file: Path, wanted: str) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the class of each picture by its name, and the names of the classes.

    Args:
        file: list_attr_celeba.txt or .csv.
        wanted: Names of k attributes with commas between. Class j has attribute i where bit
            k − 1 − i of j is set, so that of one attribute 0 is without and 1 with it.

    Raises:
        ValueError: An attribute is not in the file, or a line is not what it should be.
    """
    names = [name.strip() for name in wanted.split(",")]
    lines = _lines(file)
    empty: tuple[int, list[str]] = (0, [])
    _, header = next(lines, empty)
    if len(header) == 1 and header[0].isdigit():
        # The number of pictures.
        _, header = next(lines, empty)
    header = header[1:] if header and header[0] == "image_id" else header
    unknown = [name for name in names if name not in header]
    if unknown or len(set(names)) != len(names) or len(names) > 8:
        raise ValueError(
            f"label_attribute must name one to eight attributes of {file}, "
            f"{', '.join(header[:50])}; received {wanted!r}."
        )
    places = [header.index(name) for name in names]
    found = {}
    for number, (name, *values) in lines:
        if len(values) != len(header) or any(values[k] not in ("1", "-1", "0") for k in places):
            raise ValueError(
                f"{file}, line {number}: a line has a name and {len(header)} numbers, 1 or -1; "
                f"received {len(values)}."
            )
        bits = "".join("1" if values[k] == "1" else "0" for k in places)
        found[name] = int(bits, 2)
    return found, tuple(_class_name(names, k) for k in range(2 ** len(names)))


def split_of(files: list[Path], parts: dict[str, int], split: str) -> np.ndarray:
    """Return the rows of the files that a list says are of a split, ascending.

    Files without a line are left out, and so is the validation split.
    """
    part = {"train": 0, "test": 2}[split]
    return np.array([k for k, f in enumerate(files) if parts.get(_key(f, parts)) == part], int)


def labels_of(files: list[Path], classes: dict[str, int], where: Path) -> np.ndarray:
    """Return the class of each file, int32 [n].

    Raises:
        ValueError: Some have none.
    """
    missing = [file.name for file in files if _key(file, classes) is None]
    if missing:
        raise ValueError(f"{where} has no line for {listed(missing)}.")
    return np.array([classes[_key(file, classes)] for file in files], np.int32)


def _key(file: Path, known: dict[str, int]) -> str | None:
    """Return the name of a picture in a list; PNG copies are listed as JPEG."""
    names = (file.name, f"{file.stem}.jpg")
    return next((name for name in names if name in known), None)


def _class_name(names: list[str], number: int) -> str:
    bits = f"{number:0{len(names)}b}"
    return "+".join(n if b == "1" else f"not {n}" for n, b in zip(names, bits, strict=True))


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (number, fields) of the lines that are not empty."""
    with reading(file, "not a readable list of CelebA"):
        text = untrusted_files.read_bytes(file).decode("utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.replace(",", " ").split()
        if fields:
            yield number, fields
