"""The log density of a model in the plane as a chart, beside samples and data."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies
from tf_febm.evaluation import charts
from tf_febm.renamed import earlier_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["density_figure", "density_plot"]

# Log densities further below the highest than this are drawn alike: e^-12 of the density there.
DEPTH = 12.0


@arguments.checked
def density_plot(
    energy_fn: Callable,
    samples: arguments.Array,
    data: arguments.Array,
    box: arguments.Tensor | None = None,
    size: int = 200,
) -> np.ndarray:
    """Draw the log density of a model, its samples and the data over one part of the plane.

    The first panel shows −E less its largest value, down to −12: what lies lower has less than 10⁻⁵
    of the density of the likeliest point. The other two show points; darker is more of them.

    Args:
        energy_fn: x, float32 [n, 2] -> E(x), [n] or [n, 1], such as `model.energy`.
        samples: Real [n, 2]; points outside of the panel, or not finite, are left out.
        data: Real [m, 2].
        box: (low, high), the same for both axes. If None, each axis has a range of its own: that
            of the data and a fifth of it on either side.
        size: Energies are those at the centres of size × size cells, at least 32.

    Returns:
        uint8 [height, width, 3], for `save_png`.

    Raises:
        ValueError: An argument is out of its range.
    """
    return charts.pixels(density_figure(energy_fn, samples, data, box, size))


@arguments.checked
def density_figure(
    energy_fn: Callable,
    samples: arguments.Array,
    data: arguments.Array,
    box: arguments.Tensor | None = None,
    size: int = 200,
) -> "Figure":
    """Draw what `density_plot` does, as a figure of matplotlib.

    Args:
        energy_fn: See there.
        samples: See there.
        data: See there.
        box: See there.
        size: See there.

    Raises:
        ValueError: See there.
    """
    size = arguments.whole_number("size", size, 32)
    samples, data = _points("samples", samples), _points("data", data)
    if box is None:
        low, high = data.min(axis=0), data.max(axis=0)
        margin = np.where(high > low, 0.2 * (high - low), 1.0)
        low, high = low - margin, high + margin
    else:
        low, high = np.tile(arguments.interval("box", box), (2, 1)).T
    centres = [a + (b - a) * (np.arange(size) + 0.5) / size for a, b in zip(low, high, strict=True)]
    x = tf.constant(np.stack(np.meshgrid(*centres), axis=-1).reshape(-1, 2), tf.float32)
    energy = energies.per_example(energy_fn(x), x).numpy().astype(np.float64)
    energy = np.where(np.isfinite(energy), energy, np.inf).reshape(size, size)
    if np.isinf(energy).all():
        energy = np.full_like(energy, DEPTH)
    drawn = charts.figure(7.5, 3.3)
    drawn.set_layout_engine("compressed")
    model, *others = parts = drawn.subplots(1, 3, sharex=True, sharey=True)
    extent = (low[0], high[0], low[1], high[1])
    picture = model.imshow(
        np.clip(energy.min() - energy, -DEPTH, 0.0), extent=extent, origin="lower", aspect="auto",
        vmin=-DEPTH, vmax=0.0, cmap="viridis",
    )  # fmt: skip
    for axes, points in zip(others, (samples, data), strict=True):
        # Many points overlap, few must be seen.
        alpha = float(np.clip(2000.0 / len(points), 0.02, 1.0))
        axes.plot(*points.T, ".", color=charts.COLOURS[0], markersize=2.5, alpha=alpha, mew=0)
    titles = "model, log density", f"samples ({len(samples):,})", f"data ({len(data):,})"
    for axes, title in zip(parts, titles, strict=True):
        axes.set_title(title, fontsize=11)
        axes.tick_params(labelsize=9)
        axes.set(xlim=extent[:2], ylim=extent[2:], box_aspect=1)
    ticks = np.linspace(-DEPTH, 0.0, 4)
    bar = drawn.colorbar(picture, ax=model, location="bottom", extend="min", ticks=ticks)
    bar.ax.tick_params(labelsize=9)
    return drawn


def _points(name: str, points) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(
            f"{name} must have shape [n, 2], n ≥ 1; received shape {list(points.shape)}."
        )
    return points


__getattr__ = earlier_names(
    __name__,
    {
        "plane_picture": "tf_febm.evaluation.density_charts:density_plot",
    },
)
