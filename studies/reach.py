"""How far f-EBM's rules reach beyond the paper's mixture: `python -m studies.reach`.

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
# Rule -> steps, and the divergences that it is for; the best Gaussian of Neyman's χ² is that of
# α = −1, of which it is twice the divergence.
STEPS = {"library": 6000, "tails": 10_000}
IN_TAILS = ("reverse_kl", "alpha:-0.5", "alpha:-1")
BATCH_SIZE, NEAR = 1000, 0.015


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
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
    write(limits, done, out)
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


def write(limits: list[dict], done: list[dict], out: Path) -> None:
    """Write the table, the claims and the picture."""
    best = {(r["job"]["mixture"], r["job"]["divergence"]): r for r in limits}
    rows: list[dict[str, Any]] = []
    for key, exact in sorted(best.items()):
        row: dict[str, Any] = {"mixture": key[0], "divergence": key[1]}
        row |= {
            name: exact[name]
            for name in ("mean", "scale", "variance_over_widest", "theorem_3_is_finite", "unseen")
        }
        for rule in STEPS:
            own = [
                max(abs(r["mean"] - exact["mean"]), abs(r["scale"] - exact["scale"]))
                for r in done
                if "failed" not in r
                and (r["job"]["mixture"], r["job"]["divergence"], r["job"]["rule"]) == (*key, rule)
            ]
            row[rule], row[f"{rule}_deviation"], _ = runs.describe(own)
        rows.append(row)
        errors = "  ".join(f"{rule} {row[rule]:.4f}" for rule in STEPS if row[rule] is not None)
        console.log(
            f"{key[0]} {key[1]:18s} {errors}  unseen {row['unseen']:.4f}  Theorem 3 "
            + ("finite" if row["theorem_3_is_finite"] else "infinite")
        )
    runs.write_table(rows, out / "fits.csv")
    runs.write_claims(out, _claims(rows), limits + done, {"table": rows, "mixtures": MIXTURES})
    draw(rows, out / "reach.png")


def _claims(rows: list[dict]) -> list[dict]:
    command = "python -m studies.reach"
    reachable = [row for row in rows if row["unseen"] <= NEAR]
    beyond = [row for row in rows if row["unseen"] > NEAR]

    def best(row: dict) -> float:
        errors = [row[rule] for rule in STEPS if row[rule] is not None]
        return min(errors) if errors else float("inf")

    def missed(rows: list[dict], error) -> str:
        found = [
            f"{r['mixture']} {r['divergence']} {error(r):.3f}" for r in rows if error(r) > NEAR
        ]
        return ", ".join(found) or "none"

    def today(row: dict) -> float:
        return float("inf") if row["library"] is None else row["library"]

    count = sum(today(row) <= NEAR for row in rows)
    arrived = sum(best(row) <= NEAR for row in reachable)
    texts = [
        (
            f"The library's rule reaches {NEAR} on five more mixtures",
            f"{count} of {len(rows)} targets; missed: {missed(rows, today)}",
            count == len(rows),
        ),
        (
            f"Rule library or tails reaches {NEAR} wherever samples can",
            f"{arrived} of {len(reachable)} targets that the data decide; missed: "
            f"{missed(reachable, best)}",
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
    axis.legend(fontsize=11)
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
