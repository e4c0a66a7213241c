"""Regular files only, and no more memory than allowed."""

import gzip
import io
import os
import struct
import zipfile

import numpy as np
import pytest

from tf_febm import data, untrusted_files


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "x")
    return tmp_path / "x"


@pytest.mark.parametrize("name", ["pipe", "/dev/zero"])
def test_only_regular_files_are_opened(request, name):
    path = request.getfixturevalue(name) if name == "pipe" else name
    with pytest.raises(
        untrusted_files.RefusedError, match="this is .*; accepted is a regular file"
    ):
        untrusted_files.read_bytes(path)


def test_a_folder_is_an_error_of_the_system(tmp_path):
    with pytest.raises(IsADirectoryError):
        untrusted_files.read_bytes(tmp_path)


@pytest.mark.parametrize(
    ("dataset", "name"),
    [
        ("npz", "a.npz"),
        ("csv", "a.csv"),
        ("folder", "a.png"),
        ("mnist", "mnist.npz"),
        ("mnist", "train-images-idx3-ubyte"),
        ("cifar10", "data_batch_1"),
        ("cifar10", "data_batch_1.bin"),
        ("svhn", "train_32x32.mat"),
        ("celeba", "1.jpg"),
    ],
)
def test_no_reader_waits_for_a_pipe(tmp_path, dataset, name):
    os.mkfifo(tmp_path / name)
    for place in (tmp_path, tmp_path / name):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            data.load(dataset, place)
        assert "\n" not in str(caught.value)


def test_a_folder_that_is_too_deep(tmp_path):
    inside = tmp_path.joinpath(*["d"] * 34)
    inside.mkdir(parents=True)
    with pytest.raises(ValueError, match="more than 32 deep.*--max_depth="):
        data.load("folder", tmp_path)
    with pytest.raises(FileNotFoundError, match="nothing usable"):
        data.load("folder", tmp_path, max_depth=40)


def test_a_picture_of_too_many_pixels(tmp_path):
    from PIL import Image

    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="50×40 are 2,000 pixels; the limit is 1,999.*max_pixels="):
        data.load("folder", tmp_path, max_pixels=1999)
    assert len(data.load("folder", tmp_path, max_pixels=2000, split="train")) == 1
    for name in ("max_pixels", "max_gib", "max_depth"):
        with pytest.raises(ValueError, match=name):
            data.load("folder", tmp_path, **{name: 0})


class TestArchives:
    def test_what_would_take_too_much_is_not_unpacked(self, tmp_path):
        path = tmp_path / "a.npz"
        np.savez_compressed(path, x=np.zeros((30, 32, 32, 3), np.uint8))
        with pytest.raises(ValueError, match=r"key 'x'.*GiB.*\(--max_gib=\)"):
            data.load("npz", path, max_gib=1e-5)
        assert data.load("npz", path, max_gib=1e-3).images.shape == (27, 32, 32, 3)

    @pytest.mark.parametrize("shape", [(1 << 40, 3, 3), (1 << 62, 4, 4)])
    def test_a_header_that_promises_terabytes(self, tmp_path, shape):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        self.refused(tmp_path, header.getvalue(), "GiB of memory; the limit is")

    def test_a_header_of_gigabytes(self, tmp_path):
        self.refused(
            tmp_path, b"\x93NUMPY\x02\0" + struct.pack("<I", 1 << 31) + bytes(99), "header is dam"
        )

    def refused(self, tmp_path, member, message):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
            file.writestr("x.npy", member)
        with pytest.raises(ValueError, match=message):
            data.load("npz", tmp_path)

    def test_only_the_methods_of_numpy(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as file:
            file.writestr("x.npy", bytes(1000))
        with pytest.raises(ValueError, match="packed by method 14"):
            data.load("npz", tmp_path)


def test_gzip_unpacks_to_what_is_allowed():
    packed = gzip.compress(bytes(100_000))
    assert untrusted_files.unpack_gzip(packed, "it") == bytes(100_000)
    with (
        untrusted_files.limited(max_gib=1e-5),
        pytest.raises(untrusted_files.RefusedError, match="it takes"),
    ):
        untrusted_files.unpack_gzip(packed, "it")
