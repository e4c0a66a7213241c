"""Cache of arrays in files named by what they depend on."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tf_febm import untrusted_files
from tf_febm.evaluation.feature_network import one_line
from tf_febm.files import write_atomically

__all__ = ["cached_arrays"]


def cached_arrays(path: Path, compute: Callable[[], dict], check: Callable[[dict], None]) -> dict:
    """Read arrays from a file, or compute them and write it, whole or not at all.

    Args:
        path: Ends in .npz; its folder is made if it is missing.
        compute: () -> name -> array.
        check: Raises an exception unless arrays are such as `compute` returns.

    Returns:
        Name -> array.

    Raises:
        OSError: The file can not be written; it names the path.

    Warns:
        UserWarning: The file is damaged; it is computed and written anew.
    """
    if path.exists():
        try:
            arrays: dict = untrusted_files.read_arrays(path)
            check(arrays)
            return arrays
        except Exception as error:
            # Bits that are wrong make NumPy and zipfile raise almost anything.
            warnings.warn(
                f"The cached arrays {path} are damaged ({one_line(error)}); computing them anew.",
                stacklevel=3,
            )
    arrays = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: np.savez(file, **arrays))
    return arrays
