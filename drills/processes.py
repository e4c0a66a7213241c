"""Processes of launch/train.py for the drills: begun, waited for, and what they leave."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

__all__ = [
    "PATIENCE",
    "ROOT",
    "begin",
    "command",
    "compare",
    "metrics",
    "samples",
    "signalled",
    "small",
    "summary",
    "to_the_end",
    "saving",
    "until_saving",
    "verify",
]

# Seconds after which a process is not waited for any longer.
PATIENCE = 600.0
ROOT = Path(__file__).resolve().parents[1]
_SCRIPT = ROOT / "launch" / "train.py"
# Of these runs no two are equal: times, and the checksums of rows that hold them.
_OF_TIME = {"seconds", "steps_per_second", "checksum"}


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


def small(folder: Path, method: str = "contrastive_divergence") -> list[str]:
    """Write the digits into a folder, and return flags with which a step takes milliseconds.

    For images from a file no classifier is trained, which would take longer than the run.

    Args:
        folder: Where to.
        method: How the energy is trained, by what a run of the digits starts from then.
    """
    from tf_febm import data, recipes

    digits, file = data.load("digits"), Path(folder) / "digits.npz"
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, x=digits.images, y=digits.labels)
    preset = recipes.for_dataset("digits", method).name
    # A generator makes the samples of bidirectional bounds.
    own = ["--num_steps=2"] * (method != "bidirectional")
    if preset == "noise_contrastive":
        # By its name that is for vectors.
        preset = "digits"
        own.append("--reference=spectral")
    return [
        "--dataset=npz", f"--data_dir={file}", "--batch_size=8", f"--method={method}", *own,
        f"--preset={preset}", "--num_filters=8",
        "--log_interval=5", "--sample_interval=200", "--num_samples=20", "--final_steps=2",
    ]  # fmt: skip


def saving(folder: Path) -> tuple[int, int] | None:
    """Return what tells the checkpoint that a run writes, or was writing, from another; or None."""
    try:
        found = (folder / "checkpoints" / ".saving").stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_ctime_ns


def until_saving(folder: Path, process, former: tuple[int, int] | None = None) -> bool:
    """Wait until a run writes a checkpoint; return whether it does, or has ended.

    Args:
        folder: Of the run.
        process: That trains it.
        former: Result of `saving` before the process began: what a killed one has left is none.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if saving(folder) not in (None, former):
            return True
        # Writing takes longer; a busy loop would take the time from the run.
        time.sleep(0.001)
    return False


def signalled(process, number: int) -> tuple[int, str]:
    """Send a signal; return the exit code, which comes soon, and what the process said."""
    process.send_signal(number)
    said, _ = process.communicate(timeout=60.0)
    return process.returncode, said


def verify(folder: Path) -> list[int]:
    """Compare all checkpoints of a run with their checksums; return their steps."""
    from tf_febm.training import checkpoint_files

    found = checkpoint_files.steps_in(folder / "checkpoints")
    for step in found:
        checkpoint_files.verify(folder / "checkpoints", step)
    return found


def compare(folder: Path, calm: Path) -> None:
    """Check that a run ended as another one did: samples, figures, and each row of its metrics."""
    np.testing.assert_array_equal(samples(folder), samples(calm))
    ended, other = summary(folder), summary(calm)
    assert (ended["steps"], ended["quality"]) == (other["steps"], other["quality"])
    assert _without_times(metrics(folder)) == _without_times(metrics(calm))
    assert verify(folder)[-1] == ended["steps"]
    assert not (folder / "checkpoints" / ".saving").exists()


def metrics(folder: Path) -> list[dict]:
    """Return the rows of the metrics of a run, as text."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


def _without_times(rows: list[dict]) -> list[dict]:
    return [{name: row[name] for name in row.keys() - _OF_TIME} for row in rows]
