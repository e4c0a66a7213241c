"""HDF5 files: copied by another process, whose end is one line; nothing but arrays comes over."""

import h5py
import numpy as np
import pytest

from tf_febm import untrusted_files
from tf_febm.untrusted_files import hdf5, hdf5_child
from tf_febm.untrusted_files.hdf5 import clean_copy


def test_groups_arrays_and_attributes_come_over_and_links_do_not(tmp_path):
    path = tmp_path / "a.weights.h5"
    kernel = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"second", b"first"]
        file["second/kernel"] = kernel
        file["second"].attrs["weight_names"] = np.array([b"kernel"])
        file.create_group("first")
        file.attrs["keras_version"] = "3.0"
    with clean_copy(path) as copy, h5py.File(copy, "r") as file:
        assert copy.name == path.name and copy != path
        np.testing.assert_array_equal(file["second/kernel"][()], kernel)
        assert file.attrs["layer_names"].tolist() == [b"second", b"first"]
        assert file["second"].attrs["weight_names"].tolist() == [b"kernel"]
        assert len(file["first"]) == 0
    assert not copy.exists()
    with h5py.File(path, "a") as file:
        file["elsewhere"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(ValueError, match="elsewhere is a link"), clean_copy(path):
        pass


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os.abort()", "ended by signal 6"),
        ("import sys; sys.exit('it is odd')", "it is odd"),
    ],
)
def test_a_crash_of_the_other_process_is_one_line(tmp_path, monkeypatch, program, message):
    script, path = tmp_path / "child.py", tmp_path / "a.h5"
    script.write_text(program)
    path.write_bytes(b"any")
    monkeypatch.setattr(hdf5_child, "__file__", str(script))
    with pytest.raises(ValueError, match=message), clean_copy(path):
        pass
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(hdf5, "_SECONDS", 0.1)
    with pytest.raises(ValueError, match="takes more than 0.1 seconds"), clean_copy(path):
        pass


def test_more_memory_than_is_allowed(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        # Nothing is stored for it.
        file.create_dataset("a", (1 << 33,), "u1", chunks=(1 << 20,), compression="gzip")
    refused = pytest.raises(ValueError, match="more memory than")
    with untrusted_files.limited(max_gib=0.5), refused, clean_copy(path):
        pass
