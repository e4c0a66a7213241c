"""Count modes on stacked MNIST: `python launch/stacked_mnist.py --data_dir=mnist.npz`.

Trains a generator on three digits in the channels of one image, 1,000 modes, for a given time, and
counts the modes among 26,000 samples by a classifier trained on the digits. The number of steps
follows from the speed of a short run. The run is one of train.py: <logdir>/<exp>/summary.json has
all figures, and samples/final.png the picture.
"""

import json
import subprocess
import sys
from pathlib import Path

import console
from absl import app, flags

# Steps of the short run, and those of them before which the program is still being compiled.
PACE, WARM = 60, 20

flags.DEFINE_string("data_dir", None, "Local folder or file of MNIST.")
flags.DEFINE_float("minutes", 60.0, "Time for training.", 0.1)
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
    return console.guarded(
        lambda: run(values),
        debug=values.debug,
        interrupted="Interrupted; the same command continues from the last checkpoint.",
    )


def run(values) -> int:
    """Find the pace, train, and say what came of it."""
    if not values.data_dir:
        raise ValueError("--data_dir= must name a folder or file of MNIST.")
    pace = f"{values.exp}_pace"
    plan = Path(values.logdir) / pace / "steps.json"
    # A run that continues keeps its number of steps.
    if not plan.exists():
        arguments = [f"--steps={PACE}", f"--log_interval={WARM}", "--num_samples=2", "--overwrite"]
        if code := _train(values, pace, arguments):
            return code
        rate = _rate(plan.with_name("metrics.csv"))
        steps = max(1, round(60.0 * values.minutes * rate))
        console.say(f"{rate:.2f} steps a second: {steps} steps in {values.minutes:g} minutes.")
        plan.write_text(json.dumps({"steps": steps}), encoding="utf-8")
    steps = json.loads(plan.read_text(encoding="utf-8"))["steps"]
    return _train(values, values.exp, [f"--steps={steps}", f"--num_samples={values.num_samples}"])


def _train(values, name: str, arguments: list[str]) -> int:
    script = Path(__file__).with_name("train.py")
    where = ["--dataset=stacked_mnist", f"--data_dir={values.data_dir}", "--method=bidirectional"]
    where += [f"--logdir={values.logdir}", f"--exp={name}"]
    command = [sys.executable, str(script), *where, *arguments, *values.train]
    return subprocess.run(command, check=False).returncode


def _rate(metrics: Path) -> float:
    """Return steps per second after the first row, whose steps saw the compiler."""
    lines = [line.split(",") for line in metrics.read_text(encoding="utf-8").splitlines()]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    steps, seconds = ([float(row[key]) for row in rows] for key in ("step", "seconds"))
    return (steps[-1] - steps[0]) / (seconds[-1] - seconds[0])


if __name__ == "__main__":
    app.run(main)
