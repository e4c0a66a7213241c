"""Run a script on a machine with a fault: a slow disk, or a clock that is set again and again.

    python drills/faults.py slow launch/train.py [its flags]
    python drills/faults.py clock launch/train.py [its flags]

`slow`: every file that is made sure of, every renaming and removal takes half a second. `clock`:
`time.time` is off by up to twenty years, by another amount at each call; no test may set the clock
of the machine that it runs on, nor load its disk.
"""

import os
import random
import runpy
import sys
import time
from pathlib import Path

SLOW = 0.5
YEARS = 20 * 365.25 * 86_400.0


def slow() -> None:
    """Let the disk take its time."""
    for name in ("fsync", "replace", "rename", "unlink"):
        setattr(os, name, _late(getattr(os, name)))


def clock() -> None:
    """Set the clock at each look."""
    real, offsets = time.time, random.Random(0)
    time.time = lambda: real() + offsets.uniform(-YEARS, YEARS)
    time.time_ns = lambda: int(1e9 * time.time())


def _late(function):
    def call(*arguments, **settings):
        time.sleep(SLOW)
        return function(*arguments, **settings)

    return call


if __name__ == "__main__":
    {"slow": slow, "clock": clock}[sys.argv[1]]()
    del sys.argv[:2]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
