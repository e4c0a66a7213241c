"""What `studies.versus` found: the paired test, the claims, tables and pictures."""

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from launch import console
from studies import paired, runs, versus
from studies.versus import CD, DIVERGENCES, ROWS, VARIANTS

__all__ = ["compared", "page_table", "write"]

COMMAND = "python -m studies.versus"
QUALITY = ("frechet_ratio", "precision", "recall", "prd_f8", "prd_f1_8")
LEVEL = 0.05
# Rows that are adjusted for one another.
FAMILIES = ([row for row in ROWS if row != CD], list(VARIANTS))
# Of the weights that a step gives to examples, deviation over mean: below, they are those of CD.
EVEN = 0.1


def write(
    done: dict[str, list[dict]], tuning: list[dict], settings: dict[str, dict], out: Path
) -> None:
    """Write what the study found.

    Args:
        done: Data set -> results of `versus.train`.
        tuning: Those on the seed of the tuning.
        settings: Row -> what was chosen.
        out: Folder.
    """
    every = [*tuning, *(r for results in done.values() for r in results)]
    rows = [_row(result, settings) for result in every]
    runs.write_table(rows, out / "runs.csv")
    looks = [
        {"row": r["job"]["row"], "seed": r["job"]["seed"], **look}
        for r in done["digits"]
        for look in r.get("looks", ())
    ]
    names = dict.fromkeys(name for look in looks for name in look)
    runs.write_table([{**dict.fromkeys(names), **look} for look in looks], out / "looks.csv")
    job = done["digits"][0]["job"]
    seeds = len({r["job"]["seed"] for r in done["digits"]})
    figures = {
        "power": [
            {"deviation": d, "seeds": seeds, "power": paired.power(versus.EFFECT, d, seeds)}
            for d in versus.PRIOR
        ],
        "tuning_runs": {
            row: sum(r["job"]["row"] in (row, versus.BASE if row in VARIANTS else row)
                     for r in tuning)
            for row in settings
        },
        "chosen": settings,
        "compared": {data: compared(results) for data, results in done.items()},
        "mechanism": _mechanism(looks),
        "frames": {data: results[0]["job"] for data, results in done.items()},
    }  # fmt: skip
    claims = [runs.claim(*row, COMMAND) for row in _claims(figures, job, seeds)]
    runs.write_claims(out, claims, every, figures)
    draw(figures, out / "versus.png")
    draw_mechanism(looks, out / "mechanism.png")


def _row(result: dict, settings: dict[str, dict]) -> dict:
    job = result["job"]
    own = VARIANTS.get(job["row"], ("", ()))[0]
    return {
        **{name: job[name] for name in ("data", "row", "seed", "rate")},
        "own": job.get(own),
        **{name: result.get(name) for name in QUALITY},
        "failed": result.get("failed", ""),
        "seconds": round(result["seconds"], 1),
    }


def compared(results: list[dict]) -> dict[str, dict]:
    """Return row -> its figures, and how it stands to contrastive divergence, seed by seed.

    "difference" and "deviation" are those of the logarithm of the Fréchet ratio over that of the
    same seed by CD; below 0 is better. A run that failed counts as uniform noise does.
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
    for family in FAMILIES:
        rows = [row for row in family if row in ratios]
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


def _mechanism(looks: list[dict]) -> dict[str, dict[str, dict]]:
    """Return row -> step -> means over seeds."""
    found: dict[str, dict[str, dict]] = {}
    for look in looks:
        found.setdefault(look["row"], {}).setdefault(str(look["step"]), []).append(look)
    return {
        row: {
            step: {
                name: statistics.mean(each[name] for each in some)
                for name in some[0]
                if name not in ("row", "seed", "step")
            }
            for step, some in steps.items()
        }
        for row, steps in found.items()
    }


def _said(row: dict) -> str:
    """Return how a row stands to CD, in words."""
    change, spread = (100.0 * math.expm1(row[name]) for name in ("difference", "deviation"))
    failed = f", {row['failed']} failed" if row["failed"] else ""
    return f"{change:+.1f} % ± {spread:.1f} (p {row['p']:.2f}, adjusted {row['adjusted']:.2f}{failed})"


def _better(rows: list[dict]) -> str | bool:
    won = [row["difference"] < 0.0 and row["adjusted"] <= LEVEL for row in rows]
    return all(won) if all(won) or not any(won) else "holds in part"


def _claims(figures: dict, job: dict, seeds: int) -> list[tuple]:
    digits, looks = figures["compared"]["digits"], figures["mechanism"]
    frame = (
        f"digits, perceptron of width {job['width']}, {job['steps']:,} steps, {seeds} seeds; "
        f"Fréchet ratio (CD {runs.describe(digits[CD]['frechet_ratio'])[2]}) against CD's of the "
        "same seed: "
    )

    def against(names, rows=digits) -> str:
        return ", ".join(f"{name.split(',')[0]} {_said(rows[name])}" for name in names)

    kinds = {kind: [f"{d}, {kind}" for d in DIVERGENCES] for kind in ("paper's", "best")}
    claims: list[tuple] = []
    for kind, said in (
        ("paper's", "f-EBM is better than contrastive divergence: the paper's settings"),
        ("best", "… with the best settings known before (H at a quarter of the rate, no gradient "
         "along a constant)"),
    ):  # fmt: skip
        names = kinds[kind]
        measured = frame + against(names)
        claims.append((said, "5, Table 1", measured, _better([digits[n] for n in names])))
    variants = "; ".join(f"{name.split(', ')[1]} {_said(digits[name])}" for name in VARIANTS)
    claims.append(
        (
            "… with H that follows E, is smooth, or takes more steps, or after a start by CD",
            "not in the paper",
            f"Jensen–Shannon, the rest as above: {variants}",
            _better([digits[name] for name in VARIANTS]),
        )
    )
    dual = digits["dual js, paper's"]
    worse = dual["difference"] > 0.0 and dual["adjusted"] <= LEVEL
    claims.append(("The dual form is worse, pair by pair", "3.1.2, G.1", _said(dual), worse))
    mnist = figures["compared"].get("mnist")
    if mnist is None:
        claims.append(("… on MNIST", "5", "skipped: no --data_dir of MNIST", "open"))
    else:
        steps = figures["frames"]["mnist"]["steps"]
        names = kinds["paper's"] + kinds["best"]
        claims.append(
            (
                "f-EBM is better than contrastive divergence on MNIST",
                "5",
                f"the digits' choices, {steps:,} steps, CD "
                f"{runs.describe(mnist[CD]['frechet_ratio'])[2]}: "
                + "; ".join(f"{kind}: {against(names, mnist)}" for kind, names in kinds.items()),
                _better([mnist[name] for name in names]),
            )
        )
    return claims + _of_mechanism(looks)


def _of_mechanism(looks: dict[str, dict]) -> list[tuple]:
    own = {row: looks[row] for row in looks if row.endswith(("paper's", "best", *VARIANTS))}
    games = {row: steps for row, steps in own.items() if "dual" not in row and row != CD}
    last = {row: list(steps.values())[-1] for row, steps in looks.items()}

    def span(name: str, some: dict[str, dict]) -> str:
        values = [each[name] for each in some.values()]
        return f"{min(values):.3g} to {max(values):.3g}"

    at_end = {row: last[row] for row in games}
    every = {f"{row} {step}": look for row, steps in games.items() for step, look in steps.items()}
    for look in every.values():
        look["covariance_share"] = look["norm_covariance"] / look["norm_whole"]
        look["most_uneven"] = max(look["unevenness_data"], look["unevenness_model"])
    chains = (
        f"at the end, of all rows, Fréchet distance of training chains over that of the test from "
        f"the training images: to {mm_long()} more steps {span('frechet_long', last)}, to as many "
        f"from noise {span('frechet_from_noise', last)}, to e^(−E) by HMC from the same "
        f"{span('frechet_exact', last)}; to data {span('frechet_data', last)}, to other training "
        f"chains {span('frechet_same', last)}. E of chains varies by {span('energy_std', last)}: "
        "e^(−E) is noise nearly, and a step's noise sets another temperature"
    )
    near = all(look["frechet_exact"] < look["frechet_data"] for look in last.values())
    judged = (
        f"at the end, held-out data against chains of other seeds: AUROC of H + E "
        f"{span('auroc', at_end)}, of a perceptron trained anew on as many of both "
        f"{span('auroc_of_classifier', at_end)}; deviation of H + E {span('ratio_std', at_end)}"
    )
    good = all(look["auroc"] >= look["auroc_of_classifier"] - 0.02 for look in at_end.values())
    even = max(look["most_uneven"] for look in every.values())
    whole = (
        f"Theorem 3's gradient is CD's with weights on data and chains; over {len(every)} looks "
        f"their deviation over their mean is {span('most_uneven', every)}, the covariance has "
        f"{span('covariance_share', every)} of the norm of the whole; cosine with CD's on the same "
        f"batches {span('cosine', every)}, without the part along a constant "
        f"{span('cosine_level', every)}; of two halves of CD's batch "
        f"{span('cosine_of_halves', every)}"
    )
    more: str | bool = False if even < EVEN else "holds in part"
    if all(look["most_uneven"] >= EVEN for look in every.values()):
        more = True
    return [
        ("Training chains follow q ∝ e^(−E), as Theorem 3 needs", "3.2, Theorem 3", chains, near),
        ("H tells held-out data from chains as well as can be", "3.2", judged, good),
        ("f-EBM is more than contrastive divergence with weights", "3.2", whole, more),
    ]


def mm_long() -> int:
    """Return the steps of the long chains."""
    from studies import mechanism

    return mechanism.LONG


def page_table(figures: dict) -> str:
    """Return what the page shows in Markdown, of what `write` stored."""
    lines = []
    for data, rows in figures["compared"].items():
        job = figures["frames"][data]
        lines += [
            f"{data}, {job['steps']:,} steps:", "",
            "| run | Fréchet ratio | against CD, same seed | p | adjusted | precision | recall "
            "| PRD F₈ | PRD F₁⸝₈ |",
            "|---|---|---|---|---|---|---|---|---|",
        ]  # fmt: skip
        for name, row in rows.items():
            paired_cells = ["", "", ""]
            if "p" in row:
                said = _said(row).partition(" (")[0]
                paired_cells = [said, f"{row['p']:.2f}", f"{row['adjusted']:.2f}"]
            quality = [runs.describe(row[q])[2] for q in QUALITY]
            lines.append("| " + " | ".join([name, quality[0], *paired_cells, *quality[1:]]) + " |")
        lines.append("")
    lines += [
        "| run | step | covariance / whole | weights: deviation / mean | cosine with CD | without "
        "the constant | AUROC of H + E | of a classifier |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, steps in figures["mechanism"].items():
        for step, look in steps.items():
            if "cosine" not in look:
                continue
            uneven = max(look["unevenness_data"], look["unevenness_model"])
            cells = [
                row, f"{int(step):,}", f"{look['norm_covariance'] / look['norm_whole']:.2g}",
                f"{uneven:.2g}",
                *(f"{look[n]:.3f}" for n in ("cosine", "cosine_level", "auroc",
                                             "auroc_of_classifier")),
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(figures: dict, path: Path) -> None:
    """Draw how every run stands to that by contrastive divergence of the same seed."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    tables = figures["compared"]
    drawn, axes = charts.panels(len(tables), 6.0, 5.0)
    for axis, (data, rows) in zip(axes, tables.items(), strict=True):
        names = [name for name in rows if "p" in rows[name]]
        for place, name in enumerate(names):
            change = np.divide(rows[name]["frechet_ratio"], rows[CD]["frechet_ratio"])
            axis.semilogx(change, [place] * len(change), "o", color=charts.COLOURS[0], alpha=0.6)
            middle = math.exp(rows[name]["difference"])
            axis.plot(middle, place, "|", color=charts.COLOURS[1], ms=22, mew=3)
        axis.axvline(1.0, color="0.4")
        axis.set_yticks(range(len(names)), names)
        axis.invert_yaxis()
        charts.style(axis, data, "Fréchet ratio over CD's of the same seed")
    evaluation.save_png(path, charts.pixels(drawn))


def draw_mechanism(looks: list[dict], path: Path) -> None:
    """Draw what each step of f-EBM is made of, through training."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    table = {row: s for row, s in _mechanism(looks).items() if "cosine" in next(iter(s.values()))}
    shown = {
        "weights: deviation / mean": lambda k: max(k["unevenness_data"], k["unevenness_model"]),
        "norm of covariance / whole": lambda k: k["norm_covariance"] / k["norm_whole"],
        "AUROC of H + E": lambda k: k["auroc"],
    }
    drawn, axes = charts.panels(len(shown), 4.0, 4.0)
    for axis, (title, value) in zip(axes, shown.items(), strict=True):
        for place, (row, steps) in enumerate(table.items()):
            colour = charts.COLOURS[place % len(charts.COLOURS)]
            style = ("-", "--", ":")[place // len(charts.COLOURS) % 3]
            values = [value(look) for look in steps.values()]
            axis.plot([int(s) for s in steps], values, style, color=colour, label=row, marker="o")
        axis.set_yscale("linear" if title.startswith("AUROC") else "log")
        charts.style(axis, title, "step")
    evaluation.save_png(path, charts.pixels(drawn))
