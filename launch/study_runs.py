"""Runs of a study: each is train.py in a process of its own, and is not made twice."""

import csv
import io
import json
import statistics
import subprocess
import sys
from pathlib import Path

import console
from absl import app, flags

__all__ = ["CONTINUES", "describe", "guarded", "train", "write_table"]

# What to say of a study that was stopped, if its runs are made by `train`.
CONTINUES = "Interrupted; the same command continues where this one stopped."


def guarded(argv: list[str], run, interrupted: str = CONTINUES) -> int:
    """Return the exit code of a study: run it, and turn its errors into one line each.

    Args:
        argv: What absl leaves of the command line.
        run: Parsed flags -> exit code.
        interrupted: What to say after Ctrl-C.
    """
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    console.stop_at_once_on_signals()
    values = flags.FLAGS
    return console.exit_code(lambda: run(values), debug=values.debug, interrupted=interrupted)


def train(name: str, arguments: list[str], logdir: Path) -> dict | None:
    """Make a run, unless it is done; return its summary, or None if it failed.

    Args:
        name: The run's folder in `logdir`.
        arguments: Flags of train.py but --exp and --logdir.
        logdir: Where the runs are.

    Raises:
        KeyboardInterrupt: If the run was stopped; made again, it continues.
    """
    console.log(f"== {name}")
    summary = logdir / name / "summary.json"
    if not summary.exists():
        script = Path(__file__).with_name("train.py")
        command = [sys.executable, str(script), *arguments, f"--exp={name}", f"--logdir={logdir}"]
        code = subprocess.run(command, check=False).returncode
        if code in (console.STOPPED, -2, -15):
            raise KeyboardInterrupt
        if code:
            return None
    return json.loads(summary.read_text(encoding="utf-8"))


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
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    files.write_atomically(path, lambda file: file.write(text.getvalue().encode()))
