"""Run all drills, one after the other, and print a table of what was done and what held.

    python drills/run_all.py --logdir=runs/drills [--only=clock,flips] [--share=0.2]

Half an hour on two cores that nobody else uses; `--share` does less of each. The rows go to
<logdir>/drills.json as well, with date and commit, as docs/measured/drills.json has them for
docs/reliability.md. The exit code is 1 if a drill did not hold.
"""

import argparse
import datetime
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import clock
import disk
import exits
import flips
import kill_storm
import processes
import replicas
import resume
import workers


class Drill(NamedTuple):
    """One of the drills.

    Attributes:
        did: What is done, in words.
        times: How often, in a whole run of all drills.
        run: (folder, times) -> what held, in words; an AssertionError if it did not.
    """

    did: str
    times: int
    run: Callable[[Path, int], str]


def _storm(folder: Path, times: int) -> str:
    """Kill a run again and again."""
    flags = processes.small(folder)
    found = kill_storm.storm(folder, 300 * (times + 1), times, flags, report=_silent)
    return f"the end is the undisturbed one, bit for bit; {found['checkpoint']} hit a checkpoint"


def _resume(folder: Path, times: int) -> str:
    """Kill a run of each method."""
    numbers = 0
    for method in resume.METHODS[:times]:
        numbers += resume.compare(folder, method, 40, processes.small(folder, method))["numbers"]
    return f"all {numbers:,} numbers of the last checkpoints are equal"


def _workers(folder: Path, times: int) -> str:
    """Kill one of several workers."""
    cases = [(2, "febm"), (3, "contrastive_divergence"), (2, "dual"), (2, "bidirectional")]
    for count, method in cases[:times]:
        workers.kill_and_restart(folder / method, count, 40, method=method)
    return "all end with the weights of an undisturbed training"


def _replicas(folder: Path, times: int) -> str:
    """Take a step on several devices."""
    largest = replicas.largest_difference([4], replicas.cases()[:times])
    assert largest <= replicas.TOLERANCE, largest
    return f"weights differ by {largest:.1e} of their largest at most"


def _memory(folder: Path, times: int) -> str:
    """Train for long, in a process of its own."""
    script = str(Path(__file__).with_name("long_run.py"))
    line = [sys.executable, script, "--small", f"--until={times}", f"--logdir={folder}"]
    process = processes.begin([*line, "--every=3", "--minutes=30"])
    said, _ = process.communicate()
    memory = next(text for text in said.splitlines() if text.startswith("memory: "))
    assert process.returncode == 0, memory
    return memory


DRILLS = {
    "storm": Drill("SIGKILL, every other one while a checkpoint is written", 20, _storm),
    "resume": Drill("SIGKILL half way, one method after the other", 10, _resume),
    "workers": Drill("SIGKILL for one of two or three processes that train together", 4, _workers),
    "replicas": Drill("a step on 1, 2 and 4 devices, a method and a network each", 12, _replicas),
    "exits": Drill(
        "SIGINT or SIGTERM at any moment of training, sampling, evaluation, export and studies; "
        "workers whose partner never comes",
        9,
        exits.end_early,
    ),
    "flips": Drill("a flipped bit in a checkpoint, or a file cut short", 200, flips.flip),
    "full disk": Drill("a disk with too little room", 6, disk.full),
    "slow disk": Drill("SIGTERM and SIGKILL while a slow disk takes a checkpoint", 6, disk.slow),
    "clock": Drill("a clock off by years, dates of files at random, SIGKILL", 4, clock.jump),
    "memory": Drill("steps of a small network", 120_000, _memory),
}


def run_all(logdir: Path, names, share: float) -> list[dict]:
    """Run drills, and return a row about each: drill, did, times, held, seconds, failed."""
    rows = []
    for name in names:
        drill, began = DRILLS[name], time.monotonic()
        times, folder = max(1, round(share * drill.times)), logdir / name.replace(" ", "_")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            held, failed = drill.run(folder, times), False
        except Exception as error:
            held, failed = f"NOT: {type(error).__name__}: {str(error)[-2000:]}", True
        seconds = round(time.monotonic() - began)
        row = {"drill": name, "did": drill.did, "times": times, "held": held, "seconds": seconds}
        rows.append({**row, "failed": failed})
        print(table(rows)[-1], flush=True)
    return rows


def table(rows: list[dict]) -> list[str]:
    """Return the lines of a table of rows, in Markdown."""
    head = ["| drill | what is done | how often | what held | seconds |", "|---|---|---|---|---|"]
    return head + [
        f"| {r['drill']} | {r['did']} | {r['times']:,} | {' '.join(r['held'].split())} | "
        f"{r['seconds']} |"
        for r in rows
    ]


def _silent(line: str) -> None:
    """Say nothing."""


def main() -> int:
    """Run what is asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--logdir", type=Path, default=Path("runs/drills"))
    parser.add_argument("--only", default=",".join(DRILLS), help="names, with commas between")
    parser.add_argument("--share", type=float, default=1.0, help="of how often each is done")
    own = parser.parse_args()
    rows = run_all(own.logdir, own.only.split(","), own.share)
    line = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
    found = {"commit": commit, "date": f"{datetime.date.today()}", "rows": rows}
    (own.logdir / "drills.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    print(
        f"\n{own.logdir / 'drills.json'}, commit {commit}, {found['date']}:", *table(rows), sep="\n"
    )
    return int(any(row["failed"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
