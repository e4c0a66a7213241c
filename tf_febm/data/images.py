"""Image files as arrays: decoding, centre crop, averaging over areas."""

import contextlib
import contextvars
import itertools
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf_febm import extras, untrusted_files
from tf_febm.data.files import entries, reading
from tf_febm.data.pictures import picture_parts

__all__ = [
    "SUFFIXES",
    "Decoded",
    "are_all_grey",
    "centre_square",
    "decode_images",
    "find_images",
    "is_image",
    "resize_array",
]

# Formats that Pillow reads everywhere, so that a folder means the same on every machine.
SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# Of whatever depth.
_GREY_MODES = ("1", "L", "I", "F")
# A few damaged files among many are no reason not to train; more than this share of them is.
MAX_SKIPPED_SHARE = 0.01
_FILES_NAMED = 3
# Pixels of a part that is averaged at once.
_PART = 1 << 19
# Bytes of the pictures that threads have open at once; one picture alone may have more.
_OPEN = 256 << 20


class Decoded(NamedTuple):
    """The image files that could be decoded.

    Attributes:
        images: uint8 `[n, size, size, 1 or 3]`.
        rows: Which of the paths they are, int64 `[n]`, ascending.
        note: How many were skipped, for the record; "" if none was.
    """

    images: np.ndarray
    rows: np.ndarray
    note: str = ""


def is_image(path: Path) -> bool:
    """Say whether a path has the suffix of an image."""
    return path.suffix.lower() in SUFFIXES


def find_images(folder: Path) -> list[Path]:
    """Return all image files under a folder, sorted by their path relative to it.

    Links to folders are followed, each folder once. Hidden files and folders are left out. Folders
    that lie too deep in one another are a ValueError.
    """
    found, visited, pending = [], set(), [(folder, 0)]
    while pending:
        current, depth = pending.pop()
        untrusted_files.check_depth(current, depth)
        about = current.stat()
        identity = (about.st_dev, about.st_ino)
        if identity in visited:
            continue
        visited.add(identity)
        for entry in entries(current):
            if entry.is_dir():
                pending.append((entry, depth + 1))
            elif is_image(entry):
                found.append(entry)
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def centre_square(pixels: np.ndarray, size: int, share: float = 1.0) -> np.ndarray:
    """Cut a centred square out of an image and average it to size × size.

    Each output pixel is the mean of the area that it covers, rounded once; where it covers parts
    of pixels they count in part. (Pillow's BOX filter rounds after each axis, upwards on average.)
    An image smaller than `size` is enlarged by the same rule.

    Levels of any real type, `[height, width, channels]`, become uint8. The side of the square is
    that `share` of the shorter side of the image.
    """
    height, width = pixels.shape[:2]

    def part(top, bottom, left, right):
        return pixels[top:bottom, left:right]

    return _centre(part, height, width, size, share)


def _centre(part: Callable, height: int, width: int, size: int, share: float) -> np.ndarray:
    """Return `centre_square` of a picture that is had part by part; see `picture_parts`."""
    side = round(share * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    if side == size:
        square = part(top, top + side, left, left + side)
        return np.rint(square).astype(np.uint8, copy=False)
    # Where output pixels begin and end: whole pixels, and parts of 1/size of the next.
    edges = np.divmod(np.arange(size + 1) * side, size)
    rows = []
    at_once = max(1, _PART * size // (side * side))
    for first in range(0, size, at_once):
        whole, rest = (edge[first : first + at_once + 1] for edge in edges)
        start, end = int(whole[0]), min(int(whole[-1]) + 1, side)
        block = part(top + start, top + end, left, left + side)
        sums = _sums(block, whole - start, rest, size).swapaxes(0, 1)
        rows.append(_sums(sums, *edges, size).swapaxes(0, 1))
    # Exact for whole numbers up to here.
    return np.rint(np.concatenate(rows) / (side * side)).astype(np.uint8)


def _sums(values: np.ndarray, whole: np.ndarray, rest: np.ndarray, size: int) -> np.ndarray:
    """Return `size` times the sums along the first axis between edges at `whole + rest / size`."""
    exact = values.dtype.kind in "iu"
    # Of 8 bits half the memory is enough.
    narrow = values.dtype == np.uint8 and len(values) < 1 << 24
    kind = (np.uint32 if narrow else np.int64) if exact else np.float64
    between = np.stack(
        [values[i:j].sum(axis=0, dtype=kind) for i, j in itertools.pairwise(whole.tolist())]
    )
    # The last edge may be the end, of which no part is taken.
    inside = values[np.minimum(whole, len(values) - 1)].astype(np.int64 if exact else np.float64)
    parts = rest.reshape(-1, *[1] * (values.ndim - 1)) * inside
    return size * between.astype(parts.dtype) + np.diff(parts, axis=0)


def resize_array(images: np.ndarray, size: int, share: float = 1.0) -> np.ndarray:
    """Apply `centre_square` to each of uint8 `[n, height, width, channels]`."""
    if images.shape[1:3] == (size, size):
        return images
    # One by one: floating-point copies of a whole data set would not fit into memory.
    return np.stack([centre_square(pixels, size, share) for pixels in images])


def decode_images(paths: list[Path], size: int, grey: bool = False, share: float = 1.0) -> Decoded:
    """Decode image files with a thread pool, each through `centre_square`.

    What the pixels of a file mean, of any depth, `pictures.picture_levels` says: the orientation
    tag of photographs is obeyed, an animation gives its first frame, transparent pixels are put on
    white. Levels are rounded to 8 bits once, after averaging. Files that cannot be decoded are
    skipped, counted and named in a warning as long as they are at most 1 % of all, otherwise in a
    ValueError; so are pictures of more pixels than the limits allow. `grey` makes one channel of
    three. A picture takes four to eight bytes a pixel, and as many are open at once as have
    together 256 MiB.
    """
    channels = 1 if grey else 3
    needed = len(paths) * size * size * channels
    untrusted_files.check_bytes(f"{len(paths)} pictures of {size}×{size}", needed, needed)
    images = np.empty((len(paths), size, size, channels), np.uint8)
    failures, room = {}, _Room(_OPEN)

    def decode(row):
        try:
            with _opened(paths[row]) as image, room.taken(_bytes_of(image)):
                height, width, part = picture_parts(image, channels)
                images[row] = _centre(part, height, width, size, share)
        except ValueError as error:
            failures[row] = str(error)

    # Pillow decodes outside the interpreter lock, so threads do use several cores.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        try:
            # Threads have limits of their own unless they are given ours.
            tasks = [contextvars.copy_context() for _ in paths]
            for future in [pool.submit(task.run, decode, k) for k, task in enumerate(tasks)]:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if not failures:
        return Decoded(images, np.arange(len(paths)))
    # Threads fail in any order.
    first = " ".join(failures[row] for row in sorted(failures)[:_FILES_NAMED])
    more = " …" if len(failures) > _FILES_NAMED else ""
    count = f"{len(failures)} of {len(paths)} image files cannot be decoded"
    if len(failures) > MAX_SKIPPED_SHARE * len(paths):
        raise ValueError(f"{count}, more than {MAX_SKIPPED_SHARE:.0%}: {first}{more}")
    warnings.warn(f"{count} and are skipped: {first}{more}", stacklevel=2)
    rows = np.setdiff1d(np.arange(len(paths)), list(failures))
    return Decoded(images[rows], rows, f", {len(failures)} skipped as damaged")


def are_all_grey(paths: list[Path]) -> bool:
    """Say whether every file that can be read is a grey image without transparency.

    From the headers alone. Unreadable files have no say: `decode_images` judges them.
    """
    for path in paths:
        with contextlib.suppress(ValueError), _opened(path) as image:
            if image.mode.partition(";")[0] not in _GREY_MODES:
                return False
    return True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    extras.needs("PIL")
    from PIL import Image

    with (
        reading(path, "not a readable image"),
        untrusted_files.opened(path) as file,
        _without_limit_of_pillow(Image),
        Image.open(file) as image,
    ):
        untrusted_files.check_pixels(*image.size[::-1])
        yield image


_pillow = threading.Lock()
_open_now = 0
_limit_of_pillow: int | None = None


@contextlib.contextmanager
def _without_limit_of_pillow(Image) -> Iterator[None]:  # noqa: N803
    """Keep Pillow from its own limit of pixels, which is one for the process, and is not ours."""
    global _open_now, _limit_of_pillow
    with _pillow:
        if not _open_now:
            _limit_of_pillow, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _open_now += 1
    try:
        yield
    finally:
        with _pillow:
            _open_now -= 1
            if not _open_now:
                Image.MAX_IMAGE_PIXELS = _limit_of_pillow


def _bytes_of(image) -> int:
    """Return about what a picture takes while it is decoded."""
    width, height = image.size
    deep = image.format == "PNG" and (image.mode.startswith("I") or "transparency" in image.info)
    return height * width * (16 if deep or image.mode in ("RGBA", "F") else 8)


class _Room:
    """Memory that threads share: each waits until what it needs is free, or all is."""

    def __init__(self, size: int):
        self._size, self._used = size, 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, count: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + count <= self._size)
            self._used += count
        try:
            yield
        finally:
            with self._changed:
                self._used -= count
                self._changed.notify_all()
