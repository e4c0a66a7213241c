"""Charts as figures of matplotlib, pixels or SVG: lines, histograms, marginals."""

import io
from typing import TYPE_CHECKING

import numpy as np

from tf_febm import arguments, extras
from tf_febm.renamed import earlier_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "add_legend",
    "figure",
    "histogram_chart",
    "histogram_figure",
    "line_chart",
    "line_figure",
    "marginal_figure",
    "marginal_plots",
    "panels",
    "pixels",
    "style",
    "svg",
]

# A chart 6 inches wide has 1,200 pixels; a phone shows its letters a third as large, still legible.
DPI, WIDTH, HEIGHT = 200, 6.0, 3.75
# Told apart by most readers with a colour weakness (Okabe and Ito 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BINS = 40
# Axes in a row of `panels`.
COLUMNS = 3


def figure(width: float = WIDTH, height: float = HEIGHT) -> "Figure":
    """Return an empty figure that is no part of pyplot's state, for `pixels`.

    Args:
        width: In inches of 200 pixels.
        height: Likewise.
    """
    extras.needs("matplotlib")
    from matplotlib.figure import Figure  # Slow to import, as all of matplotlib.

    return Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")


def panels(count: int, width: float, height: float, edge: float = 0.0) -> tuple:
    """Return a figure and its first `count` axes, at most three in a row; the rest are hidden.

    Args:
        count: How many, at least 1.
        width: Of each, in inches.
        height: Likewise.
        edge: Of the figure, in either direction.
    """
    columns, rows = min(COLUMNS, count), -(-count // COLUMNS)
    drawn = figure(width * columns + edge, height * rows + edge)
    axes = drawn.subplots(rows, columns, squeeze=False).ravel()
    for hidden in axes[count:]:
        hidden.set_axis_off()
    return drawn, axes[:count]


def style(axes: "Axes", title: str = "", x_label: str = "", y_label: str = "") -> None:
    """Give axes the common look: labels, a light grid, no frame at the top and the right."""
    axes.set_title(title, fontsize=12)
    axes.set_xlabel(x_label, fontsize=11)
    axes.set_ylabel(y_label, fontsize=11)
    axes.tick_params(labelsize=10)
    axes.grid(color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def pixels(drawn: "Figure") -> np.ndarray:
    """Draw a figure; see `add_legend`.

    Returns:
        uint8 [height, width, 3], for `save_png` and TensorBoard.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    add_legend(drawn)
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def svg(drawn: "Figure") -> str:
    """Draw a figure as `pixels` does, as SVG: sharp at any size, its letters as text.

    Equal figures give equal text.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    add_legend(drawn)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tf_febm"}):
        FigureCanvasSVG(drawn).print_svg(file, metadata={"Date": None})
    return file.getvalue()


def add_legend(drawn: "Figure") -> None:
    """Give a figure one legend below it if any of its axes has labels, and it has none yet."""
    named: dict = {}
    for axes in () if drawn.legends else drawn.axes:
        handles, labels = axes.get_legend_handles_labels()
        named.update(zip(labels, handles, strict=True))
    if named:
        # A line beside each name, and letters of about 0.09 inches: what does not fit is cut off.
        widest = 0.6 + 0.09 * max(map(len, named))
        drawn.legend(
            list(named.values()),
            list(named),
            loc="outside lower center",
            ncols=int(np.clip(drawn.get_figwidth() / widest, 1, COLUMNS)),
            frameon=False,
            fontsize=11,
        )


@arguments.checked
def line_chart(series: dict, title: str = "", x_label: str = "", y_label: str = "") -> np.ndarray:
    """Draw lines through points.

    Args:
        series: Name -> (x, y), each a sequence of n numbers, or y alone for x = 1, 2, …, n, as in
            the `history` of a fit. Points that are not finite are left out, and the line breaks
            there. An empty name is not in the legend.
        title: Above the chart.
        x_label: Below it.
        y_label: Beside it.

    Returns:
        uint8 [height, width, 3], for `save_png`.

    Raises:
        ValueError: There is no finite point at all, or x and y differ in length.
    """
    return pixels(line_figure(series, title, x_label, y_label))


@arguments.checked
def line_figure(
    series: dict,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    width: float = WIDTH,
    height: float = HEIGHT,
) -> "Figure":
    """Draw what `line_chart` does, for `pixels` or `svg`.

    Args:
        series: See there.
        title: See there.
        x_label: See there.
        y_label: See there.
        width: Of the figure, in inches.
        height: Likewise.

    Raises:
        ValueError: There is no finite point at all, or x and y differ in length.
    """
    drawn = figure(width, height)
    axes = drawn.add_subplot()
    style(axes, title, x_label, y_label)
    some = False
    for colour, (name, points) in zip(_colours(series), series.items(), strict=True):
        plain = not len(points) or np.ndim(points[0]) == 0
        x, y = (range(1, len(points) + 1), points) if plain else points
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if x.shape != y.shape or x.ndim != 1:
            raise ValueError(f"{name}: x and y must be [n]; received {x.shape} and {y.shape}.")
        shown = np.isfinite(x) & np.isfinite(y)
        some |= shown.any()
        # A point between gaps has no line: it gets a dot.
        padded = np.pad(shown, 1)
        alone = shown & ~padded[:-2] & ~padded[2:]
        x, y = np.where(shown, [x, y], np.nan)
        axes.plot(x, y, color=colour, linewidth=1.8, label=name)
        axes.plot(x[alone], y[alone], "o", color=colour)
    if not some:
        raise ValueError("A chart needs at least one finite point.")
    axes.ticklabel_format(useOffset=False)
    add_legend(drawn)
    return drawn


@arguments.checked
def histogram_chart(groups: dict, title: str = "", x_label: str = "") -> np.ndarray:
    """Draw the histograms of groups of numbers over one another, as shares of each group.

    Args:
        groups: Name -> numbers, any shape; what is not finite is left out.
        title: Above the chart.
        x_label: Below it.

    Returns:
        uint8 [height, width, 3], for `save_png`.

    Raises:
        ValueError: There is no finite number at all.
    """
    return pixels(histogram_figure(groups, title, x_label))


@arguments.checked
def histogram_figure(groups: dict, title: str = "", x_label: str = "") -> "Figure":
    """Draw what `histogram_chart` does, as a figure of matplotlib.

    Args:
        groups: See there.
        title: See there.
        x_label: See there.

    Raises:
        ValueError: See there.
    """
    drawn = figure()
    axes = drawn.add_subplot()
    _histograms(axes, groups)
    style(axes, title, x_label, "share")
    add_legend(drawn)
    return drawn


@arguments.checked
def marginal_plots(
    samples: arguments.Array,
    data: arguments.Array,
    columns: arguments.Names | None = None,
    limit: int = 9,
) -> np.ndarray:
    """Draw a histogram of every coordinate, of samples over data.

    What lies beyond the data by more than half their range is left out. Marginals that agree do not
    say that the joint laws do.

    Args:
        samples: Real [n, d]; values that are not finite are left out.
        data: Real [m, d].
        columns: Names of the coordinates, or None.
        limit: How many coordinates at most, at least 1: those that come first.

    Returns:
        uint8 [height, width, 3], for `save_png`.

    Raises:
        ValueError: The shapes do not agree or there are no rows.
    """
    return pixels(marginal_figure(samples, data, columns, limit))


@arguments.checked
def marginal_figure(
    samples: arguments.Array,
    data: arguments.Array,
    columns: arguments.Names | None = None,
    limit: int = 9,
) -> "Figure":
    """Draw what `marginal_plots` does, as a figure of matplotlib.

    Args:
        samples: See there.
        data: See there.
        columns: See there.
        limit: See there.

    Raises:
        ValueError: See there.
    """
    limit = arguments.whole_number("limit", limit, 1)
    samples, data = np.asarray(samples, np.float64), np.asarray(data, np.float64)
    if data.ndim != 2 or not data.size or samples.shape[1:] != data.shape[1:] or not len(samples):
        raise ValueError(
            "samples and data must have shapes [n, d] and [m, d], n, m, d ≥ 1; received "
            f"{list(samples.shape)} and {list(data.shape)}."
        )
    count = min(limit, data.shape[1])
    names = [f"coordinate {k}" for k in range(count)] if columns is None else columns
    drawn, parts = panels(count, 2.5, 2.0, edge=0.5)
    for k, axes in enumerate(parts):
        ends = data[:, k].min(), data[:, k].max()
        reach = (ends[1] - ends[0]) or 1.0
        near = np.abs(samples[:, k] - np.mean(ends)) <= reach
        _histograms(axes, {"data": data[:, k], "samples": samples[near, k]})
        style(axes, str(names[k]))
        axes.tick_params(labelsize=9)
    add_legend(drawn)
    return drawn


def _histograms(axes: "Axes", groups: dict) -> None:
    groups = {name: np.asarray(values, np.float64).ravel() for name, values in groups.items()}
    groups = {name: values[np.isfinite(values)] for name, values in groups.items()}
    everything = np.concatenate([*groups.values(), np.empty(0)])
    if not len(everything):
        raise ValueError("A histogram needs at least one finite number.")
    edges = np.histogram_bin_edges(everything, BINS)
    for colour, (name, values) in zip(_colours(groups), groups.items(), strict=True):
        shares = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(shares, edges, fill=True, color=colour, alpha=0.35)
        axes.stairs(shares, edges, color=colour, linewidth=1.5, label=name)


def _colours(names) -> list[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(len(names))]


__getattr__ = earlier_names(
    __name__,
    {
        "marginals_picture": "tf_febm.evaluation.charts:marginal_plots",
    },
)
