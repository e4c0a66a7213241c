"""Train the digits for hours, and see whether memory grows, steps slow down or graphs are retraced.

    python drills/long_run.py --minutes=120 --logdir=runs/long [flags of launch/train.py]
    python drills/long_run.py --small --logdir=runs/small

Every minute a row of <logdir>/long_run.csv: seconds, training steps, resident memory in MB, the
same once Python and malloc have given back what nobody uses, seconds of the processor, and how
often the step has been traced. What they say is printed in the end. It is a run of launch/train.py
with everything that goes with one, ended by a SIGTERM to itself. `--small` takes 120,000 steps of a
small network, some six minutes, and leaves out the first 20,000. The exit code is 1 if memory grows
by more than 10 kB per 1,000 steps.
"""

import argparse
import csv
import ctypes
import gc
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from scipy import stats

LAUNCH = Path(__file__).resolve().parents[1] / "launch"
COLUMNS = ("seconds", "steps", "resident_mb", "kept_mb", "cpu_seconds", "traces")
# Megabytes per 1,000 steps that memory may grow by.
LIMIT = 0.01
# A constant rate, at which the digits train for ever: a schedule would need an end.
FLAGS = ("--steps=1000000000", "--yes", "--lr=3e-4", "--exp=long", "--num_samples=100")
SMALL = ("--num_filters=4", "--num_steps=1", "--batch_size=8")
# The first sixth fills what malloc keeps for each thread, and is left out.
SMALL_STEPS = 120_000
MORE = "MORE"


class Watch:
    """Count the traces of a model's training step, and write down a process."""

    def __init__(self, model, path: Path, every: float):
        self._model, self._path, self._every = model, path, every
        self.traces, self.rows = 0, []
        original = model.train_step

        def traced(batch):
            self.traces += 1
            return original(batch)

        model.train_step = traced

    def until(self, seconds: float, steps: float) -> None:
        """Write a row every so often from the first step on, then ask the process to stop.

        Args:
            seconds: After which it is to stop,
            steps: or after so many, if that is earlier.
        """
        while not self.traces:
            # Before that nobody listens to signals.
            time.sleep(0.05)
        began = time.monotonic()
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            taken = 0
            while (passed := time.monotonic() - began) < seconds and taken < steps:
                time.sleep(min(self._every, seconds - passed))
                taken = int(self._model.optimizer.iterations.numpy())
                passed, before = time.monotonic() - began, resident()
                row = (passed, taken, before, kept(), time.process_time(), self.traces)
                self.rows.append(row)
                writer.writerow([f"{value:.3f}".rstrip("0").rstrip(".") for value in row])
                file.flush()
        os.kill(os.getpid(), signal.SIGTERM)


def resident() -> float:
    """Return the resident memory of this process in MB (Linux with glibc)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def kept() -> float:
    """Return the resident memory without what could be given back, at times 40 MB.

    The least of five looks: while a picture is drawn or a checkpoint written it is more.
    """
    found = []
    for _ in range(5):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        found.append(resident())
        time.sleep(0.1)
    return min(found)


def summary(rows, warmup: float) -> list[str]:
    """Return what the rows say after a warm-up of so many seconds, in lines for people."""
    rows = np.asarray(rows, float)
    seconds, steps, resident, memory, cpu, traces = rows[
        rows[:, 0] >= min(warmup, rows[-1, 0] / 2)
    ].T
    thousands = steps / 1000
    if len(steps) < 6 or thousands[-1] == thousands[0]:
        return [f"{len(steps)} rows after the warm-up are too few to say anything."]
    # The error is that of independent residuals; those of memory are not quite.
    fits = [stats.linregress(thousands, column) for column in (memory, resident)]
    growth, plain = (f"{fit.slope:+.4f} ± {fit.stderr:.4f}" for fit in fits)
    third = len(steps) // 3
    first, last = (
        (cpu[b] - cpu[a]) / (thousands[b] - thousands[a]) for a, b in ((0, third), (-third - 1, -1))
    )
    judged = "" if fits[0].slope <= LIMIT else f", {MORE} than {LIMIT}"
    return [
        f"{steps[-1]:.0f} steps, {seconds[-1] / 60:.1f} minutes, the first {seconds[0] / 60:.1f} "
        "left out",
        f"memory: {memory[0]:.1f} MB, then {memory[-1]:.1f} MB; {growth} MB per 1,000 steps"
        f"{judged} ({plain} with what is held in reserve)",
        f"processor: {first:.3f} s per 1,000 steps in the first third, {last:.3f} s in the last "
        f"({last / first - 1:+.1%})",
        f"traces of the training step: {traces[-1]:.0f}",
    ]


def main() -> int:
    """Run for as long as asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--every", type=float, default=60.0, help="seconds between two rows")
    parser.add_argument("--warmup", type=float, default=10.0, help="minutes left out")
    parser.add_argument("--small", action="store_true", help="a small network, 120,000 steps")
    parser.add_argument("--until", type=float, help="steps after which it ends")
    parser.add_argument("--logdir", default="runs/long")
    own, others = parser.parse_known_args()
    if own.small:
        own.until, others = own.until or SMALL_STEPS, [*SMALL, *others]
    sys.path.insert(0, str(LAUNCH))
    import console
    import train
    import train_flags
    from absl import flags

    values = flags.FlagValues()
    train_flags.define(values)
    values(["train.py", f"--logdir={own.logdir}", *FLAGS, *others])
    console.import_quietly()
    from tf_febm.recipes import building

    build, watches = building.build_model, []

    def build_and_watch(*arguments):
        model = build(*arguments)
        watch = Watch(model, Path(own.logdir) / "long_run.csv", own.every)
        watches.append(watch)
        until = (60 * own.minutes, own.until or math.inf)
        threading.Thread(target=watch.until, args=until, daemon=True).start()
        return model

    building.build_model = build_and_watch
    code = train.run(values)
    rows = watches[0].rows
    if own.small:
        rows, own.warmup = [row for row in rows if row[1] >= own.until / 6], 0.0
    said = summary(rows, 60 * own.warmup)
    for line in said:
        console.log(line)
    if code != console.STOPPED:
        return code
    return int(any(MORE in line for line in said))


if __name__ == "__main__":
    sys.exit(main())
