"""Which arrays of an archive are examples and labels of which split: what their keys say."""

import warnings

import numpy as np
import pytest
from loading import fails, write_npz

from tf_febm import data

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 28, 28), dtype=np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


@pytest.mark.parametrize("key", ["x_train", "x", "images", "samples", "arr_0"])
@pytest.mark.parametrize("label_key", ["y_train", "y", "labels", None])
def test_npz_keys_and_hold_out(tmp_path, key, label_key):
    labels = {} if label_key is None else {label_key: LABELS}
    file = write_npz(tmp_path / "any.npz", **{key: PIXELS}, **labels)
    test_rows = np.array([9, 19])
    for split, rows in (("train", np.delete(np.arange(20), test_rows)), ("test", test_rows)):
        loaded = data.load("npz", file, split)
        np.testing.assert_array_equal(loaded.images[..., 0], PIXELS[rows])
        if label_key is None:
            assert loaded.labels is None
        else:
            np.testing.assert_array_equal(loaded.labels, LABELS[rows])
            assert loaded.num_classes == 10


def test_npz_takes_the_first_key_it_knows(tmp_path):
    file = write_npz(tmp_path / "any.npz", arr_0=PIXELS, x=PIXELS[::-1], zebra=np.zeros(3))
    assert np.array_equal(data.load("npz", file).images[0, ..., 0], PIXELS[-1])


def test_npz_with_test_images(tmp_path):
    # Class 9 occurs in the test split only; both splits must still agree on the six classes.
    file = write_npz(
        tmp_path / "any.npz", x=PIXELS, y=LABELS % 5, x_test=PIXELS[:4], y_test=[[1], [2], [3], [9]]
    )
    with pytest.warns(UserWarning, match="no examples of '9' among its 6 classes"):
        train = data.load("npz", file)
    test = data.load("npz", tmp_path, "test")
    assert (len(train), len(test)) == (20, 4)
    assert train.num_classes == test.num_classes == 6
    assert train.class_names == test.class_names == ("0", "1", "2", "3", "4", "9")
    np.testing.assert_array_equal(test.labels, [1, 2, 3, 5])


def test_npz_splits_that_disagree(tmp_path):
    file = write_npz(tmp_path / "a.npz", x=PIXELS, y=LABELS, x_test=PIXELS[:3], y_test=["1"] * 3)
    fails(ValueError, "labels of all splits must be of one kind; received uint8 and", "npz", file)
    for x, x_test in (
        (PIXELS, PIXELS[:, :, :20]),
        (RNG.normal(size=(20, 3)), RNG.normal(size=(5, 2))),
        (RNG.normal(size=(20, 3)), PIXELS),
    ):
        file = write_npz(tmp_path / "b.npz", x=x, x_test=x_test)
        for split in ("train", "test"):
            line = fails(
                ValueError, "examples of all splits must have one shape", "npz", file, split
            )
            assert f"x {list(x.shape)}, x_test {list(x_test.shape)}" in line
    file = write_npz(tmp_path / "c.npz", x=PIXELS, x_test=PIXELS[:3, ..., None])
    assert data.load("npz", file, "test").image_shape == (28, 28, 1)


@pytest.mark.parametrize("name", ["test", "val", "valid", "validation", "dev"])
def test_npz_held_out_under_its_other_names(tmp_path, name):
    arrays = {
        "x_train": PIXELS,
        "y_train": LABELS,
        f"x_{name}": PIXELS[:4],
        f"y_{name}": LABELS[:4],
    }
    file = write_npz(tmp_path / "a.npz", **arrays)
    assert len(data.load("npz", file)) == 20
    test = data.load("npz", file, "test")
    np.testing.assert_array_equal(test.images[..., 0], PIXELS[:4])
    np.testing.assert_array_equal(test.labels, LABELS[:4])


# Keys of examples and labels for training, and of examples and labels that are held out.
KEYS = [
    "x_train y_train X_test Y_test",
    "X_train Y_train x_val y_val",
    "Xtrain ytrain Xtest ytest",
    "trainX trainY testX testY",
    "train labels_train test labels_test",
    "images labels test_images test_labels",
    "images_train labels_train images_test labels_test",
    "train_images train_labels images_valid labels_validation",
    "x y test y_test",
    "X y X_holdout y_holdout",
    "data target data_test target_test",
    "features targets features_dev targets_dev",
    "X_tr y_tr X_te y_te",
    "train_set labels test_set test_labels",
    "trainset trainlabels testset testlabels",
    "training_data training_labels validation_data validation_labels",
    "train/x train/y test/x test/y",
    "x_train_scaled y_train x_test_scaled y_test",
]


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("keys", KEYS)
def test_npz_keys_are_read_by_their_words(tmp_path, keys, vectors):
    x = RNG.normal(size=(20, 3)) if vectors else PIXELS
    held_out = x[:7] + 1
    x_key, y_key, test_key, test_label_key = keys.split()
    arrays = {x_key: x, y_key: LABELS, test_key: held_out, test_label_key: LABELS[3:10]}
    # What has nothing to do with it.
    others = {"label_names": np.array(["a"]), "x_mean": np.zeros(2), "predictions": np.zeros(20)}
    np.savez(tmp_path / "a.npz", **others, **arrays)
    train, test = (data.load("npz", tmp_path, split) for split in ("train", "test"))
    for loaded, expected, labels in ((train, x, LABELS), (test, held_out, LABELS[3:10])):
        found = loaded.vectors if vectors else loaded.images[..., 0]
        np.testing.assert_array_equal(found, expected.astype(found.dtype))
        assert [loaded.class_names[k] for k in loaded.labels] == [str(k) for k in labels]
        assert loaded.source.endswith("'label_names', 'predictions', 'x_mean' not read")


def test_npz_arrays_of_all_splits_are_checked_before_training(tmp_path):
    """Also those that are not the test split, and labels of the split that is not asked for."""
    x = RNG.normal(size=(20, 3))
    for name in ("X_test", "test", "x_val", "validation", "images_test"):
        file = write_npz(tmp_path / "a.npz", x=x, x_test=x[:5], **{name: RNG.normal(size=(5, 2))})
        for split in ("train", "test"):
            line = fails(ValueError, "one shape|say the same", "npz", file, split)
            assert name in line
    file = write_npz(tmp_path / "b.npz", x=x, y=LABELS, test=x[:5], y_test=LABELS[:4])
    for split in ("train", "test"):
        fails(ValueError, r"key 'y_test': .* of shape \[5\]", "npz", file, split)


def test_npz_arrays_that_are_not_known_are_warned_of(tmp_path):
    x = RNG.normal(size=(20, 3))
    others = {"secret": x[:5], "species": LABELS, "mean": x[0], "weights": x[:, 0]}
    file = write_npz(tmp_path / "a.npz", x=x, **others)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train = data.load("npz", file)
    examples, labels = (str(w.message) for w in caught)
    assert "'secret' may hold examples, and are not read" in examples and "x_test" in examples
    assert "'species' may hold labels, and are not read" in labels and str(file) in labels
    assert train.labels is None and "'weights' not read" in train.source
    # A second split that is held out is known, and labels are there.
    file = write_npz(tmp_path / "b.npz", x=x, y=LABELS, x_test=x[:5], x_val=x[5:8], other=LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(data.load("npz", file, "test")) == 5
        data.load("npz", file)


def test_npz_two_keys_that_say_the_same(tmp_path):
    file = write_npz(tmp_path / "a.npz", x=PIXELS, x_test=PIXELS[:5], X_test=PIXELS[:4])
    fails(ValueError, "the keys 'x_test' and 'X_test' say the same; leave one", "npz", file)


def test_npz_test_images_without_labels(tmp_path):
    file = write_npz(tmp_path / "any.npz", x_train=PIXELS, y_train=LABELS, x_test=PIXELS)
    assert data.load("npz", file).num_classes == 10
    assert data.load("npz", file, "test").labels is None


def test_npz_without_known_keys(tmp_path):
    file = write_npz(tmp_path / "any.npz", pictures=PIXELS)
    fails(ValueError, r"expected one of the keys \['x_train'.*received \['pictures'\]", "npz", file)
