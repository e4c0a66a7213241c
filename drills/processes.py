"""Processes of launch/train.py for the drills: begun, waited for, and what they leave."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

__all__ = ["PATIENCE", "begin", "command", "samples", "summary", "to_the_end"]

# Seconds after which a process is not waited for any longer.
PATIENCE = 600.0
_SCRIPT = Path(__file__).resolve().parents[1] / "launch" / "train.py"


def command(logdir, *flags) -> list[str]:
    """Return the command line of a training below a folder."""
    return [sys.executable, str(_SCRIPT), f"--logdir={logdir}", *flags]


def begin(line: list[str], start=subprocess.Popen):
    """Start a process whose output, errors among it, is a pipe of text.

    Args:
        line: Its command line.
        start: Starts a process, as `subprocess.Popen` does.
    """
    return start(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def to_the_end(line: list[str], start=subprocess.Popen) -> str:
    """Run a process to its end, which must be a good one; return what it said."""
    process = begin(line, start)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def summary(folder: Path) -> dict:
    """Return the summary of a run."""
    return json.loads((folder / "summary.json").read_text())


def samples(folder: Path) -> np.ndarray:
    """Return the samples of a run."""
    return np.load(folder / "samples" / "final.npz")["samples"]
