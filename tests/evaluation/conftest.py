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


@pytest.fixture(scope="session")
def keras_inception(inception):
    """Return the feature network of that file."""
    return evaluation.KerasInception(inception[1], batch_size=2)
