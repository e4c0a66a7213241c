"""The dual form on images, and warm starts: `python -m studies.dual`.

On the digits, by one recipe of a small network: contrastive divergence, f-EBM and the dual form of
Theorem 1, each from its own start, and the last two, and contrastive divergence itself, from the
weights of a finished run by contrastive divergence (`training.run(init_from=…)`). Then the noise of
the energy's gradient by Theorems 1 and 3, on the same batches of a trained f-EBM, with its learned
ratio for both. Writes runs.csv, claims.json and dual.png into --out. Runs that are done are not
repeated.
"""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from launch import console
from studies import runs

FIRST = "contrastive_divergence"
_CD, _DUAL = {"method": "contrastive_divergence"}, {"method": "dual", "divergence": "js"}
_FEBM = {"divergence": "js", "shift_invariant": True}
# Row -> what it changes of the recipe, and whether it begins with the weights of `FIRST`.
ROWS: dict[str, tuple[dict[str, Any], bool]] = {
    FIRST: (_CD, False),
    "febm_js": (_FEBM, False),
    "dual_js": (_DUAL, False),
    "cd_from_cd": (_CD, True),
    "febm_js_from_cd": (_FEBM, True),
    "dual_js_from_cd": (_DUAL, True),
}
# Of the recipe digits_quick: a quarter of its steps, and of its width.
SETTINGS: dict[str, Any] = {
    "steps": 1500, "width": 64, "num_samples": 500, "log_interval": 500, "sample_interval": 10_000,
    "save_interval": 500,
}  # fmt: skip
SEEDS, BATCHES = 2, 100
PAGE = "claims.md"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    flags.DEFINE_integer("seeds", SEEDS, "Seeds of each row.", 1, flag_values=values)
    runs.define_measured(values, "runs/claims/dual")


def run(values) -> int:
    """Make what runs are missing, then write the table, the claims and the picture."""
    console.import_quietly(intra_op_threads=1)
    out, settings = Path(values.out), dict(SETTINGS)
    seeds, batches = range(values.seeds), BATCHES
    if values.fast:
        settings |= {"steps": 4, "width": 4, "num_samples": 20, "batch_size": 8, "num_steps": 1}
        seeds, batches = range(1), 4
    jobs = [
        {"row": row, "seed": seed, **settings, "folder": str(out / "runs")}
        for warm in (False, True)
        for seed in seeds
        for row, (_, from_first) in ROWS.items()
        if from_first == warm
    ]
    own = [job for job in jobs if not ROWS[job["row"]][1]]
    done = runs.each(train, own, out / "done", values.processes)
    done += runs.each(train, [j for j in jobs if j not in own], out / "done", values.processes)
    noise = [{"noise_of": "febm_js", "seed": s, "batches": batches, **settings,
              "folder": str(out / "runs")} for s in seeds]  # fmt: skip
    noise = runs.each(compare, noise, out / "done", values.processes)
    write(done, noise, out)
    console.log(f"Table and picture are in {out}.")
    return console.DONE


def _folder(job: dict, row: str) -> Path:
    return Path(job["folder"]) / f"{row}_{job['steps']}_{job['width']}_{job['seed']}"


def _recipe(job: dict):
    from tf_febm import recipes

    settings = {k: v for k, v in job.items() if k not in ("row", "noise_of", "folder", "batches")}
    changes = ROWS[job.get("row", FIRST)][0]
    return recipes.get("digits_quick").replace(**changes, **settings)


def train(job: dict) -> dict:
    """Train once; return the quality of the samples."""
    from tf_febm import data, training

    start = _folder(job, FIRST) if ROWS[job["row"]][1] else None
    try:
        found = training.run(
            _recipe(job), data.Source("digits"), _folder(job, job["row"]), init_from=start
        )
    except training.DivergedError as error:
        raise RuntimeError(str(error)) from None
    return {"frechet_ratio": found.summary["quality"]["frechet_ratio"]}


def compare(job: dict) -> dict:
    """Return the noise of Theorems 1 and 3 over many batches of a trained f-EBM, and their means.

    Both have the model's log ratio H + E, which is V to Theorem 1, and the same samples.
    """
    import tensorflow as tf

    from tf_febm import data, objectives, training
    from tf_febm.models.chains import Batch

    model = training.RunFolder(_folder(job, job["noise_of"])).load_model()
    recipe, (source, _) = _recipe(job), data.Source("digits").load()
    energy, weights = model.energy_network, model.energy_network.trainable_variables

    @tf.function
    def gradients(x_data, x_model):
        r_data, r_model = model.log_density_ratio(x_data), model.log_density_ratio(x_model)
        with tf.GradientTape(persistent=True) as tape:
            e_data = model._evaluate(energy, Batch(x_data, None))
            e_model = model._evaluate(energy, Batch(x_model, None))
            third = objectives.energy_surrogate(
                model.divergence,
                r_data + e_data - tf.stop_gradient(e_data),
                r_model + e_model - tf.stop_gradient(e_model),
                e_model,
            )
            first = objectives.dual_surrogate(model.divergence, r_model, e_model)
        found = [
            [tape.gradient(s, w, unconnected_gradients="zero") for w in weights]
            for s in (third, first)
        ]
        return [tf.concat([tf.reshape(g, [-1]) for g in each], 0) for each in found]

    stream = recipe.stream(source, start_step=0).take(job["batches"])
    thirds, firsts = [], []
    for number, batch in enumerate(stream):
        samples = model.sample(recipe.batch_size, seed=(7, number), initial="buffer")
        third, first = gradients(batch[0] if isinstance(batch, tuple) else batch, samples)
        thirds.append(third.numpy())
        firsts.append(first.numpy())
    result = {}
    for name, found in (("theorem_3", thirds), ("theorem_1", firsts)):
        found = np.asarray(found, np.float64)
        deviation = np.sqrt(found.var(axis=0, ddof=1).sum())
        mean = np.linalg.norm(found.mean(axis=0))
        result[name] = {
            "deviation": float(deviation),
            "mean": float(mean),
            # Of a mean of n batches that is noise alone, this is √n.
            "relative": float(deviation / mean),
        }
    means = [np.mean(found, axis=0) for found in (thirds, firsts)]
    result["cosine"] = float(means[0] @ means[1] / np.prod([np.linalg.norm(m) for m in means]))
    return result


def write(done: list[dict], noise: list[dict], out: Path) -> None:
    """Write the table, the claims and the picture."""
    rows: list[dict[str, Any]] = [
        {
            "row": r["job"]["row"],
            "seed": r["job"]["seed"],
            "frechet_ratio": r.get("frechet_ratio"),
            "failed": r.get("failed", ""),
        }
        for r in done
    ]
    runs.write_table(rows, out / "runs.csv")
    ratios = {
        row: [r["frechet_ratio"] for r in rows if r["row"] == row and r["frechet_ratio"]]
        for row in ROWS
    }
    for row, found in ratios.items():
        console.log(f"{row:24s} Fréchet ratio {runs.describe(found)[2]}")
    figures = {"table": rows, "noise": noise}
    runs.write_claims(out, _claims(ratios, noise, done[0]["job"]), done + noise, figures)
    draw(ratios, out / "dual.png")


def _claims(ratios: dict[str, list[float]], noise: list[dict], job: dict) -> list[dict]:
    command = "python -m studies.dual"

    def said(*names: str) -> str:
        return ", ".join(f"{name} {runs.describe(ratios[name])[2]}" for name in names)

    budget = f"digits, perceptron of width {job['width']}, {job['steps']:,} steps a run, "
    seeds = max(map(len, ratios.values()))
    budget += f"{seeds} seed{'s' * (seeds > 1)}, Fréchet ratios (1 is real data): "

    def worst(name: str) -> float:
        return min(ratios[name], default=float("inf"))

    def best(name: str) -> float:
        return max(ratios[name], default=float("inf"))

    rows = [
        (
            "The dual form fails on images",
            "3.1.2, G.1",
            budget + said(FIRST, "febm_js", "dual_js"),
            worst("dual_js") > 2.0 * max(best(FIRST), best("febm_js")),
        ),
        (
            "… also from a model trained by contrastive divergence",
            "3.1.2, G.1",
            budget
            + said(FIRST, "cd_from_cd", "febm_js_from_cd", "dual_js_from_cd")
            + f"; each of the last three begins with what {FIRST} ended at",
            worst("dual_js_from_cd") > best(FIRST),
        ),
    ]
    relative = {
        name: [r[name]["relative"] for r in noise if "failed" not in r]
        for name in ("theorem_1", "theorem_3")
    }
    count = noise[0]["job"]["batches"]
    texts = "; ".join(
        f"{name.replace('_', ' ')} {runs.describe(found)[2]}" for name, found in relative.items()
    )
    cosine = statistics.mean(r["cosine"] for r in noise if "failed" not in r)
    rows.append(
        (
            "Theorem 1's gradient is noisier than Theorem 3's, on images",
            "3.1.2",
            f"deviation of a batch over the size of the mean of {count}, same batches and learned "
            f"ratio of a trained f-EBM: {texts} (noise alone would give {count**0.5:.0f}); cosine "
            f"of the means {cosine:.2f}",
            min(relative["theorem_1"]) > max(relative["theorem_3"]),
        )
    )
    return [runs.claim(*row, command) for row in rows]


def page_table(figures: dict) -> str:
    """Return the quality of every row in Markdown, of what `write` stored."""
    rows = figures["table"]
    lines = ["| run | seeds | Fréchet ratio |", "|---|---|---|"]
    for name in dict.fromkeys(row["row"] for row in rows):
        found = [row["frechet_ratio"] for row in rows if row["row"] == name]
        lines.append(f"| {name} | {len(found)} | {runs.describe(found)[2]} |")
    return "\n".join(lines)


def draw(ratios: dict[str, list[float]], path: Path) -> None:
    """Draw the Fréchet ratio of every run."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    drawn = charts.figure(7.0, 4.0)
    axis = drawn.add_subplot()
    for place, found in enumerate(ratios.values()):
        axis.semilogx(found, [place] * len(found), "o", color=charts.COLOURS[0], alpha=0.6, ms=8)
    axis.set_yticks(range(len(ratios)), [name.replace("_", " ") for name in ratios])
    axis.invert_yaxis()
    charts.style(axis, "", "Fréchet distance of samples over that of training images")
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
