"""SVHN's .mat files: what is read from good ones, what is said about bad ones."""

import numpy as np
import pytest
import scipy.io
from loading import fails

from tf_febm import data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
DIGITS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 5])


def write(folder, split="train", **changes):
    """Write a file in the published form: images on the last axis, 10 for the digit 0."""
    labels = np.where(DIGITS == 0, 10, DIGITS).astype(np.uint8)[:, None]
    arrays = {"X": IMAGES.transpose(1, 2, 3, 0), "y": labels} | changes
    file = folder / f"{split}_32x32.mat"
    arrays = {key: value for key, value in arrays.items() if value is not None}
    scipy.io.savemat(file, arrays, do_compression=True)
    return file


def test_images_and_digits(tmp_path):
    write(tmp_path)
    write(tmp_path, "test", X=IMAGES[:3].transpose(1, 2, 3, 0), y=[[10], [1], [2]])
    train, test = data.load("svhn", tmp_path), data.load("svhn", tmp_path, "test")
    np.testing.assert_array_equal(train.images, IMAGES)
    np.testing.assert_array_equal(train.labels, DIGITS)
    np.testing.assert_array_equal(test.images, IMAGES[:3])
    np.testing.assert_array_equal(test.labels, [0, 1, 2])
    assert train.num_classes == test.num_classes == 10
    assert "train_32x32.mat" in train.source


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": None}, "has the variables X and y; no X"),
        ({"y": None}, "has the variables X and y; no y"),
        ({"X": np.zeros((3, 32, 32, 12), np.uint8)}, r"received uint8 \[3, 32, 32, 12\]"),
        ({"X": np.zeros((32, 32, 3, 12))}, r"variable X: .*received float64"),
        ({"X": np.zeros((32, 32), np.uint8)}, r"received uint8 \[32, 32\]"),
        ({"y": np.full((12, 1), 11, np.uint8)}, r"variable y: .*\[0, 11\); received 11 to 11"),
        ({"y": np.ones((5, 1), np.uint8)}, r"variable y: .*shape \[12\].*received uint8 \[5, 1\]"),
    ],
)
def test_files_with_something_else(tmp_path, changes, message):
    file = write(tmp_path, **changes)
    assert str(file) in fails(ValueError, message, "svhn", tmp_path)


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"<html>"])
def test_damaged_files(tmp_path, damage):
    file = write(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    assert str(file) in fails(ValueError, "not a readable .mat file", "svhn", tmp_path)


def test_the_other_split_is_missing(tmp_path):
    write(tmp_path)
    assert "train_32x32.mat and test" in fails(
        FileNotFoundError, "nothing usable", "svhn", tmp_path, "test"
    )
