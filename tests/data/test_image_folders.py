"""Folders of image files: `folder` and `celeba`."""

import os
import re

import numpy as np
import pytest
from loading import fails
from PIL import Image

from tf_febm import data
from tf_febm.data.images import centre_square, resize_array

RNG = np.random.default_rng(0)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path, **options)
    return path


def flat(value, shape=(4, 4, 3)):
    return np.full(shape, value)


def values(loaded):
    """The first channel of the first pixel, which tells flat test images apart."""
    return loaded.images[:, 0, 0, 0].tolist()


# Crop and scale


def test_crop_is_the_largest_centred_square_and_the_scale_averages_areas():
    image = RNG.integers(0, 256, (6, 12, 3), dtype=np.uint8)
    expected = image[:, 3:9].reshape(2, 3, 2, 3, 3).mean(axis=(1, 3))
    # 8 bits: half a grey level.
    np.testing.assert_allclose(centre_square(image, 2), expected, atol=0.5)
    tall = image.transpose(1, 0, 2).copy()
    np.testing.assert_allclose(centre_square(tall, 2), expected.transpose(1, 0, 2), atol=0.5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_are_scaled_like_files(channels):
    images = RNG.integers(0, 256, (3, 10, 8, channels), dtype=np.uint8)
    # A fourth channel is a channel like the others, not transparency.
    expected = images[:, 1:9].reshape(3, 4, 2, 4, 2, channels).mean(axis=(2, 4))
    np.testing.assert_allclose(resize_array(images, 4), expected, atol=0.5)
    np.testing.assert_array_equal(resize_array(images, 8), images[:, 1:9])


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 12])
def test_parts_of_pixels_count_in_part(size):
    image = RNG.integers(0, 256, (5, 5, 1), dtype=np.uint8)
    # By definition: repeat each pixel size × size times and average blocks of 5 × 5.
    fine = np.kron(image[..., 0], np.ones((size, size)))
    expected = fine.reshape(size, 5, size, 5).mean(axis=(1, 3))
    # Half a grey level, and the rounding of float32.
    np.testing.assert_allclose(centre_square(image, size)[..., 0], expected, atol=0.5 + 1e-4)


def test_image_size_works_for_array_sources():
    native, small = data.load("digits"), data.load("digits", image_size=4)
    expected = native.images.reshape(-1, 4, 2, 4, 2, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(small.images, expected, atol=0.5)


# folder


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


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "bmp", "gif", "webp", "PNG", "JPG"])
def test_formats(tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    save(tmp_path / f"1.{suffix}", flat(100), **options)
    loaded = data.load("folder", tmp_path, image_size=2)
    assert loaded.images.shape == (1, 2, 2, 3)
    # JPEG is allowed one grey level.
    np.testing.assert_allclose(loaded.images.astype(int), 100, atol=1)


def test_grey_only_if_all_are_grey(tmp_path):
    save(tmp_path / "1.png", flat(10, (4, 4)))
    Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / "2.png")
    grey = data.load("folder", tmp_path, image_size=4)
    assert grey.image_shape == (4, 4, 1)
    np.testing.assert_array_equal(grey.images[1, ..., 0], 255 * np.eye(4))
    # The third decides for the split that does not contain it as well.
    save(tmp_path / "3.png", flat(30))
    assert data.load("folder", tmp_path, image_size=4).image_shape == (4, 4, 3)


def test_transparency_is_white(tmp_path):
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0] = [255, 0, 0, 255]
    pixels[0, 1] = [255, 0, 0, 0]
    save(tmp_path / "1.png", pixels)
    (image,) = data.load("folder", tmp_path, image_size=2).images
    assert image[0, 0].tolist() == [255, 0, 0]
    assert image[0, 1].tolist() == image[1, 1].tolist() == [255, 255, 255]


def test_palette_with_transparency_is_white(tmp_path):
    image = Image.fromarray(np.array([[0, 1]] * 2, np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.save(tmp_path / "1.gif", transparency=1)
    (pixels,) = data.load("folder", tmp_path, image_size=2).images
    assert pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_orientation_of_photographs_is_obeyed(tmp_path):
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "1.png", exif=exif)
    (image,) = data.load("folder", tmp_path, image_size=8).images
    np.testing.assert_array_equal(image, 255 - pixels)


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


def test_corrupt_images_are_named(tmp_path):
    for k in range(3):
        save(tmp_path / f"{k}.jpg", RNG.integers(0, 256, (64, 64, 3)))
    good = (tmp_path / "1.jpg").read_bytes()
    for content in (b"", b"<html>", good[: len(good) // 2], good[:30]):
        (tmp_path / "1.jpg").write_bytes(content)
        line = fails(ValueError, "not a readable image", "folder", tmp_path)
        assert str(tmp_path / "1.jpg") in line


def write_many(folder, broken, count=220, directory=lambda k: "."):
    """Images that tell their number, some of them damaged; one in ten is held out."""
    for k in range(count):
        save(folder / directory(k) / f"{k:03d}.bmp", flat(k, (2, 2, 3)))
    for k in broken:
        (folder / directory(k) / f"{k:03d}.bmp").write_bytes(b"BM damaged")


def test_a_damaged_file_among_many_is_skipped_counted_and_named(tmp_path):
    write_many(tmp_path, broken=[7], directory=lambda k: "ab"[k % 2])
    with pytest.warns(UserWarning, match="1 of 198 image files cannot be decoded") as caught:
        train = data.load("folder", tmp_path, image_size=1)
    assert "007.bmp" in str(caught[0].message)
    assert "198 of 220 image files, 1 skipped as damaged" in train.source
    assert len(train) == 197
    # The images keep their classes: even numbers are in a, odd ones in b.
    assert 7 not in values(train)
    np.testing.assert_array_equal(np.array(values(train)) % 2, train.labels)
    # The held-out files are those that would be without the damage.
    test = data.load("folder", tmp_path, "test", image_size=1)
    in_order = [*range(0, 220, 2), *range(1, 220, 2)]
    assert values(test) == in_order[9::10]
    assert "skipped" not in test.source


@pytest.mark.parametrize("name", ["folder", "celeba"])
def test_more_than_one_in_a_hundred_damaged_files_are_an_error(tmp_path, name):
    # 198 files are for training: one is within 1 %, two are not.
    write_many(tmp_path, broken=[150, 7])
    line = fails(ValueError, "2 of 198 image files cannot be decoded, more than 1%", name, tmp_path)
    # In the order of the files, not of the threads.
    assert 0 < line.index("007.bmp") < line.index("150.bmp")


def test_a_damaged_face_is_skipped(tmp_path):
    write_many(tmp_path, broken=[7])
    with pytest.warns(UserWarning, match="1 of 198 image files"):
        train = data.load("celeba", tmp_path)
    assert values(train) == [k for k in range(198) if k != 7]
    assert "198 image files, 1 skipped as damaged" in train.source


def test_the_first_of_many_damaged_files_are_named(tmp_path):
    write_many(tmp_path, broken=range(100))
    line = fails(ValueError, "90 of 198 image files", "folder", tmp_path)
    assert line.count(".bmp: not a readable image") == 3
    assert line.endswith("…")


def test_corrupt_png_is_named(tmp_path):
    file = save(tmp_path / "1.png", RNG.integers(0, 256, (64, 64, 3)))
    content = bytearray(file.read_bytes())
    content[200:260] = bytes(60)
    file.write_bytes(content)
    assert str(file) in fails(ValueError, "not a readable image", "folder", tmp_path)


def test_more_than_8_bits_are_rounded_to_8(tmp_path):
    # 257 levels of 16 bits are one of 8; every mode and depth is in test_pictures.py.
    Image.fromarray(np.full((4, 4), 257 * 90 + 129, np.uint16)).save(tmp_path / "deep.png")
    assert (data.load("folder", tmp_path).images == 91).all()


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


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    file = save(tmp_path / "1.png", flat(1))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    assert str(file) in fails(PermissionError, "may not be read", "folder", tmp_path)


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


# Splits


def split_folder(root, splits, classes=("cat", "dog"), count=3):
    """Images that tell their split and class: 100·(place of the split) + 10·(class) + number."""
    for s, name in enumerate(splits):
        for c, folder in enumerate(classes):
            for k in range(count):
                save(root / name / folder / f"{k}.png", flat(100 * s + 10 * c + k))
    return root


@pytest.mark.parametrize("train", ["train", "Training"])
@pytest.mark.parametrize("test", ["test", "TESTING", "val", "Valid", "validation", "dev"])
def test_folders_of_splits_are_no_classes(tmp_path, train, test):
    split_folder(tmp_path, (train, test))
    both = [data.load("folder", tmp_path, split, image_size=1) for split in ("train", "test")]
    for s, loaded in enumerate(both):
        assert values(loaded) == [100 * s + v for v in (0, 1, 2, 10, 11, 12)]
        assert loaded.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert loaded.class_names == ("cat", "dog") and loaded.num_classes == 2


def test_three_splits_without_classes(tmp_path):
    split_folder(tmp_path, ("train", "test", "val"), ("",))
    train, test = (data.load("folder", tmp_path, s, image_size=1) for s in ("train", "test"))
    assert values(train) == [0, 1, 2] and values(test) == [100, 101, 102]
    assert train.labels is None and test.labels is None
    assert "val/ not read" in train.source


def test_a_training_folder_alone_holds_every_tenth_out(tmp_path):
    split_folder(tmp_path, ("train",), count=10)
    train, test = (data.load("folder", tmp_path, s, image_size=1) for s in ("train", "test"))
    assert values(test) == [9, 19] and test.labels.tolist() == [0, 1]
    assert len(train) == 18 and train.class_names == ("cat", "dog")


def test_classes_are_numbered_alike_in_both_splits(tmp_path):
    split_folder(tmp_path, ("train",), ("bee", "dog"))
    split_folder(tmp_path, ("nothing", "val"), ("ant", "dog"))
    for folder in (tmp_path / "nothing").rglob("*.png"):
        folder.unlink()
    with pytest.warns(UserWarning, match="no examples of 'ant' among its 3 classes"):
        train = data.load("folder", tmp_path, image_size=1)
    test = data.load("folder", tmp_path, "test", image_size=1)
    assert train.class_names == test.class_names == ("ant", "bee", "dog")
    assert set(train.labels) == {1, 2} and set(test.labels) == {0, 2}


def test_a_test_split_without_labels(tmp_path):
    split_folder(tmp_path, ("train",))
    split_folder(tmp_path, ("", "test"), ("",))
    for file in tmp_path.glob("*.png"):
        file.unlink()
    assert data.load("folder", tmp_path, image_size=1).num_classes == 2
    assert data.load("folder", tmp_path, "test", image_size=1).labels is None


def test_splits_below_a_folder_and_below_classes(tmp_path):
    split_folder(tmp_path / "a" / "around", ("train", "test"))
    for s, split in enumerate(("train", "test")):
        loaded = data.load("folder", tmp_path / "a", split, image_size=1)
        assert values(loaded) == [100 * s + v for v in (0, 1, 2, 10, 11, 12)]
        assert loaded.class_names == ("cat", "dog")
    split_folder(tmp_path / "b", ("cat", "dog"), ("Train", "Val"))
    for s, split in enumerate(("train", "test")):
        loaded = data.load("folder", tmp_path / "b", split, image_size=1)
        assert values(loaded) == [10 * s + v for v in (0, 1, 2, 100, 101, 102)]
        assert loaded.class_names == ("cat", "dog") and loaded.labels.tolist() == [0] * 3 + [1] * 3


def test_a_class_may_be_called_train(tmp_path):
    split_folder(tmp_path, ("boat", "train"), ("",))
    assert data.load("folder", tmp_path, image_size=1).class_names == ("boat", "train")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("train", "test", "extra"), "folders of splits, train, test, beside 'extra'"),
        (("test", "val"), "folders of splits, test, val, beside no training one"),
        (("train", "Train", "test"), "several folders for training, Train, train"),
    ],
)
def test_splits_that_are_not_clear(tmp_path, folders, message):
    split_folder(tmp_path, folders)
    assert str(tmp_path) in fails(ValueError, message, "folder", tmp_path)


def test_folders_without_images_are_named(tmp_path):
    split_folder(tmp_path, ("train", "test"))
    (tmp_path / "train" / "eel").mkdir()
    with pytest.warns(UserWarning, match="no images that can be read in 'eel'"):
        data.load("folder", tmp_path, image_size=1)


# Scale


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
def test_images_of_another_scale_are_warned_of(tmp_path, recwarn, level, message):
    for k in range(12):
        save(tmp_path / f"{k}.png", flat(level if level in (0, 255) else level * (k % 2)))
    data.load("folder", tmp_path)
    data.load("folder", tmp_path, "test")
    found = [str(w.message) for w in recwarn]
    assert len(found) == (message is not None)
    if message:
        assert re.search(message, found[0]) and str(tmp_path) in found[0] and "\n" not in found[0]
