"""Section 6.1 of the paper as a study: table, summary and Figures 1 to 4 in a folder."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, files
from tf_febm.analysis import mixture_figures
from tf_febm.analysis.ground_truth import best_normal, f_divergence, gaussian_mixture
from tf_febm.analysis.mixture_fit import (
    Fit,
    gradient_deviations,
    grid,
    log_ratios,
    trajectories,
    use_ratio,
)
from tf_febm.analysis.mixture_rules import RULES, build
from tf_febm.divergences import get

__all__ = ["NINE", "mixture_study"]

NINE = (
    *("kl", "reverse_kl", "js", "squared_hellinger", "alpha:-0.5", "alpha:-1", "alpha:0.9"),
    *("neyman_chi2", "pearson_chi2"),
)
COLUMNS = (
    *("divergence", "mu_star", "sigma_star", "mu_hat", "sigma_hat"),
    *("divergence_at_star", "divergence_at_hat", "seconds"),
)
# Ten times as many weights, and what is made of them, take some gigabytes.
MOST_SAMPLES = 10_000_000
# What a study writes.
_RESULTS = ("figure_?_*.png", "table.csv", "summary.json")


def mixture_study(
    divergences: Sequence[str],
    out: arguments.Path,
    *,
    mixture: Sequence[Sequence[float]],
    steps: int = 8000,
    batch_size: int = 1000,
    sampler: str = "exact",
    rule: str = "library",
    seed: int = 0,
    num_samples: int = 100_000,
    num_trajectories: int = 8,
    trajectory_steps: int = 2000,
    baselines: bool = True,
    summary: dict[str, Any] | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Fit a Gaussian energy to a mixture of Gaussians by each divergence; compare with the optimum.

    Writes table.csv, summary.json and Figures 1 to 4. They replace those of an earlier study once
    all of them are there; of a study that fails or is interrupted, what was done is in the folder
    `unfinished` below.

    Args:
        divergences: Their names.
        out: Folder of the results.
        mixture: Weights, means and variances of the target; see `gaussian_mixture`.
        steps: Iterations per divergence, a multiple of 100.
        batch_size: Samples of the data, and of the model, per iteration, at least 2.
        sampler: "exact" or "langevin": how the model is sampled.
        rule: How the two players are trained: by this library's rule for all divergences
            ("library"); by one for targets that it misses, which takes 10,000 steps ("tails"); or
            by the bound of each, in plain gradient descent, alternating and with plain batches, at
            the learning rate that the paper names ("paper", 0.01) or that its code has
            ("published", 0.001, which takes 30,000 steps).
        seed: Of everything.
        num_samples: Samples of Figure 2, 2 to 10 million; the weights take 10 times that.
        num_trajectories: Random starts of Figure 4, of each divergence; 0 leaves it out.
        trajectory_steps: Iterations of each, a multiple of 100.
        baselines: Whether to run contrastive divergence and the dual form too.
        summary: What summary.json holds besides.
        report: Takes lines about progress.

    Raises:
        ValueError: Every divergence failed, or an argument cannot be used.
    """
    options = {
        "mixture": mixture,
        "steps": _hundreds("steps", steps),
        "batch_size": arguments.whole_number("batch_size", batch_size, 2),
        "sampler": arguments.choice("sampler", sampler, ("exact", "langevin")),
        "rule": arguments.choice("rule", rule, tuple(RULES)),
        "seed": arguments.whole_number("seed", seed, 0, 2**31),
        "num_samples": arguments.whole_number("num_samples", num_samples, 2, MOST_SAMPLES + 1),
    }
    arguments.whole_number("num_trajectories", num_trajectories)
    _hundreds("trajectory_steps", trajectory_steps)
    arguments.switch("baselines", baselines)
    if not divergences:
        raise ValueError("divergences must be one name or more; received none.")
    names = [get(name).name for name in divergences]
    target = gaussian_mixture(*mixture)
    x, density, inside = grid(target)
    summary = dict(summary or {})
    with files.staged(out, _RESULTS, "unfinished") as new:
        _study(
            names,
            target,
            (x, density, inside),
            options,
            (num_trajectories, trajectory_steps) if num_trajectories else None,
            baselines,
            summary,
            new,
            report,
        )


def _hundreds(name: str, value) -> int:
    if arguments.whole_number(name, value, 100) % 100:
        raise ValueError(f"{name} must be a multiple of 100; received {value!r}.")
    return value


def _study(
    divergences, target, axis, options, counts, baselines, summary, out: Path, report
) -> None:
    """Fit, measure, draw and write, with arguments that are known to be good."""
    x, density, inside = axis
    rows: list[dict] = []
    for name in divergences:
        try:
            rows.append(_fit(name, target, options, x, inside, report))
        except (ValueError, RuntimeError) as error:
            # One that fails, on a mixture that is too hard for it, does not take the others along.
            summary.setdefault("failed", {})[name] = str(error)
            report(f"warning: {name} failed: {error}")
        _write(out, rows, summary)
    if not rows:
        raise ValueError("Every divergence failed; their messages are above.")
    mixture_figures.fits(out / "figure_1_fits.png", x, density, rows)
    mixture_figures.rejection(out / "figure_2_rejection.png", x, density, rows)
    mixture_figures.log_ratio(out / "figure_3_log_ratio.png", x, inside, rows)
    if baselines:
        summary["baselines"] = {"methods": _baselines(divergences, target, options, report)}
        _write(out, rows, summary)
    if counts:
        ways = []
        summary["trajectories"] = {}
        for row in rows:
            ways.append(_trajectories(row["divergence"], target, options, counts, report))
            summary["trajectories"][row["divergence"]] = ways[-1].pop("figures")
            _write(out, rows, summary)
        mixture_figures.trajectories(out / "figure_4_trajectories.png", ways)
    _write(out, rows, summary)


def _write(out: Path, rows: list[dict], summary: dict) -> None:
    """Write the table and the summary as far as they have come."""
    files.write_table(out / "table.csv", rows, COLUMNS)
    # Without the arrays of the figures.
    results = [{k: v for k, v in row.items() if isinstance(v, (str, float))} for row in rows]
    files.write_json(out / "summary.json", {**summary, "results": results})


def _fit(name: str, target, options: dict, x, inside, report) -> dict:
    """Fit one divergence; return its row of the table, and what the figures need."""
    exact = best_normal(name, target)
    model = build("febm", name, options)
    fit = Fit(model, target, options, report=report, name=name)
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
        "divergence_at_hat": float(_divergence(name, target, fit.mean, fit.scale)),
        "seconds": fit.seconds,
        "ratio_error": float(np.average(np.abs(learned - true)[inside], weights=weights)),
        "learned_log_ratio": learned,
        "log_ratio": true,
        "plain": used["plain"],
        "accepted": used["accepted"],
        **used["figures"],
    }
    report(
        f"{name}: mean {fit.mean:.5f} (exact {exact.mean:.5f}), scale {fit.scale:.5f} (exact "
        f"{exact.scale:.5f}), ratio error {row['ratio_error']:.3f}, KS {row['ks_plain']:.3f} → "
        f"{row.get('ks_rejection', math.nan):.4f}, {fit.seconds:.1f} s"
    )
    if "rejection_failed" in row:
        report(f"warning: {name}: no rejection sampling: {row['rejection_failed']}")
    if not row["divergence_at_hat"] < 2.0 * row["divergence_at_star"] + 0.01:
        report(
            f"warning: {name} is far from its exact optimum: its divergence is "
            f"{row['divergence_at_hat']:.3g} instead of {row['divergence_at_star']:.3g}."
        )
    return row


def _divergence(name: str, target, mean, scale) -> np.ndarray:
    """Return the divergence of Gaussians from the target, of the shape of mean and scale."""
    from tensorflow_probability import distributions as tfd

    normal = tfd.Normal(tf.constant(mean, tf.float64), tf.constant(scale, tf.float64))
    return f_divergence(name, target, normal).numpy()


def _baselines(names: Sequence[str], target, options: dict, report) -> list[dict]:
    """Run contrastive divergence and the dual form under the same budget as f-EBM."""
    jobs = [("contrastive_divergence", "kl")]
    jobs += [("dual", name) for name in ("kl", "js") if name in names]
    results = []
    for method, name in jobs:
        exact = best_normal(name, target)
        label = f"{method} ({name})"
        row: dict[str, Any] = {"method": method, "divergence": name}
        try:
            fit = Fit(build(method, name, options), target, options, report=report, name=label)
        except ValueError as error:
            row["failed"] = str(error)
        else:
            row |= {"mu_hat": fit.mean, "sigma_hat": fit.scale, "seconds": fit.seconds}
            row["error"] = max(abs(fit.mean - exact.mean), abs(fit.scale - exact.scale))
        if method == "dual":
            row["gradients"] = gradient_deviations(target, name, (0.5, 1.5), options)
        results.append(row)
        report(f"{label}: error {row.get('error', math.nan):.4f}")
    return results


def _trajectories(name: str, target, options: dict, counts, report) -> dict:
    """Train from random starts; return what Figure 4 shows, and how far from the optimum."""
    exact = best_normal(name, target)
    fits = trajectories(target, name, options, counts[0], counts[1], report)
    figures: dict[str, Any] = {
        "distances": [math.hypot(f.mean - exact.mean, f.scale - exact.scale) for f in fits],
        "starts": [fit.path[0] for fit in fits],
        "failed": counts[0] - len(fits),
    }
    report(
        f"{name}: {len(fits)} of {counts[0]} trajectories end within "
        f"{max(figures['distances'], default=math.nan):.4f}."
    )
    ways = np.concatenate([[(exact.mean, exact.scale)], *(fit.path for fit in fits)])
    means = np.linspace(ways[:, 0].min() - 0.3, ways[:, 0].max() + 0.3, 60)
    scales = np.linspace(max(ways[:, 1].min() - 0.2, 0.1), ways[:, 1].max() + 0.2, 60)
    mesh = means, scales, _divergence(name, target, means[None, :], scales[:, None])
    return {"divergence": name, "fits": fits, "exact": exact, "mesh": mesh, "figures": figures}
