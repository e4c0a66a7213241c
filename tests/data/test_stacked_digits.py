"""Stacked MNIST: what is stacked on what, and that nothing is lost."""

import numpy as np
import pytest

from tf_febm import data
from tf_febm.data import mnist
from tf_febm.data.files import Split


@pytest.fixture
def digits():
    """Forty images whose pixels tell their number."""
    images = np.repeat(np.arange(40, dtype=np.uint8), 4).reshape(40, 2, 2, 1)
    return Split(images, (np.arange(40) % 10).astype(np.int32), 10, "somewhere")


def test_every_channel_holds_every_digit_once(digits):
    found = mnist.stack(digits, seed=0)
    assert found.examples.shape == (40, 2, 2, 3) and found.num_classes == 1000
    numbers = found.examples[:, 0, 0]
    np.testing.assert_array_equal(np.sort(numbers, axis=0), np.arange(40)[:, None].repeat(3, 1))
    # The channels are of different orders.
    assert all((numbers[:, i] != numbers[:, j]).any() for i, j in ((0, 1), (0, 2), (1, 2)))
    a, b, c = (digits.labels[numbers[:, i]] for i in range(3))
    np.testing.assert_array_equal(found.labels, 100 * a + 10 * b + c)
    assert found.labels.dtype == np.int32


def test_seeds(digits):
    first, again, other = (mnist.stack(digits, seed).examples for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_all_modes_are_there(real_data):
    train = data.load("stacked_mnist", real_data)
    assert train.images.shape == (60_000, 28, 28, 3)
    # Sixty images a mode on average.
    assert len(np.unique(train.labels)) == 1000
    plain = data.load("mnist", real_data)
    where = np.flatnonzero((train.images[..., 2] == plain.images[0, ..., 0]).all(axis=(1, 2)))
    assert train.labels[where].tolist()[0] % 10 == plain.labels[0]


def test_it_needs_files(tmp_path):
    with pytest.raises(ValueError, match="stacked_mnist needs data_dir"):
        data.load("stacked_mnist")
    with pytest.raises(FileNotFoundError, match="stacked_mnist: nothing usable"):
        data.load("stacked_mnist", tmp_path)
