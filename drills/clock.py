"""A clock that jumps by years, and files with any date: a run ends as one with a good clock.

    python drills/clock.py --times=3 --logdir=runs/clock

See `faults.py` for the clock. The run is killed so many times; each time the dates of its files are
set to any of forty years.
"""

import argparse
import os
import random
import time
from pathlib import Path

import faults
import processes


def jump(logdir, times: int = 3) -> str:
    """Train with a bad clock, killed so many times; return what held.

    Args:
        logdir: Of the runs.
        times: How many SIGKILLs.

    Raises:
        AssertionError: Something is another than with a good clock.
    """
    logdir, chance = Path(logdir), random.Random(0)
    flags = [*processes.small(logdir), f"--steps={40 * (times + 2)}", "--save_interval=20"]
    line = [*processes.command(logdir, *flags)]
    processes.to_the_end([*line, "--exp=calm"])
    folder = logdir / "jumped"
    faulty = [line[0], str(Path(__file__).with_name("faults.py")), "clock", *line[1:]]
    faulty.append("--exp=jumped")
    for _ in range(times):
        former = processes.saving(folder)
        process = processes.begin(faulty)
        assert processes.until_saving(folder, process, former), process.communicate()[0]
        process.kill()
        process.communicate()
        for path in folder.rglob("*"):
            moment = time.time() + chance.uniform(-faults.YEARS, faults.YEARS)
            os.utime(path, (moment, moment))
    processes.to_the_end(faulty)
    processes.compare(folder, logdir / "calm")
    seconds = [float(row["seconds"]) for row in processes.metrics(folder)]
    assert seconds[0] >= 0.0 and seconds == sorted(seconds), seconds
    return "the end is that with a good clock, bit for bit; its own times do not go back"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--logdir", default="runs/clock")
    own = parser.parse_args()
    print(jump(own.logdir, own.times))
