"""Stacked MNIST: three digits as the channels of one image, and so a thousand modes."""

from pathlib import Path

import numpy as np

from tf_febm.data import mnist
from tf_febm.data.files import Split

CHANNELS = 3
NUM_CLASSES = mnist.NUM_CLASSES**CHANNELS
_SEEDS = {"train": 0, "test": 1}


def read(path: Path, split: str) -> Split | None:
    """Stack the digits of a split of MNIST at random, or return None where there is none.

    Args:
        path: As `mnist.read` takes it.
        split: "train" or "test".

    Raises:
        ValueError: As `mnist.read`.
    """
    digits = mnist.read("mnist", path, split)
    return None if digits is None else stack(digits, _SEEDS[split])


def stack(digits: Split, seed: int) -> Split:
    """Return as many stacked images as there are digits; label 100a + 10b + c for digits a, b, c.

    Each channel is a permutation of its own of all digits: none is left out, none comes twice, and
    the digits of an image are independent but for that.

    Args:
        digits: Images [n, height, width, 1] with labels below 10.
        seed: Of the permutations.

    Source: Metz, Poole, Pfau, Sohl-Dickstein 2017, who draw the digits with replacement.
    """
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(len(digits.images)) for _ in range(CHANNELS)]
    images = np.concatenate([digits.images[row] for row in rows], axis=3)
    labels = np.zeros(len(images), np.int32)
    for row in rows:
        labels = mnist.NUM_CLASSES * labels + digits.labels[row]
    return Split(images, labels, NUM_CLASSES, f"{digits.source}, stacked by {CHANNELS}")
