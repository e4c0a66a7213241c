"""Reach of f-EBM's rules beyond the paper's mixture: `python -m studies.reach`.

Five mixtures of two modes three apart with unequal widths, nine divergences: the error by this
library's rule and, where tails decide, by the rule "tails"; and what quadrature says of the limits:
whether the gradient has a finite variance, and how far the best Gaussian is decided by what no
sample of the run has seen. Writes fits.csv, claims.json and reach.png into --out. Runs that are
done are not repeated.
"""

from pathlib import Path
from typing import Any

from absl import flags

from launch import console
from studies import runs

# Name -> weights, means, variances.
MIXTURES: dict[str, tuple] = {
    "A": ((0.5, 0.5), (-1.5, 1.5), (0.25, 1.0)),
    "B": ((0.3, 0.7), (-1.5, 1.5), (0.09, 1.5)),
    "C": ((0.65, 0.35), (-1.5, 1.5), (1.5, 0.3)),
    "D": ((0.4, 0.6), (0.0, 3.0), (0.5, 2.0)),
    "E": ((0.7, 0.3), (-1.5, 1.5), (2.25, 0.36)),
}
# Rule -> steps, the divergences that "tails" is for, and its steps where it has missed.
STEPS = {"library": 6000, "tails": 10_000}
IN_TAILS = ("reverse_kl", "alpha:-0.5", "alpha:-1", "neyman_chi2")
LONGER = 20_000
# The true log ratio in place of H tells the estimator's error from H's; all of Theorem 3 is tried
# on one mixture.
TRUE_STEPS = 1500
BATCH_SIZE, NEAR = 1000, 0.015


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    flags.DEFINE_integer("seeds", 1, "Seeds of each fit.", 1, flag_values=values)
    runs.define_measured(values, "runs/claims/reach")


def run(values) -> int:
    """Make what fits are missing, then write the table, the claims and the picture."""
    console.import_quietly(intra_op_threads=1)
    from tf_febm.analysis.mixture_study import NINE

    names, mixtures, share = NINE, list(MIXTURES), 1
    if values.fast:
        names, mixtures, share = ("kl", "alpha:-1"), ["B"], 20
    pairs = [(mixture, name) for name in names for mixture in mixtures]
    pairs.sort(key=lambda pair: pair[1] not in IN_TAILS)
    out = Path(values.out)
    limits = runs.each(
        limit, [{"mixture": m, "divergence": n} for m, n in pairs], out / "done", values.processes
    )
    fits = [
        {"mixture": m, "divergence": n, "rule": rule, "steps": steps // share, "seed": seed}
        for seed in range(values.seeds)
        for m, n in pairs
        for rule, steps in STEPS.items()
        if rule == "library" or n in IN_TAILS
    ]
    done = runs.each(fit, fits, out / "done", values.processes)
    best = {(r["job"]["mixture"], r["job"]["divergence"]): r for r in limits}
    missed = [
        {**r["job"], "steps": LONGER // share}
        for r in done
        if r["job"]["rule"] == "tails"
        and _error(r, best) > NEAR
        and best[r["job"]["mixture"], r["job"]["divergence"]]["unseen"] <= NEAR
    ]
    longer = runs.each(fit, missed, out / "done", values.processes)
    known = [
        {"mixture": m, "divergence": n, "estimator": kind, "steps": TRUE_STEPS // share}
        for m, n in pairs
        if n in IN_TAILS[:3]  # Neyman's χ² is twice the divergence of α = −1.
        for kind in ("theorem_3", "tails")
        if kind == "tails" or m == mixtures[0]
    ]
    known = runs.each(by_true_ratio, known, out / "done", values.processes)
    write(limits, done, longer, known, out)
    console.log(f"Table and picture are in {out}.")
    return console.DONE


def limit(job: dict) -> dict:
    """Return the best Gaussian, and what limits finding it."""
    from tf_febm.analysis import best_normal, gaussian_mixture, reach

    columns = MIXTURES[job["mixture"]]
    target = gaussian_mixture(*columns)
    exact = best_normal(job["divergence"], target)
    seen = BATCH_SIZE * max(STEPS.values())
    found = reach(job["divergence"], target, exact.mean, exact.scale, 1.0 / seen)
    return {
        "mean": exact.mean,
        "scale": exact.scale,
        "variance_over_widest": exact.scale**2 / max(columns[2]),
        "covariance_is_finite": found.covariance_is_finite,
        "theorem_3_is_finite": found.theorem_3_is_finite,
        "deviation": found.deviation.tolist(),
        "unseen": found.unseen,
    }


def fit(job: dict) -> dict:
    """Train once; return where it ended."""
    from tf_febm.analysis import gaussian_mixture, mixture_fit
    from tf_febm.analysis.mixture_rules import build

    mixture = MIXTURES[job["mixture"]]
    options = {**job, "mixture": mixture, "batch_size": BATCH_SIZE, "sampler": "exact"}
    model = build("febm", job["divergence"], options)
    found = mixture_fit.Fit(model, gaussian_mixture(*mixture), options, name=job["divergence"])
    return {"mean": found.mean, "scale": found.scale}


def by_true_ratio(job: dict) -> dict:
    """Descend by the true log ratio, with the batches and steps of either rule.

    "theorem_3" has all its terms and the clipped norm of the rule "library"; "tails" has samples
    of q^(1/2), weighted, and the covariance alone.
    """
    import numpy as np
    from scipy.special import ndtri

    from tf_febm import divergences
    from tf_febm.analysis import gaussian_mixture
    from tf_febm.analysis.mixture_rules import CLIP_NORM, RULES, stream
    from tf_febm.analysis.mixture_tails import TEMPERATURE

    target, divergence = gaussian_mixture(*MIXTURES[job["mixture"]]), job["divergence"]
    divergence, in_tails = divergences.get(divergence), job["estimator"] == "tails"
    data = stream(target, BATCH_SIZE, 0).as_numpy_iterator()
    temperature = TEMPERATURE if in_tails else 1.0
    rng, rate, near = np.random.default_rng(0), RULES["tails"], 1e-12
    place, first, second, way = np.zeros(2), np.zeros(2), np.zeros(2), []

    def log_ratio(x, z):
        return target.log_prob(x).numpy() + 0.5 * z**2 + place[1] + 0.5 * np.log(2.0 * np.pi)

    def slopes(z):
        return np.stack([-z * np.exp(-place[1]), -(z**2)])

    def derivative(r):  # Of f'(eʳ) for r; all of `IN_TAILS` are powers, f' = −e^((α−1)r)/(1−α) + c.
        alpha = float(divergence.name.partition(":")[2] or 0.0)
        return np.exp((alpha - 1.0) * r)

    for step in range(job["steps"]):
        shares = (np.arange(BATCH_SIZE) + rng.random(BATCH_SIZE)) / BATCH_SIZE
        z = np.sqrt(temperature) * ndtri(np.clip(shares, near, 1.0 - near))
        weights = np.exp(-0.5 * z**2 * (1.0 - 1.0 / temperature))
        weights /= weights.sum()
        r = log_ratio(place[0] + np.exp(place[1]) * z, z)
        value = divergence.conjugate(r).numpy()
        gradient = (weights * (value - (weights * value).sum()) * slopes(z)).sum(axis=1)
        if not in_tails:
            x = next(data)[:, 0].astype(float)
            at_data = (x - place[0]) * np.exp(-place[1])
            gradient += (derivative(log_ratio(x, at_data)) * slopes(at_data)).mean(axis=1)
            gradient -= (weights * np.exp(r) * derivative(r) * slopes(z)).sum(axis=1)
        gradient *= min(1.0, CLIP_NORM / np.linalg.norm(gradient))
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        ratio = first / (1.0 - 0.9 ** (step + 1))
        ratio /= np.sqrt(second / (1.0 - 0.999 ** (step + 1))) + 1e-7
        place = place - rate * 0.5 * (1.0 + np.cos(np.pi * step / job["steps"])) * ratio
        way.append(place)
    mean, log_scale = np.mean(way[-max(1, len(way) // 5) :], axis=0)
    return {"mean": float(mean), "scale": float(np.exp(log_scale))}


def _error(result: dict, best: dict[tuple, dict]) -> float:
    """Return how far a result is from the best Gaussian of its target, infinity where it failed."""
    exact = best[result["job"]["mixture"], result["job"]["divergence"]]
    if "failed" in result:
        return float("inf")
    return max(abs(result[name] - exact[name]) for name in ("mean", "scale"))


def write(
    limits: list[dict], done: list[dict], longer: list[dict], known: list[dict], out: Path
) -> None:
    """Write the table, the claims and the picture."""
    best = {(r["job"]["mixture"], r["job"]["divergence"]): r for r in limits}
    rows: list[dict[str, Any]] = []
    for key, exact in sorted(best.items()):
        row: dict[str, Any] = {"mixture": key[0], "divergence": key[1]}
        row |= {
            name: exact[name]
            for name in ("mean", "scale", "variance_over_widest", "theorem_3_is_finite", "unseen")
        }
        for rule, results in (*((rule, done) for rule in STEPS), ("tails_longer", longer)):
            own = [
                _error(r, best)
                for r in results
                if (r["job"]["mixture"], r["job"]["divergence"]) == key
                and r["job"]["rule"] == rule.removesuffix("_longer")
            ]
            row[rule], row[f"{rule}_deviation"], _ = runs.describe(own)
        rows.append(row)
        text = "  ".join(
            f"{rule} {row[rule]:.4f}" for rule in (*STEPS, "tails_longer") if row[rule] is not None
        )
        console.log(
            f"{key[0]} {key[1]:18s} {text}  unseen {row['unseen']:.4f}  Theorem 3 "
            + ("finite" if row["theorem_3_is_finite"] else "infinite")
        )
    runs.write_table(rows, out / "fits.csv")
    errors: dict[str, dict[str, float]] = {}
    for result in known:
        job, error = result["job"], _error(result, best)
        name = f"{job['mixture']} {job['divergence']}"
        errors.setdefault(job["estimator"], {})[name] = error
    claims = [*_claims(rows), _of_estimators(errors)]
    figures = {"table": rows, "mixtures": MIXTURES, "by_true_ratio": errors}
    runs.write_claims(out, claims, limits + done + longer + known, figures)
    draw(rows, out / "reach.png")


def _claims(rows: list[dict]) -> list[dict]:
    command = "python -m studies.reach"
    reachable = [row for row in rows if row["unseen"] <= NEAR]
    beyond = [row for row in rows if row["unseen"] > NEAR]

    def chosen(row: dict) -> float:
        return row["tails" if row["divergence"] in IN_TAILS else "library"]

    def missed(rows: list[dict], error) -> str:
        found = [
            f"{r['mixture']} {r['divergence']} {error(r):.3f}" for r in rows if error(r) > NEAR
        ]
        return ", ".join(found) or "none"

    def library(row: dict) -> float:
        return row["library"]

    count = sum(row["library"] <= NEAR for row in rows)
    arrived = sum(chosen(row) <= NEAR for row in reachable)
    longer = ", ".join(
        f"{row['mixture']} {row['divergence']} {row['tails_longer']:.3f}"
        for row in rows
        if row["tails_longer"] is not None
    )
    longer = f"; what misses, after {LONGER:,} steps: {longer}" if longer else ""
    texts = [
        (
            f"The library's rule reaches {NEAR} on five more mixtures",
            f"{count} of {len(rows)} targets; missed: {missed(rows, library)}",
            count == len(rows),
        ),
        (
            f"With the rule tails for α ≤ 0, {NEAR} is reached wherever samples decide",
            f"{arrived} of {len(reachable)} targets; missed: {missed(reachable, chosen)}; of the "
            f"others, missed: {missed(beyond, chosen)}{longer}",
            arrived == len(reachable),
        ),
        (
            f"Samples of p decide every best Gaussian to {NEAR}",
            f"no: with log p/q unknown beyond quantiles of 1e-7, {len(beyond)} of {len(rows)} move "
            "by more: "
            + ", ".join(f"{r['mixture']} {r['divergence']} {r['unseen']:.3f}" for r in beyond),
            not beyond,
        ),
    ]
    return [
        runs.claim(title, "not in the paper", text, holds or "holds in part", command)
        for title, text, holds in texts
    ]


def _of_estimators(errors: dict[str, dict[str, float]]) -> dict:
    largest = {kind: max(own.items(), key=lambda item: item[1]) for kind, own in errors.items()}
    text = "with the true log p/q in place of H, the largest error is " + ", ".join(
        f"{error:.4f} ({key}) by {kind.replace('_', ' ')}" for kind, (key, error) in largest.items()
    )
    return runs.claim(
        f"Given the ratio, the estimator of the rule tails reaches {NEAR} everywhere",
        "not in the paper",
        text,
        largest["tails"][1] <= NEAR,
        "python -m studies.reach",
    )


def draw(rows: list[dict], path: Path) -> None:
    """Draw errors against what the unseen tails decide."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    drawn = charts.figure(7.0, 4.6)
    axis = drawn.add_subplot()
    for index, rule in enumerate(STEPS):
        own = [row for row in rows if row[rule] is not None]
        axis.loglog(
            [max(row["unseen"], 1e-6) for row in own],
            [row[rule] for row in own],
            "os"[index],
            color=charts.COLOURS[index],
            ms=7,
            alpha=0.7,
            label=rule,
        )
    axis.axhline(NEAR, color="0.4", ls="--", lw=1.2)
    axis.axvline(NEAR, color="0.4", ls="--", lw=1.2)
    charts.style(axis, "", "what tails that no sample has seen decide", "error of mean or scale")
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
