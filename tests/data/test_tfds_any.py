"""`tfds:name`: any data set of TensorFlow Datasets, mocked, and copies that it prepared itself."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tests.data.loading import fails
from tf_febm import data, recipes
from tf_febm.data import tfds_source

RNG = np.random.default_rng(0)


@pytest.fixture
def asked(monkeypatch):
    """Answer for the network; return the hosts that were asked."""
    urls = []
    monkeypatch.setattr(tfds_source, "is_reachable", lambda url: urls.append(url) or True)
    return urls


@pytest.mark.filterwarnings("ignore:.*no examples of", "ignore:.*levels", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("name", "options", "shape", "classes"),
    [
        ("tfds:mnist_corrupted:shot_noise", {}, (28, 28, 1), 10),
        ("tfds:oxford_flowers102", {"image_size": 8}, (8, 8, 3), 102),
        ("tfds:iris", {}, (4,), 3),
        ("tfds:titanic", {}, (5,), 2),
    ],
)
def test_mocked_data_sets(asked, name, options, shape, classes):
    with tfds.testing.mock_data(num_examples=12):
        loaded = data.load(name, **options)
        (example,) = (
            tfds.load(name[5:].replace(":", "/"), split="train").take(1).as_numpy_iterator()
        )
    assert len(asked) == 1 and asked[0].startswith("http") and asked[0].count("/") == 2
    assert loaded.sample_shape == shape and loaded.num_classes == classes and len(loaded) == 12
    assert loaded.source.startswith(f"tensorflow_datasets {name[5:].replace(':', '/')} in ")
    label = example["survived" if "titanic" in name else "label"]
    assert loaded.labels[0] == label and len(loaded.class_names) == classes
    if name.endswith("titanic"):
        assert loaded.columns == ("age", "body", "fare", "parch", "sibsp")
        numbers = [float(example[key]) for key in loaded.columns]
        np.testing.assert_allclose(loaded.vectors[0], numbers)
        assert "cabin" in loaded.source and loaded.source.endswith("not read")
    elif not options:
        examples = loaded.images if len(shape) == 3 else loaded.vectors
        np.testing.assert_array_equal(examples[0], example["image" if shape[1:] else "features"])


def test_pictures_of_any_size_need_one(asked):
    with tfds.testing.mock_data(num_examples=2):
        fails(
            ValueError, r"any size: give image_size \(--image_size=32\)", "tfds:oxford_flowers102"
        )
        fails(ValueError, "image_size is for images", "tfds:iris", image_size=8)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:no_such_data", "has no 'no_such_data'.*not found"),
        ("tfds:mnist:wrong", "has no 'mnist/wrong'.*BuilderConfig wrong not found"),
        ("tfds", "tfds:<name> or tfds:<name>:<config>"),
        ("tfds:", "tfds:<name> or tfds:<name>:<config>"),
        ("tfds:../x", "tfds:<name> or tfds:<name>:<config>"),
    ],
)
def test_names_that_are_none(name, message):
    fails(ValueError, message, name)


def test_without_network_and_copy_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr(tfds_source, "is_reachable", lambda url: False)
    line = fails(ConnectionError, "no prepared copy in .* does not answer", "tfds:iris", tmp_path)
    assert "https://archive.ics.uci.edu" in line and "fetch 'iris'" in line


def prepare(folder, features, splits, name="mine"):
    """Let TensorFlow Datasets itself write a copy."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            key: tf.data.Dataset.from_tensor_slices(rows) for key, rows in splits.items()
        },
        data_dir=folder,
    )


def rows(count, labels=True):
    images = RNG.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return {"image": images, "kind": np.arange(count) % 3 if labels else np.full(count, -1)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of prepared copies, and the rows of "mine" and "alone"."""
    folder = tmp_path_factory.mktemp("copies")
    features = {
        "image": tfds.features.Image(shape=(4, 4, 3)),
        "kind": tfds.features.ClassLabel(names=["cat", "dog", "cow"]),
    }
    splits = {"train": rows(40), "validation": rows(6), "test": rows(5, labels=False)}
    prepare(folder, features, splits)
    alone = {"train": rows(40)}
    prepare(folder, features, alone, "alone")
    return folder, splits, alone


def known(part):
    return {
        image.tobytes(): int(kind) for image, kind in zip(part["image"], part["kind"], strict=True)
    }


def found(loaded):
    return {x.tobytes(): int(k) for x, k in zip(loaded.images, loaded.labels, strict=True)}


@pytest.mark.parametrize("buffer", [None, 30])
def test_prepared_copies(pictures, buffer):
    folder, splits, alone = pictures
    source = data.Source("tfds:mine", folder, shuffle_buffer=buffer)
    train, test = source.load()
    assert train.class_names == ("cat", "dog", "cow")
    assert found(train) == known(splits["train"])
    # The labels of its test split are kept back.
    assert found(test) == known(splits["validation"])
    assert recipes.for_dataset("tfds:mine", data_dir=folder).name == "paper"
    if buffer is None:
        both = [found(part) for part in data.Source("tfds:alone", folder).load()]
        assert [len(part) for part in both] == [36, 4]
        assert {**both[0], **both[1]} == known(alone["train"])
        return
    batches = [(x.numpy(), k.numpy()) for x, k in data.stream(train, 8, conditional=True).take(7)]
    epoch = {
        np.floor(256 * image).astype(np.uint8).tobytes(): int(kind)
        for x, kinds in batches[:5]
        for image, kind in zip(x, kinds, strict=True)
    }
    assert epoch == known(splits["train"])
    resumed = next(iter(data.stream(train, 8, conditional=True, start_step=6)))
    np.testing.assert_array_equal(resumed[0], batches[6][0])


def test_a_prepared_table(tmp_path):
    numbers = RNG.normal(size=(30, 2))
    split = {"train": {"a": {"b": numbers[:, 0]}, "c": numbers}}
    features = {"a": {"b": tfds.features.Scalar(tf.float64)}}
    prepare(tmp_path, features | {"c": tfds.features.Tensor(shape=(2,), dtype=tf.float64)}, split)
    train, test = data.Source("tfds:mine", tmp_path, shuffle_buffer=40).load()
    assert train.columns == ("a/b", "c[0]", "c[1]") and train.total + test.total == 30
    read = np.concatenate([train.vectors, test.vectors])
    expected = np.column_stack([numbers[:, 0], numbers]).astype(np.float32)
    assert sorted(map(tuple, read)) == sorted(map(tuple, expected))
    assert recipes.for_dataset("tfds:mine", data_dir=tmp_path).name == "vectors"


def test_a_damaged_copy_is_one_line(pictures, tmp_path):
    import shutil

    shutil.copytree(pictures[0] / "mine", tmp_path / "mine")
    (file,) = (tmp_path / "mine").rglob("*train*.tfrecord*")
    file.write_bytes(file.read_bytes()[:-30])
    fails(ValueError, "cannot be read .*delete it", "tfds:mine", tmp_path)
    (info,) = (tmp_path / "mine").rglob("features.json")
    assert "ClassLabel" in json.dumps(json.loads(info.read_text()))
