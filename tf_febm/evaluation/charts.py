"""Small charts as pictures: lines and histograms, drawn by Pillow alone."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["histogram_chart", "line_chart"]

SIZE = (720, 400)
# Left, top, right, bottom: room for numbers, legend and title.
MARGINS = (76, 44, 16, 40)
# Told apart by most readers with a colour weakness (Okabe and Ito 2008).
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0))
BLACK, GREY, WHITE = (30, 30, 30), (210, 210, 210), (255, 255, 255)
BINS = 40


def line_chart(series: dict, title: str = "", x_label: str = "") -> np.ndarray:
    """Draw lines through points.

    Args:
        series: Name -> (x, y), each a sequence of n numbers. Points that are not finite are left
            out, and the line breaks there.
        title: Above the chart.
        x_label: Below it.

    Returns:
        uint8 [400, 720, 3], for `save_png`.

    Raises:
        ValueError: If there is no finite point at all, or x and y differ in length.
    """
    points = {}
    for name, (x, y) in series.items():
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"{name}: x and y must be [n]; received {x.shape} and {y.shape}.")
        points[name] = np.stack([x, y], axis=1)
    everything = np.concatenate([*points.values(), np.empty((0, 2))])
    everything = everything[np.isfinite(everything).all(axis=1)]
    if not len(everything):
        raise ValueError("A chart needs at least one finite point.")
    frame = _Frame(everything.min(axis=0), everything.max(axis=0), title, x_label)
    for name, colour in frame.colours(points):
        run = []
        for point in [*points[name], (math.nan, math.nan)]:
            if np.isfinite(point).all():
                run.append(frame.place(*point))
                continue
            if len(run) > 1:
                frame.draw.line(run, fill=colour, width=3, joint="curve")
            elif run:
                (x, y) = run[0]
                frame.draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
            run = []
    return frame.pixels()


def histogram_chart(groups: dict, title: str = "", x_label: str = "") -> np.ndarray:
    """Draw the histograms of groups of numbers over one another, as shares of each group.

    Args:
        groups: Name -> numbers, any shape; what is not finite is left out.
        title: Above the chart.
        x_label: Below it.

    Returns:
        uint8 [400, 720, 3], for `save_png`.

    Raises:
        ValueError: If there is no finite number at all.
    """
    groups = {name: np.asarray(values, np.float64).ravel() for name, values in groups.items()}
    groups = {name: values[np.isfinite(values)] for name, values in groups.items()}
    everything = np.concatenate([*groups.values(), np.empty(0)])
    if not len(everything):
        raise ValueError("A histogram needs at least one finite number.")
    low, high = _widened(everything.min(), everything.max())
    edges = np.linspace(low, high, BINS + 1)
    shares = {
        name: np.histogram(values, edges)[0] / max(len(values), 1)
        for name, values in groups.items()
    }
    top = max(share.max() for share in shares.values())
    frame = _Frame((low, 0.0), (high, top), title, x_label)
    for name, colour in frame.colours(shares):
        for share, left, right in zip(shares[name], edges, edges[1:], strict=False):
            if share:
                (x0, y0), (x1, y1) = frame.place(left, share), frame.place(right, 0.0)
                frame.draw.rectangle((x0, y0, max(x1 - 1, x0), y1), fill=(*colour, 130))
    return frame.pixels()


class _Frame:
    """An empty chart: axes with numbers, and where a point of the data lies on it."""

    def __init__(self, low, high, title: str, x_label: str):
        (self._x0, self._x1), (self._y0, self._y1) = (
            _widened(a, b) for a, b in zip(low, high, strict=True)
        )
        self._image = Image.new("RGB", SIZE, WHITE)
        # Half-transparent fills mix with what is below them.
        self.draw = ImageDraw.Draw(self._image, "RGBA")
        self._font = ImageFont.load_default(16)
        self._legend_end = float(SIZE[0] - MARGINS[2])
        self.draw.text((MARGINS[0], 12), title, BLACK, self._font)
        middle = (MARGINS[0] + SIZE[0] - MARGINS[2]) / 2
        self.draw.text((middle, SIZE[1] - 4), x_label, BLACK, self._font, anchor="mb")
        left, top, right, bottom = MARGINS
        for value in _ticks(self._y0, self._y1):
            y = self.place(self._x0, value)[1]
            self.draw.line((left, y, SIZE[0] - right, y), fill=GREY)
            self.draw.text((left - 8, y), f"{value:.4g}", BLACK, self._font, anchor="rm")
        for value in _ticks(self._x0, self._x1):
            x = self.place(value, self._y0)[0]
            self.draw.line((x, top, x, SIZE[1] - bottom), fill=GREY)
            self.draw.text(
                (x, SIZE[1] - bottom + 4), f"{value:.6g}", BLACK, self._font, anchor="mt"
            )

    def place(self, x, y) -> tuple[float, float]:
        """Return the pixel of a point."""
        left, top, right, bottom = MARGINS
        return (
            left + (x - self._x0) / (self._x1 - self._x0) * (SIZE[0] - left - right),
            SIZE[1] - bottom - (y - self._y0) / (self._y1 - self._y0) * (SIZE[1] - top - bottom),
        )

    def colours(self, names) -> list[tuple]:
        """Return a colour for each name, and write the legend from the right to the left."""
        chosen = [(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(names)]
        for name, colour in reversed(chosen):
            self.draw.text((self._legend_end, 12), name, colour, self._font, anchor="ra")
            self._legend_end -= self.draw.textlength(name, self._font) + 18
        return chosen

    def pixels(self) -> np.ndarray:
        return np.array(self._image)


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return an interval that is not empty."""
    room = 0.5 * max(abs(low), 1e-6) if low == high else 0.0
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Return three to eight round numbers in an interval."""
    step = 10.0 ** math.floor(math.log10((high - low) / 3.0))
    step *= max(factor for factor in (1, 2, 5) if factor * step <= (high - low) / 3.0)
    first = math.ceil(low / step)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]
