"""Draw the floors of the package: `python docs/developer/draw_architecture.py`.

Boxes are packages and modules of tf_febm with their lines of code, floors are the layers that
tests/test_imports.py holds imports to, and arrows are imports as they are in the source.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

PROJECT = Path(__file__).resolve().parents[2]
OUT = PROJECT / "docs" / "developer" / "architecture.png"


def drawn() -> Figure:
    """Return the drawing."""
    sys.path.insert(0, str(PROJECT))
    from tests.test_imports import LAYERS, imports, sources

    texts = sources()
    lines: dict[str, int] = {}
    arrows: set[tuple[str, str]] = set()
    for name, text in texts.items():
        room = _room(name)
        lines[room] = lines.get(room, 0) + text.count("\n")
    for name, wanted in imports(texts).items():
        arrows |= {(_room(name), _room(other)) for other in wanted}
    floors = [[room for room in floor if room in lines] for floor in LAYERS]
    figure = Figure(figsize=(11, 1.25 * len(floors)))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    places = {}
    for height, floor in enumerate(floors):
        for k, room in enumerate(floor):
            places[room] = ((k + 0.5) / len(floor), height)
    for low, high in sorted(arrows):
        if low in places and high in places and low != high:
            (x0, y0), (x1, y1) = places[low], places[high]
            style = {"arrowstyle": "->", "color": "#0072B2", "alpha": 0.25, "lw": 1.0}
            axis.annotate("", (x1, y1 + 0.22), (x0, y0 - 0.22), arrowprops=style)
    for room, (x, y) in places.items():
        axis.text(
            x, y, f"{room}\n{lines[room]:,} lines", ha="center", va="center", fontsize=10,
            bbox={"boxstyle": "round,pad=0.35", "fc": "white", "ec": "#333333"},
        )  # fmt: skip
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.6, len(floors) - 0.4)
    return figure


def _room(module: str) -> str:
    """Return the package or module of tf_febm that a dotted name is in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "tf_febm"


if __name__ == "__main__":
    drawn().savefig(OUT, dpi=110)
