"""Compare methods on images, seed by seed: `python -m studies.methods`.

Contrastive divergence, f-EBM with four divergences, and the dual form of Theorem 1 from its own
start and from the run by contrastive divergence get the same network, budget and seeds;
`--rows=variations` varies how f-EBM trains its variational function instead. Writes study.csv,
study.json and study.png into <logdir>/method_study or <logdir>/method_variations. Runs that are
done are not repeated, and one that was interrupted continues.
"""

from pathlib import Path
from typing import Any

from absl import flags

from launch import console
from studies import runs

DIVERGENCES = ("kl", "reverse_kl", "js", "squared_hellinger")
_CD: dict[str, Any] = {"method": "contrastive_divergence"}
# One row per method: its name, and what it changes of the data set's recipe.
ROWS: dict[str, dict[str, Any]] = {
    "contrastive_divergence": _CD,
    # Without shift_invariant the log ratio of KL and reverse KL runs away under the recipe's rates,
    # and f-EBM looks far worse than it is.
    **{f"febm_{n}": {"divergence": n, "shift_invariant": True} for n in DIVERGENCES},
    # Theorem 1, from its own start and from the run above it of the same seed.
    "dual_js": {"method": "dual", "divergence": "js"},
    "dual_js_from_cd": {"method": "dual", "divergence": "js"},
}
# Row -> the row whose finished run, of the same seed, it begins with.
STARTS = {"dual_js_from_cd": "contrastive_divergence"}
# What might let f-EBM win: a variational function nearer to its optimum, or held back less or more.
_REVERSE_KL = ROWS["febm_reverse_kl"]
VARIATIONS: dict[str, dict[str, Any]] = {
    "contrastive_divergence": _CD,
    "reverse_kl": _REVERSE_KL,
    "three_steps_of_H": {**_REVERSE_KL, "variational_steps": 3},
    "three_faster_steps_of_H": {
        **_REVERSE_KL,
        "variational_steps": 3,
        "variational_learning_rate_ratio": 1.0,
    },
    "no_penalty_on_H": {**_REVERSE_KL, "variational_l2_coeff": 0.0},
    "ten_times_the_penalty_on_H": {**_REVERSE_KL, "variational_l2_coeff": 1.0},
}
TABLES = {"methods": ROWS, "variations": VARIATIONS}


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    own = {"flag_values": values}
    flags.DEFINE_enum("rows", "methods", list(TABLES), "Which comparison to make.", **own)
    flags.DEFINE_list("methods", [], "Only these of the comparison; all of it if empty.", **own)
    flags.DEFINE_string("dataset", "digits", "A data set with a classifier of its own.", **own)
    flags.DEFINE_string("data_dir", None, "Local folder or file of the data set.", **own)
    flags.DEFINE_integer("seeds", 3, "Number of seeds.", 1, **own)
    runs.define_common(values)


def run(values) -> int:
    """Train whatever is not done yet, then write the table and the picture."""
    table, rows = TABLES[values.rows], []
    unknown = [name for name in values.methods if name not in table]
    chosen = values.methods or list(table)
    lonely = [f"{n} needs {STARTS[n]}" for n in chosen if STARTS.get(n, n) not in chosen]
    if unknown:
        raise ValueError(f"--methods must be of {', '.join(table)}; received {values.methods}.")
    if lonely:
        raise ValueError(f"--methods lacks what others begin with: {', '.join(lonely)}.")
    table = {name: own for name, own in table.items() if name in (values.methods or table)}
    console.import_quietly()
    from tf_febm import data, recipes

    source = data.Source(values.dataset, data_dir=values.data_dir)
    kind = "study" if values.rows == "methods" else values.rows
    for seed in range(values.seeds):
        for method, own in table.items():
            recipe = recipes.for_dataset(values.dataset).replace(**own, seed=seed)
            recipe = recipe.replace(**runs.changes_of(values.set))
            start = STARTS.get(method)
            if start is not None:
                start = Path(values.logdir) / f"{kind}_{start}_{seed}"
            name = f"{kind}_{method}_{seed}"
            summary = runs.make(name, recipe, source, Path(values.logdir), start)
            rows.append(_row(method, seed, summary))
    if all(row["frechet_ratio"] is None for row in rows):
        raise ValueError("Every run failed; their messages are above.")
    out = Path(values.logdir) / ("method_study" if kind == "study" else f"method_{kind}")
    write(rows, list(table), out)
    console.log(f"Table and picture are in {out}.")
    return console.DONE


def _row(method: str, seed: int, summary: dict | None) -> dict:
    """Return the row of a run, without figures if it failed."""
    row: dict[str, Any] = {"method": method, "seed": seed}
    row |= dict.fromkeys(("frechet_to_held_out", "frechet_ratio", "seconds"))
    if summary is None:
        return row
    quality = summary["quality"]
    if "frechet_to_held_out" not in quality:
        raise ValueError(f"The summary of {method} holds no Fréchet distance: {quality}.")
    row["seconds"] = summary["seconds"]
    row |= {key: quality[key] for key in ("frechet_to_held_out", "frechet_ratio")}
    console.log(
        f"Frechet distance {row['frechet_to_held_out']:.2f}, ratio {row['frechet_ratio']:.2f}"
    )
    return row


def write(rows: list[dict], methods: list[str], out: Path) -> None:
    """Write all rows, their means and deviations, and a picture of both."""
    from tf_febm import files

    runs.write_table(rows, out / "study.csv")
    summary = {}
    for method in methods:
        every = [row["frechet_ratio"] for row in rows if row["method"] == method]
        mean, deviation, figures = runs.describe(every)
        failed = every.count(None)
        summary[method] = {
            "mean": mean,
            "deviation": deviation,
            "failed": failed,
            "frechet_ratios": [ratio for ratio in every if ratio is not None],
        }
        figures = "no run came to its end" if mean is None else figures
        console.log(f"{method:26s} {figures}" + (f"  ({failed} failed)" if failed else ""))
    files.write_json(out / "study.json", summary)
    _draw(summary, out / "study.png")


def _draw(summary: dict, path: Path) -> None:
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    drawn = charts.figure(7.0, 4.0)
    axis = drawn.add_subplot()
    ratio = "Fréchet distance of samples over that of training images\n(dots: seeds)"
    charts.style(axis, x_label=ratio)
    for place, result in enumerate(summary.values()):
        ratios = result["frechet_ratios"]
        axis.plot(ratios, [place] * len(ratios), "o", color="#0072B2", alpha=0.6, ms=8)
        if ratios:
            axis.plot(result["mean"], place, "|", color="#D55E00", ms=26, mew=3)
    axis.set_yticks(range(len(summary)), [name.replace("_", " ") for name in summary])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
