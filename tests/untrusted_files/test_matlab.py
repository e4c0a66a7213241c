"""MATLAB's files, against SciPy's writer; and every changed byte is an error or an array."""

import numpy as np
import pytest
import scipy.io

from tf_febm import untrusted_files

RNG = np.random.default_rng(0)
KINDS = ("u1", "i2", "i4", "u4", "i8", "f4", "f8")


def write(path, packed=True, **arrays):
    scipy.io.savemat(path, arrays, do_compression=packed)
    return path.read_bytes()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_numbers(tmp_path, packed, kind):
    x, y = RNG.integers(0, 99, (3, 4, 2, 5)).astype(kind), np.array([[7], [3]], kind)
    content = write(tmp_path / "a.mat", packed, other="text", X=x, cell={"a": 1}, y=y)
    found = untrusted_files.read_matlab(content, ("X", "y", "other", "gone"))
    assert found.keys() == {"X", "y"} and found["X"].dtype == x.dtype
    np.testing.assert_array_equal(found["X"], x)
    np.testing.assert_array_equal(found["y"], y)


@pytest.mark.parametrize("packed", [False, True])
def test_every_changed_byte(tmp_path, packed):
    content = write(tmp_path / "a.mat", packed, X=RNG.integers(0, 9, (4, 3, 2), np.uint8), y=[[1]])
    for place in range(len(content)):
        for bit in (0, 4, 7):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            try:
                found = untrusted_files.read_matlab(bytes(changed), ("X", "y"))
            except ValueError:
                continue
            assert all(isinstance(array, np.ndarray) for array in found.values())
    for length in range(0, len(content), 7):
        try:
            untrusted_files.read_matlab(content[:length], ("X", "y"))
        except ValueError as error:
            assert "\n" not in str(error)


def test_what_is_packed_unpacks_to_what_is_allowed(tmp_path):
    content = write(tmp_path / "a.mat", X=np.zeros((1000, 100), np.uint8))
    with (
        untrusted_files.limited(max_gib=1e-5),
        pytest.raises(untrusted_files.RefusedError, match="variable X"),
    ):
        untrusted_files.read_matlab(content, ("X",))
    with pytest.raises(ValueError, match="7.3: save it with -v7"):
        untrusted_files.read_matlab(b"MATLAB 7.3 MAT-file, HDF5".ljust(600), ("X",))
