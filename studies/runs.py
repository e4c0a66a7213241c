"""Runs of a study by recipes, made once each; and what studies make of them."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from launch import console

__all__ = ["CONTINUES", "changes_of", "define_common", "describe", "make", "write_table"]

# What to say of a study that was stopped, if its runs are made by `make`.
CONTINUES = "Interrupted; the same command continues where this one stopped."


def define_common(values: flags.FlagValues, logdir: str | None = "runs") -> None:
    """Register the flags that studies share.

    Args:
        values: Where to.
        logdir: Where the runs go by default; None for a study that keeps none.
    """
    flags.DEFINE_multi_string(
        "set", [], "A setting of every run's recipe, as field=value; may be repeated.",
        flag_values=values,
    )  # fmt: skip
    if logdir is not None:
        flags.DEFINE_string("logdir", logdir, "Where runs and results go.", flag_values=values)
    flags.DEFINE_bool("debug", False, "Show tracebacks.", flag_values=values)


def changes_of(texts: Sequence[str]) -> dict[str, Any]:
    """Return "field=value", … as changes of a recipe.

    Raises:
        ValueError: One is not of this form.
    """
    changes = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark:
            raise ValueError(f"--set must be field=value; received {text!r}.")
        try:
            changes[name] = {"True": True, "False": False, "None": None}.get(value)
            if value not in ("True", "False", "None"):
                changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    return changes


def make(name: str, recipe, source, logdir: Path) -> dict | None:
    """Make a run, unless it is done; return its summary, or None if it failed.

    Args:
        name: The run's folder in `logdir`.
        recipe: A `Recipe`.
        source: A `data.Source`.
        logdir: Where the runs are.

    Raises:
        KeyboardInterrupt: The run was stopped; made again, it continues.
    """
    from tf_febm import training

    console.log(f"== {name}")
    folder = training.RunFolder(Path(logdir) / name)
    if not folder.summary.exists():
        stop = training.GracefulStop()
        console.stop_on_signals(stop)
        try:
            found = training.run(recipe, source, folder.path, report=console.log, stop=stop)
        except training.DivergedError as error:
            console.log(f"error: {error}")
            return None
        finally:
            console.stop_at_once_on_signals()
        if not found.done:
            raise KeyboardInterrupt
    return folder.read_summary()


def describe(values: list) -> tuple[float | None, float | None, str]:
    """Return the mean of what is not None, the deviation of a sample, and both as text."""
    values = [value for value in values if value is not None]
    if not values:
        return None, None, "–"
    mean = statistics.mean(values)
    if len(values) == 1:
        return mean, None, f"{mean:.3g}"
    deviation = statistics.stdev(values)
    return mean, deviation, f"{mean:.3g} ± {deviation:.2g}"


def write_table(rows: list[dict], path: Path) -> None:
    """Write rows of the same keys as a CSV file."""
    from tf_febm import files

    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_table(path, rows, rows[0])
