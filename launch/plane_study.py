"""Compare every method on points in the plane, seed by seed: `python launch/plane_study.py`.

f-EBM, contrastive divergence, bidirectional bounds and the baselines of the second paper, each with
the preset of its method and data set. The density of the data is known, so log Z by a grid gives
KL(data‖model) and the held-out log-likelihood. Writes study.csv, study.json, study.md and a picture
per data set into <logdir>/plane_study. Runs that are done are not repeated.
"""

from pathlib import Path

import console
import study_runs
from absl import app, flags

BEDS = ("25gaussians", "swiss_roll", "moons")
_BIDIRECTIONAL = "--method=bidirectional"
# One row per method: its name, and the flags of train.py that choose it.
METHODS = {
    "febm_js": ["--divergence=js"],
    "febm_kl": ["--divergence=kl", "--shift_invariant"],
    "febm_reverse_kl": ["--divergence=reverse_kl", "--shift_invariant"],
    "febm_squared_hellinger": ["--divergence=squared_hellinger"],
    "contrastive_divergence": ["--method=contrastive_divergence"],
    "bidirectional": [_BIDIRECTIONAL],
    "penalty_on_data": [_BIDIRECTIONAL, "--penalty=data"],
    "no_penalty": [_BIDIRECTIONAL, "--penalty=none"],
    "no_entropy": [_BIDIRECTIONAL, "--entropy_weight=0"],
}
# Figure -> its heading.
FIGURES = {
    "kl": "KL(data‖model)",
    "held_out_gap": "held-out log-likelihood below the truth's",
    "modes_covered": "modes",
    "share_near_modes": "share near modes",
    "seconds": "seconds",
}

flags.DEFINE_list("beds", list(BEDS), f"Of the test beds, such as {', '.join(BEDS)}.")
flags.DEFINE_list("methods", list(METHODS), f"Of {', '.join(METHODS)}.")
flags.DEFINE_integer("steps", None, "Training steps of each run; the preset's if unset.", 1)
flags.DEFINE_integer("seeds", 3, "Number of seeds.", 1)
flags.DEFINE_multi_string("train", [], "A further flag of train.py for every run; may be repeated.")
flags.DEFINE_string("logdir", "runs", "Where the runs and the folder plane_study go.")
flags.DEFINE_bool("debug", False, "Show tracebacks.")


def main(argv) -> int:
    """Run the study."""
    return study_runs.guarded(argv, run)


def run(values) -> int:
    """Train whatever is not done yet, then write the tables and the pictures."""
    unknown = [name for name in values.methods if name not in METHODS]
    if unknown or not values.methods:
        raise ValueError(f"--methods must be of {', '.join(METHODS)}; received {values.methods}.")
    logdir = Path(values.logdir)
    rows = []
    for seed in range(values.seeds):
        for bed in values.beds:
            for method in values.methods:
                arguments = [f"--dataset={bed}", *METHODS[method], f"--seed={seed}", *values.train]
                if values.steps:
                    arguments.append(f"--steps={values.steps}")
                summary = study_runs.train(f"plane_{bed}_{method}_{seed}", arguments, logdir)
                rows.append({"bed": bed, "method": method, "seed": seed, **figures(summary)})
    if all(row["kl"] is None for row in rows):
        raise ValueError("Every run failed; their messages are above.")
    out = logdir / "plane_study"
    write(rows, values.methods, out)
    for bed in values.beds:
        pictures = {}
        for name in values.methods:
            pictures |= last_picture(name, logdir / f"plane_{bed}_{name}_0" / "samples")
        draw(pictures, out / f"{bed}.png")
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
    console.import_quietly()
    from tf_febm import files

    study_runs.write_table(rows, out / "study.csv")
    summary, lines = {}, []
    for bed in dict.fromkeys(row["bed"] for row in rows):
        lines += [f"## {bed}", "", "| | runs | " + " | ".join(FIGURES.values()) + " |"]
        lines.append("|---" * (len(FIGURES) + 2) + "|")
        for method in methods:
            own = [row for row in rows if (row["bed"], row["method"]) == (bed, method)]
            found = {name: study_runs.describe([row[name] for row in own]) for name in FIGURES}
            summary.setdefault(bed, {})[method] = {
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
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = 3
    rows = -(-len(pictures) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.5 * columns, 1.75 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, picture) in zip(axes.flat, pictures.items(), strict=False):
        axis.imshow(plt.imread(picture))
        axis.set_title(name, fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    app.run(main)
