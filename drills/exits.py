"""Signals at any moment of a launcher or a study, and workers whose partner never comes.

    python drills/exits.py --times=12 --logdir=runs/exits

While it starts, while samples are drawn at the end, during evaluation, export and studies: a SIGINT
or SIGTERM ends a process with exit code 3 (0 if it was done already) within seconds and without a
traceback, and what it was to do can be done afterwards. A worker that waits for another one ends
so, too, and by itself after the time that it was given.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import processes
import workers

STEPS = 40
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_early(logdir, times: int = 12) -> str:
    """Send so many signals to processes of each kind; return what held.

    Args:
        logdir: Of the runs.
        times: How often, for each kind of process.

    Raises:
        AssertionError: An exit code is another one, or something was left in a bad state.
    """
    logdir, chance = Path(logdir), random.Random(0)
    # A stop cuts an interval of the metrics in two, unless it is one step.
    flags = [*processes.small(logdir), f"--steps={STEPS}", "--log_interval=1"]
    run = processes.command(logdir, *flags)
    processes.to_the_end([*run, "--exp=calm"])
    calm, launch = logdir / "calm", processes.ROOT / "launch"
    others = {
        "evaluate": [str(launch / "evaluate.py"), f"--run={calm}", f"--out={logdir}/evaluation"],
        "export": [str(launch / "export.py"), f"--run={calm}", f"--out={logdir}/exported"],
        "mixture": [
            str(launch / "mixture.py"), "--steps=100", "--num_samples=1000", "--trajectories=0",
            "--nobaselines", f"--out={logdir}/mixture",
        ],
        "study": [
            "-m", "studies.bounds", "--steps=40", "--checks=2", "--cells=40", "--latents=9",
            f"--out={logdir}/bounds",
        ],
    }  # fmt: skip
    codes: dict[int, int] = {}
    for number in range(times):
        # While it starts, and some steps beyond.
        _end([*run, "--exp=begun"], _at_once, chance.uniform(0.0, 8.0), number, codes)
        # While samples are drawn and measured, and the report is written.
        _end(
            [*run, f"--exp=drawn_{number}"],
            _saying("Drawing "),
            chance.uniform(0.0, 2.0),
            number,
            codes,
        )
        processes.to_the_end([*run, f"--exp=drawn_{number}"])
        processes.compare(logdir / f"drawn_{number}", calm)
    for line in others.values():
        for number in range(max(1, times // 3)):
            moment = chance.uniform(0.0, 12.0)
            if _end([sys.executable, *line], _at_once, moment, number, codes) == 0:
                # It was done before the signal; an export does not write over another one.
                shutil.rmtree(logdir / "exported", ignore_errors=True)
        processes.to_the_end([sys.executable, *line])
    processes.to_the_end([*run, "--exp=begun"])
    processes.compare(logdir / "begun", calm)
    for index in range(2):
        _wait_alone([*run, "--exp=alone"], index, codes)
    counted = ", ".join(f"{count} × {code}" for code, count in sorted(codes.items()))
    return f"exit codes: {counted}; no traceback, and the same command goes on"


def _end(line: list[str], ready: Callable, moment: float, number: int, codes: dict) -> int:
    """Send a signal some time after a process is ready, check how it ends, and return its code."""
    process = processes.begin(line)
    before = ready(process)
    time.sleep(moment)
    if process.poll() is None:
        code, said = processes.signalled(process, SIGNALS[number % 2])
    else:
        code, said = process.returncode, process.communicate()[0]
    said = before + said
    assert code in (0, 3) and "Traceback" not in said, (line, moment, code, said)
    assert code == 0 or re.search("Interrupted|Stopped at step", said), said
    codes[code] = codes.get(code, 0) + 1
    return code


def _at_once(process) -> str:
    """Wait until Python is there and the script has begun, which then hears a SIGTERM."""
    bit = 1 << (signal.SIGTERM - 1)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text("ascii", "replace")
        if int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) & bit:
            break
        time.sleep(0.005)
    return ""


def _saying(words: str) -> Callable:
    """Return what waits until a process says something, and returns all that it said."""

    def ready(process) -> str:
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith(words):
                break
        return said

    return ready


def _wait_alone(line: list[str], index: int, codes: dict) -> None:
    """Start one of two workers: it ends by a signal, and by the time that it was given."""
    addresses = [f"127.0.0.1:{port}" for port in workers.free_ports(2)]
    task = {"type": "worker", "index": index}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
    try:
        line = [*line, "--strategy=multi_worker"]
        _end(line, _saying("Waiting for all workers"), 1.0, 1, codes)
        process = processes.begin([*line, "--wait_seconds=2"])
        said, _ = process.communicate(timeout=processes.PATIENCE)
        assert process.returncode == 1 and "has not come in 2 seconds" in said, said
        codes[1] = codes.get(1, 0) + 1
    finally:
        del os.environ["TF_CONFIG"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=12)
    parser.add_argument("--logdir", default="runs/exits")
    own = parser.parse_args()
    print(end_early(own.logdir, own.times))
