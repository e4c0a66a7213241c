"""State of each replica in a checkpoint: its replay buffer and its singular vectors.

Those of the first worker's replicas are in TensorFlow's own file, as groups `buffer`, `buffer_1`,
…; every other worker writes a file of its own, `step-n.worker-k.npz`, with the same names.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_febm import untrusted_files
from tf_febm.files import write_atomically
from tf_febm.training.resharding import reshard
from tf_febm.training.stored_variables import VALUE, is_own, kind_and_number

__all__ = [
    "assign",
    "groups_in",
    "read",
    "worker_file",
    "write",
]

_NAMES = {"buffer": "replay buffers", "directions": "singular vectors"}


def worker_file(step: int, number: int) -> str:
    """Return the name of the file of a worker, from 1, in the checkpoint of a step."""
    return f"step-{step}.worker-{number}.npz"


def write(path: Path, groups: dict[str, list[tf.Variable]]) -> None:
    """Write the groups of this worker, unless there are none."""
    if not groups:
        return
    arrays = {
        f"{name}/{i}": variable.numpy()
        for name, group in groups.items()
        for i, variable in enumerate(group)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: np.savez(file, **arrays))


def groups_in(path: str, files: Iterable[str]) -> set[str]:
    """Return the groups of a checkpoint, if one process wrote all of it; else none.

    Args:
        path: Prefix of TensorFlow's files.
        files: Names of all of its files.
    """
    if any(name.endswith(".npz") for name in files):
        return set()
    names = (name.partition("/")[0] for name, _ in tf.train.list_variables(path))
    return {group for group in names if is_own(group)}


def read(path: str, folder: Path, files: Iterable[str]) -> dict[str, list[list[np.ndarray]]]:
    """Return what all replicas have for themselves: kind -> the variables of each, in order.

    Args:
        path: Prefix of TensorFlow's files.
        folder: Where the checkpoint is.
        files: Names of all of its files.
    """
    reader = tf.train.load_checkpoint(path)
    found: dict[str, dict[int, np.ndarray]] = {}
    for key in reader.get_variable_to_shape_map():
        group, _, rest = key.partition("/")
        if is_own(group) and key.endswith(VALUE):
            found.setdefault(group, {})[int(rest.split("/")[0])] = reader.get_tensor(key)
    for name in files:
        if name.endswith(".npz"):
            for key, array in untrusted_files.read_arrays(folder / name).items():
                group, _, number = key.partition("/")
                found.setdefault(group, {})[int(number)] = array
    parts: dict[str, list] = {}
    for group in sorted(found, key=kind_and_number):
        arrays = [found[group][i] for i in sorted(found[group])]
        parts.setdefault(kind_and_number(group)[0], []).append(arrays)
    return parts


def assign(
    groups: dict[str, list[tf.Variable]], stored: dict[str, list[list[np.ndarray]]], present: int
) -> str | None:
    """Give this process's replicas their own variables, or a share of what others left.

    Args:
        groups: Of the replicas of this process.
        stored: As `read` returned it; changed.
        present: Number of replicas of all processes.

    Returns:
        What was distributed to another number of replicas, for people; None if nothing was.
    """
    moved = sorted(kind for kind, parts in stored.items() if len(parts) != present)
    told = None
    if moved:
        count = len(stored[moved[0]])
        what = " and ".join(_NAMES[kind] for kind in moved)
        told = f"The {what} of {count} replicas were distributed to {present}."
    for name, group in groups.items():
        kind, number = kind_and_number(name)
        if kind == "buffer" and len(stored[kind]) != present:
            stored[kind] = reshard(stored[kind], present, group[-2].shape[0])
        # Starts of an iteration fit any replica.
        values = stored[kind][number % len(stored[kind])]
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)
    return told
