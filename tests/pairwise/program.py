"""Cases in a process of its own: logical devices can be set only before TensorFlow starts.

From the folder of the tests:

    python -m pairwise.program run <part> <of> <file.jsonl>     a part of all cases, in the file
    python -m pairwise.program one 'model=dual steps=fit'       one case, the rest as in BASE
    python -m pairwise.program narrow 'model=…'                 and which features its failures take
"""

import gc
import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import kept_kernels
import tensorflow as tf

from pairwise.covering import is_legal
from pairwise.features import AXES, BASE, CASES, RULES, text_of


def start() -> None:
    """Start TensorFlow with two CPUs, and one thread for all their operations.

    Two processes share the machine, whose threads would only wait for each other.
    """
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    # Rewriting graphs for speed takes a quarter of a compiled case, whose graphs run a few times.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    kept_kernels.keep()


def run(part: int, of: int, path: str) -> None:
    """Write the failures of a part of all cases, a line of JSON for each case as it ends."""
    from pairwise.checking import check

    # As in conftest.py: passes over all graphs of earlier cases would take longer than a case.
    gc.disable()
    for number, case in enumerate(CASES):
        if number % of == part:
            began = time.process_time()
            found = check(case)
            entry = {
                "number": number, "case": case, "failures": found.failures, "traces": found.traces,
                "seconds": round(time.process_time() - began, 2),
            }  # fmt: skip
            with open(path, "a") as file:
                file.write(json.dumps(entry) + "\n")
            gc.collect()
            gc.freeze()


def parse(text: str) -> dict:
    """Return a case from the form that `text_of` gives."""
    given = dict(item.split("=", 1) for item in text.split())
    names = {axis: {str(value): value for value in values} for axis, values in AXES.items()}
    return {**BASE, **{axis: names[axis].get(value, value) for axis, value in given.items()}}


def narrow(case: dict) -> None:
    """Print, for each failure of a case, the smallest case found in which it fails still."""
    from pairwise.checking import check

    for name, message in check(case).failures.items():
        smallest = dict(case)
        for axis in AXES:
            simpler = {**smallest, axis: BASE[axis]}
            if simpler != smallest and is_legal(simpler, RULES):
                failures = check(simpler).failures
                if name in failures:
                    smallest, message = simpler, failures[name]
        print(f"{name}: {message}\n    fails with: {text_of(smallest) or 'anything'}", flush=True)


if __name__ == "__main__":
    start()
    if sys.argv[1] == "run":
        run(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    elif sys.argv[1] == "narrow":
        narrow(parse(sys.argv[2]))
    else:
        from pairwise.checking import check

        for name, text in check(parse(sys.argv[2])).traces.items():
            print(f"--- {name}\n{text}", flush=True)
