"""Count modes on stacked MNIST: `python -m studies.stacked_mnist --data_dir=mnist.npz`.

Trains a generator on three digits in the channels of one image, 1,000 modes, for a given time, and
counts the modes among 26,000 samples by a classifier trained on the digits. The number of steps
follows from the speed of a short run. <logdir>/<exp>/summary.json has all figures, and
samples/final.png the picture.
"""

import json
import time
from pathlib import Path

from absl import flags

from launch import console
from studies import runs

# Steps that are timed, and steps before them, which see the compiler.
PACE, WARM = 40, 20


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    own = {"flag_values": values}
    flags.DEFINE_string("data_dir", None, "Local folder or file of MNIST.", **own)
    flags.DEFINE_float("minutes", 60.0, "Time for training.", 0.01, **own)
    flags.DEFINE_integer("num_samples", 26_000, "Samples whose modes are counted.", 2, **own)
    flags.DEFINE_string("exp", "stacked_mnist", "Name of the run.", **own)
    runs.define_common(values)


def run(values) -> int:
    """Find the pace, train, and say what came of it."""
    if not values.data_dir:
        raise ValueError("--data_dir= must name a folder or file of MNIST.")
    console.import_quietly()
    from tf_febm import data, files, recipes

    source = data.Source("stacked_mnist", data_dir=values.data_dir)
    recipe = recipes.for_dataset("stacked_mnist", "bidirectional")
    recipe = recipe.replace(num_samples=values.num_samples, **runs.changes_of(values.set))
    plan = Path(values.logdir) / f"{values.exp}_steps.json"
    # A run that continues keeps its number of steps.
    if not plan.exists():
        rate = pace(recipe, source)
        steps = max(1, round(60.0 * values.minutes * rate))
        console.log(f"{rate:.2f} steps a second: {steps} steps in {values.minutes:g} minutes.")
        plan.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(plan, {"steps": steps})
    steps = json.loads(plan.read_text(encoding="utf-8"))["steps"]
    summary = runs.make(values.exp, recipe.replace(steps=steps), source, Path(values.logdir))
    if summary is None:
        raise ValueError("The run failed; its message is above.")
    console.log(json.dumps(summary["quality"], indent=2))
    return console.DONE


def pace(recipe, source) -> float:
    """Return the steps a second of a model that is thrown away."""
    train, _ = source.load()
    model = recipe.build(train)
    stream = recipe.stream(train)
    model.fit(stream, steps_per_epoch=WARM, verbose=0)
    start = time.perf_counter()
    model.fit(stream, steps_per_epoch=PACE, verbose=0)
    return PACE / (time.perf_counter() - start)


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
