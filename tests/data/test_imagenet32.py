"""The downsampled ImageNet, in batches as it is distributed and as the original code read them."""

import os
import pickle

import numpy as np
import pytest

from tests.data.loading import fails
from tf_febm import data

RNG = np.random.default_rng(0)
ROWS = RNG.integers(0, 256, (30, 3072), dtype=np.uint8)
LABELS = [1000 - k for k in range(30)]


def batch(start, stop):
    # What the published script wrote: a mean of floats beside the pixels.
    return {"data": ROWS[start:stop], "labels": LABELS[start:stop], "mean": np.ones(3072) / 3}


def write(folder, kind="pickle"):
    folder.mkdir(exist_ok=True)
    parts = {"train_data_batch_1": (0, 12), "train_data_batch_2": (12, 14), "val_data": (20, 30)}
    # Ten come after two.
    for name, part in {**parts, "train_data_batch_10": (14, 20)}.items():
        if kind == "npz":
            np.savez(folder / f"{name}.npz", **batch(*part))
        else:
            (folder / name).write_bytes(pickle.dumps(batch(*part), 3))
    return folder


def as_the_original(start, stop):
    """Images as IGEBM's loader made them: reshape((3, 32, 32)), transpose, labels less one."""
    images = [row.reshape(3, 32, 32).transpose(1, 2, 0) for row in ROWS[start:stop]]
    return np.stack(images), [label - 1 for label in LABELS[start:stop]]


@pytest.mark.filterwarnings("ignore:.*no examples of")
@pytest.mark.parametrize("kind", ["pickle", "npz"])
@pytest.mark.parametrize("buffer", [None, 3])
def test_both_splits(tmp_path, kind, buffer):
    write(tmp_path / "Imagenet32_train", kind)
    train, test = data.Source("imagenet32", tmp_path, shuffle_buffer=buffer).load()
    for loaded, part in ((train, (0, 20)), (test, (20, 30))):
        images, labels = as_the_original(*part)
        np.testing.assert_array_equal(loaded.images, images)
        np.testing.assert_array_equal(loaded.labels, labels)
        assert loaded.num_classes == 1000
    assert "train_data_batch_2" in train.source
    if buffer:
        x, labels = zip(*data.stream(train, 4, conditional=True).take(5), strict=True)
        found = dict(zip(np.concatenate(labels).tolist(), np.concatenate(x), strict=True))
        assert sorted(found) == sorted(train.labels)
        for image, label in zip(train.images, train.labels, strict=True):
            np.testing.assert_array_equal(np.floor(256 * found[int(label)]), image)


@pytest.mark.filterwarnings("ignore:.*no examples of")
def test_a_sample_of_the_batches_is_kept_and_the_rest_is_read_again(tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr("tf_febm.data.imagenet32._HEAD", 2)
    monkeypatch.setattr("tf_febm.data.rows.SAMPLED", 6)
    train = data.load("imagenet32", tmp_path, shuffle_buffer=1)
    assert len(train) == 6 and train.total == 20
    data.write_records(tmp_path / "records", train)
    monkeypatch.undo()
    images, labels = as_the_original(0, 20)
    again = data.load("records", tmp_path / "records", shuffle_buffer=50)
    held_out = np.arange(20) % 10 == 9
    np.testing.assert_array_equal(again.images, images[~held_out])
    np.testing.assert_array_equal(again.labels, np.array(labels)[~held_out])


class Command:
    """A pickle that would make a file when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("evidence",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": Command()}, r"refused to load \w+\.mkdir"),
        ({"data": ROWS[:12, :3000]}, r"must be uint8 \[n, \[192, 768, 3072, 12288\]\]"),
        ({"data": ROWS[:12].astype(np.float32)}, "float32"),
        ({"labels": [0] * 12}, "in 1 … 1000; received 0 to 0"),
        ({"labels": [1001] * 12}, "in 1 … 1000; received 1001"),
        ({"labels": [1, 2]}, r"one per example"),
        ({"labels": ["1"] * 12}, "flat list of whole numbers"),
    ],
)
def test_damaged_batches(tmp_path, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    (tmp_path / "train_data_batch_1").write_bytes(pickle.dumps(batch(0, 12) | change, 3))
    line = fails(ValueError, message, "imagenet32", tmp_path)
    assert "train_data_batch_1" in line and not (tmp_path / "evidence").exists()


def test_batches_cut_short_or_of_another_kind(tmp_path):
    write(tmp_path)
    file = tmp_path / "train_data_batch_2"
    file.write_bytes(file.read_bytes()[:-100])
    fails(ValueError, "train_data_batch_2: not a readable batch", "imagenet32", tmp_path)
    file.write_bytes(pickle.dumps([1, 2]))
    fails(ValueError, "keys 'data', 'labels'; no 'data'", "imagenet32", tmp_path, shuffle_buffer=2)
