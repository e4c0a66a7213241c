"""Shared parts of the comparisons: interleaved timing, results, the machine's description."""

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
import timeit
from collections.abc import Callable


def arguments(description: str, **extra) -> argparse.Namespace:
    """Parse what every comparison takes: --quick, --json, --rounds, --threads.

    Args:
        description: The module's docstring.
        **extra: Further flags, name -> default.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all?")
    parser.add_argument("--json", help="write the result to this file")
    parser.add_argument("--rounds", type=int, help="turns of each side")
    threads = "of all sides; on a busy machine 1, for PyTorch's threads wait for one another"
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help=threads)
    for name, default in extra.items():
        parser.add_argument(f"--{name}", default=default, type=type(default))
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 15)
    return given


def import_quietly(threads: int, torch_too: bool = True) -> None:
    """Import TensorFlow and PyTorch, with as many threads, without their messages."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    if torch_too:
        try:
            import torch
        except ImportError:
            print("error: PyTorch is not installed; `make bench` installs it.", file=sys.stderr)
            sys.exit(1)
        torch.set_num_threads(threads)
        torch.manual_seed(0)
    # A million objects of the libraries, through which the collector would walk in mid-round.
    gc.collect()
    gc.freeze()


def interleaved(
    sides: dict[str, Callable], rounds: int, seconds: float = 0.5, clock=time.perf_counter
) -> dict[str, list[float]]:
    """Time functions in turns, A B C A B C …, so that all see the same moods of the machine.

    Args:
        sides: Name -> function without arguments that does its work before it returns.
        rounds: Number of turns of each.
        seconds: About how long a turn takes; a function that takes longer runs once.
        clock: What tells the time; `time.process_time` leaves out what others do on the machine.

    Returns:
        Name -> seconds per call, one per round.
    """
    timers = {name: timeit.Timer(run, timer=clock) for name, run in sides.items()}
    counts = {}
    for name, timer in timers.items():
        timer.timeit(1)
        counts[name] = max(1, round(seconds / timer.timeit(1)))
    times = {name: [] for name in sides}
    for _ in range(rounds):
        for name, timer in timers.items():
            times[name].append(timer.timeit(counts[name]) / counts[name])
    return times


class Report:
    """The rows and ratios of one comparison, printed as they come and written as JSON."""

    def __init__(self, title: str):
        self.content = {"title": title, "rows": [], "ratios": [], "notes": []}
        print(title, flush=True)

    def row(self, name: str, times: list[float], unit: str = "ms", scale: float = 1e3, extra=""):
        """Add the median and the quartiles of some times, in seconds."""
        low, middle, high = _quartiles([scale * t for t in times])
        row = {"name": name, "median": middle, "low": low, "high": high, "unit": unit}
        self.content["rows"].append({**row, "extra": extra})
        print(f"  {name:44s} {middle:10.3f} {unit}  ({low:.3f} … {high:.3f})  {extra}", flush=True)

    def ratio(self, name: str, slower: list[float], faster: list[float], demand=None):
        """Add how many times as long one side takes: of the medians, and quartiles of rounds."""
        value = statistics.median(slower) / statistics.median(faster)
        low, _, high = _quartiles([a / b for a, b in zip(slower, faster, strict=True)])
        self.number(name, value, demand, low, high)

    def number(self, name: str, value: float, demand=None, low=None, high=None):
        """Add a figure that is to be compared with a demand such as "≥ 1.8"."""
        self.content["ratios"].append(
            {"name": name, "value": value, "low": low, "high": high, "demand": demand}
        )
        spread = "" if low is None else f"  ({low:.2f} … {high:.2f})"
        wanted = "" if demand is None else f"  demanded {demand}"
        print(f"  {name:44s} {value:10.2f}{spread}{wanted}", flush=True)

    def note(self, text: str):
        """Add a sentence."""
        self.content["notes"].append(text)
        print(f"  {text}", flush=True)

    def write(self, path: str | None) -> None:
        """Write everything to a file, if there is to be one."""
        if path:
            with open(path, "w", encoding="utf-8") as file:
                json.dump(self.content, file, indent=1)


def check_agreement(report: Report, what: str, ours, theirs, tolerance: float = 2e-4) -> None:
    """Fail unless two sides compute the same numbers, up to rounding.

    Args:
        report: Gets a note of the difference.
        what: Of what.
        ours: NumPy array.
        theirs: NumPy array of the same shape.
        tolerance: Largest difference, as a share of the largest number.
    """
    import numpy as np

    if ours.shape != theirs.shape:
        raise ValueError(f"{what}: shapes {ours.shape} and {theirs.shape}.")
    difference = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    report.note(f"{what} on shared weights: largest difference {difference:.1e} of the largest.")
    if not difference < tolerance:
        raise ValueError(f"{what} differ by {difference:.1e}: the sides do not do the same work.")


def machine() -> dict:
    """Return what the figures depend on: processor, cores, versions."""
    from importlib import metadata

    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
        lines = {key.strip(): value.strip() for key, value in lines.items()}
        # Some give no model, but all their family and number: 25 is Zen 3 and 4 of AMD, 26 Zen 5.
        number = ", ".join(f"{k} {lines[k]}" for k in ("cpu family", "model") if k in lines)
        model = f"{lines.get('model name', model)} ({number})"
        flags = lines.get("flags", "").split()
        vectors = [f for f in ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    else:
        vectors = []
    versions = {}
    for name in (
        "tensorflow",
        "keras",
        "tensorflow-probability",
        "torch",
        "torchebm",
        "jax",
        "numpy",
    ):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "processor": model,
        "vector instructions": vectors,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "load when it began": load,
    }


def _quartiles(values) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))
