"""The files of one checkpoint: in place whole or not at all, with the checksum of each.

A checkpoint of step n is `step-n.data-…`, `step-n.json`, its manifest, and `step-n.index`, which
comes last: without it the others count for nothing.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from tf_febm.files import write_json

__all__ = [
    "DamagedError",
    "place",
    "read_manifest",
    "remove",
    "steps_in",
    "verify",
    "working_folder",
]

_INDEX = re.compile(r"step-(\d+)\.index")
_WORKING = ".saving"
_BLOCK = 1 << 20


class DamagedError(OSError):
    """A checkpoint is not what was written."""


def steps_in(folder: Path) -> list[int]:
    """Return the steps of the complete checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = (_INDEX.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match.group(1)) for match in found if match)


@contextlib.contextmanager
def working_folder(folder: Path) -> Iterator[Path]:
    """Make a folder for files that are being written, and remove it and all that is left in it.

    What a killed process left there goes as well.

    Args:
        folder: Where the checkpoints are; made if it is not there.

    Yields:
        The working folder, on the same file system, so that files can be moved in one step.
    """
    working = folder / _WORKING
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        yield working
    finally:
        shutil.rmtree(working, ignore_errors=True)


def place(working: Path, folder: Path, step: int, facts: dict, others=()) -> None:
    """Move a checkpoint from its working folder to its place, in an order that is safe to break.

    All files are on the disk before any has its name; an older checkpoint of the same step gives
    way before the first one moves, and the index moves last.

    Args:
        working: Holds the files that TensorFlow wrote.
        folder: Where the checkpoints are.
        step: Its number.
        facts: What else the manifest shall hold, JSON values.
        others: Files of the checkpoint that are in place already: those of other workers.
    """
    files = sorted(path for path in working.iterdir() if path.is_file())
    sums = {
        path.name: {"bytes": path.stat().st_size, "sha256": _checksum(path)}
        for path in (*files, *others)
    }
    for path in files:
        _sync(path)
    manifest = working / f"step-{step}.json"
    write_json(manifest, {**facts, "step": step, "files": sums})
    (folder / f"step-{step}.index").unlink(missing_ok=True)
    index = working / f"step-{step}.index"
    for path in [*(path for path in files if path != index), manifest, index]:
        os.replace(path, folder / path.name)
    _sync(folder)


def read_manifest(folder: Path, step: int) -> dict | None:
    """Return what the manifest of a checkpoint holds; None if it was written without one.

    Raises:
        DamagedError: If it cannot be read.
    """
    path = folder / f"step-{step}.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(manifest["files"], dict) or manifest["step"] != step:
            raise ValueError
        for facts in manifest["files"].values():
            int(facts["bytes"]), str(facts["sha256"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedError(f"its manifest {path.name} is damaged") from None
    return manifest


def verify(folder: Path, step: int) -> None:
    """Compare the files of a checkpoint with their checksums.

    A checkpoint from before there were manifests passes.

    Raises:
        DamagedError: If one is missing or has changed by a single bit; it says which.
    """
    manifest = read_manifest(folder, step)
    for name, facts in ({} if manifest is None else manifest["files"]).items():
        path = folder / name
        if not path.is_file():
            raise DamagedError(f"{name} is missing")
        size = path.stat().st_size
        if size != facts["bytes"]:
            raise DamagedError(f"{name} has {size} bytes where {facts['bytes']} were written")
        if _checksum(path) != facts["sha256"]:
            raise DamagedError(f"{name} has changed since it was written: its checksum differs")


def remove(folder: Path, step: int) -> None:
    """Remove a checkpoint, its index first."""
    (folder / f"step-{step}.index").unlink(missing_ok=True)
    for path in folder.glob(f"step-{step}.*"):
        path.unlink(missing_ok=True)


def _checksum(path: Path) -> str:
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
