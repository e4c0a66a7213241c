"""The digits, split once, and one classifier for all tests of this folder."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from tf_febm import evaluation


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Stand in for `tf_febm.data.ImageData`: the three attributes that evaluation reads."""

    images: np.ndarray
    labels: np.ndarray
    num_classes: int = 10


@pytest.fixture(scope="session")
def digits():
    """Return (train, held_out), 1,437 and 360 images."""
    source = load_digits()
    images = np.round(source.images * 255 / 16).astype(np.uint8)[..., None]
    train, held_out, train_labels, held_out_labels = train_test_split(
        images, source.target, test_size=0.2, random_state=0, stratify=source.target
    )
    return LabelledImages(train, train_labels), LabelledImages(held_out, held_out_labels)


@pytest.fixture(scope="session")
def classifier(digits):
    """Return the classifier with its default settings."""
    train, _ = digits
    images = evaluation.to_unit_interval(train.images)
    return evaluation.train_classifier(images, train.labels, 10, name="digits")
