"""The registry: one contract for all sources, digits, and what `load` refuses."""

import gzip
import pickle
import struct

import numpy as np
import pytest
import scipy.io
from PIL import Image
from sklearn.datasets import load_digits

from tf_febm import catalogue, data
from tf_febm.data.files import Reader

IMAGES = (
    "digits", "mnist", "fashion_mnist", "stacked_mnist", "cifar10", "cifar100", "svhn", "celeba",
    "imagenet32", "folder", "npz", "records",
)  # fmt: skip
NAMES = (*IMAGES, "tfds", "csv", *data.toy_datasets.names())
BUNDLED = ("digits", *data.toy_datasets.names())
# "tfds" stands for names of its own: test_tfds_any.py.
WITH_FILES = [name for name in NAMES if name not in (*BUNDLED, "tfds")]


def test_names():
    assert data.names() == NAMES


def test_every_row_of_the_catalogue_names_its_definition():
    for name, row in catalogue.DATASETS.items():
        found = catalogue.load(row.place)
        assert found().name == name if row.kind == "plane" else isinstance(found, Reader), name


# One row for each source: how to write a small copy of it. A source without a row fails below.


def write_idx(folder):
    for prefix, count in (("train", 30), ("t10k", 10)):
        header = struct.pack(">4I", 0x803, count, 28, 28)
        images = gzip.compress(header + bytes(count * 784))
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(images)
        labels = struct.pack(">2I", 0x801, count) + bytes(k % 10 for k in range(count))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))


def write_cifar(folder):
    for name in ("data_batch_1", "test_batch"):
        rows = np.zeros((10, 3072), np.uint8)
        content = pickle.dumps({b"data": rows, b"labels": list(range(10))}, 2)
        (folder / name).write_bytes(content)


def write_cifar100(folder):
    for name in ("train", "test"):
        rows = np.zeros((10, 3072), np.uint8)
        content = pickle.dumps({b"data": rows, b"fine_labels": list(range(90, 100))}, 2)
        (folder / name).write_bytes(content)


def write_svhn(folder):
    for name in ("train", "test"):
        arrays = {"X": np.zeros((32, 32, 3, 10), np.uint8), "y": np.arange(1, 11)[:, None]}
        scipy.io.savemat(folder / f"{name}_32x32.mat", arrays)


def write_imagenet(folder):
    for name in ("train_data_batch_1", "val_data"):
        rows = np.zeros((10, 3072), np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [*range(1, 11)]}))


def write_records(folder):
    data.write_records(folder, np.zeros((10, 8, 8), np.uint8))


def write_images(folder):
    for k in range(10):
        Image.new("RGB", (8, 10)).save(folder / f"{k}.png")


def write_npz(folder):
    np.savez(folder / "any.npz", x=np.zeros((10, 8, 8), np.uint8), y=np.arange(10))


WRITERS = {
    "digits": None,
    "mnist": write_idx,
    "fashion_mnist": write_idx,
    "stacked_mnist": write_idx,
    "cifar10": write_cifar,
    "cifar100": write_cifar100,
    "svhn": write_svhn,
    "celeba": write_images,
    "imagenet32": write_imagenet,
    "folder": write_images,
    "npz": write_npz,
    "records": write_records,
}


@pytest.mark.parametrize("name", IMAGES)
def test_contract(name, tmp_path):
    writer = WRITERS[name]
    if writer:
        writer(tmp_path)
    where = tmp_path if writer else None
    train, test = (data.load(name, where, split) for split in ("train", "test"))
    again = data.load(name, where)
    np.testing.assert_array_equal(train.images, again.images)
    for loaded in (train, test):
        assert isinstance(loaded, data.ImageData)
        assert loaded.name == name
        assert loaded.source
        assert "\n" not in loaded.source
        assert loaded.num_classes == train.num_classes
        assert loaded.image_shape == train.image_shape
    small = data.load(name, where, image_size=5)
    assert small.image_shape == (5, 5, train.image_shape[2])
    x = next(iter(data.stream(train, 4)))
    assert x.shape == (4, *train.image_shape)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*IMAGES, "tfds")])
def test_contract_of_vectors(name, tmp_path, monkeypatch):
    monkeypatch.setattr(data.toy_datasets, "SIZES", {"train": 30, "test": 10})
    where = None
    if name not in BUNDLED:
        where = tmp_path
        np.savetxt(
            tmp_path / "any.csv", np.random.default_rng(0).normal(size=(40, 2)), delimiter=","
        )
    train, test = (data.load(name, where, split) for split in ("train", "test"))
    np.testing.assert_array_equal(train.vectors, data.load(name, where).vectors)
    for loaded in (train, test):
        assert isinstance(loaded, data.VectorData)
        assert loaded.name == name
        assert loaded.source and "\n" not in loaded.source
        assert loaded.sample_shape == (2,)
    assert next(iter(data.stream(train, 4))).shape == (4, 2)
    with pytest.raises(ValueError, match="image_size is for images"):
        data.load(name, where, image_size=5)


def test_digits():
    train, test = data.load("digits"), data.load("digits", split="test")
    assert train.images.shape == (1437, 8, 8, 1)
    assert test.images.shape == (360, 8, 8, 1)
    assert train.num_classes == test.num_classes == 10
    # Both together are the whole set, each image once, with its label and its grey values.
    source = load_digits()
    scaled = np.floor(source.data * 255 / 16 + 0.5)
    expected = sorted(map(tuple, np.column_stack([scaled, source.target])))
    both = [
        np.column_stack([part.images.reshape(len(part), 64), part.labels]) for part in (train, test)
    ]
    assert sorted(map(tuple, np.concatenate(both))) == expected
    # Stratified: a fifth of each class, up to rounding.
    share = np.bincount(test.labels) / np.bincount(source.target)
    np.testing.assert_allclose(share, 0.2, atol=0.005)
    assert (train.images.min(), train.images.max()) == (0, 255)


@pytest.mark.parametrize("name", ["imagenet", "", "MNIST", None, 3])
def test_unknown_name(name):
    with pytest.raises(ValueError, match="Unknown data set name") as caught:
        data.load(name)
    assert repr(name) in str(caught.value)
    assert all(known in str(caught.value) for known in NAMES)


@pytest.mark.parametrize("split", ["valid", "", None])
def test_unknown_split(split):
    with pytest.raises(ValueError, match="split must be one of train, test; received"):
        data.load("digits", split=split)


@pytest.mark.parametrize("image_size", [0, -1, 2.5, "32", True])
def test_bad_image_size(image_size):
    with pytest.raises(ValueError, match="image_size must be a whole number .*received"):
        data.load("digits", image_size=image_size)


@pytest.mark.parametrize("name", data.toy_datasets.names())
def test_toy_datasets_take_no_folder(name, tmp_path):
    with pytest.raises(ValueError, match=f"{name} takes no data_dir"):
        data.load(name, tmp_path)


def test_digits_take_no_folder(tmp_path):
    with pytest.raises(ValueError, match="digits takes no data_dir"):
        data.load("digits", tmp_path)
    # What a flag holds that was not given.
    assert len(data.load("digits", data_dir="")) == 1437


@pytest.mark.parametrize("name", ["folder", "npz", "csv", "imagenet32", "records"])
def test_sources_that_need_a_folder(name):
    with pytest.raises(ValueError, match=f"{name} needs data_dir"):
        data.load(name)


@pytest.mark.parametrize("name", WITH_FILES)
def test_missing_and_empty_folders(name, tmp_path):
    with pytest.raises(FileNotFoundError, match="data_dir .*nowhere.* does not exist"):
        data.load(name, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nothing usable") as caught:
        data.load(name, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "accepted: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", WITH_FILES)
def test_file_of_another_kind(name, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("no images")
    with pytest.raises(FileNotFoundError, match="nothing usable"):
        data.load(name, file)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_npz(tmp_path)
    assert len(data.load("npz", "~/any.npz")) == 9
