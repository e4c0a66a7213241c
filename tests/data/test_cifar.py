"""CIFAR-10 and CIFAR-100 files: what is read from good ones, what is said about bad ones."""

import datetime
import os
import pickle

import numpy as np
import pytest
from loading import fails

from tf_febm import data

RNG = np.random.default_rng(0)


# CIFAR-10

ROWS = RNG.integers(0, 256, (12, 3072), dtype=np.uint8)
ROW_LABELS = [k % 10 for k in range(12)]


def batch(rows=ROWS, labels=ROW_LABELS):
    return {b"batch_label": b"a batch", b"labels": labels, b"data": rows, b"filenames": [b"x.png"]}


def write_pickled(folder, protocol=2, batches=(1, 2, 3, 4, 5)):
    folder = folder / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for k in batches:
        labels = [(label + k) % 10 for label in ROW_LABELS]
        content = pickle.dumps(batch(np.roll(ROWS, k), labels), protocol)
        (folder / f"data_batch_{k}").write_bytes(content)
    (folder / "test_batch").write_bytes(pickle.dumps(batch(), protocol))
    return folder


def as_images(rows):
    """By the definition of the format: 1,024 bytes each of red, green, blue; row by row."""
    images = np.empty((len(rows), 32, 32, 3), np.uint8)
    for channel in range(3):
        for row in range(32):
            start = 1024 * channel + 32 * row
            images[:, row, :, channel] = rows[:, start : start + 32]
    return images


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_cifar10_pickled(tmp_path, protocol):
    folder = write_pickled(tmp_path, protocol)
    for where in (tmp_path, folder):
        train, test = data.load("cifar10", where), data.load("cifar10", where, "test")
        np.testing.assert_array_equal(test.images, as_images(ROWS))
        np.testing.assert_array_equal(test.labels, ROW_LABELS)
        assert train.images.shape == (60, 32, 32, 3)
        np.testing.assert_array_equal(train.images[24:36], as_images(np.roll(ROWS, 3)))
        assert train.labels[24] == 3
        assert train.num_classes == 10


def test_cifar10_uses_the_batches_that_are_there_and_says_which(tmp_path):
    write_pickled(tmp_path, batches=(1, 4))
    loaded = data.load("cifar10", tmp_path)
    assert len(loaded) == 24
    assert loaded.source.endswith("data_batch_1, data_batch_4")
    np.testing.assert_array_equal(loaded.images[12:], as_images(np.roll(ROWS, 4)))


def test_cifar10_binary(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    content = np.column_stack([np.array(ROW_LABELS, np.uint8), ROWS]).tobytes()
    (folder / "data_batch_2.bin").write_bytes(content)
    (folder / "test_batch.bin").write_bytes(content[:-1])
    for where in (tmp_path, folder):
        loaded = data.load("cifar10", where)
        np.testing.assert_array_equal(loaded.images, as_images(ROWS))
        np.testing.assert_array_equal(loaded.labels, ROW_LABELS)
    fails(ValueError, "test_batch.bin.*multiple of 3073.*36875", "cifar10", tmp_path, "test")


class Command:
    """A pickle that would make a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_cifar10_runs_no_code(tmp_path, protocol):
    folder = write_pickled(tmp_path)
    evidence = tmp_path / "evidence"
    content = pickle.dumps(batch() | {b"extra": Command(evidence)}, protocol)
    (folder / "test_batch").write_bytes(content)
    fails(ValueError, r"test_batch: .*refused to load \w+\.mkdir", "cifar10", folder, "test")
    assert not evidence.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(batch(), 2)[:-100], "not a readable CIFAR-10 batch"),
        (pickle.dumps(batch(), 2)[:40], "not a readable CIFAR-10 batch"),
        (b"", "not a readable CIFAR-10 batch"),
        (b"<html>quota</html>", "not a readable CIFAR-10 batch"),
        (pickle.dumps([1, 2], 2), r"has the keys .*no b'data'"),
        (pickle.dumps({b"data": ROWS}, 2), r"no b'labels'"),
        (pickle.dumps(batch([1, 2]), 2), r"b'data' must be uint8 \[n, 3072\]; received list"),
        (pickle.dumps(batch(ROWS[:, :100]), 2), r"received uint8 \[12, 100\]"),
        (pickle.dumps(batch(ROWS.astype(np.int64)), 2), r"received int64"),
        (pickle.dumps(batch(labels=ROW_LABELS[:5]), 2), r"labels.*shape \[12\].*\[5\]"),
        (pickle.dumps(batch(labels=[10] * 12), 2), r"\[0, 10\); received 10 to 10"),
        (pickle.dumps(batch(labels=[[1], [1, 2]]), 2), r"labels must be a flat list"),
        (pickle.dumps(batch() | {b"t": datetime.date(2020, 1, 1)}, 2), "refused to load datetime"),
    ],
)
def test_damaged_cifar10(tmp_path, content, message):
    folder = write_pickled(tmp_path)
    (folder / "test_batch").write_bytes(content)
    line = fails(ValueError, message, "cifar10", tmp_path, "test")
    assert str(folder / "test_batch") in line


# CIFAR-100

FINE, COARSE = [99 - k for k in range(12)], [k % 20 for k in range(12)]


def hundred():
    return {b"data": ROWS, b"fine_labels": FINE, b"coarse_labels": COARSE}


def write_hundred(folder, content=None):
    folder = folder / "cifar-100-python"
    folder.mkdir()
    (folder / "train").write_bytes(pickle.dumps(hundred(), 2))
    (folder / "test").write_bytes(pickle.dumps(hundred() if content is None else content, 2))
    return folder


def test_cifar100_pickled_has_the_fine_labels(tmp_path):
    folder = write_hundred(tmp_path, hundred() | {b"data": ROWS[:3], b"fine_labels": FINE[:3]})
    for where in (tmp_path, folder):
        train, test = data.load("cifar100", where), data.load("cifar100", where, "test")
        np.testing.assert_array_equal(train.images, as_images(ROWS))
        np.testing.assert_array_equal(train.labels, FINE)
        np.testing.assert_array_equal(test.images, as_images(ROWS[:3]))
        assert train.num_classes == test.num_classes == 100


def test_cifar100_binary_has_the_fine_labels(tmp_path):
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    columns = [np.array(COARSE, np.uint8), np.array(FINE, np.uint8), ROWS]
    (folder / "train.bin").write_bytes(np.column_stack(columns).tobytes())
    (folder / "test.bin").write_bytes(bytes(3073))
    for where in (tmp_path, folder):
        loaded = data.load("cifar100", where)
        np.testing.assert_array_equal(loaded.images, as_images(ROWS))
        np.testing.assert_array_equal(loaded.labels, FINE)
    fails(ValueError, "test.bin.*multiple of 3074.*received 3073", "cifar100", tmp_path, "test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({b"data": ROWS, b"labels": ROW_LABELS}, "CIFAR-100 batch has .*no b'fine_labels'"),
        (hundred() | {b"fine_labels": [100] * 12}, r"\[0, 100\); received 100 to 100"),
    ],
)
def test_damaged_cifar100(tmp_path, content, message):
    folder = write_hundred(tmp_path, content)
    line = fails(ValueError, message, "cifar100", tmp_path, "test")
    assert str(folder / "test") in line
