"""The real data sets, where a folder of them is beside the checkout."""

import numpy as np
import pytest

from tf_febm import data


def need(folder, name):
    path = folder / name
    if not path.exists():
        pytest.skip(f"{name} is not in the folder of real image sets")
    return path


def test_mnist(real_data):
    file = need(real_data, "mnist.npz")
    train, test = data.load("mnist", file), data.load("mnist", real_data, "test")
    assert train.images.shape == (60_000, 28, 28, 1)
    assert test.images.shape == (10_000, 28, 28, 1)
    # Class counts of the published label files.
    assert np.bincount(train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_mnist_stream_covers_an_epoch(real_data):
    loaded = data.load("mnist", need(real_data, "mnist.npz"))
    seen = np.zeros(10, int)
    for _, labels in data.stream(loaded, 1000, seed=1, conditional=True).take(60):
        seen += np.bincount(labels, minlength=10)
    np.testing.assert_array_equal(seen, np.bincount(loaded.labels))


def test_cifar10(real_data):
    need(real_data, "cifar-10-batches-py")
    train, test = data.load("cifar10", real_data), data.load("cifar10", real_data, "test")
    assert train.image_shape == (32, 32, 3)
    assert len(train) % 10_000 == 0
    assert len(test) == 10_000
    # The published test set has 1,000 images of each class.
    assert np.bincount(test.labels).tolist() == [1000] * 10
    # Means of the published training set are 0.4914, 0.4822, 0.4465; test images are a sample of
    # the same population (standard error of an image mean about 0.12/√10,000).
    means = test.images.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=0.006)


def test_celeba_folder(real_data):
    folder = need(real_data, "img_align_celeba")
    train, test = data.load("celeba", folder), data.load("celeba", real_data, "test")
    count = len(list(folder.glob("*.jpg")))
    assert len(test) == count // 10
    assert len(train) + len(test) == count
    assert train.image_shape == (32, 32, 3)
    as_folder = data.load("folder", folder, image_size=32)
    assert as_folder.image_shape == (32, 32, 3)


def test_celeba_archive(real_data):
    file = need(real_data, "celeba10k_32.npz")
    train, test = data.load("celeba", file), data.load("celeba", file, "test")
    assert (len(train), len(test)) == (9_000, 1_000)
    assert train.labels is None


def test_crop_and_scale_agree_with_another_program(real_data):
    """The archive was made elsewhere from the same files: the centred 64 of 89, averaged to 32."""
    folder = data.load("celeba", need(real_data, "img_align_celeba"))
    archive = data.load("celeba", need(real_data, "celeba10k_32.npz"))
    ours = folder.images[:100].astype(float)
    theirs = archive.images[:100].astype(float)
    # Equal up to JPEG decoding and rounding; a shift by one pixel of 89 already costs 3 levels.
    assert np.abs(ours - theirs).mean() < 1.0


def test_olivetti(real_data):
    file = need(real_data, "olivetti.npz")
    train, test = data.load("npz", file), data.load("npz", file, "test")
    assert train.images.shape == (360, 64, 64, 1)
    # Ten pictures of each of 40 people, in order: every tenth is one of each.
    assert test.labels.tolist() == list(range(40))
    assert train.num_classes == test.num_classes == 40
