"""(g) Seconds from the start of the process to the first training step, and of each retrace."""

import json
import subprocess
import sys
import time
from pathlib import Path

import timing


def train() -> None:
    """Begin to train as launch/train.py does on the digits; print when each thing was done."""
    began = time.perf_counter()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "launch"))
    import console

    console.import_quietly()
    imported = time.perf_counter()
    import numpy as np

    from tf_febm import recipes

    recipe, shape = recipes.get("digits"), (8, 8, 1)
    model = recipe.build(np.zeros((2, *shape), np.uint8))
    built = time.perf_counter()
    rng = np.random.default_rng(0)

    def step(count):
        start = time.perf_counter()
        model.train_on_batch(rng.random((count, *shape), dtype=np.float32))
        return time.perf_counter() - start

    first = step(recipe.batch_size)
    print("FIRST", flush=True)
    # Keras fixes the shape of the first batch; another size is one more trace, a third one, with
    # the size left open, the last.
    times = {
        "import": imported - began,
        "build": built - imported,
        "first step": first,
        "second step": step(recipe.batch_size),
        "a batch of another size": step(48),
        "a third size": step(32),
        "a fourth size": step(16),
    }
    start = time.perf_counter()
    model.sample(64, seed=1)
    times["first samples"] = time.perf_counter() - start
    start = time.perf_counter()
    model.sample(32, seed=1)
    times["samples in another number"] = time.perf_counter() - start
    print(json.dumps(times))


def measured() -> dict:
    """Start a process and return the seconds to its first step and those that it took itself."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, "--child=1"], stdout=subprocess.PIPE, text=True
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("FIRST"):
            total = time.perf_counter() - start
    if process.wait():
        raise RuntimeError("The process that was to train failed.")
    return {"process start to first step": total, **json.loads(lines[-1])}


def main() -> None:
    """Start some processes, one after the other."""
    given = timing.arguments(__doc__, child="")
    if given.child:
        train()
        return
    report = timing.Report("(g) From the start of the process to the first training step, digits")
    found = [measured() for _ in range(1 if given.quick else min(given.rounds, 5))]
    for name in found[0]:
        report.row(name, [times[name] for times in found], "s", 1.0)
    total = sorted(times["process start to first step"] for times in found)[len(found) // 2]
    report.number("process start to first step, s", total, "≤ 15")
    report.write(given.json)


if __name__ == "__main__":
    main()
