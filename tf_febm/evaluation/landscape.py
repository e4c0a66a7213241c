"""Pictures of data in the plane: the energy landscape, samples and data side by side."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from tf_febm import arguments, energies

__all__ = ["plane_picture"]

# Energies further above the lowest than this are drawn alike: e^-12 of the density of a mode.
DEPTH = 12.0
MARGIN, TITLE = 8, 24
INK = (20, 20, 30)
# Dark blue over green to yellow, of evenly rising lightness: a few colours of "viridis".
_COLOURS = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64
)


def plane_picture(energy_fn: Callable, samples, data, box=None, size: int = 320) -> np.ndarray:
    """Draw three panels over the same part of the plane: log density, samples and data.

    Panels are square whatever the units of the two axes are. The first one shows −E, from its
    largest value (yellow) to 12 below (dark): what lies lower has less than 10⁻⁵ of the density of
    the likeliest point. The other two show points; darker is more of them.

    Args:
        energy_fn: x, float32 [n, 2] -> E(x), [n] or [n, 1], such as `model.energy`.
        samples: Real array [n, 2]; points outside of the panel, or not finite, are left out.
        data: Real array [m, 2].
        box: (low, high), the same for both axes. If None, each axis has a range of its own: that
            of the data and a fifth of it on either side.
        size: Width of a panel in pixels, at least 32.

    Returns:
        uint8 array [height, width, 3].

    Raises:
        ValueError: If an argument is out of its range.
    """
    size = arguments.whole_number("size", size, 32)
    samples, data = _points("samples", samples), _points("data", data)
    low, high = (
        _range_of(data) if box is None else np.tile(arguments.interval("box", box), (2, 1)).T
    )
    panels = (
        ("log density of the model", _energy_panel(energy_fn, low, high, size)),
        (f"{len(samples)} samples", _points_panel(samples, low, high, size)),
        (f"{len(data)} points of the data", _points_panel(data, low, high, size)),
    )
    width = len(panels) * (size + MARGIN) + MARGIN
    picture = Image.new("RGB", (width, size + TITLE + MARGIN), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default()
    for place, (title, panel) in enumerate(panels):
        left = MARGIN + place * (size + MARGIN)
        picture.paste(Image.fromarray(panel), (left, TITLE))
        draw.rectangle((left - 1, TITLE - 1, left + size, TITLE + size), outline=(150, 150, 150))
        draw.text((left, 6), title, fill=INK, font=font)
    return np.asarray(picture)


def _energy_panel(energy_fn, low, high, size):
    x, y = np.meshgrid(*(_centres(*ends, size) for ends in zip(low, high, strict=True)))
    y = y[::-1]
    points = tf.constant(np.stack([x.ravel(), y.ravel()], axis=1), tf.float32)
    energy = energies.per_example(energy_fn(points), points).numpy().astype(np.float64)
    energy = np.where(np.isfinite(energy), energy, np.inf)
    height = np.clip((energy.min() + DEPTH - energy) / DEPTH, 0.0, 1.0)
    place = np.nan_to_num(height) * (len(_COLOURS) - 1)
    rgb = [np.interp(place, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
    return np.stack(rgb, axis=1).reshape(size, size, 3).astype(np.uint8)


def _points_panel(points, low, high, size):
    across, up = np.linspace(low, high, size + 1).T
    points = points[np.isfinite(points).all(axis=1)]
    counts = np.histogram2d(points[:, 1], points[:, 0], bins=(up, across))[0][::-1]
    # A cross of pixels for a point, which alone would hardly be seen; overlaps darken.
    padded = np.pad(counts, 1)
    spread = sum(
        padded[1 + dy : size + 1 + dy, 1 + dx : size + 1 + dx]
        for dx, dy in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
    )
    # Each point takes away the same share of the light, and few of them remain visible.
    light = np.exp(-spread * min(1.0, 2000.0 / max(len(points), 1)))
    return (255.0 * light[..., None] + (1.0 - light[..., None]) * np.array(INK)).astype(np.uint8)


def _centres(low, high, size):
    return low + (high - low) * (np.arange(size) + 0.5) / size


def _range_of(data):
    """Return the lower and the upper ends of both axes, [2] each."""
    low, high = data.min(axis=0), data.max(axis=0)
    margin = np.where(high > low, 0.2 * (high - low), 1.0)
    return low - margin, high + margin


def _points(name, points):
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(
            f"{name} must have shape [n, 2], n ≥ 1; received shape {list(points.shape)}."
        )
    return points
