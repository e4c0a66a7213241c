"""Classifiers by energies and without a density: `python -m studies.classification`.

One network, E(x, y), is trained in three ways on the same batches: by the cross-entropy of
log softmax_y(−E(x, y)) alone, which is a plain classifier; by f-EBM alone, which is a density; and
by both. Measured on held-out images: accuracy, expected calibration error, accuracy under attack,
also after chains have refined the attacked images, and AUROC of telling the images from others by
the marginal energy. Writes classification.csv and classification.json into --out; a study that was
stopped goes on where it was.
"""

import math
import platform
import time
from pathlib import Path

from absl import flags

from launch import console
from studies import runs

# What θ descends: the weight of the cross-entropy, and whether there is the density's loss.
WAYS = ("classifier", "density", "hybrid")
WEIGHT = 1.0
DATASETS = ("digits", "mnist")
# Figures of a run -> their names in the table.
FIGURES = {
    "accuracy": "accuracy",
    "calibration_error": "ECE",
    "attacked": "accuracy, ε = 8/255",
    "refined": "the same, refined",
    "auroc_noise": "AUROC, noise",
    "auroc_inverted": "AUROC, inverted",
    "auroc_shuffled": "AUROC, shuffled",
}


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    own = {"flag_values": values}
    flags.DEFINE_list("datasets", ["digits"], f"Of {', '.join(DATASETS)}.", **own)
    flags.DEFINE_string("data_dir", None, "Folder of --datasets=mnist.", **own)
    flags.DEFINE_integer("seeds", 2, "Runs of each way.", 1, **own)
    flags.DEFINE_integer("steps", 3000, "Steps of each run.", 1, **own)
    flags.DEFINE_integer("num_examples", 1000, "Held-out images, at most.", 1, **own)
    flags.DEFINE_string("out", "runs/classification", "Folder of the results.", **own)
    runs.define_common(values, logdir="runs/classification")


def run(values) -> int:
    """Train and measure every way on every data set and seed, and write the table down."""
    unknown = [name for name in values.datasets if name not in DATASETS]
    if unknown or not values.datasets:
        raise ValueError(f"--datasets must be of {', '.join(DATASETS)}; received {unknown}.")
    changes = runs.changes_of(values.set)
    console.import_quietly(intra_op_threads=1)
    jobs = [
        {
            "dataset": dataset, "way": way, "seed": seed, "steps": values.steps,
            "num_examples": values.num_examples, "changes": changes,
            "data_dir": None if dataset == "digits" else values.data_dir,
        }
        for dataset in values.datasets
        for way in WAYS
        for seed in range(values.seeds)
    ]  # fmt: skip
    results = runs.each(measure, jobs, Path(values.logdir))
    write([result for result in results if "failed" not in result], Path(values.out))
    console.log(f"Tables are in {values.out}.")
    return console.DONE


def measure(job: dict) -> dict:
    """Train one network in one way; return its figures."""
    import keras

    from tf_febm import data, recipes

    keras.utils.set_random_seed(job["seed"])
    train, held_out = (
        data.load(job["dataset"], split=split, data_dir=job["data_dir"])
        for split in ("train", "test")
    )
    coefficient = {"classifier": 1.0, "density": 0.0, "hybrid": WEIGHT}[job["way"]]
    recipe = recipes.get("digits_quick").replace(
        conditional=True, class_weight_coeff=coefficient, steps=job["steps"], seed=job["seed"]
    )
    recipe = recipe.replace(**job["changes"])
    model = recipe.build(train)
    if job["way"] == "classifier":
        _classify(model, recipe.stream(train), job["steps"])
    else:
        model.fit(recipe.stream(train), steps_per_epoch=job["steps"], epochs=1, verbose=0)
    return _figures(model, held_out, job)


def _classify(model, batches, steps: int) -> None:
    """Train the energy network by the cross-entropy alone, in the model's own optimizer."""
    import keras
    import tensorflow as tf

    class Plain(keras.Model):
        """The network's energies of all classes, as logits."""

        def __init__(self, network):
            super().__init__()
            self.network = network

        def call(self, x, training=False):
            return -model._class_energies(x, training)

    plain = Plain(model.energy_network)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(model.optimizer, loss)
    plain.fit(batches, steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0)
    if model.average is not None:
        # What it would have become is not what it has: the last weights are the result.
        for average, weight in zip(
            model.average.averages, model.energy_network.trainable_variables, strict=True
        ):
            average.assign(tf.convert_to_tensor(weight))


def _figures(model, held_out, job: dict) -> dict:
    """Return the figures of a trained model on held-out images."""
    import numpy as np

    from tf_febm import evaluation
    from tf_febm.data.pixels import from_levels

    found = evaluation.model_classification(
        model, held_out, num_examples=job["num_examples"], seed=job["seed"]
    )
    last = found.attacks[-1]
    rng = np.random.default_rng(job["seed"])
    chosen = rng.permutation(len(held_out.images))[: found.num_examples]
    usual = from_levels(held_out.images[chosen])
    flat = usual.reshape(len(usual), -1)
    others = {
        "noise": rng.random(usual.shape, np.float32),
        "inverted": 1.0 - usual,
        "shuffled": flat[:, rng.permutation(flat.shape[1])].reshape(usual.shape),
    }
    with model.best_weights():
        score = -model.marginal_energy(usual).numpy()
        aurocs = {
            f"auroc_{name}": evaluation.ood_metrics(score, -model.marginal_energy(x).numpy()).auroc
            for name, x in others.items()
        }
    return {
        "num_examples": found.num_examples,
        "accuracy": found.accuracy,
        "log_loss": found.log_loss if math.isfinite(found.log_loss) else None,
        "calibration_error": found.calibration_error,
        "attacked": last.accuracy,
        "refined": last.refined_accuracy,
        "refined_without_attack": found.attacks[0].refined_accuracy,
        **aurocs,
    }


def write(results: list[dict], out: Path) -> None:
    """Write a row for each run, and the means and deviations over the seeds."""
    from tf_febm import files, training

    if not results:
        raise ValueError("Every run failed; their messages are above.")
    names = ("dataset", "way", "seed", "steps")
    rows = [
        {**{name: r["job"][name] for name in names},
         **{name: value for name, value in r.items() if name != "job"}}
        for r in results
    ]  # fmt: skip
    runs.write_table(rows, out / "classification.csv")
    summary: dict = {}
    for dataset in dict.fromkeys(row["dataset"] for row in rows):
        for way in WAYS:
            own = [row for row in rows if (row["dataset"], row["way"]) == (dataset, way)]
            if not own:
                continue
            described = {name: runs.describe([row[name] for row in own]) for name in FIGURES}
            summary.setdefault(dataset, {})[way] = {
                name: {"mean": mean, "deviation": deviation}
                for name, (mean, deviation, _) in described.items()
            }
            texts = ", ".join(f"{FIGURES[name]} {text}" for name, (*_, text) in described.items())
            console.log(f"{dataset}, {way}: {texts}")
    files.write_json(
        out / "classification.json",
        {
            "date": time.strftime("%Y-%m-%d"),
            "versions": training.versions(),
            "machine": f"{platform.machine()}, one core",
            "seeds": {row["dataset"]: row["seed"] + 1 for row in rows},
            "steps": {row["dataset"]: row["steps"] for row in rows},
            "num_examples": {row["dataset"]: row["num_examples"] for row in rows},
            "results": summary,
        },
    )


def table(measured: dict) -> list[str]:
    """Return the lines of the page's table of what `write` wrote."""

    def text(value: dict) -> str:
        spread = "" if value["deviation"] is None else f" ± {value['deviation']:.3f}"
        return f"{value['mean']:.3f}{spread}"

    lines = ["| | " + " | ".join(FIGURES.values()) + " |", "|---" * (1 + len(FIGURES)) + "|"]
    for dataset, ways in measured["results"].items():
        for way, figures in ways.items():
            cells = (text(figures[name]) for name in FIGURES)
            lines.append(f"| {dataset}, {way} | " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
