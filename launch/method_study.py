"""Compare methods on images, seed by seed: `python launch/method_study.py`.

Contrastive divergence and f-EBM with four divergences get the same network, budget and seeds; each
is a run of train.py in a process of its own; `--rows=variations` varies how f-EBM trains its
variational function instead. Writes study.csv, study.json and study.png into <logdir>/method_study
or <logdir>/method_variations. Runs that are done are not repeated, and one that was interrupted
continues.
"""

from pathlib import Path

import console
import study_runs
from absl import app, flags

DIVERGENCES = ("kl", "reverse_kl", "js", "squared_hellinger")
# One row per method: its name, and the flags of train.py that choose it.
ROWS = {
    "contrastive_divergence": ["--method=contrastive_divergence"],
    # Without --shift_invariant the log ratio of KL and reverse KL runs away under the preset's
    # rates, and f-EBM looks far worse than it is.
    **{f"febm_{name}": [f"--divergence={name}", "--shift_invariant"] for name in DIVERGENCES},
}

# What might let f-EBM win: a variational function nearer to its optimum, or held back less or more.
_REVERSE_KL = ROWS["febm_reverse_kl"]
VARIATIONS = {
    "contrastive_divergence": ROWS["contrastive_divergence"],
    "reverse_kl": _REVERSE_KL,
    "three_steps_of_H": [*_REVERSE_KL, "--variational_steps=3"],
    "three_faster_steps_of_H": [
        *_REVERSE_KL,
        "--variational_steps=3",
        "--variational_lr_ratio=1",
    ],
    "no_penalty_on_H": [*_REVERSE_KL, "--variational_l2_coeff=0"],
    "ten_times_the_penalty_on_H": [*_REVERSE_KL, "--variational_l2_coeff=1"],
}
TABLES = {"methods": ROWS, "variations": VARIATIONS}

flags.DEFINE_enum("rows", "methods", list(TABLES), "Which comparison to make.")
flags.DEFINE_list("methods", [], "Only these of the comparison; all of it if empty.")
flags.DEFINE_string("dataset", "digits", "A data set with a classifier of its own; see train.py.")
flags.DEFINE_string("data_dir", None, "Local folder or file of the data set.")
flags.DEFINE_integer("steps", None, "Training steps of each run; the preset's if unset.", 1)
flags.DEFINE_integer("seeds", 3, "Number of seeds.", 1)
flags.DEFINE_multi_string("train", [], "A further flag of train.py for every run; may be repeated.")
flags.DEFINE_string("logdir", "runs", "Where the runs and the folder method_study go.")
flags.DEFINE_bool("debug", False, "Show tracebacks.")


def main(argv) -> int:
    """Run the study."""
    return study_runs.guarded(argv, run)


def run(values) -> int:
    """Train whatever is not done yet, then write the table and the picture."""
    common = [f"--dataset={values.dataset}", *values.train]
    if values.data_dir:
        common.append(f"--data_dir={values.data_dir}")
    if values.steps:
        common.append(f"--steps={values.steps}")
    table, rows = TABLES[values.rows], []
    unknown = [name for name in values.methods if name not in table]
    if unknown:
        raise ValueError(f"--methods must be of {', '.join(table)}; received {values.methods}.")
    table = {name: own for name, own in table.items() if name in (values.methods or table)}
    kind = "study" if values.rows == "methods" else values.rows
    for seed in range(values.seeds):
        for method, own in table.items():
            name = f"{kind}_{method}_{seed}"
            rows.append(_train(name, method, seed, [*common, *own], Path(values.logdir)))
    if all(row["frechet_ratio"] is None for row in rows):
        raise ValueError("Every run failed; their messages are above.")
    out = Path(values.logdir) / ("method_study" if kind == "study" else f"method_{kind}")
    write(rows, list(table), out)
    console.log(f"Table and picture are in {out}.")
    return console.DONE


def _train(name: str, method: str, seed: int, arguments: list[str], logdir: Path) -> dict:
    """Make one run, unless it is done; return its row, without figures if the run failed."""
    row = dict.fromkeys(("method", "seed", "frechet_distance", "frechet_ratio", "seconds"))
    row |= {"method": method, "seed": seed}
    result = study_runs.train(name, [*arguments, f"--seed={seed}"], logdir)
    if result is None:
        return row
    quality = result["quality"]
    if "frechet_distance" not in quality:
        raise ValueError(f"The summary of {name} holds no Fréchet distance: {quality}.")
    row["seconds"] = result["seconds"]
    row |= {key: quality[key] for key in ("frechet_distance", "frechet_ratio")}
    console.log(f"Frechet distance {row['frechet_distance']:.2f}, ratio {row['frechet_ratio']:.2f}")
    return row


def write(rows: list[dict], methods: list[str], out: Path) -> None:
    """Write all rows, their means and deviations, and a picture of both."""
    console.import_quietly()
    from tf_febm import files

    study_runs.write_table(rows, out / "study.csv")
    summary = {}
    for method in methods:
        every = [row["frechet_ratio"] for row in rows if row["method"] == method]
        mean, deviation, figures = study_runs.describe(every)
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
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False})
    figure, axis = plt.subplots(figsize=(7, 4))
    for place, result in enumerate(summary.values()):
        ratios = result["frechet_ratios"]
        axis.plot(ratios, [place] * len(ratios), "o", color="#0072B2", alpha=0.6, ms=8)
        if ratios:
            axis.plot(result["mean"], place, "|", color="#D55E00", ms=26, mew=3)
    axis.set_yticks(range(len(summary)), [name.replace("_", " ") for name in summary])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel("Fréchet distance of samples over that of training images\n(dots: seeds)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    app.run(main)
