"""Figures 1 to 4 of the mixture study, as PNG files."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

__all__ = ["fits", "log_ratio", "rejection", "trajectories"]

# Okabe and Ito's colours, told apart by every kind of colour vision; line styles differ as well.
TARGET, EXACT, LEARNED, THIRD = "#333333", "#0072B2", "#D55E00", "#009E73"
STYLE: Any = {"font.size": 12, "axes.spines.top": False, "axes.spines.right": False}


def _panels(count: int, size=(4.0, 3.2)):
    columns = min(count, 3)
    rows = -(-count // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(size[0] * columns, size[1] * rows))
        axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[count:]:
        axis.set_visible(False)
    return figure, axes.flat[:count]


def _finish(figure, axes, path: Path, labels: int) -> None:
    # Of the panel that shows most: one without accepted samples lacks their entry.
    handles, names = max(
        (axis.get_legend_handles_labels() for axis in axes), key=lambda v: len(v[1])
    )
    figure.legend(handles, names, loc="upper center", ncols=labels, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / figure.get_figheight()))
    figure.savefig(path, dpi=150)


def _normal(x, mean, scale):
    return np.exp(-0.5 * ((x - mean) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))


def fits(path: Path, x, density, rows: list[dict]) -> None:
    """Draw Figure 1: the target, the exact optimum and the learned Gaussian per divergence."""
    figure, axes = _panels(len(rows))
    for axis, row in zip(axes, rows, strict=True):
        axis.fill_between(x, density, color=TARGET, alpha=0.2, lw=0, label="target p")
        exact = _normal(x, row["mu_star"], row["sigma_star"])
        axis.plot(x, exact, color=EXACT, lw=4, alpha=0.6, label="exact optimum")
        learned = _normal(x, row["mu_hat"], row["sigma_hat"])
        axis.plot(x, learned, "--", color=LEARNED, lw=2, label="f-EBM")
        axis.set_title(row["divergence"])
        axis.set_ylim(bottom=0)
    _finish(figure, axes, path, 3)


def rejection(path: Path, x, density, rows: list[dict]) -> None:
    """Draw Figure 2: histograms of the model's samples, before and after rejection."""
    figure, axes = _panels(len(rows))
    for axis, row in zip(axes, rows, strict=True):
        bins = np.linspace(x[0], x[-1], 120)
        axis.hist(row["plain"], bins, density=True, color=EXACT, alpha=0.45, label="f-EBM samples")
        title = f"{row['divergence']}: KS {row['ks_plain']:.3f}"
        if "ks_rejection" in row:
            title += f" → {row['ks_rejection']:.3f}"
            axis.hist(
                row["accepted"],
                bins,
                density=True,
                histtype="step",
                color=LEARNED,
                lw=1.8,
                label="after rejection",
            )
        axis.plot(x, density, ":", color=TARGET, lw=2, label="target p")
        axis.set_title(title, fontsize=11)
    _finish(figure, axes, path, 3)


def log_ratio(path: Path, x, inside, rows: list[dict]) -> None:
    """Draw Figure 3: the learned log ratio against the true one, where p has 99 % of its mass."""
    figure, axes = _panels(len(rows))
    for axis, row in zip(axes, rows, strict=True):
        axis.plot(
            x[inside], row["log_ratio"][inside], color=EXACT, lw=4, alpha=0.6, label="true log p/q"
        )
        axis.plot(
            x[inside],
            row["learned_log_ratio"][inside],
            "--",
            color=LEARNED,
            lw=2,
            label="learned H + E",
        )
        axis.set_title(f"{row['divergence']}: mean error {row['ratio_error']:.3f}", fontsize=11)
    _finish(figure, axes, path, 2)


def trajectories(path: Path, divergence: str, fits: list, exact, mesh) -> None:
    """Draw Figure 4: ways from random starts to the optimum, over the true divergence.

    Args:
        path: Where to write.
        divergence: Its name.
        fits: Objects with `path`, a list of (mean, scale), and the ends `mean` and `scale`.
        exact: The optimum, with `mean` and `scale`.
        mesh: (means [m], scales [s], divergences [s, m]).
    """
    figure, (axis,) = _panels(1, (7, 5.2))
    means, scales, values = mesh
    low = values.min()
    levels = low + np.geomspace(1e-3, max(np.quantile(values[np.isfinite(values)], 0.9), 0.1), 14)
    axis.contour(means, scales, values, levels=levels, cmap="Greys_r", linewidths=0.9)
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(fits)))
    for fit, colour in zip(fits, colours, strict=True):
        way = np.array([*fit.path, (fit.mean, fit.scale)])
        axis.plot(way[:, 0], way[:, 1], color=colour, lw=1.8)
        axis.plot(*way[0], "o", color=colour, ms=7)
    axis.plot(exact.mean, exact.scale, "*", color=LEARNED, ms=18, mec="white", label="optimum")
    axis.plot([], [], "o", color=TARGET, label="starts")
    axis.set_xlim(means[0], means[-1])
    axis.set_ylim(scales[0], scales[-1])
    axis.set_xlabel("mean")
    axis.set_ylabel("scale")
    # In two lines, for long names and small screens.
    axis.set_title(f"f-EBM, {divergence}:\nways to the optimum over the true divergence")
    axis.legend(frameon=True, loc="best")
    figure.tight_layout()
    figure.savefig(path, dpi=150)
