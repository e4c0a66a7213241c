"""(f) Peak memory of training against chain length, batch and capacity of the buffer.

Each setting trains in a process of its own, whose peak is the operating system's figure; that of a
process that has only imported the library and built the model is taken off beside it.
"""

import json
import resource
import subprocess
import sys

import timing

BASE = {"steps": 20, "batch": 64, "capacity": 1_000}


def train(steps: int, batch: int, capacity: int) -> None:
    """Take three training steps and print the peak in MB, before and after."""
    timing.import_quietly(2, torch_too=False)
    import numpy as np

    import tf_febm

    network = tf_febm.networks.conv((28, 28, 1), 16)
    model = tf_febm.ContrastiveDivergence(
        network,
        sampler=tf_febm.samplers.Langevin(num_steps=steps),
        buffer=tf_febm.ReplayBuffer(capacity),
        seed=0,
    )
    model.compile()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    x = np.random.default_rng(0).random((batch, 28, 28, 1), dtype=np.float32)
    for _ in range(3):
        model.train_on_batch(x)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    unit = 1e6 if sys.platform == "darwin" else 1e3
    print(json.dumps({"before": before / unit, "after": after / unit}))


def peak(**changes) -> dict:
    """Return the peaks of a process that trains with some settings."""
    command = [sys.executable, __file__, f"--child={json.dumps({**BASE, **changes})}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def main() -> None:
    """Measure each setting in turn, as often as there are rounds, at most three times."""
    given = timing.arguments(__doc__, child="")
    if given.child:
        train(**json.loads(given.child))
        return
    report = timing.Report("(f) Peak memory of training, 28×28 images")
    settings = [{}, {"steps": 200}]
    if not given.quick:
        settings += [{"batch": 256}, {"capacity": 100_000}]
    peaks = [[] for _ in settings]
    for _ in range(1 if given.quick else 3):
        for change, found in zip(settings, peaks, strict=True):
            found.append(peak(**change))
    for change, found in zip(settings, peaks, strict=True):
        values = {**BASE, **change}
        name = ", ".join(f"{key} {value:,}" for key, value in values.items())
        mean = sum(p["before"] for p in found) / len(found)
        report.row(
            name, [p["after"] for p in found], "MB", 1.0, f"{mean:.0f} MB before the first step"
        )
    longest, shortest = ([p["after"] for p in peaks[i]] for i in (1, 0))
    report.ratio("200 steps / 20 steps", longest, shortest, "≤ 1.05")
    report.write(given.json)


if __name__ == "__main__":
    main()
