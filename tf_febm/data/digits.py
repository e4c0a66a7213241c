"""scikit-learn's 8×8 digits, which need neither network nor files."""

import numpy as np

from tf_febm.data.files import Reader, Split

__all__ = ["DIGITS", "read"]


def read(split: str) -> Split:
    """Return scikit-learn's 1,797 digits, 80 % of each class for training.

    Values 0…16 become round(v · 255 / 16). The split is scikit-learn's stratified
    `train_test_split` with random_state=0: 1,437 and 360 images.
    """
    # Importing scikit-learn takes a second, which other data sets should not pay.
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    rows = train_test_split(
        np.arange(len(bunch.target)), test_size=0.2, random_state=0, stratify=bunch.target
    )[split == "test"]
    images = np.rint(bunch.images[rows] * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    labels = bunch.target[rows].astype(np.int32)
    return Split(images, labels, 10, f"scikit-learn load_digits, {split} of a fixed 80/20")


DIGITS = Reader("none, it is part of scikit-learn", bundled=read)
