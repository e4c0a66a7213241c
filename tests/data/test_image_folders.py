"""Folders of image files: what is found in them, classes, and `celeba`."""

import os

import numpy as np
import pytest
from loading import fails, flat, save, values

from tf_febm import data

RNG = np.random.default_rng(0)


def test_folder_without_classes(tmp_path):
    for k in range(20):
        save(tmp_path / f"{k:02d}.png", flat(k))
    train, test = data.load("folder", tmp_path), data.load("folder", tmp_path, "test")
    assert train.image_shape == (32, 32, 3)
    assert train.labels is None
    assert values(test) == [9, 19]
    assert values(train) == [k for k in range(20) if k not in (9, 19)]


def test_sub_folders_are_classes_in_sorted_order(tmp_path):
    for k in range(20):
        save(tmp_path / ("dog", "cat")[k % 2] / f"{k:02d}.png", flat(k))
    # Empty folders, and folders with other files, are no classes.
    (tmp_path / "aardvark").mkdir()
    (tmp_path / "bee").mkdir()
    (tmp_path / "bee" / "notes.txt").write_text("no image")
    train, test = data.load("folder", tmp_path), data.load("folder", str(tmp_path), "test")
    # In order: the odd numbers (cat), then the even ones (dog); each tenth is held out.
    assert values(test) == [19, 18]
    assert test.labels.tolist() == [0, 1]
    assert train.num_classes == test.num_classes == 2
    assert train.labels.tolist() == [0] * 9 + [1] * 9
    assert [value % 2 for value in values(train)] == [1] * 9 + [0] * 9
    assert "2 classes" in train.source


def test_deeper_folders_are_named_by_their_path(tmp_path):
    for k, folder in enumerate(["b/x", "a/x", "a/y"]):
        save(tmp_path / folder / "1.png", flat(k))
    loaded = data.load("folder", tmp_path)
    assert values(loaded) == [1, 2, 0]
    assert loaded.labels.tolist() == [0, 1, 2]


def test_images_beside_sub_folders_have_no_classes(tmp_path):
    save(tmp_path / "1.png", flat(1))
    save(tmp_path / "cat" / "2.png", flat(2))
    loaded = data.load("folder", tmp_path)
    assert loaded.labels is None
    assert values(loaded) == [1, 2]


def test_hidden_files_are_no_images(tmp_path):
    save(tmp_path / "1.png", flat(1))
    (tmp_path / "._1.png").write_bytes(b"resource fork")
    save(tmp_path / ".thumbnails" / "1.png", flat(9))
    assert values(data.load("folder", tmp_path)) == [1]


def test_links_are_followed_once(tmp_path):
    save(tmp_path / "real" / "1.png", flat(1))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "set", target_is_directory=True)
    assert values(data.load("folder", tmp_path / "set")) == [1]


def test_many_files_keep_their_order(tmp_path):
    # More than one chunk for each thread.
    for k in range(250):
        save(tmp_path / f"{k:03d}.bmp", flat(k, (2, 2, 3)))
    expected = [k for k in range(250) if k % 10 != 9]
    assert values(data.load("folder", tmp_path, image_size=1)) == expected


def test_folder_with_nothing_in_it(tmp_path):
    line = fails(FileNotFoundError, "nothing usable", "folder", tmp_path)
    assert str(tmp_path) in line
    assert ".png, .jpg" in line
    (tmp_path / "notes.txt").write_text("no image")
    fails(FileNotFoundError, "nothing usable", "folder", tmp_path)
    fails(FileNotFoundError, "nothing usable", "folder", tmp_path / "notes.txt")


def test_too_few_files_to_hold_one_out(tmp_path):
    save(tmp_path / "1.png", flat(1))
    fails(ValueError, "split='test'.*received only 1", "folder", tmp_path, "test")


def test_folder_that_may_not_be_read(tmp_path, monkeypatch):
    save(tmp_path / "1.png", flat(1))
    (tmp_path / "sub").mkdir()
    listdir = os.listdir

    # By hand, because the administrator may read everything and tests may run as one.
    def refuse(folder):
        if str(folder) == str(tmp_path / "sub"):
            raise PermissionError(13, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    line = fails(PermissionError, "may not be read", "folder", tmp_path)
    assert str(tmp_path / "sub") in line


# celeba


def faces(folder, numbers):
    for number in numbers:
        save(folder / f"{number:06d}.jpg", flat(number % 200, (10, 8, 3)))
    return folder


@pytest.mark.parametrize("nested", ["", "img_align_celeba", "img_align_celeba/img_align_celeba"])
def test_celeba_holds_out_the_last_tenth(tmp_path, nested):
    faces(tmp_path / nested, range(1, 25))
    train, test = data.load("celeba", tmp_path), data.load("celeba", tmp_path, "test")
    assert train.images.shape == (22, 32, 32, 3)
    assert test.images.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(values(test), [23, 24], atol=1)
    assert train.labels is None
    assert "last tenth" in train.source


def test_celeba_uses_the_official_split_when_it_can(tmp_path):
    faces(tmp_path, [1, 2, 162770, 162771, 182637, 182638, 202599])
    train, test = data.load("celeba", tmp_path), data.load("celeba", tmp_path, "test")
    np.testing.assert_allclose(values(train), [1, 2, 170], atol=1)
    np.testing.assert_allclose(values(test), [38, 199], atol=1)
    assert "official split" in train.source


def test_celeba_with_test_faces_only(tmp_path):
    faces(tmp_path, [182638, 182639])
    assert len(data.load("celeba", tmp_path, "test")) == 2
    fails(ValueError, "no image of the official train split; received numbers", "celeba", tmp_path)


def test_celeba_crop_of_the_published_size(tmp_path):
    # 218 rows by 178 columns: rows 45 to 172 and columns 25 to 152 stay.
    image = np.zeros((218, 178, 3), np.uint8)
    image[45:173, 25:153] = 255
    save(tmp_path / "000001.png", image)
    assert data.load("celeba", tmp_path).images.min() == 255
    image[45], image[:, 152] = 0, 0
    save(tmp_path / "000001.png", image)
    kept = data.load("celeba", tmp_path, image_size=128).images[0]
    assert kept[0].max() == kept[:, -1].max() == 0 and kept[1:, :-1].min() == 255


@pytest.mark.parametrize("as_folder", [True, False])
def test_celeba_from_an_archive(tmp_path, as_folder):
    images = RNG.integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
    np.savez(tmp_path / "faces.npz", x=images)
    where = tmp_path if as_folder else tmp_path / "faces.npz"
    test = data.load("celeba", where, "test")
    expected = images[18:].reshape(2, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(test.images, expected, atol=0.5)
    assert data.load("celeba", where, image_size=64).images.shape == (18, 64, 64, 3)


def test_celeba_with_nothing_in_it(tmp_path):
    line = fails(FileNotFoundError, "nothing usable", "celeba", tmp_path)
    assert "img_align_celeba/" in line
