"""Images whose values suggest another scale than 0 … 255."""

import re
import warnings

import numpy as np
import pytest
import tensorflow as tf
from loading import save

from tf_febm import data
from tf_febm.data import tfds_source


@pytest.mark.parametrize(
    ("level", "message"),
    [
        (0, "the images are all black: there is nothing in them to learn"),
        (255, "are all white"),
        (1, "no values but 0 and 1.*multiply by 255"),
        (16, "values from 0 to 16 of 255.*multiply by 255/16"),
        (17, None),
    ],
)
@pytest.mark.parametrize("door", ["folder", "npz", "npz with a test set"])
def test_images_of_another_scale_are_warned_of(tmp_path, level, message, door):
    """In both splits, each of which may be of a scale of its own."""
    pixels = np.zeros((40, 4, 4, 3), np.uint8)
    pixels[:] = level if level in (0, 255) else 0
    pixels[::3] = level
    if door == "folder":
        for k in range(40):
            save(tmp_path / f"{k:02}.png", pixels[k])
    elif door == "npz":
        np.savez(tmp_path / "a.npz", x=pixels)
    else:
        np.savez(tmp_path / "a.npz", images_train=pixels, images_test=pixels[:7])
    for split in ("train", "test"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            data.load(door.split()[0], tmp_path, split)
        found = [str(w.message) for w in caught]
        assert len(found) == (message is not None)
        if message:
            assert re.search(message, found[0]) and "\n" not in found[0]
            assert str(tmp_path) in found[0] and f"{split}: " in found[0]


def test_the_test_split_alone_is_of_another_scale(tmp_path):
    bright = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)
    np.savez(tmp_path / "a.npz", x_train=bright, X_test=bright // 128)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.load("npz", tmp_path)
    with pytest.warns(UserWarning, match="X_test, test: .* no values but 0 and 1"):
        data.load("npz", tmp_path, "test")


@pytest.mark.parametrize("split", ["train", "test"])
def test_copies_of_tensorflow_datasets_are_judged_alike(tmp_path, monkeypatch, split):
    pixels = np.random.default_rng(0).integers(0, 17, (20, 28, 28, 1), np.uint8)

    class Builder:
        data_path = tmp_path

        def as_dataset(self, split, shuffle_files):
            return tf.data.Dataset.from_tensor_slices({"image": pixels, "label": [0, 1] * 10})

    monkeypatch.setattr(tfds_source, "make_builder", lambda name: Builder())
    with pytest.warns(UserWarning, match=f"{split}: the images have values from 0 to 16 of 255"):
        data.load("mnist", split=split)
