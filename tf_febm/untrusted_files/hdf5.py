"""HDF5 files of others: read in a process of its own, and written anew.

The library that reads HDF5 crashes, or worse, on files that are made for it. So a child process
with limits of memory and time copies the arrays; what a caller opens is a file of the same arrays
that this process has written.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tf_febm import arguments
from tf_febm.untrusted_files import hdf5_child
from tf_febm.untrusted_files.archives import read_arrays
from tf_febm.untrusted_files.opening import allowed_bytes, limited, regular_size

__all__ = ["clean_copy"]

# What Python, NumPy and h5py take of addresses by themselves.
_OWN = 2 << 30
_GIB = 1 << 30
_SECONDS = 120


@contextlib.contextmanager
def clean_copy(path: arguments.Path) -> Iterator[Path]:
    """Give the path of a file with the groups, arrays and attributes of another, and no more.

    Args:
        path: An HDF5 file, which is read in another process.

    Yields:
        A temporary file of the same name.

    Raises:
        ValueError: It is no such file, holds links to others, is damaged, or takes more time or
            memory than the limits allow.
        OSError: It is not there, or cannot be read.
    """
    path = Path(path)
    most = allowed_bytes(regular_size(path))
    with tempfile.TemporaryDirectory() as folder:
        arrays = _copied(path, Path(folder) / "arrays.npz", most)
        # Keras knows the form by the ending.
        made = Path(folder) / path.name
        _write(made, arrays)
        del arrays
        yield made


def _copied(path: Path, archive: Path, most: int) -> dict[str, np.ndarray]:
    """Return what the child found."""
    command = [sys.executable, hdf5_child.__file__, str(path.resolve())]
    command += [str(4 * most + _OWN), str(_SECONDS)]
    # It finds what this process finds; more threads would only take addresses.
    settings = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OPENBLAS_NUM_THREADS": "1"}
    with open(archive, "wb") as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=_SECONDS,
                env={**os.environ, **settings},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ValueError(f"it takes more than {_SECONDS} seconds to read") from None
    if done.returncode < 0:
        raise ValueError(f"the process that read it ended by signal {-done.returncode}")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it cannot be read"]
        raise ValueError(lines[-1])
    with limited(max_gib=most / _GIB + 1):
        return read_arrays(archive)


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    import h5py

    tree = json.loads(arrays["index"].tobytes())
    with h5py.File(path, "w", track_order=True) as file:
        for entry in tree:
            name = entry["name"] or "/"
            if entry["array"] is not None:
                made = file.create_dataset(name, data=arrays[entry["array"]])
            else:
                made = file if name == "/" else file.create_group(name, track_order=True)
            for key, value in entry["attributes"].items():
                made.attrs[key] = arrays[value] if arrays[value].ndim else arrays[value][()]
