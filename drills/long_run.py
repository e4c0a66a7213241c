"""Train the digits for hours, and see whether memory grows, steps slow down or graphs are retraced.

    python drills/long_run.py --minutes=120 --logdir=runs/long [flags of launch/train.py]

Every minute a row of <logdir>/long_run.csv: seconds, training steps, resident memory in MB, seconds
of the processor, and how often the step has been traced. What they say is printed in the end. It is
a run of launch/train.py with everything that goes with one, ended by a SIGTERM to itself.
"""

import argparse
import csv
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
from scipy import stats

LAUNCH = Path(__file__).resolve().parents[1] / "launch"
COLUMNS = ("seconds", "steps", "resident_mb", "cpu_seconds", "traces")
# A constant rate, at which the digits train for ever: a schedule would need an end.
FLAGS = ("--steps=1000000000", "--lr=3e-4", "--exp=long", "--num_samples=100")


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

    def until(self, seconds: float) -> None:
        """Write a row every so often from the first step on, then ask the process to stop."""
        while not self.traces:
            # Before that nobody listens to signals.
            time.sleep(0.05)
        began = time.monotonic()
        path = self._path
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            while (passed := time.monotonic() - began) < seconds:
                time.sleep(min(self._every, seconds - passed))
                steps = int(self._model.optimizer.iterations.numpy())
                passed = time.monotonic() - began
                row = (passed, steps, resident(), time.process_time(), self.traces)
                self.rows.append(row)
                writer.writerow([f"{value:.3f}".rstrip("0").rstrip(".") for value in row])
                file.flush()
        os.kill(os.getpid(), signal.SIGTERM)


def resident() -> float:
    """Return the resident memory of this process in MB (Linux)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def summary(rows, warmup: float) -> list[str]:
    """Return what the rows say after a warm-up of so many seconds, in lines for people."""
    seconds, steps, memory, cpu, traces = np.asarray(rows, float).T
    kept = seconds >= min(warmup, seconds[-1] / 2)
    seconds, steps, memory, cpu = (column[kept] for column in (seconds, steps, memory, cpu))
    thousands = steps / 1000
    if len(steps) < 6 or thousands[-1] == thousands[0]:
        return [f"{len(steps)} rows after the warm-up are too few to say anything."]
    # The error is that of independent residuals; those of memory are not quite.
    fit = stats.linregress(thousands, memory)
    growth, error = fit.slope, fit.stderr
    third = len(steps) // 3
    first, last = (
        (cpu[b] - cpu[a]) / (thousands[b] - thousands[a]) for a, b in ((0, third), (-third - 1, -1))
    )
    judged = "" if growth + 2 * error <= 1.0 else ", MORE than 1"
    return [
        f"{steps[-1]:.0f} steps, {seconds[-1] / 60:.1f} minutes, the first {seconds[0] / 60:.1f} "
        "left out",
        f"memory: {memory[0]:.1f} MB, then {memory[-1]:.1f} MB; {growth:+.4f} ± {error:.4f} MB per "
        f"1,000 steps{judged}",
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
    parser.add_argument("--logdir", default="runs/long")
    own, others = parser.parse_known_args()
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
        threading.Thread(target=watch.until, args=(60 * own.minutes,), daemon=True).start()
        return model

    building.build_model = build_and_watch
    code = train.run(values)
    for line in summary(watches[0].rows, 60 * own.warmup):
        console.log(line)
    return 0 if code == console.STOPPED else code


if __name__ == "__main__":
    sys.exit(main())
