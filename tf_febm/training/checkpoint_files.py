"""The files of one checkpoint: in place whole or not at all, with the checksum of each.

A checkpoint of step n is `step-n.data-…`, `step-n.json`, its manifest, and `step-n.index`, which
comes last: without it the others count for nothing.
"""

import contextlib
import hashlib
import itertools
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tf_febm.untrusted_files import DamagedError, opened, read_record, records, write_record

__all__ = [
    "DamagedError",
    "forget_return",
    "place",
    "read_manifest",
    "read_return",
    "remove",
    "remove_leftovers",
    "set_aside",
    "steps_in",
    "unfinished",
    "verify",
    "working_folder",
    "write_return",
]

_INDEX = re.compile(r"step-(\d+)\.index")
_MANIFEST_NAME = re.compile(r"step-(\d+)\.json")
# Names of the files of a step, as TensorFlow and `replica_state.worker_file` give them.
_FILE = re.compile(r"step-(\d+)\.(?:index|data-\d+-of-\d+|worker-\d+\.npz)")
_OF_STEP = re.compile(r"step-(\d+)\.")
_WORKING = ".saving"
_ASIDE = "abandoned"
_RETURN = "returned.json"
_BLOCK = 1 << 20


def _notes(value) -> None:
    """Check the notes of a checkpoint: those of the guard are numbers, and a list of returns."""
    records.mapping()(value)
    for name, check in _NOTES.items():
        if name in value:
            check(value[name])


def _step(value) -> None:
    """Check a step that may be -1, which stands for none."""
    if value != -1 or type(value) is not int:
        records.whole(value)


def _files(value) -> None:
    """Check the files of a checkpoint: name -> length and checksum."""
    records.mapping()(value)
    for name, facts in value.items():
        records.plain_name(name)
        records.mapping()(facts)
        if facts.keys() != {"bytes", "sha256"}:
            raise ValueError(f"{name} has not the facts bytes and sha256")
        records.whole(facts["bytes"])
        if not re.fullmatch("[0-9a-f]{64}", str(facts["sha256"])):
            raise ValueError(f"{name} has no checksum")


def check_segments(value) -> None:
    """Check rows of the options of training, each with the step from which on they were those."""
    records.listing(records.mapping())(value)
    for row in value:
        if "from" not in row:
            raise ValueError("a row does not say from which step on")
        records.whole(row["from"])
        records.mapping(records.mapping())({k: v for k, v in row.items() if k != "from"})


_NOTES = {
    "rate_scale": records.number,
    "usual_gap": records.number,
    "ended": _step,
    "skip": records.whole,
    "rollbacks": records.listing(records.mapping()),
}
_MANIFEST = {
    "step": records.Field(records.whole),
    "files": records.Field(_files),
    "metrics": records.Field(records.mapping(records.number), needed=False),
    "notes": records.Field(_notes, needed=False),
    "history": records.Field(check_segments, needed=False),
    "replicas": records.Field(records.whole, needed=False),
    "returns": records.Field(records.whole, needed=False),
    "skipped": records.Field(records.whole, needed=False),
}
_RETURNED = {
    "step": records.Field(records.whole),
    "notes": records.Field(_notes),
    "seed": records.Field(records.listing(records.whole, 2)),
    "returns": records.Field(records.whole),
}


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


def place(working: Path, folder: Path, step: int, facts: dict, others: Any = ()) -> None:
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
    write_record(manifest, {**facts, "step": step, "files": sums})
    (folder / f"step-{step}.index").unlink(missing_ok=True)
    index = working / f"step-{step}.index"
    for path in [*(path for path in files if path != index), manifest, index]:
        os.replace(path, folder / path.name)
    _sync(folder)


def unfinished(folder: Path, after: int) -> list[int]:
    """Return the steps after another of which there is a manifest and no index, oldest first."""
    whole = {*steps_in(folder)}
    found = (_MANIFEST_NAME.fullmatch(path.name) for path in folder.glob("step-*.json"))
    steps = sorted(int(match.group(1)) for match in found if match)
    return [step for step in steps if step > after and step not in whole]


def read_manifest(folder: Path, step: int) -> dict:
    """Return what the manifest of a checkpoint holds.

    The files that it names are of this step and in this folder, its index and its data among them.

    Raises:
        DamagedError: It is missing, or is not one.
        OSError: It cannot be read at the moment.
    """
    path = folder / f"step-{step}.json"
    try:
        manifest = read_record(path, _MANIFEST, f"its manifest {path.name}")
    except FileNotFoundError:
        raise DamagedError(f"its manifest {path.name} is missing") from None
    files = manifest["files"]
    named = {name: _FILE.fullmatch(name) for name in files}
    foreign = sorted(n for n, match in named.items() if not match or match[1] != str(step))
    data = [name for name in files if name.startswith(f"step-{step}.data-")]
    if manifest["step"] != step or foreign or f"step-{step}.index" not in files or not data:
        what = f"it names {foreign[0]}" if foreign else "it is of another checkpoint, or of none"
        raise DamagedError(f"its manifest {path.name} is damaged ({what})")
    return manifest


def verify(folder: Path, step: int) -> None:
    """Compare the files of a checkpoint with their checksums.

    Raises:
        DamagedError: One is missing or has changed by a single bit; it says which.
        OSError: One cannot be read at the moment.
    """
    for name, facts in read_manifest(folder, step)["files"].items():
        path = folder / name
        try:
            about = path.lstat()
        except FileNotFoundError:
            raise DamagedError(f"{name} is missing") from None
        if not stat.S_ISREG(about.st_mode):
            raise DamagedError(f"{name} is no regular file of this folder")
        size = about.st_size
        if size != facts["bytes"]:
            raise DamagedError(f"{name} has {size} bytes where {facts['bytes']} were written")
        if _checksum(path) != facts["sha256"]:
            raise DamagedError(f"{name} has changed since it was written: its checksum differs")


def write_return(folder: Path, facts: dict) -> None:
    """Write down that training went back to an earlier step.

    Args:
        folder: Where the checkpoints are; made if it is not there.
        facts: `step`, `notes`, `seed`, and `returns`, how many there were; JSON values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder / _RETURN, facts)


def read_return(folder: Path) -> dict | None:
    """Return what `write_return` wrote, if no checkpoint was saved since.

    Raises:
        OSError: It cannot be read, or is not what was written.
    """
    path = folder / _RETURN
    try:
        return read_record(path, _RETURNED, str(path))
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise DamagedError(
            f"{error}: it says to which step training went back. Remove it to go on from the "
            "newest checkpoint."
        ) from None


def forget_return(folder: Path) -> None:
    """Remove what `write_return` wrote."""
    (folder / _RETURN).unlink(missing_ok=True)


def remove(folder: Path, step: int) -> None:
    """Remove a checkpoint, its index first."""
    (folder / f"step-{step}.index").unlink(missing_ok=True)
    for path in _files_of(folder, step):
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove files of checkpoints that never had an index, as a save that was cut short left them.

    Nobody may be saving meanwhile.
    """
    whole = {*steps_in(folder)}
    for path in folder.glob("step-*.*"):
        match = _OF_STEP.match(path.name)
        if match and int(match.group(1)) not in whole:
            path.unlink(missing_ok=True)


def set_aside(folder: Path, step: int) -> Path:
    """Move a checkpoint to a folder for those that no run goes on from, and return that."""
    name = f"step-{step}.index"
    # One of the same step, set aside before, stays.
    names = itertools.chain([_ASIDE], (f"{_ASIDE}_{number}" for number in itertools.count(2)))
    aside = next(folder / other for other in names if not (folder / other / name).exists())
    aside.mkdir(exist_ok=True)
    # A copy, the index last, before anything goes: whatever comes between, one of the two is whole.
    for path in sorted(_files_of(folder, step), key=lambda path: path.name == name):
        shutil.copy2(path, aside / path.name)
        _sync(aside / path.name)
    _sync(aside)
    remove(folder, step)
    return aside


def _files_of(folder: Path, step: int) -> list[Path]:
    """Return the files of a step. Not by `glob`, which keeps each pattern that it has met."""
    return [path for path in folder.glob("step-*.*") if path.name.startswith(f"step-{step}.")]


def _checksum(path: Path) -> str:
    found = hashlib.sha256()
    with opened(path) as file:
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
