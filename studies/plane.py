"""Compare every method on points in the plane, seed by seed: `python -m studies.plane`.

f-EBM, contrastive divergence, bidirectional bounds and the baselines of the second paper, each with
the recipe of its method and data set. The density of the data is known, so log Z by a grid gives
KL(data‖model) and the held-out log-likelihood. Writes study.csv, study.json, study.md and a picture
per data set into <logdir>/plane_study. Runs that are done are not repeated.
"""

from pathlib import Path
from typing import Any

from absl import flags

from launch import console
from studies import runs

DATASETS = ("25gaussians", "swiss_roll", "moons")
_BIDIRECTIONAL = {"method": "bidirectional"}
# One row per method: its name, and what it changes of the data set's recipe.
METHODS: dict[str, dict[str, Any]] = {
    "febm_js": {"divergence": "js"},
    "febm_kl": {"divergence": "kl", "shift_invariant": True},
    "febm_reverse_kl": {"divergence": "reverse_kl", "shift_invariant": True},
    "febm_squared_hellinger": {"divergence": "squared_hellinger"},
    "contrastive_divergence": {"method": "contrastive_divergence"},
    "bidirectional": _BIDIRECTIONAL,
    "penalty_on_data": {**_BIDIRECTIONAL, "penalty": "data"},
    "no_penalty": {**_BIDIRECTIONAL, "penalty": None},
    "no_entropy": {**_BIDIRECTIONAL, "entropy_weight": 0.0},
}
# Figure -> its heading.
FIGURES = {
    "kl": "KL(data‖model)",
    "held_out_gap": "held-out log-likelihood below the truth's",
    "modes_covered": "modes",
    "share_near_modes": "share near modes",
    "seconds": "seconds",
}


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    own = {"flag_values": values}
    text = f"Toy data sets, such as {', '.join(DATASETS)}."
    flags.DEFINE_list("datasets", list(DATASETS), text, **own)
    flags.DEFINE_list("methods", list(METHODS), f"Of {', '.join(METHODS)}.", **own)
    flags.DEFINE_integer("seeds", 3, "Number of seeds.", 1, **own)
    runs.define_common(values)


def run(values) -> int:
    """Train whatever is not done yet, then write the tables and the pictures."""
    unknown = [name for name in values.methods if name not in METHODS]
    if unknown or not values.methods:
        raise ValueError(f"--methods must be of {', '.join(METHODS)}; received {values.methods}.")
    console.import_quietly()
    from tf_febm import data, recipes

    logdir, rows = Path(values.logdir), []
    for seed in range(values.seeds):
        for dataset in values.datasets:
            for method in values.methods:
                changes = {**METHODS[method], "seed": seed}
                start = recipes.for_dataset(dataset, changes.get("method", "febm"))
                recipe = start.replace(**changes).replace(**runs.changes_of(values.set))
                name = f"plane_{dataset}_{method}_{seed}"
                summary = runs.make(name, recipe, data.Source(dataset), logdir)
                rows.append(
                    {"dataset": dataset, "method": method, "seed": seed, **figures(summary)}
                )
    if all(row["kl"] is None for row in rows):
        raise ValueError("Every run failed; their messages are above.")
    out = logdir / "plane_study"
    write(rows, values.methods, out)
    for dataset in values.datasets:
        pictures = {}
        for name in values.methods:
            pictures |= last_picture(name, logdir / f"plane_{dataset}_{name}_0" / "samples")
        draw(pictures, out / f"{dataset}.png")
    console.log(f"Tables and pictures are in {out}.")
    return console.DONE


def figures(summary: dict | None) -> dict:
    """Return the figures of a run, None where it failed or there are none."""
    if summary is None:
        return dict.fromkeys(FIGURES)
    quality = summary["quality"]
    gap = quality["true_log_likelihood"] - quality["held_out_log_likelihood"]
    return {
        "kl": quality["kl"],
        "held_out_gap": gap,
        "modes_covered": quality["modes_covered"],
        "share_near_modes": quality["share_near_modes"],
        "seconds": summary["seconds"],
    }


def write(rows: list[dict], methods: list[str], out: Path) -> None:
    """Write all rows, and their means and deviations over the seeds."""
    from tf_febm import files

    runs.write_table(rows, out / "study.csv")
    summary, lines = {}, []
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        lines += [f"## {dataset}", "", "| | runs | " + " | ".join(FIGURES.values()) + " |"]
        lines.append("|---" * (len(FIGURES) + 2) + "|")
        for method in methods:
            own = [row for row in rows if (row["dataset"], row["method"]) == (dataset, method)]
            found = {name: runs.describe([row[name] for row in own]) for name in FIGURES}
            summary.setdefault(dataset, {})[method] = {
                name: {"mean": mean, "deviation": deviation}
                for name, (mean, deviation, _) in found.items()
            }
            # Means are over the runs that did not fail.
            finished = sum(row["kl"] is not None for row in own)
            texts = [f"{finished} of {len(own)}", *(text for *_, text in found.values())]
            lines.append(f"| {method} | " + " | ".join(texts) + " |")
        lines.append("")
    text = "\n".join(lines)
    console.log(text)
    files.write_json(out / "study.json", summary)
    files.write_atomically(out / "study.md", lambda file: file.write(text.encode()))


def last_picture(name: str, samples: Path) -> dict[str, Path]:
    """Return heading -> the final picture of a run, else the last before it failed, if any."""
    heading = name.replace("_", " ")
    if (samples / "final.png").exists():
        return {heading: samples / "final.png"}
    steps = sorted(samples.glob("step_*.png"))
    return {f"{heading}, failed; step {int(path.stem[5:])}": path for path in steps[-1:]}


def draw(pictures: dict[str, Path], path: Path) -> None:
    """Draw the pictures of runs below one another: the energy, samples, data."""
    if not pictures:
        return
    from PIL import Image

    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    drawn, axes = charts.panels(len(pictures), 4.5, 1.75)
    for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
        axis.axis("off")
        axis.imshow(Image.open(picture))
        axis.set_title(name, fontsize=11)
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
