"""Picture files of every mode and depth, really written, against levels computed by hand.

Where Pillow cannot write a kind of file (16 bits of colour, grey with transparency of 16 bits) the
bytes are put together here, as the PNG and TIFF specifications say.
"""

import runpy
import struct
import zlib

import numpy as np
import pytest
from loading import fails
from PIL import Image

from tf_febm import data
from tf_febm.data import images, pictures

RNG = np.random.default_rng(0)
SIDE = 4
GREY8 = RNG.integers(0, 256, (SIDE, SIDE), np.uint8)
RGB8 = RNG.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
ALPHA8 = RNG.integers(0, 256, (SIDE, SIDE), np.uint8)
GREY16 = RNG.integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)
RGB16 = RNG.integers(0, 65536, (SIDE, SIDE, 3)).astype(np.uint16)
ALPHA16 = RNG.integers(0, 65536, (SIDE, SIDE)).astype(np.uint16)


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def write_png(path, pixels, colour_type, bits, before=b""):
    """Write [height, width, channels] as a PNG: 0 grey, 2 colour, 4 and 6 the same with alpha."""
    pixels = np.asarray(pixels).reshape(*np.shape(pixels)[:2], -1)
    height, width, _ = pixels.shape
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in pixels]
    else:
        # Several pixels a byte, the leftmost in the highest bits.
        wide = pixels.reshape(height, width).astype(np.uint8)
        places = np.unpackbits(wide[..., None], axis=2)[..., 8 - bits :]
        rows = [np.packbits(row.reshape(-1)).tobytes() for row in places]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    data_of_rows = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
        + chunk(b"IDAT", data_of_rows) + chunk(b"IEND", b"")
    )  # fmt: skip


def write_tiff(path, content, bits, photometric, sample_format=1, channels=1):
    """Write rows of bytes, little-endian and not compressed, as a TIFF of 4 × 4."""
    entries = [
        (256, 3, SIDE), (257, 3, SIDE), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8), (277, 3, channels), (278, 3, SIDE), (279, 4, len(content)),
        (339, 3, sample_format),
    ]  # fmt: skip
    where = 8 + len(content)
    table = where + 2 * 3 * 2
    blob = b"II*\0" + struct.pack("<I", table) + content
    # The bits, and the formats, of three channels do not fit into an entry.
    blob += struct.pack("<3H", *[bits] * 3) + struct.pack("<3H", *[sample_format] * 3)
    blob += struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        if channels == 3 and tag in (258, 339):
            blob += struct.pack("<HHII", tag, kind, 3, where + (6 if tag == 339 else 0))
        else:
            blob += struct.pack("<HHII", tag, kind, 1, value)
    path.write_bytes(blob + struct.pack("<I", 0))


def on_white(levels, alpha):
    """Levels of 0 … 255 behind alpha in [0, 1]."""
    levels = np.asarray(levels, np.float64)
    alpha = np.asarray(alpha, np.float64)
    alpha = alpha[..., None] if levels.ndim == 3 else alpha
    return alpha * levels + (1 - alpha) * 255


def luma(rgb):
    return 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]


def by_pillow(array, **options):
    return lambda path: Image.fromarray(array).save(path, **options)


def as_png(pixels, colour_type, bits=16, before=b""):
    return lambda path: write_png(path, pixels, colour_type, bits, before)


def as_tiff(content, *form, **more):
    return lambda path: write_tiff(path, content, *form, **more)


PALETTE = [10, 20, 30, 200, 100, 50, 7, 77, 177, 255, 255, 0]
INDICES = RNG.integers(0, 4, (SIDE, SIDE)).astype(np.uint8)
COLOURS = np.array(PALETTE).reshape(4, 3)[INDICES]
CMYK8 = RNG.integers(0, 256, (SIDE, SIDE, 4), np.uint8)
UNIT = RNG.random((SIDE, SIDE)).astype(np.float32)
BITS12 = RNG.integers(0, 4096, (SIDE, SIDE))
BITS4 = RNG.integers(0, 16, (SIDE, SIDE))


def write_palette(path, **options):
    image = Image.fromarray(INDICES, "P")
    image.putpalette(PALETTE)
    image.save(path, **options)


def pack12(values):
    """Two values of 12 bits in three bytes, the first in the highest bits."""
    bits = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    return np.packbits(bits.reshape(-1)).tobytes()


def write_turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY16).save(path, exif=exif)


def write_animation(path):
    others = [Image.fromarray(255 - RGB8)]
    Image.fromarray(RGB8).save(path, save_all=True, append_images=others, lossless=True)


# name of the file -> (how it is written, its levels by hand, grey or colour).
EXACT = {
    "grey.png": (by_pillow(GREY8), GREY8),
    "one_bit.png": (by_pillow(GREY8 > 99), 255.0 * (GREY8 > 99)),
    "one_bit.tif": (by_pillow(GREY8 > 99), 255.0 * (GREY8 > 99)),
    "four_bits.png": (as_png(BITS4, 0, 4), BITS4 * 17.0),
    "four_bits_clear.png": (
        as_png(BITS4, 0, 4, chunk(b"tRNS", struct.pack(">H", int(BITS4[1, 2])))),
        np.where(BITS4[1, 2] == BITS4, 255.0, BITS4 * 17.0),
    ),
    "colour.png": (by_pillow(RGB8), RGB8),
    "palette.png": (write_palette, COLOURS),
    "palette.gif": (write_palette, COLOURS),
    "palette_clear.png": (
        lambda path: write_palette(path, transparency=2),
        np.where(INDICES[..., None] == 2, 255.0, COLOURS),
    ),
    "grey_alpha.png": (
        by_pillow(np.dstack([GREY8, ALPHA8])),
        on_white(GREY8, ALPHA8 / 255.0),
    ),
    "colour_alpha.png": (
        by_pillow(np.dstack([RGB8, ALPHA8])),
        on_white(RGB8, ALPHA8 / 255.0),
    ),
    "colour_alpha.tif": (
        by_pillow(np.dstack([RGB8, ALPHA8])),
        on_white(RGB8, ALPHA8 / 255.0),
    ),
    "grey16.png": (by_pillow(GREY16), GREY16 / 257.0),
    "grey16.tif": (by_pillow(GREY16), GREY16 / 257.0),
    "grey16_big_endian.tif": (by_pillow(GREY16.astype(">u2")), GREY16 / 257.0),
    "grey16_inverted.tif": (as_tiff(GREY16.tobytes(), 16, 0), 255.0 - GREY16 / 257.0),
    "grey12.tif": (as_tiff(pack12(BITS12), 12, 1), BITS12 * (255.0 / 4095)),
    "grey16_clear.png": (
        as_png(GREY16, 0, 16, chunk(b"tRNS", struct.pack(">H", int(GREY16[1, 2])))),
        np.where(GREY16[1, 2] == GREY16, 255.0, GREY16 / 257.0),
    ),
    "colour16.png": (as_png(RGB16, 2), RGB16 / 257.0),
    "colour16_clear.png": (
        as_png(RGB16, 2, 16, chunk(b"tRNS", struct.pack(">3H", *RGB16[1, 2].tolist()))),
        np.where((RGB16[1, 2] == RGB16).all(-1, keepdims=True), 255.0, RGB16 / 257.0),
    ),
    "grey_alpha16.png": (
        as_png(np.dstack([GREY16, ALPHA16]), 4),
        on_white(GREY16 / 257.0, ALPHA16 / 65535.0),
    ),
    "colour_alpha16.png": (
        as_png(np.dstack([RGB16, ALPHA16]), 6),
        on_white(RGB16 / 257.0, ALPHA16 / 65535.0),
    ),
    "float.tif": (by_pillow(UNIT), 255.0 * UNIT.astype(np.float64)),
    "turned16.png": (write_turned, np.rot90(GREY16 / 257.0, -1)),
    "turned16.tif": (write_turned, np.rot90(GREY16 / 257.0, -1)),
    "animation.webp": (write_animation, RGB8),
    "animation.png": (write_animation, RGB8),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_exact_levels(tmp_path, name):
    write, levels = EXACT[name]
    write(tmp_path / name)
    levels = np.asarray(levels, np.float64)
    for channels in (1, 3):
        expected = luma(levels) if levels.ndim == 3 and channels == 1 else levels
        expected = np.broadcast_to(
            expected if expected.ndim == 3 else expected[..., None], (SIDE, SIDE, channels)
        )
        with Image.open(tmp_path / name) as image:
            found = pictures.picture_levels(image, channels)
        # Rounding of float64, and of 8 bits nothing at all.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    # The reader of folders rounds these levels once, and takes one channel where all is grey.
    loaded = data.load("folder", tmp_path, image_size=SIDE)
    off = np.abs(loaded.images[0] - (levels if levels.ndim == 3 else levels[..., None]))
    assert off.max() <= 0.5 + 1e-10


def test_averages_are_rounded_once(tmp_path):
    """Fractions of a level count in the mean, rather than being cut or rounded pixel by pixel."""
    Image.fromarray(np.full((2, 2), 257 * 70 + 200, np.uint16)).save(tmp_path / "a.png")
    tenths = 257 * 70 + np.array([[100, 100], [100, 257]], np.uint16)
    Image.fromarray(tenths).save(tmp_path / "b.png")
    loaded = data.load("folder", tmp_path, image_size=1)
    # 70.78, and the mean of three times 70.39 and 71, which is 70.54.
    assert loaded.images[:, 0, 0, 0].tolist() == [71, 71]
    assert loaded.image_shape == (1, 1, 1)


def test_cmyk_is_ink_on_white(tmp_path):
    Image.fromarray(CMYK8, "CMYK").save(tmp_path / "ink.tif")
    expected = 255.0 * (1 - CMYK8[..., :3] / 255.0) * (1 - CMYK8[..., 3:] / 255.0)
    (found,) = data.load("folder", tmp_path, image_size=SIDE).images
    # Pillow multiplies in whole numbers: a level.
    np.testing.assert_allclose(found, expected, atol=1.0)


RGB16_TIFF = as_tiff(RGB16.tobytes(), 16, 2, channels=3)
REFUSED = {
    "colour16.tif": (RGB16_TIFF, "TIFF of RGB of 16 bits a channel, which would be cut to 8"),
    "float_255.tif": (by_pillow(255 * UNIT), r"from .* to 2\d\d.*: they must lie in \[0, 1\]"),
    "negative.tif": (by_pillow(-UNIT), r"must lie in \[0, 1\]"),
    "nan.tif": (by_pillow(UNIT * np.float32(np.nan)), r"from nan to nan: they must lie in"),
    "int32.tif": (by_pillow(GREY16.astype(np.int32)), "whole numbers, which have no agreed white"),
    "signed.tif": (as_tiff(GREY16.tobytes(), 16, 1, 2), "have no agreed white"),
    "cut.png": (
        lambda path: (write_png(path, RGB16, 2, 16), path.write_bytes(path.read_bytes()[:-40])),
        "damaged or cut short",
    ),
    "other.png": (lambda path: Image.fromarray(RGB8).save(path, "PPM"), "PPM is not among PNG"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_wrong_is_refused_in_one_line(tmp_path, name):
    write, message = REFUSED[name]
    write(tmp_path / name)
    assert name in fails(ValueError, message, "folder", tmp_path)


def test_one_deep_picture_among_others_decides_nothing(tmp_path):
    for k in range(8):
        Image.fromarray(np.full((4, 4), 30 * k, np.uint8)).save(tmp_path / f"{k}.png")
    Image.fromarray(np.full((4, 4), 257 * 240, np.uint16)).save(tmp_path / "8.png")
    loaded = data.load("folder", tmp_path, image_size=2)
    assert loaded.images[:, 0, 0].ravel().tolist() == [30 * k for k in range(9)]


def test_the_client_has_the_same_functions(project):
    """The client runs without the library, so it has a copy; it must not drift."""

    def shared(path):
        text = path.read_text(encoding="utf-8")
        start = text.index("# --- the same in")
        return text[start : text.index("# --- the end of what is the same")]

    ours = shared(project / "tf_febm" / "data" / "pictures.py")
    assert ours == shared(project / "examples" / "score_images.py")
    assert "def picture_levels" in ours


@pytest.mark.parametrize("name", EXACT)
def test_the_client_reads_as_training_does(project, tmp_path, name):
    read = runpy.run_path(str(project / "examples" / "score_images.py"))["read"]
    write, levels = EXACT[name]
    write(tmp_path / name)
    levels = np.asarray(levels, np.float64)
    found = read(tmp_path / name, SIDE, SIDE, 3)
    expected = np.broadcast_to(levels if levels.ndim == 3 else levels[..., None], (SIDE, SIDE, 3))
    # Of float32.
    np.testing.assert_allclose(256 * np.asarray(found) - 0.5, expected, atol=1e-4)


def test_find_images_lists_what_can_be_read():
    assert set(images.SUFFIXES) == {
        ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp",
    }  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_turned_tiff_is_what_its_twin_of_png_is(tmp_path, mode, orientation, compression):
    """An uncompressed one that is not square was once read with rows of another length."""
    rng = np.random.default_rng(orientation)
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (6, 4)).astype(np.uint16))
    else:
        depth = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
        image = Image.fromarray(rng.integers(0, 256, (6, 4, *depth), np.uint8))
    exif = Image.Exif()
    exif[0x112] = orientation
    image.save(tmp_path / "a.tif", exif=exif, compression=compression)
    image.save(tmp_path / "a.png", exif=exif)
    found = []
    for name in ("a.tif", "a.png"):
        with open(tmp_path / name, "rb") as file, Image.open(file) as opened:
            found.append(pictures.picture_levels(opened, 1).astype(np.float64))
    np.testing.assert_allclose(*found, atol=1e-9)


def test_signed_tiff_of_eight_bits_is_refused(tmp_path):
    image = Image.fromarray(np.full((4, 4), 72, np.uint8))
    image.save(tmp_path / "a.tif", tiffinfo={339: 2})
    with Image.open(tmp_path / "a.tif") as opened, pytest.raises(ValueError, match="signed"):
        pictures.picture_levels(opened, 1)
