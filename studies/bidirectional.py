"""Bidirectional bounds, claim by claim: `python -m studies.bidirectional`.

Whether both bounds bracket the likelihood through training, by quadrature on every toy dataset; how
often the published estimator of the entropy, two iterations of LOBPCG, is above what it shall bound
from below, through training on the digits; its error and cost for random maps; and how runs with
the penalty of the bound stand to runs with a gradient penalty on data, seed by seed. All with far
fewer steps than the published 150,000. Writes tables, claims.json and bidirectional.png into --out.
Runs that are done are not repeated.
"""

import time
import types
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from launch import console
from studies import bounds, runs

# Steps and looks at the bounds of each toy dataset; of the digits; of each run for stability.
BRACKETS = {"steps": 600, "checks": 5, "cells": 200, "latents": 41}
DIGITS = {"steps": 300, "checks": 5, "latents": 256}
STABILITY = {"dataset": "25gaussians", "steps": 1000}
PENALTIES = {"latent": {}, "data": {"penalty": "data"}}
SEEDS = 6
# LOBPCG: iterations, from a random start as published; d, D and condition of random maps.
ITERATIONS = (2, 5, 10, 30)
MAPS = ((16, 64, 1.0), (128, 3072, 1.0), (128, 3072, 10.0), (128, 3072, 100.0))
# A run that ends with more nats than this between data and model has not trained.
LOST = 1.0
PAGE = "claims.md"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    flags.DEFINE_integer("seeds", SEEDS, "Seeds of the runs for stability.", 2, flag_values=values)
    runs.define_measured(values, "runs/claims/bidirectional")


def run(values) -> int:
    """Make what runs are missing, then write the tables, the claims and the picture."""
    console.import_quietly(intra_op_threads=1)
    from tf_febm import data

    out, share = Path(values.out), 40 if values.fast else 1
    names = data.toy_datasets.names()[:1] if values.fast else data.toy_datasets.names()
    frame = {**BRACKETS, "steps": BRACKETS["steps"] // share}
    if values.fast:
        frame |= {"checks": 2, "cells": 60, "latents": 15}
    groups = {
        "brackets": (bracket, [{"dataset": name, **frame, "seed": 0} for name in names]),
        "entropies": (
            follow_entropy,
            [{**DIGITS, "steps": DIGITS["steps"] // share, "seed": 0}],
        ),
        "maps": (
            map_error,
            [
                {"d": d, "size": size, "condition": condition, "iterations": list(ITERATIONS)}
                for d, size, condition in (MAPS[:1] if values.fast else MAPS)
            ],
        ),
        "stability": (
            stand,
            [
                {**STABILITY, "steps": STABILITY["steps"] // share, "penalty": name, "seed": seed}
                for seed in range(1 if values.fast else values.seeds)
                for name in PENALTIES
            ],
        ),
    }
    found = {
        name: runs.each(work, jobs, out / "done", values.processes)
        for name, (work, jobs) in groups.items()
    }
    write(found, out)
    console.log(f"Tables and picture are in {out}.")
    return console.DONE


def bracket(job: dict) -> dict:
    """Follow both bounds and the likelihood through a run with a generator that is one to one."""
    values = types.SimpleNamespace(**job, set=[])
    _, rows = bounds.follow("certified", values)
    keys = ("step", "lower", "likelihood", "upper", "upper_certified", "sufficient_weight")
    return {"rows": [{key: float(row[key]) for key in keys} for row in rows]}


def _entropies(function, z, iterations, start=None) -> dict:
    """Return ½ log det JᵀJ, and d·log ŝ by iterations of LOBPCG, each [n]; and the vectors."""
    from tf_febm import entropy

    found = {"exact": entropy.log_volume(function, z).numpy()}
    for count in iterations:
        value, _ = entropy.smallest_singular_value(
            function, z, num_iterations=count, start=start, seed=1
        )
        found[count] = z.shape[1] * np.log(value.numpy())
    return found


def follow_entropy(job: dict) -> dict:
    """Train on the digits; return at some steps how often d·log ŝ is above ½ log det JᵀJ.

    With a random start at each look, as published, and for the model's own iterations, which start
    where the last step's ended, with those of the last batch.
    """
    import keras
    import tensorflow as tf

    from tf_febm import data, entropy, recipes

    recipe = recipes.get("digits_bidirectional").replace(
        entropy="smallest_singular_value", entropy_iterations=2, seed=job["seed"],
        steps=job["steps"], width=64,
    )  # fmt: skip
    keras.utils.set_random_seed(job["seed"])
    source, _ = data.Source("digits").load()
    model = recipe.build(source)
    z = tf.random.stateless_normal((job["latents"], model.latent_dim), (1, 2))
    rows = []
    steps = np.linspace(0, job["steps"], job["checks"]).astype(int)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        found = _entropies(model.generate, z, ITERATIONS)
        exact = found.pop("exact")
        row = {"step": int(step), "exact": float(exact.mean())}
        for count, value in found.items():
            row[f"above_{count}"] = float((value > exact).mean())
            row[f"excess_{count}"] = float((value - exact).mean())
        singular = np.linalg.svd(entropy.jacobian(model.generate, z).numpy(), compute_uv=False)
        row["condition"] = float(np.median(singular[:, 0] / singular[:, -1]))
        row["true_gap"] = float((exact - z.shape[1] * np.log(singular[:, -1])).mean())
        rows.append(row)
        if following is not None:
            stream = recipe.stream(source, start_step=int(step))
            model.fit(stream, steps_per_epoch=int(following - step), verbose=0)
    return {"rows": rows}


def map_error(job: dict) -> dict:
    """Return error and cost of the estimator for random linear maps of a condition number."""
    import tensorflow as tf

    from tf_febm import entropy

    rng = np.random.default_rng(0)
    d, size = job["d"], job["size"]
    matrix = rng.standard_normal((size, d))
    if job["condition"] > 1.0:
        left, _, right = np.linalg.svd(matrix, full_matrices=False)
        matrix = left * np.geomspace(job["condition"], 1.0, d) @ right
    constant = tf.constant(matrix, tf.float32)
    smallest = np.linalg.svd(matrix, compute_uv=False)[-1]
    z = tf.constant(rng.standard_normal((16, d)), tf.float32)

    def function(z):
        return z @ tf.transpose(constant)

    def timed(compute) -> tuple[np.ndarray, float]:
        compiled = tf.function(compute)
        compiled()
        start = time.process_time()
        value = compiled().numpy()
        return value, time.process_time() - start

    volume, seconds = timed(lambda: entropy.log_volume(function, z))
    rows = []
    for count in job["iterations"]:
        value, own = timed(
            lambda count=count: entropy.smallest_singular_value(
                function, z, num_iterations=count, seed=1
            )[0]
        )
        rows.append(
            {
                "iterations": count,
                "over_smallest": float(value.mean() / smallest),
                "above": float((d * np.log(value) > volume).mean()),
                "cost": own / max(seconds, 1e-9),
            }
        )
    return {"rows": rows}


def stand(job: dict) -> dict:
    """Train with one of the penalties; return KL(data‖model) and what the samples cover."""
    import keras

    from tf_febm import data, evaluation, recipes

    recipe = recipes.for_dataset(job["dataset"], "bidirectional").replace(
        **PENALTIES[job["penalty"]], steps=job["steps"], seed=job["seed"]
    )
    keras.utils.set_random_seed(job["seed"])
    source, held_out = data.Source(job["dataset"]).load()
    model, curve = recipe.build(source), []
    bed = data.toy_datasets.get(job["dataset"])
    each = max(1, job["steps"] // 3)
    for step in range(0, each * 3, each):
        model.fit(recipe.stream(source, start_step=step), steps_per_epoch=each, verbose=0)
        with model.best_weights():
            samples = np.asarray(model.sample(1000, seed=0))
            if not np.isfinite(samples).all():
                raise RuntimeError(f"After {step + each} steps samples are not finite.")
            found = evaluation.plane_quality(model.energy, samples, bed, held_out.vectors)
        curve.append(
            {
                "step": step + each, "kl": found.kl, "modes_covered": found.modes_covered,
                "share_near_modes": found.share_near_modes,
            }
        )  # fmt: skip
    return {"curve": curve, **{k: v for k, v in curve[-1].items() if k != "step"}}


def write(found: dict[str, list[dict]], out: Path) -> None:
    """Write the tables, the claims and the picture."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for group in ("brackets", "entropies", "maps"):
        tables[group] = [
            {**{k: v for k, v in r["job"].items() if not isinstance(v, list)}, **row}
            for r in found[group]
            for row in r.get("rows", [])
        ]
    tables["stability"] = [
        {
            **{k: r["job"][k] for k in ("penalty", "seed")},
            **{k: r.get(k) for k in ("kl", "modes_covered", "share_near_modes")},
        }
        for r in found["stability"]
    ]
    for name, rows in tables.items():
        if rows:
            runs.write_table(rows, out / f"{name}.csv")
    claims = [
        _of_brackets(tables["brackets"]),
        _of_entropies(tables["entropies"], tables["maps"]),
        _of_maps(tables["maps"]),
        _of_stability(tables["stability"]),
    ]
    results = [r for group in found.values() for r in group]
    runs.write_claims(out, claims, results, {**tables, "stability_runs": found["stability"]})
    draw(tables, found["stability"], out / "bidirectional.png")


_COMMAND, _ABSTRACT = "python -m studies.bidirectional", "EBM-BB, abstract"


def _of_brackets(rows: list[dict]) -> dict:
    sets = list(dict.fromkeys(row["dataset"] for row in rows))
    near = bounds.NEGLIGIBLE
    lower = [row for row in rows if row["lower"] > row["likelihood"] + near]
    upper = [row for row in rows if row["upper"] < row["likelihood"] - near]
    # JSON has no infinity.
    finite = [row for row in rows if row["upper_certified"] is not None]
    certified = [row for row in finite if row["upper_certified"] < row["likelihood"] - near]
    steps = max(row["step"] for row in rows)
    text = (
        f"{len(sets)} toy datasets, couplings, w = 1, {steps:.0f} steps, {len(rows)} looks by "
        f"quadrature: ⌊L⌋ above L {len(lower)} times, ⌈L⌉ below L {len(upper)} times"
        + (f" ({', '.join(sorted({row['dataset'] for row in upper}))})" if upper else "")
        + f"; with the certified weight, which is finite at {len(finite)}, {len(certified)} times"
    )
    verdict: bool | str = not (lower or upper) or "holds in part"
    return runs.claim("Both bounds bracket L through training", _ABSTRACT, text, verdict, _COMMAND)


def _of_entropies(rows: list[dict], maps: list[dict]) -> dict:
    later = [row for row in rows if row["step"] > 0]
    counts = [int(key.removeprefix("above_")) for key in rows[0] if key.startswith("above_")]
    text = (
        f"digits, 10 latent variables, looks up to step {rows[-1]['step']}: share of z at which "
        "the estimate is above ½ log det JᵀJ, from a random start: "
        + ", ".join(
            f"{count} iterations {min(row[f'above_{count}'] for row in rows):.0%} to "
            f"{max(row[f'above_{count}'] for row in rows):.0%}"
            for count in counts
        )
        + f"; condition {rows[0]['condition']:.1f} at first, {rows[-1]['condition']:.1f} at last; "
        f"the converged bound is {later[-1]['true_gap']:.1f} nats below"
    )
    shares = [row[f"above_{counts[0]}"] for row in rows]
    for row in maps:
        if row["iterations"] == counts[0] and row["above"]:
            text += (
                f"; of a random map {row['d']} → {row['size']} of condition "
                f"{row['condition']:.0f} {counts[0]} iterations are above at {row['above']:.0%}"
            )
            shares.append(row["above"])
    verdict: bool | str = "holds in part" if min(shares) < 0.5 < max(shares) else max(shares) == 0
    title = "Two iterations of LOBPCG give a lower bound of the entropy (the published estimator)"
    return runs.claim(title, "EBM-BB", text, verdict, _COMMAND)


def _of_maps(rows: list[dict]) -> dict:
    texts = []
    for key in dict.fromkeys((row["d"], row["size"], row["condition"]) for row in rows):
        own = [row for row in rows if (row["d"], row["size"], row["condition"]) == key]
        kind = "Gaussian" if key[2] == 1.0 else f"condition {key[2]:.0f}"
        texts.append(
            f"{kind} {key[0]} → {key[1]}: "
            + ", ".join(
                f"{row['iterations']} iterations {row['over_smallest']:.2f}·s_min (above "
                f"{row['above']:.0%}, cost {row['cost']:.2f})"
                for row in own
            )
        )
    text = "random maps; cost over that of the whole Jacobian's, processor time: " + "; ".join(
        texts
    )
    two = [row for row in rows if row["iterations"] == ITERATIONS[0]]
    large = [row for row in two if row["d"] >= 100] or two
    accurate = all(row["over_smallest"] < 1.1 for row in two)
    cheap = all(row["cost"] < 1.0 for row in large)
    title = "The estimator of the Jacobian's determinant is accurate and efficient"
    verdict: bool | str = (accurate and cheap) or ("holds in part" if accurate or cheap else False)
    return runs.claim(title, _ABSTRACT, text, verdict, _COMMAND)


def _of_stability(rows: list[dict]) -> dict:
    texts, spreads, lost = [], {}, {}
    for name in PENALTIES:
        own = [row for row in rows if row["penalty"] == name]
        values = [row["kl"] for row in own if row["kl"] is not None]
        mean, deviation, text = runs.describe(values)
        lost[name] = sum(row["kl"] is None or not row["kl"] < LOST for row in own)
        spreads[name] = (mean, deviation)
        texts.append(
            f"penalty={name} KL(data‖model) {text}, above {LOST} {lost[name]} of {len(own)}"
        )
    steps, seeds = STABILITY["steps"], len({row["seed"] for row in rows})
    text = f"{STABILITY['dataset']}, {steps:,} steps, {seeds} seeds, one recipe: "
    text += "; ".join(texts)
    (mean, deviation), (other, other_deviation) = (spreads[name] for name in PENALTIES)
    verdict: bool | str = "open"
    if deviation is not None and other_deviation is not None and mean is not None:
        better = mean + deviation < other - other_deviation
        calmer = lost["latent"] < lost["data"] or deviation < 0.5 * other_deviation
        worse = other + other_deviation < mean - deviation
        none = worse or not (better or calmer)
        # Where the better one has not trained either, it says little.
        whole = better and calmer and not lost["latent"]
        verdict = False if none else whole or "holds in part"
    title = "The bound's penalty is more stable than a gradient penalty on data"
    return runs.claim(title, _ABSTRACT, text, verdict, _COMMAND)


def page_table(figures: dict) -> str:
    """Return where the bounds ended on every dataset in Markdown, of what `write` stored."""
    rows = figures["brackets"]
    lines = ["| data | looks | ⌊L⌋ | L | ⌈L⌉ | brackets at |", "|---|---|---|---|---|---|"]
    for name in dict.fromkeys(row["dataset"] for row in rows):
        own = [row for row in rows if row["dataset"] == name]
        good = sum(
            row["lower"] <= row["likelihood"] + bounds.NEGLIGIBLE
            and row["upper"] >= row["likelihood"] - bounds.NEGLIGIBLE
            for row in own
        )
        cells = [f"{own[-1][key]:.3f}" for key in ("lower", "likelihood", "upper")]
        lines.append(f"| {name} | {len(own)} | {' | '.join(cells)} | {good} of {len(own)} |")
    return "\n".join(lines)


def draw(tables: dict[str, list[dict]], stability: list[dict], path: Path) -> None:
    """Draw the brackets of every dataset, and the curves of both penalties."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    sets = list(dict.fromkeys(row["dataset"] for row in tables["brackets"]))
    drawn, axes = charts.panels(len(sets) + 1, 3.6, 3.2)
    for axis, name in zip(axes, sets, strict=False):
        own = [row for row in tables["brackets"] if row["dataset"] == name]
        base = [row["likelihood"] for row in own]
        for key, label in (("upper", "⌈L⌉ − L"), ("lower", "⌊L⌋ − L")):
            gap = [row[key] - value for row, value in zip(own, base, strict=True)]
            axis.plot([row["step"] for row in own], gap, "o-", label=label)
        axis.axhline(0.0, color="0.4", lw=1)
        charts.style(axis, name, "step", "nats")
    for index, penalty in enumerate(PENALTIES):
        for result in stability:
            if result["job"]["penalty"] == penalty and "failed" not in result:
                curve = result["curve"]
                axes[-1].semilogy(
                    [point["step"] for point in curve],
                    [max(point["kl"], 1e-4) for point in curve],
                    color=charts.COLOURS[index],
                    alpha=0.7,
                    label=penalty if result["job"]["seed"] == 0 else None,
                )
    charts.style(axes[-1], "penalties, each seed", "step", "KL(data‖model)")
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
