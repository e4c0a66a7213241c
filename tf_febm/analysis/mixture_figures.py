"""Figures 1 to 4 of the mixture study, as PNG files."""

from pathlib import Path

import numpy as np
from scipy import stats

from tf_febm import arguments, evaluation
from tf_febm.evaluation import charts

__all__ = ["fits", "log_ratio", "rejection", "trajectories"]

# Told apart by every kind of colour vision; line styles differ as well.
TARGET, EXACT, LEARNED = "#333333", *charts.COLOURS[:2]


def _panels(rows: list[dict]) -> tuple:
    """Return a figure and pairs of its axes, one for each divergence, and a row of the study."""
    figure, axes = charts.panels(len(rows), 4.0, 3.2)
    return figure, list(zip(axes, rows, strict=True))


def fits(
    path: Path, x: arguments.Tensor, density: arguments.Distribution, rows: list[dict]
) -> None:
    """Draw Figure 1: the target, the exact optimum and the learned Gaussian per divergence."""
    figure, panels = _panels(rows)
    for axis, row in panels:
        axis.fill_between(x, density, color=TARGET, alpha=0.2, lw=0, label="target p")
        exact = stats.norm.pdf(x, row["mu_star"], row["sigma_star"])
        axis.plot(x, exact, color=EXACT, lw=4, alpha=0.6, label="exact optimum")
        learned = stats.norm.pdf(x, row["mu_hat"], row["sigma_hat"])
        axis.plot(x, learned, "--", color=LEARNED, lw=2, label="f-EBM")
        charts.style(axis, row["divergence"])
        axis.set_ylim(bottom=0)
    evaluation.save_png(path, charts.pixels(figure))


def rejection(
    path: Path, x: arguments.Tensor, density: arguments.Distribution, rows: list[dict]
) -> None:
    """Draw Figure 2: histograms of the model's samples, before and after rejection."""
    figure, panels = _panels(rows)
    bins = np.linspace(x[0], x[-1], 120)
    for axis, row in panels:
        axis.hist(row["plain"], bins, density=True, color=EXACT, alpha=0.45, label="f-EBM samples")
        title = f"{row['divergence']}: KS {row['ks_plain']:.3f}"
        if "ks_rejection" in row:
            title += f" → {row['ks_rejection']:.3f}"
            look = {"histtype": "step", "color": LEARNED, "lw": 1.8, "label": "after rejection"}
            axis.hist(row["accepted"], bins, density=True, **look)
        axis.plot(x, density, ":", color=TARGET, lw=2, label="target p")
        charts.style(axis, title)
    evaluation.save_png(path, charts.pixels(figure))


def log_ratio(path: Path, x: arguments.Tensor, inside: arguments.Tensor, rows: list[dict]) -> None:
    """Draw Figure 3: the learned log ratio against the true one, over the whole range of p.

    What is not shaded holds the central 99 % of p, of which the error in the title is the mean.
    """
    figure, panels = _panels(rows)
    for axis, row in panels:
        true, learned = row["log_ratio"], row["learned_log_ratio"]
        axis.plot(x, true, color=EXACT, lw=4, alpha=0.6, label="true log p/q")
        axis.plot(x, learned, "--", color=LEARNED, lw=2, label="learned H + E")
        for start, stop in ((x[0], x[inside][0]), (x[inside][-1], x[-1])):
            axis.axvspan(start, stop, color=TARGET, alpha=0.1, lw=0)
        # A ratio that runs away where there are no data shall not hide what it is elsewhere.
        seen = np.concatenate([true, learned[inside]])
        margin = 0.3 * np.ptp(seen)
        axis.set_ylim(seen.min() - margin, seen.max() + margin)
        charts.style(axis, f"{row['divergence']}: mean error {row['ratio_error']:.3f}")
    evaluation.save_png(path, charts.pixels(figure))


def trajectories(path: Path, studies: list[dict]) -> None:
    """Draw Figure 4: ways from random starts to the optimum, over the true divergence.

    Args:
        path: Where to write.
        studies: Of each divergence its name ("divergence"); "fits", objects with `path`, a list of
            (mean, scale), and the ends `mean` and `scale`; the optimum, with `mean` and `scale`
            ("exact"); and "mesh": means [m], scales [s], divergences [s, m].
    """
    import matplotlib  # Slow to import.

    size = (4.0, 3.4) if len(studies) > 1 else (7.0, 5.2)
    figure, axes = charts.panels(len(studies), *size)
    for axis, study in zip(axes, studies, strict=True):
        (means, scales, values), fits, exact = study["mesh"], study["fits"], study["exact"]
        low, finite = values.min(), values[np.isfinite(values)]
        levels = low + np.geomspace(1e-3, max(np.quantile(finite, 0.9) - low, 0.1), 14)
        axis.contour(means, scales, values, levels=levels, cmap="Greys_r", linewidths=0.9)
        colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(fits)))
        for fit, colour in zip(fits, colours, strict=True):
            way = np.array([*fit.path, (fit.mean, fit.scale)])
            axis.plot(way[:, 0], way[:, 1], color=colour, lw=1.8)
            axis.plot(*way[0], "o", color=colour, ms=7)
        axis.plot(exact.mean, exact.scale, "*", color=LEARNED, ms=18, mec="white", label="optimum")
        axis.plot([], [], "o", color=TARGET, label="starts")
        charts.style(axis, study["divergence"], "mean", "scale")
        axis.set(xlim=(means[0], means[-1]), ylim=(scales[0], scales[-1]))
    evaluation.save_png(path, charts.pixels(figure))
