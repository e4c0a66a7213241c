"""The numbers of a fit over its epochs, as a figure."""

from typing import TYPE_CHECKING, Any

from tf_febm import arguments
from tf_febm.evaluation.charts import COLOURS, add_legend, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["history_figure"]


@arguments.checked
def history_figure(history: Any, names: Any = None) -> "Figure":
    """Draw the numbers of a fit over its epochs, those of validation beside those of training.

    Args:
        history: What `fit` returns, or its `history`: name -> one number an epoch.
        names: Which of them to draw, without `val_`; all if None.

    Returns:
        A figure with a panel for each, for `savefig`.

    Raises:
        ValueError: There are no such numbers.
    """
    history = getattr(history, "history", history)
    known = dict.fromkeys(name.removeprefix("val_") for name in history)
    names = list(known) if names is None else list(names)
    if not names or any(name not in known for name in names):
        raise ValueError(
            f"names must be some of {', '.join(known) or 'a history, which is empty'}; received "
            f"{names!r}."
        )
    drawn, parts = panels(len(names), 3.0, 2.3)
    for axes, name in zip(parts, names, strict=True):
        style(axes, name)
        axes.tick_params(labelsize=9)
        for colour, (label, key) in zip(
            COLOURS, {"training": name, "validation": f"val_{name}"}.items(), strict=False
        ):
            values = history.get(key, ())
            # One epoch is a dot.
            line = "o" if len(values) == 1 else "-"
            if len(values):
                axes.plot(range(1, len(values) + 1), values, line, color=colour, label=label)
    add_legend(drawn)
    return drawn
