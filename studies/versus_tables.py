"""Results of `studies.versus`: the paired test, the claims, tables."""

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from studies import mechanism, paired, runs, versus, versus_pictures
from studies.versus import CD, FAMILIES, VARIANTS

__all__ = ["begins", "compared", "page_table", "write"]

COMMAND = "python -m studies.versus"
PAPERS, BEST = FAMILIES["paper"][1:], FAMILIES["best"]
QUALITY = ("frechet_ratio", "precision", "recall", "prd_f8", "prd_f1_8")
DUAL = "dual js, paper's"
LEVEL = 0.05
# Digests of what runs begin with.
BEGINS = ("energy_begins", "variational_begins", "batches")
# Of the weights that a step gives to examples, deviation over mean: below, they are those of CD.
EVEN = 0.1
# Distances of training chains from what they should be like, and when that is noise no more.
AWAY, FAR = ("frechet_long", "frechet_from_noise", "frechet_exact"), 2.0


def write(
    done: dict[str, list[dict]],
    tuning: list[dict],
    chosen: dict[str, dict[str, dict]],
    looked: list[dict],
    out: Path,
) -> None:
    """Write what the study found.

    Args:
        done: Frame -> results of `versus.train`.
        tuning: Those on the seed of the tuning.
        chosen: Frame -> row -> what was chosen.
        looked: Results of runs that were looked at, which are those of `done` once more.
        out: Folder.
    """
    every = [*tuning, *(r for results in done.values() for r in results), *looked]
    runs.write_table([_row(result) for result in every], out / "runs.csv")
    looks = [
        {**{name: r["job"][name] for name in ("frame", "row", "seed")}, **look}
        for r in looked
        for look in r.get("looks", ())
    ]
    names = dict.fromkeys(name for look in looks for name in look)
    if looks:
        runs.write_table([{**dict.fromkeys(names), **look} for look in looks], out / "looks.csv")
    ratios = {r.get("frechet_ratio") for results in done.values() for r in results}
    seeds = len({r["job"]["seed"] for r in done["digits"]})
    figures = {
        "power": [
            {"deviation": d, "seeds": seeds, "power": paired.power(versus.EFFECT, d, seeds)}
            for d in versus.PRIOR
        ],
        "tuning_runs": {frame: _tuning_runs(tuning, frame, rows) for frame, rows in chosen.items()},
        "chosen": chosen,
        "begins": {frame: begins(results) for frame, results in done.items()},
        # Whether a look leaves training as it is.
        "untouched": all(_row(r)["frechet_ratio"] in ratios for r in looked),
        "compared": {
            frame: compared(results, FAMILIES.values() if frame in versus.FRAMES else None)
            for frame, results in done.items()
        },
        "mechanism": _mechanism(looks),
        "frames": {frame: results[0]["job"] for frame, results in done.items()},
    }
    claims = [runs.claim(*row, COMMAND) for row in _claims(figures, seeds)]
    runs.write_claims(out, claims, every, figures)
    versus_pictures.draw(figures, out / "versus.png")
    if looks:
        versus_pictures.draw_mechanism(figures["mechanism"], out / "mechanism.png")


def _tuning_runs(tuning: list[dict], frame: str, rows: dict[str, dict]) -> dict[str, int]:
    """Return row -> the runs by which its settings were chosen, a variant's with its base's."""
    tried = [r["job"]["row"] for r in tuning if r["job"]["frame"] == frame]
    return {
        row: tried.count(row) + (tried.count(versus.BASE) if row in VARIANTS else 0) for row in rows
    }


def _row(result: dict) -> dict:
    job = result["job"]
    own = VARIANTS.get(job["row"], ("", ()))[0]
    return {
        **{name: job[name] for name in ("frame", "row", "seed", "rate")},
        "own": job.get(own),
        **{name: result.get(name) for name in (*QUALITY, *BEGINS)},
        "failed": result.get("failed", ""),
        "seconds": round(result["seconds"], 1),
    }


def begins(results: list[dict]) -> dict:
    """Return how many runs there are, and how many begin unlike another one of their seed."""
    unlike = 0
    for seed in {r["job"]["seed"] for r in results}:
        own = [r for r in results if r["job"]["seed"] == seed and "failed" not in r]
        for name in BEGINS:
            found = [r[name] for r in own if name in r]
            unlike += sum(value != found[0] for value in found)
    return {"runs": sum("failed" not in r for r in results), "unlike": unlike}


def compared(results: list[dict], families: Any = None) -> dict[str, dict]:
    """Return row -> its figures, and how it stands to contrastive divergence, seed by seed.

    "difference" and "deviation" are those of the logarithm of the Fréchet ratio over that of the
    same seed by CD; below 0 is better. A run that failed counts as uniform noise does.

    Args:
        results: Of `versus.train`.
        families: Rows that are adjusted for one another; all of them if None.
    """
    noise = next((r["frechet_ratio_noise"] for r in results if "failed" not in r), math.inf)
    ratios: dict[str, dict] = {}
    for r in results:
        ratios.setdefault(r["job"]["row"], {})[r["job"]["seed"]] = r.get("frechet_ratio", noise)
    found: dict[str, dict[str, Any]] = {}
    for row, by_seed in ratios.items():
        own = [r for r in results if r["job"]["row"] == row]
        found[row] = {
            **{name: [r[name] for r in own if name in r] for name in QUALITY},
            "failed": sum("failed" in r for r in own),
        }
        found[row]["frechet_ratio"] = list(by_seed.values())
    for family in families or [ratios]:
        rows = [row for row in family if row in ratios and row != CD]
        if not rows:
            continue
        differences = np.array(
            [[math.log(ratios[row][s] / ratios[CD][s]) for row in rows] for s in ratios[CD]]
        )
        alone, together = paired.sign_flips(differences)
        for place, row in enumerate(rows):
            found[row] |= {
                "difference": float(differences[:, place].mean()),
                "deviation": float(differences[:, place].std(ddof=1)),
                "p": float(alone[place]),
                "adjusted": float(together[place]),
            }
    return found


def _mechanism(looks: list[dict]) -> dict[str, dict[str, dict[str, dict]]]:
    """Return frame -> row -> step -> means over seeds, and what follows from them."""
    grouped: dict[tuple, list[dict]] = {}
    for look in looks:
        grouped.setdefault((look["frame"], look["row"], str(look["step"])), []).append(look)
    found: dict[str, dict[str, dict[str, dict]]] = {}
    for (frame, row, step), some in grouped.items():
        mean = {
            name: statistics.mean(each[name] for each in some)
            for name in some[0]
            if name not in ("frame", "row", "seed", "step")
        }
        # Over the distance of two sets of chains of other seeds, which is sampling noise.
        mean["far"] = max(mean[name] for name in AWAY) / mean["frechet_same"]
        if "cosine" in mean:
            mean["uneven"] = max(mean["unevenness_data"], mean["unevenness_model"])
            mean["covariance_share"] = mean["norm_covariance"] / mean["norm_whole"]
        found.setdefault(frame, {}).setdefault(row, {})[step] = mean
    return found


def _said(row: dict) -> str:
    """Return how a row stands to CD, in words."""
    change, spread = (100.0 * math.expm1(row[name]) for name in ("difference", "deviation"))
    failed = f", {row['failed']} failed" if row["failed"] else ""
    return (
        f"{change:+.1f} % ± {spread:.1f} (p {row['p']:.1g}, adjusted {row['adjusted']:.1g}{failed})"
    )


def _short(row: str) -> str:
    """Return what a row is, where the rest is said."""
    return row.partition(", ")[2 if row in VARIANTS else 0]


def _better(rows: list[dict]) -> str | bool:
    """Return the verdict: open where no outcome of so few seeds would be significant."""
    if 2.0 / 2 ** len(rows[0]["frechet_ratio"]) > LEVEL:
        return "open"
    won = [row["difference"] < 0.0 and row["adjusted"] <= LEVEL for row in rows]
    return all(won) if all(won) or not any(won) else "holds in part"


def _claims(figures: dict, seeds: int) -> list[tuple]:
    tables, frames = figures["compared"], figures["frames"]
    digits, job = tables["digits"], frames["digits"]
    count, unlike = (sum(b[n] for b in figures["begins"].values()) for n in ("runs", "unlike"))
    claims: list[tuple] = [
        (
            "Runs of one seed begin with the same E, the same H and the same batches",
            "not in the paper",
            f"digests of the weights and of the first three batches: of {count} runs {unlike} "
            "differ from another one of their seed",
            unlike == 0,
        )
    ]

    def add(text, frame, names, where="5, Table 1", before="") -> None:
        rows = tables.get(frame, {})
        there = [name for name in names if name in rows]
        if not there:
            claims.append((text, where, "not run", "open"))
            return
        ratios = rows[CD]["frechet_ratio"]
        told = ", ".join(f"{_short(name)} {_said(rows[name])}" for name in there)
        measured = (
            f"{before}{len(ratios)} seeds, Fréchet ratio of CD {runs.describe(ratios)[2]}; of "
            f"f-EBM against CD of the same seed: {told}"
        )
        claims.append((text, where, measured, _better([rows[name] for name in there])))

    budget = f"digits, perceptron of width {job['width']}, {job['steps']:,} steps, "
    better = "f-EBM is better than contrastive divergence: the paper's settings"
    add(better, "digits", PAPERS, before=budget)
    add("… with the best settings known before", "digits", BEST, before=budget)
    add("… relative to a Gaussian reference, with Eq. 5", "reference", BEST, before=budget)
    add(
        "… if H follows E, is smooth, takes more steps, or after a start by CD, or by a mixture",
        "digits", [*VARIANTS], "not in the paper", "Jensen–Shannon, the rest as above; ",
    )  # fmt: skip
    dual = digits.get(DUAL)
    if dual is not None:
        worse = _better([{**dual, "difference": -dual["difference"]}])
        claims.append(("The dual form is worse, pair by pair", "3.1.2, G.1", _said(dual), worse))
    add("… on MNIST, with the choices of the digits", "mnist", [*PAPERS, *BEST])
    for base, rows in versus.AHEAD.items():
        for part in versus.AGAIN:
            text = f"… what was ahead on the {base}, on other seeds" + ", longer" * (
                part != "again"
            )
            if base == "reference":
                text = text.replace("on the reference", "relative to the reference")
            steps = frames.get(f"{base}, {part}", {}).get("steps", 0)
            add(text, f"{base}, {part}", rows[1:], before=f"{steps:,} steps, ")
    return claims + (_of_mechanism(figures["mechanism"]) if figures["mechanism"] else [])


def _span(name: str, some: list[dict]) -> str:
    values = [each[name] for each in some if name in each]
    return f"{min(values):.2g} to {max(values):.2g}"


def _of_mechanism(frames: dict[str, dict[str, dict[str, dict]]]) -> list[tuple]:
    follow, judged, gradient = [], [], []
    close, good, most = [], [], []
    for frame, rows in frames.items():
        last = [list(steps.values())[-1] for steps in rows.values()]
        games = [look for steps in rows.values() for look in steps.values() if "cosine" in look]
        ends = [look for look in last if "cosine" in look]
        follow.append(
            f"{frame}: to {mechanism.LONG} more steps {_span('frechet_long', last)}, to as many "
            f"from noise {_span('frechet_from_noise', last)}, to HMC on E from where chains are "
            f"{_span('frechet_exact', last)}, to other training chains "
            f"{_span('frechet_same', last)}, to data {_span('frechet_data', last)}; deviation of E "
            f"over chains {_span('energy_std', last)}"
        )
        close += [look["far"] < FAR for look in last]
        judged.append(
            f"{frame}: AUROC of H + E {_span('auroc', ends)}, of a perceptron trained on as many "
            f"of both {_span('auroc_of_classifier', ends)}; deviation of H + E "
            f"{_span('ratio_std', ends)}"
        )
        good += [look["auroc"] >= look["auroc_of_classifier"] - 0.03 for look in ends]
        gradient.append(
            f"{frame}: norms of the data's, the samples' and the covariance's part over the whole "
            f"{_over(games, 'norm_data')}, {_over(games, 'norm_model')}, "
            f"{_span('covariance_share', games)}; deviation over mean of the weights "
            f"{_span('uneven', games)}; cosine with CD's gradient on the same batches "
            f"{_span('cosine', games)}, without the part along a constant "
            f"{_span('cosine_level', games)} (of two halves of a batch, by CD, "
            f"{_span('cosine_of_halves', games)})"
        )
        most += [look["uneven"] >= EVEN for look in games]
    return [
        (
            "Training chains follow q ∝ e^(−E), as Theorem 3 needs",
            "3.2, Theorem 3",
            "Fréchet distance of training chains, over that of test from training images; "
            + "; ".join(follow),
            _share(close),
        ),
        (
            "H tells held-out data from chains as well as a classifier does",
            "3.2",
            "at the end, chains of other seeds; " + "; ".join(judged),
            _share(good),
        ),
        (
            "f-EBM is more than contrastive divergence: its weights on examples differ",
            "3.2, Theorem 3",
            "Theorem 3's gradient is CD's with weights on data and samples; " + "; ".join(gradient),
            _share(most),
        ),
    ]


def _over(looks: list[dict], name: str) -> str:
    values = [look[name] / look["norm_whole"] for look in looks]
    return f"{min(values):.2g} to {max(values):.2g}"


def _share(holds: list[bool]) -> str | bool:
    """Return whether all do; or that some do."""
    return all(holds) if all(holds) or not any(holds) else "holds in part"


def page_table(figures: dict) -> str:
    """Return what the page shows in Markdown, of what `write` stored."""
    lines = []
    for frame, rows in figures["compared"].items():
        job = figures["frames"][frame]
        lines += [
            f"{frame}, {job['steps']:,} steps:", "",
            "| run | tuned by | chosen | Fréchet ratio | against CD, same seed | p | adjusted "
            "| precision | recall | PRD F₈ | PRD F₁⸝₈ |",
            "|" + "---|" * 11,
        ]  # fmt: skip
        for name, row in rows.items():
            paired_cells = ["", "", ""]
            if "p" in row:
                said = _said(row).partition(" (")[0]
                paired_cells = [said, f"{row['p']:.1g}", f"{row['adjusted']:.1g}"]
            tuned = f"{figures['tuning_runs'][frame][name] or 'none'}"
            chosen = ", ".join(f"{v:g}" for v in figures["chosen"][frame][name].values())
            quality = [runs.describe(row[q])[2] for q in QUALITY]
            cells = [name, tuned, chosen, quality[0], *paired_cells, *quality[1:]]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    if not figures["mechanism"]:
        return "\n".join(lines).strip()
    lines += [
        "| run | step | chains from q | data | samples | covariance | weights: deviation / mean "
        "| cosine with CD | without the constant | AUROC of H + E | of a classifier |",
        "|" + "---|" * 11,
    ]
    for frame, rows in figures["mechanism"].items():
        for row, steps in rows.items():
            for step, look in steps.items():
                if "cosine" not in look:
                    continue
                parts = (look[f"norm_{n}"] / look["norm_whole"] for n in ("data", "model"))
                names = ("cosine", "cosine_level", "auroc", "auroc_of_classifier")
                cells = [
                    *(f"{frame}: {row}", f"{int(step):,}", f"{look['far']:.1f}"),
                    *(f"{value:.2g}" for value in parts),
                    *(f"{look['covariance_share']:.2g}", f"{look['uneven']:.2g}"),
                    *(f"{look[name]:.2f}" for name in names),
                ]
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
