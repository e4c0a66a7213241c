"""Draw the floors of the package: `python docs/developer/draw_architecture.py`.

Boxes are packages and modules of tf_febm, floors are the layers that
tests/test_imports.py holds imports to, and arrows are imports as they are in the source.
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

PROJECT = Path(__file__).resolve().parents[2]
OUT = PROJECT / "docs" / "developer" / "architecture.png"


def structure() -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Return the floors, from the lowest, and the imports between packages, (who, what)."""
    sys.path.insert(0, str(PROJECT))
    from tests.test_imports import LAYERS, imports, sources

    texts = sources()
    rooms = {_room(name) for name in texts}
    floors = [[room for room in floor if room in rooms] for floor in LAYERS]
    placed = {room for floor in floors for room in floor}
    arrows = {
        (_room(name), _room(other)) for name, wanted in imports(texts).items() for other in wanted
    }
    return floors, sorted((a, b) for a, b in arrows if a != b and {a, b} <= placed)


def listed() -> str:
    """Return what is drawn as text, which a test holds against the source."""
    floors, arrows = structure()
    lines = [f"floor {k}: {', '.join(floor)}" for k, floor in enumerate(floors)]
    return "\n".join([*lines, *(f"{a} -> {b}" for a, b in arrows), ""])


def drawn() -> Figure:
    """Return the drawing."""
    floors, arrows = structure()
    figure = Figure(figsize=(11, 1.25 * len(floors)))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.axis("off")
    places = {}
    for height, floor in enumerate(floors):
        for k, room in enumerate(floor):
            places[room] = ((k + 0.5) / len(floor), height)
    for low, high in arrows:
        (x0, y0), (x1, y1) = places[low], places[high]
        style = {"arrowstyle": "->", "color": "#0072B2", "alpha": 0.25, "lw": 1.0}
        axis.annotate("", (x1, y1 + 0.22), (x0, y0 - 0.22), arrowprops=style)
    for room, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": "#333333"}
        axis.text(x, y, room, ha="center", va="center", fontsize=10, bbox=box)
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.6, len(floors) - 0.4)
    return figure


def _room(module: str) -> str:
    """Return the package or module of tf_febm that a dotted name is in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "tf_febm"


if __name__ == "__main__":
    drawn().savefig(OUT, dpi=110)
    OUT.with_suffix(".txt").write_text(listed(), encoding="utf-8")
