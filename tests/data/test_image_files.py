"""Picture files: how they are cut and scaled, their formats, and damaged ones."""

import numpy as np
import pytest
from loading import fails, flat, save, values
from PIL import Image

from tf_febm import data
from tf_febm.data.images import centre_square, resize_array

RNG = np.random.default_rng(0)


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


# Formats


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


def test_more_than_8_bits_are_rounded_to_8(tmp_path):
    # 257 levels of 16 bits are one of 8; every mode and depth is in test_pictures.py.
    Image.fromarray(np.full((4, 4), 257 * 90 + 129, np.uint16)).save(tmp_path / "deep.png")
    assert (data.load("folder", tmp_path).images == 91).all()


# Damage


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


def test_file_that_may_not_be_read(tmp_path, monkeypatch):
    file = save(tmp_path / "1.png", flat(1))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    assert str(file) in fails(PermissionError, "may not be read", "folder", tmp_path)
