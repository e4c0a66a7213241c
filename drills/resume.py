"""Kill a run half way, continue it, and compare it with one that was left alone, bit for bit.

    python drills/resume.py --steps=200 --logdir=runs/resume [flags of launch/train.py]

For every method, as processes of launch/train.py: one run in one go; one that gets a SIGKILL some
steps after the checkpoint at half of them, and is started again. In the end everything in the last
checkpoint must be equal: parameters, optimizer slots, averages, buffer, random state; and so must
the samples.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import processes

from tf_febm import catalogue

METHODS = tuple(catalogue.METHODS)


def compare(logdir, method: str, steps: int, arguments=(), start=subprocess.Popen) -> dict:
    """Make both runs of a method below a folder and compare them.

    Args:
        logdir: Of the runs `<method>_whole` and `<method>_killed`.
        method: As --method has it.
        steps: Of each, an even number.
        arguments: Further flags of launch/train.py.
        start: Starts a process, as `subprocess.Popen` does.

    Returns:
        `method`, the `killed_at` and `resumed_at` steps, how many `arrays` and `numbers` of the
        last checkpoint were compared, and the shape of the `samples`.

    Raises:
        AssertionError: Something differs.
    """
    logdir, half = Path(logdir), steps // 2
    command = processes.command(
        logdir, f"--method={method}", f"--steps={steps}", f"--save_interval={half}",
        "--log_interval=5", *arguments,
    )  # fmt: skip
    processes.to_the_end([*command, f"--exp={method}_whole"], start)
    killed_at = _kill_after(half, [*command, f"--exp={method}_killed"], start)
    done = processes.to_the_end([*command, f"--exp={method}_killed"], start)
    assert f"Continuing from step {half} of {steps}." in done, done
    folders = [logdir / f"{method}_{name}" for name in ("whole", "killed")]
    arrays = compare_checkpoints(*(str(f / "checkpoints" / f"step-{steps}") for f in folders))
    whole, killed = map(processes.samples, folders)
    np.testing.assert_array_equal(whole, killed)
    return {
        "method": method,
        "killed_at": killed_at,
        "resumed_at": half,
        "arrays": len(arrays),
        "numbers": sum(array.size for array in arrays),
        "samples": list(whole.shape),
    }


def _kill_after(step: int, command, start) -> int:
    """Start a run and kill it some steps past one; return the last that it reported."""
    process = processes.begin(command, start)
    deadline, reached = time.monotonic() + processes.PATIENCE, 0
    for line in process.stdout:
        if line.startswith("["):
            reached = int(line.split("] ")[1].split("/")[0])
        if reached > step or time.monotonic() > deadline:
            break
    assert process.poll() is None, f"the run ended before step {step} was behind it"
    process.kill()
    process.communicate()
    return reached


def compare_checkpoints(one: str, other: str) -> list[np.ndarray]:
    """Return the arrays of a checkpoint, all of which are in the other one."""
    import tensorflow as tf

    first, second = tf.train.load_checkpoint(one), tf.train.load_checkpoint(other)
    names = first.get_variable_to_shape_map()
    assert names.keys() == second.get_variable_to_shape_map().keys()
    arrays = []
    for name in names:
        mine, theirs = first.get_tensor(name), second.get_tensor(name)
        if isinstance(mine, np.ndarray) or np.isscalar(mine):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
        if name.endswith("VARIABLE_VALUE"):
            arrays.append(np.asarray(mine))
    return arrays


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--logdir", default="runs/resume")
    parser.add_argument("--methods", nargs="*", default=METHODS)
    own, others = parser.parse_known_args()
    for name in own.methods:
        print(json.dumps(compare(own.logdir, name, own.steps, others)), flush=True)
