"""Count modes on stacked MNIST: `python launch/stacked_mnist.py --data_dir=mnist.npz`.

Trains a generator on three digits in the channels of one image, 1,000 modes, for a given time, and
counts the modes among 26,000 samples by a classifier trained on the digits. The number of steps
follows from the speed of a short run. The run is one of train.py: <logdir>/<exp>/summary.json has
all figures, and samples/final.png the picture.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import console
import train_flags
from absl import app, flags

# Steps that are timed, and steps before them.
PACE, WARM = 40, 20

flags.DEFINE_string("data_dir", None, "Local folder or file of MNIST.")
flags.DEFINE_float("minutes", 60.0, "Time for training.", 0.01)
flags.DEFINE_integer("num_samples", 26_000, "Samples whose modes are counted.", 2)
flags.DEFINE_string("logdir", "runs", "Folder of all runs.")
flags.DEFINE_string("exp", "stacked_mnist", "Name of the run.")
flags.DEFINE_multi_string("train", [], "A further flag of train.py; may be repeated.")
flags.DEFINE_bool("debug", False, "Show tracebacks.")


def main(argv) -> int:
    """Run it."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    values = flags.FLAGS
    return console.exit_code(
        lambda: run(values),
        debug=values.debug,
        interrupted="Interrupted; the same command continues from the last checkpoint.",
    )


def run(values) -> int:
    """Find the pace, train, and say what came of it."""
    if not values.data_dir:
        raise ValueError("--data_dir= must name a folder or file of MNIST.")
    arguments = ["--dataset=stacked_mnist", f"--data_dir={values.data_dir}", *values.train]
    arguments = ["--method=bidirectional", *arguments, f"--num_samples={values.num_samples}"]
    plan = Path(values.logdir) / f"{values.exp}_steps.json"
    # A run that continues keeps its number of steps.
    if not plan.exists():
        rate = pace(arguments)
        steps = max(1, round(60.0 * values.minutes * rate))
        console.log(f"{rate:.2f} steps a second: {steps} steps in {values.minutes:g} minutes.")
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(json.dumps({"steps": steps}), encoding="utf-8")
    steps = json.loads(plan.read_text(encoding="utf-8"))["steps"]
    script = Path(__file__).with_name("train.py")
    where = [f"--steps={steps}", f"--logdir={values.logdir}", f"--exp={values.exp}"]
    command = [sys.executable, str(script), *arguments, *where]
    return subprocess.run(command, check=False).returncode


def pace(arguments: list[str]) -> float:
    """Return the steps a second of a model that is thrown away."""
    console.import_quietly()
    import building

    own = flags.FlagValues()
    train_flags.define(own)
    own(["train.py", *arguments])
    options = train_flags.resolve(own)
    train_data, _ = building.load_data(options)
    model = building.build_model(options, train_data)
    stream = building.make_stream(options, train_data, 0)
    # The first steps see the compiler.
    model.fit(stream, steps_per_epoch=WARM, verbose=0)
    start = time.perf_counter()
    model.fit(stream, steps_per_epoch=PACE, verbose=0)
    return PACE / (time.perf_counter() - start)


if __name__ == "__main__":
    app.run(main)
