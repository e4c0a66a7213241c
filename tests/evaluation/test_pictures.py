"""Grids by exact pixels, and pictures written whole or not at all."""

import os

import numpy as np
import pytest
from PIL import Image

from tf_febm import evaluation


def test_grid_pixel_by_pixel():
    images = np.array([[[1, 2]], [[3, 4]], [[5, 6]]], np.uint8)[..., None]
    grid = evaluation.image_grid(images, columns=2, padding=1, upscale=2, background=9)
    expected = [
        [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        [9, 1, 1, 2, 2, 9, 3, 3, 4, 4, 9],
        [9, 1, 1, 2, 2, 9, 3, 3, 4, 4, 9],
        [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        [9, 5, 5, 6, 6, 9, 9, 9, 9, 9, 9],
        [9, 5, 5, 6, 6, 9, 9, 9, 9, 9, 9],
        [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
    ]
    np.testing.assert_array_equal(grid[..., 0], expected)
    assert grid.dtype == np.uint8


def test_grid_without_padding_joins_colours():
    images = np.random.default_rng(0).integers(256, size=(4, 3, 5, 3), dtype=np.uint8)
    grid = evaluation.image_grid(images, padding=0, upscale=1)
    rows = [np.concatenate(images[:2], axis=1), np.concatenate(images[2:], axis=1)]
    np.testing.assert_array_equal(grid, np.concatenate(rows, axis=0))


@pytest.mark.parametrize(
    ("size", "cell"),
    [
        ((8, 8), (32, 32)),
        ((28, 28), (56, 56)),
        ((32, 32), (32, 32)),
        ((64, 64), (64, 64)),
        ((40, 5), (280, 35)),
    ],
)
def test_default_cells_are_readable(size, cell):
    grid = evaluation.image_grid(np.zeros((1, *size, 1), np.uint8), padding=0)
    assert grid.shape == (*cell, 1)


@pytest.mark.parametrize(
    ("count", "columns", "rows"), [(1, 1, 1), (5, 3, 2), (9, 3, 3), (10, 4, 3)]
)
def test_default_grid_is_nearly_square(count, columns, rows):
    grid = evaluation.image_grid(np.zeros((count, 2, 2, 1), np.uint8), padding=0, upscale=1)
    assert grid.shape == (2 * rows, 2 * columns, 1)


def test_floats_return_to_the_bytes_they_came_from():
    every_value = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    noise = np.random.default_rng(0).random(every_value.shape, dtype=np.float32)
    for floats in ((every_value + noise) / 256, evaluation.to_unit_interval(every_value)):
        grid = evaluation.image_grid(floats, padding=0, upscale=1)
        np.testing.assert_array_equal(grid, every_value[0])
    ends = np.array([0.0, 1.0], np.float32).reshape(1, 1, 2, 1)
    grid = evaluation.image_grid(ends, padding=0, upscale=1)
    np.testing.assert_array_equal(grid.ravel(), [0, 255])


@pytest.mark.parametrize(
    ("images", "settings", "error", "message"),
    [
        (np.zeros((8, 8, 1)), {}, ValueError, r"received shape \(8, 8, 1\)"),
        (np.zeros((2, 8, 8, 2)), {}, ValueError, r"1 or 3 channels; received shape \(2, 8, 8, 2\)"),
        (np.full((2, 8, 8, 1), 1.5), {}, ValueError, r"in \[0, 1\]; received values from 1.5"),
        (np.zeros((2, 8, 8, 1), int), {}, TypeError, "received dtype int64"),
        (np.zeros((2, 8, 8, 1)), {"columns": 0}, ValueError, "columns .*received 0"),
        (np.zeros((2, 8, 8, 1)), {"upscale": 1.5}, ValueError, "upscale .*received 1.5"),
        (np.zeros((2, 8, 8, 1)), {"padding": -1}, ValueError, "padding .*received -1"),
        (np.zeros((2, 8, 8, 1)), {"background": 256}, ValueError, "background .*received 256"),
    ],
)
def test_grid_arguments_are_validated(images, settings, error, message):
    with pytest.raises(error, match=message):
        evaluation.image_grid(images, **settings)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_round_trip(tmp_path, channels):
    array = np.random.default_rng(0).integers(256, size=(7, 9, channels), dtype=np.uint8)
    path = tmp_path / "picture.png"
    evaluation.save_png(path, array)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture).reshape(array.shape), array)
    assert os.listdir(tmp_path) == ["picture.png"]


def test_png_replaces_an_older_one_and_has_ordinary_permissions(tmp_path):
    path = tmp_path / "picture.png"
    evaluation.save_png(str(path), np.zeros((2, 2, 1), np.uint8))
    evaluation.save_png(str(path), np.ones((3, 3, 1), np.uint8))
    with Image.open(path) as picture:
        assert picture.size == (3, 3)
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_failure_leaves_the_older_picture(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"older")

    def fail_half_way(self, file, format):
        file.write(b"half a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail_half_way)
    with pytest.raises(OSError, match="No space left on device") as caught:
        evaluation.save_png(path, np.zeros((2, 2, 1), np.uint8))
    assert caught.value.errno == 28
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"older"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_missing_folder_is_named(tmp_path):
    path = tmp_path / "absent" / "picture.png"
    with pytest.raises(FileNotFoundError, match="No such file") as caught:
        evaluation.save_png(path, np.zeros((2, 2, 1), np.uint8))
    assert caught.value.filename == str(path)


@pytest.mark.parametrize(
    ("name", "array", "error", "message"),
    [
        ("a.jpg", np.zeros((2, 2, 1), np.uint8), ValueError, "end in .png; received"),
        ("a.png", np.zeros((2, 2, 1)), TypeError, "must be uint8; received dtype float64"),
        ("a.png", np.zeros((2, 2), np.uint8), ValueError, r"received shape \(2, 2\)"),
        ("a.png", np.zeros((2, 2, 4), np.uint8), ValueError, r"received shape \(2, 2, 4\)"),
    ],
)
def test_png_arguments_are_validated(tmp_path, name, array, error, message):
    with pytest.raises(error, match=message):
        evaluation.save_png(tmp_path / name, array)
    assert os.listdir(tmp_path) == []
