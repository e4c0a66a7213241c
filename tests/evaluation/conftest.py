"""The digits and one classifier for all tests of this folder."""

import dataclasses

import keras
import numpy as np
import pytest

from tf_febm import data, evaluation


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """What evaluation reads of a `data.ImageData`, without its checks."""

    images: np.ndarray
    labels: np.ndarray
    num_classes: int = 10


@pytest.fixture(scope="session")
def digits():
    """Return (train, held_out), 1,437 and 360 images."""
    found = (data.load("digits", split=split) for split in ("train", "test"))
    return tuple(LabelledImages(split.images, split.labels) for split in found)


@pytest.fixture(scope="session")
def classifier(digits, classifier_cache):
    """Return the classifier with its default settings."""
    train, _ = digits
    return evaluation.train_classifier(
        train.images, train.labels, 10, name="digits", cache_dir=classifier_cache
    )


@pytest.fixture(scope="session")
def inception(tmp_path_factory):
    """Return Keras' InceptionV3 with random weights, and the file that they are in."""
    keras.utils.set_random_seed(0)
    model = keras.applications.InceptionV3(weights=None)
    path = tmp_path_factory.mktemp("inception") / "some.weights.h5"
    model.save_weights(path)
    return model, path


@pytest.fixture
def small_inception(monkeypatch, tmp_path):
    """Put a small network in InceptionV3's place, and return the file of weights for it.

    As the real one does, which takes seconds to build, it heeds Keras' global settings, and calls
    its features by their name. That the real one is read and fed aright is shown by itself.
    """

    def build(weights):
        inputs = keras.Input((299, 299, 3))
        x = keras.layers.Conv2D(8, 9, strides=8, activation="relu")(inputs)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(x))

    keras.utils.set_random_seed(0)
    path = tmp_path / "small.weights.h5"
    build(None).save_weights(path)
    monkeypatch.setattr(keras.applications, "InceptionV3", build)
    return path
