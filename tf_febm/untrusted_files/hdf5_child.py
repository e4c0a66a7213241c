"""Copy the arrays of an HDF5 file to an .npz, in a process of its own: see `hdf5`.

Run as a script with the path of the file and the limits of memory and seconds; the archive goes to
standard output, or one line to standard error. It imports nothing of this library, which takes
seconds.
"""

import io
import json
import os
import sys

__all__ = ["main"]


def main(path: str, memory: int, seconds: int) -> None:
    """Read everything and write it."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (memory, memory))
    except (ImportError, ValueError):  # Not on every system.
        pass
    import h5py
    import numpy as np

    tree: list[dict] = []
    arrays: dict[str, np.ndarray] = {}

    def keep(value, budget=memory // 4) -> str:
        array = np.asarray(value)
        if array.dtype == object:
            array = np.array([_bytes(entry) for entry in array.ravel()], "S").reshape(array.shape)
        elif array.dtype.kind == "U":
            array = np.char.encode(array, "utf-8")
        if array.dtype.kind not in "fiubS":
            raise ValueError(f"it holds values of type {array.dtype}")
        name = f"a{len(arrays)}"
        arrays[name] = array
        if sum(array.nbytes for array in arrays.values()) > budget:
            raise MemoryError
        return name

    def walk(group, name: str, depth: int) -> None:
        if depth > 16 or len(tree) > 100_000:
            raise ValueError("its groups are too many, or too deep")
        entry: dict = {"name": name, "array": None}
        if isinstance(group, h5py.Dataset):
            if group.external or group.is_virtual:
                raise ValueError(f"{name} takes its values from another file")
            if group.size * group.dtype.itemsize > memory // 4:
                raise MemoryError
            entry["array"] = keep(group[()])
        entry["attributes"] = {key: keep(group.attrs[key]) for key in group.attrs}
        tree.append(entry)
        if isinstance(group, h5py.Group):
            for key in group:
                if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                    raise ValueError(f"{name}/{key} is a link")
                walk(group[key], f"{name}/{key}", depth + 1)

    with open(path, "rb") as file, h5py.File(io.BytesIO(file.read()), "r") as opened:
        walk(opened, "", 0)
    # In the order of the file: that of layers, where the file keeps one.
    arrays["index"] = np.frombuffer(json.dumps(tree).encode(), np.uint8)
    np.savez(sys.stdout.buffer, **arrays)  # type: ignore[arg-type]


def _bytes(value) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


if __name__ == "__main__":
    # The folder of this file is no place to import from.
    sys.path.pop(0)
    os.environ["HDF5_PLUGIN_PATH"] = ""
    try:
        main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    except MemoryError:
        sys.exit("it takes more memory than the limits allow")
    except Exception as error:
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split())[:200])
