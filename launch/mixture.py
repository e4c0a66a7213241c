"""Repeat Section 6.1 of the paper: `python launch/mixture.py --divergence=all`.

Fits a Gaussian energy to a mixture of Gaussians by each divergence and compares with the exact
optimum. Writes table.csv, summary.json and Figures 1 to 4 into the folder --out.
"""

import console
from absl import flags


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    add = console.definers(values)
    known = "The f-divergence, by a name that `divergences.get` knows; or all."
    add.text("divergence", "js", known)
    add.text(
        "mixture",
        "0.33:-1:0.0625,0.67:2:2",
        "The target, as weight:mean:variance,…; weights sum to 1.",
    )
    add.whole("steps", 8000, "Training steps; for each divergence, a multiple of 100.")
    add.whole("batch_size", 1000, "Examples, and chains, of a step.", 2)
    add.choice("sampler", "exact", ["exact", "langevin"], "How the model is sampled.")
    add.choice("rule", "library", ["library", "tails", "paper", "published"], "How it is trained.")
    add.whole("seed", 0, "Seed of all that is random.", 0, 2**31 - 1)
    add.whole("num_samples", 100_000, "Samples to draw; the weights take 10 times that.", 2)
    add.whole("trajectories", 8, "Random starts of Figure 4 per divergence; 0: no figure.", 0)
    add.whole("trajectory_steps", 2000, "Iterations of each, a multiple of 100.")
    add.switch("baselines", True, "Whether to run contrastive divergence and the dual form.")
    add.text("out", "runs/mixture", "Where the results go.")
    add.switch("debug", False, "Show tracebacks of errors.")


def resolve(values) -> dict:
    """Return the flags as checked options.

    Raises:
        ValueError: A value is out of range, or the mixture cannot be read.
    """
    names = ("divergence", "steps", "batch_size", "sampler", "rule", "seed", "num_samples")
    names += ("trajectories", "trajectory_steps", "baselines")
    options = {name: getattr(values, name) for name in names}
    for name in ("steps", "trajectory_steps"):
        if options[name] < 100 or options[name] % 100:
            raise ValueError(f"--{name} must be a multiple of 100; received {options[name]}.")
    if values["trajectory_steps"].present and not options["trajectories"]:
        raise ValueError(
            f"--trajectory_steps={values.trajectory_steps} is for studies with --trajectories "
            "above 0: leave it out."
        )
    return {**options, "mixture": parse_mixture(values.mixture), "out": values.out}


def parse_mixture(text: str) -> list[tuple[float, ...]]:
    """Return "w:mean:variance,…" as three columns: weights, means, variances."""
    try:
        rows = [tuple(float(number) for number in part.split(":")) for part in text.split(",")]
    except ValueError:
        rows = [()]
    if any(len(row) != 3 for row in rows):
        raise ValueError(f"--mixture must read weight:mean:variance,…; received {text!r}.")
    return list(zip(*rows, strict=True))


def run(values) -> int:
    """Fit, measure, draw and write."""
    options = resolve(values)
    console.import_quietly(intra_op_threads=1)
    from tf_febm import divergences, training
    from tf_febm.analysis.mixture_study import NINE, mixture_study

    summary = {"options": dict(options), "versions": training.versions()}
    name, out = options.pop("divergence"), options.pop("out")
    mixture_study(
        NINE if name == "all" else (divergences.get(name).name,),
        out,
        num_trajectories=options.pop("trajectories"),
        summary=summary,
        report=console.log,
        **options,
    )
    console.log(f"Table, summary and figures are in {out}.")
    return console.DONE


if __name__ == "__main__":
    told = "Interrupted; unfinished/ in --out holds what was done, if anything."
    console.main(run, define, interrupted=told)
