"""Repeat Section 6.1 of the paper: `python launch/mixture.py --divergence=all`.

Fits a Gaussian energy to a mixture of Gaussians by each divergence and compares with the exact
optimum. Writes table.csv, summary.json and Figures 1 to 4 into the folder --out.
"""

import csv
import io
import math
from functools import partial
from pathlib import Path

import console
import effects
from absl import app, flags

NINE = (
    "kl",
    "reverse_kl",
    "js",
    "squared_hellinger",
    "alpha:-0.5",
    "alpha:-1",
    "alpha:0.9",
    "neyman_chi2",
    "pearson_chi2",
)
COLUMNS = (
    "divergence",
    "mu_star",
    "sigma_star",
    "mu_hat",
    "sigma_hat",
    "divergence_at_star",
    "divergence_at_hat",
    "seconds",
)


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    text = partial(flags.DEFINE_string, flag_values=values)
    whole = partial(flags.DEFINE_integer, flag_values=values)
    choice = partial(flags.DEFINE_enum, flag_values=values)
    switch = partial(flags.DEFINE_bool, flag_values=values)
    text("divergence", "js", "A divergence, such as js or alpha:-0.5, or all.")
    text(
        "mixture",
        "0.33:-1:0.0625,0.67:2:2",
        "The target, as weight:mean:variance,…; weights sum to 1.",
    )
    whole("steps", 8000, "Iterations per divergence, a multiple of 100.")
    whole("batch_size", 1000, "Samples of the data, and of the model, per iteration.")
    choice("sampler", "exact", ["exact", "langevin"], "How the model is sampled.")
    whole("seed", 0, "Seed of everything.")
    whole("num_samples", 100_000, "Samples of Figure 2; the weights take 10 times that.")
    whole("trajectories", 8, "Random starts of Figure 4; 0 leaves it out.")
    whole("trajectory_steps", 2000, "Iterations of each, a multiple of 100.")
    switch("baselines", True, "Whether to run contrastive divergence and the dual form.")
    text("out", "runs/mixture", "Folder of the results.")
    switch("debug", False, "Show tracebacks.")


def main(argv) -> int:
    """Check the flags and run the study."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    console.stop_at_once_on_signals()
    values = flags.FLAGS
    return console.exit_code(
        lambda: run(resolve(values)),
        debug=values.debug,
        interrupted="Interrupted; table.csv and summary.json hold what was done, if anything.",
    )


def resolve(values) -> dict:
    """Return the flags as checked options.

    Raises:
        ValueError: On a value out of range or a mixture that cannot be read.
    """
    names = ("divergence", "steps", "batch_size", "sampler", "seed", "trajectories")
    options = {
        name: getattr(values, name)
        for name in (*names, "trajectory_steps", "baselines", "num_samples")
    }
    for name in ("steps", "trajectory_steps"):
        if options[name] < 100 or options[name] % 100:
            raise ValueError(f"--{name} must be a multiple of 100; received {options[name]}.")
    if options["batch_size"] < 2:
        raise ValueError(f"--batch_size must be at least 2; received {options['batch_size']}.")
    if options["num_samples"] < 2:
        raise ValueError(f"--num_samples must be at least 2; received {options['num_samples']}.")
    if options["trajectories"] < 0:
        raise ValueError(f"--trajectories must be at least 0; received {options['trajectories']}.")
    if not 0 <= options["seed"] < 2**31:
        raise ValueError(f"--seed must lie in 0 … 2³¹ − 1; received {options['seed']}.")
    effects.check(effects.MIXTURE, values, options)
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


def run(options: dict) -> int:
    """Fit, measure, draw and write.

    Args:
        options: What `resolve` returned.

    Returns:
        The exit code.
    """
    console.import_quietly(intra_op_threads=1)
    import train
    from mixture_study import exact_answer, grid

    from tf_febm import analysis, divergences

    every = options["divergence"] == "all"
    names = NINE if every else (divergences.get(options["divergence"]).name,)
    target = analysis.gaussian_mixture(*options["mixture"])
    out = Path(options["out"])
    out.mkdir(parents=True, exist_ok=True)
    x, density, inside = grid(target)
    rows = []
    summary = {"options": options, "versions": train.versions()}
    # What an earlier study left here is not this one's.
    for old in (*out.glob("figure_?_*.png"), out / "table.csv", out / "summary.json"):
        old.unlink(missing_ok=True)
    for name in names:
        try:
            rows.append(_fit(name, target, options, x, inside))
        except (ValueError, RuntimeError) as error:
            # One that fails, on a mixture that is too hard for it, does not take the others along.
            summary.setdefault("failed", {})[name] = str(error)
            console.log(f"warning: {name} failed: {error}")
        _write(out, rows, summary)
    if not rows:
        raise ValueError("Every divergence failed; their messages are above.")
    import mixture_figures

    mixture_figures.fits(out / "figure_1_fits.png", x, density, rows)
    mixture_figures.rejection(out / "figure_2_rejection.png", x, density, rows)
    mixture_figures.log_ratio(out / "figure_3_log_ratio.png", x, inside, rows)
    if options["baselines"]:
        summary["baselines"] = _baselines(names, target, options)
        _write(out, rows, summary)
    chosen = "js" if every else names[0]
    if options["trajectories"]:
        exact = exact_answer(chosen, target)
        summary["trajectories"] = _trajectories(chosen, target, exact, options, out)
    _write(out, rows, summary)
    console.log(f"Table, summary and figures are in {out}.")
    return console.DONE


def _write(out: Path, rows: list[dict], summary: dict) -> None:
    """Write the table and the summary as far as they have come."""
    from tf_febm import files

    text = io.StringIO(newline="")
    table = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    files.write_atomically(out / "table.csv", lambda file: file.write(text.getvalue().encode()))
    files.write_json(out / "summary.json", {**summary, "results": _numbers(rows)})


def _fit(name: str, target, options: dict, x, inside) -> dict:
    """Fit one divergence; return its row of the table, and what the figures need."""
    import numpy as np
    from mixture_study import Fit, build, exact_answer, log_ratios, use_ratio

    exact = exact_answer(name, target)
    model = build("febm", name, options)
    fit = Fit(model, target, options, report=console.log, name=name)
    learned, true = log_ratios(model, fit, target, x)
    weights = target.prob(x[inside]).numpy()
    used = use_ratio(model, fit, target, options["seed"], options["num_samples"])
    row = {
        "divergence": name,
        "mu_star": exact.mean,
        "sigma_star": exact.scale,
        "mu_hat": fit.mean,
        "sigma_hat": fit.scale,
        "divergence_at_star": exact.divergence,
        "divergence_at_hat": _divergence(name, target, fit.mean, fit.scale),
        "seconds": fit.seconds,
        "ratio_error": float(np.average(np.abs(learned - true)[inside], weights=weights)),
        "learned_log_ratio": learned,
        "log_ratio": true,
        "plain": used["plain"],
        "accepted": used["accepted"],
        **used["figures"],
    }
    console.log(
        f"{name}: mean {fit.mean:.5f} (exact {exact.mean:.5f}), scale {fit.scale:.5f} (exact "
        f"{exact.scale:.5f}), ratio error {row['ratio_error']:.3f}, KS {row['ks_plain']:.3f} → "
        f"{row.get('ks_rejection', math.nan):.4f}, {fit.seconds:.1f} s"
    )
    if "rejection_failed" in row:
        console.log(f"warning: {name}: no rejection sampling: {row['rejection_failed']}")
    if not row["divergence_at_hat"] < 2.0 * row["divergence_at_star"] + 0.01:
        console.log(
            f"warning: {name} is far from its exact optimum: its divergence is "
            f"{row['divergence_at_hat']:.3g} instead of {row['divergence_at_star']:.3g}."
        )
    return row


def _numbers(rows: list[dict]) -> list[dict]:
    """Return rows without their arrays."""
    return [{k: v for k, v in row.items() if isinstance(v, (str, float))} for row in rows]


def _divergence(name: str, target, mean, scale) -> float:
    from tensorflow_probability import distributions as tfd

    from tf_febm import analysis

    normal = tfd.Normal(*(_float64(value) for value in (mean, scale)))
    return float(analysis.f_divergence(name, target, normal))


def _float64(value):
    import tensorflow as tf

    return tf.constant(value, tf.float64)


def _baselines(names, target, options: dict) -> dict:
    """Run contrastive divergence and the dual form under the same budget as f-EBM."""
    from mixture_study import Fit, build, exact_answer, gradient_deviations

    jobs = [("contrastive_divergence", "kl")] + [
        ("dual", name) for name in ("kl", "js") if name in names
    ]
    results = []
    for method, name in jobs:
        exact = exact_answer(name, target)
        label = f"{method} ({name})"
        row = {"method": method, "divergence": name}
        try:
            fit = Fit(build(method, name, options), target, options, report=console.log, name=label)
        except ValueError as error:
            row["failed"] = str(error)
        else:
            row |= {"mu_hat": fit.mean, "sigma_hat": fit.scale, "seconds": fit.seconds}
            row["error"] = max(abs(fit.mean - exact.mean), abs(fit.scale - exact.scale))
        if method == "dual":
            row["gradients"] = gradient_deviations(target, name, (0.5, 1.5), options)
        results.append(row)
        console.log(f"{label}: error {row.get('error', math.nan):.4f}")
    return {"methods": results}


def _trajectories(name: str, target, exact, options: dict, out: Path) -> dict:
    """Train from random starts, draw Figure 4, and return how far the ends are from the optimum."""
    import mixture_figures
    import numpy as np
    from mixture_study import trajectories

    fits = trajectories(
        target, name, options, options["trajectories"], options["trajectory_steps"], console.log
    )
    ways = np.concatenate([fit.path for fit in fits])
    means = np.linspace(ways[:, 0].min() - 0.3, ways[:, 0].max() + 0.3, 60)
    scales = np.linspace(max(ways[:, 1].min() - 0.2, 0.1), ways[:, 1].max() + 0.2, 60)
    values = _divergences(name, target, means, scales)
    mixture_figures.trajectories(
        out / "figure_4_trajectories.png", name, fits, exact, (means, scales, values)
    )
    distances = [math.hypot(f.mean - exact.mean, f.scale - exact.scale) for f in fits]
    console.log(f"{name}: the {len(fits)} trajectories end within {max(distances):.4f}.")
    return {
        "divergence": name,
        "distances": distances,
        "starts": [fit.path[0] for fit in fits],
    }


def _divergences(name, target, means, scales):
    from tensorflow_probability import distributions as tfd

    from tf_febm import analysis

    normals = tfd.Normal(_float64(means)[None, :], _float64(scales)[:, None])
    return analysis.f_divergence(name, target, normals).numpy()


if __name__ == "__main__":
    define()
    app.run(main)
