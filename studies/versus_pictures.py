"""Pictures of `studies.versus`: every run over that of its seed by CD, and the mechanism."""

import math
from pathlib import Path

import numpy as np

from studies.versus import CD

__all__ = ["draw", "draw_mechanism"]

# Of the axis of ratios.
TICKS = (0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 5, 10)


def draw(figures: dict, path: Path) -> None:
    """Draw how every run stands to that by contrastive divergence of the same seed."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    tables = figures["compared"]
    drawn, axes = charts.panels(len(tables), 6.0, 5.0)
    for axis, (data, rows) in zip(axes, tables.items(), strict=True):
        names = [name for name in rows if "p" in rows[name]]
        for place, name in enumerate(names):
            change = np.divide(rows[name]["frechet_ratio"], rows[CD]["frechet_ratio"])
            axis.semilogx(change, [place] * len(change), "o", color=charts.COLOURS[0], alpha=0.6)
            middle = math.exp(rows[name]["difference"])
            axis.plot(middle, place, "|", color=charts.COLOURS[1], ms=22, mew=3)
        axis.axvline(1.0, color="0.4")
        low, high = axis.get_xlim()
        ticks = [tick for tick in TICKS if low <= tick <= high]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        charts.style(axis, data, "Fréchet ratio over CD's of the same seed")
    evaluation.save_png(path, charts.pixels(drawn))


def draw_mechanism(frames: dict[str, dict[str, dict[str, dict]]], path: Path) -> None:
    """Draw what each step of f-EBM is made of, through training; a colour for each frame."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    shown = {
        "weights: deviation / mean": "uneven",
        "covariance / whole gradient": "covariance_share",
        "AUROC of H + E": "auroc",
    }
    drawn, axes = charts.panels(len(shown), 4.0, 4.0)
    for axis, (title, name) in zip(axes, shown.items(), strict=True):
        for place, (frame, rows) in enumerate(frames.items()):
            label: str | None = frame
            for steps in rows.values():
                if not all(name in look for look in steps.values()):
                    continue
                values, at = [look[name] for look in steps.values()], [int(s) for s in steps]
                axis.plot(at, values, "o-", color=charts.COLOURS[place], alpha=0.5, label=label)
                label = None
        axis.set_yscale("linear" if name == "auroc" else "log")
        charts.style(axis, title, "step")
    evaluation.save_png(path, charts.pixels(drawn))
