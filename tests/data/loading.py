"""What the tests of data sources share."""

import numpy as np
import pytest
from PIL import Image

from tf_febm import data


def fails(kind, message, *arguments, **options):
    """Loading fails with one line; return it."""
    with pytest.raises(kind, match=message) as caught:
        data.load(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save(path, array, **options):
    """Write a picture, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)
    return path


def flat(value, shape=(4, 4, 3)):
    """Return pixels of one level."""
    return np.full(shape, value)


def values(loaded):
    """Return the first channel of the first pixel, which tells flat test images apart."""
    return loaded.images[:, 0, 0, 0].tolist()


def write_npz(path, **arrays):
    """Write an archive of arrays."""
    np.savez_compressed(path, **arrays)
    return path
