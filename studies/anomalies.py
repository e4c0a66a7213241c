"""Anomaly scores of an energy against two baselines: `python -m studies.anomalies`.

Trains on the usual examples of a table and scores held-out usual examples and the unusual ones.
Four tables are scikit-learn's: malignant tumours of breast_cancer, the last class of wine and of
iris, the nines of digits. Two are made by formula: points near a Swiss roll, and of five Gaussians
in eight dimensions, against uniform points in their box. Writes study.csv and study.json into
--out. The same splits serve the energy, an isolation forest and a Gaussian fit.
"""

import statistics
from functools import partial
from pathlib import Path

from absl import flags

from launch import console
from studies import runs

# Table of scikit-learn -> the class that counts as anomalous: 0 is malignant.
UNUSUAL_CLASS = {"breast_cancer": 0, "wine": 2, "iris": 2, "digits": 9}
TABLES = (*UNUSUAL_CLASS, "swiss_roll", "blobs")
# Rows of the tables that are made by formula, usual and unusual ones.
MADE = (700, 200)
DETECTORS = ("energy", "isolation_forest", "gaussian")
# Share of the usual examples that no detector is fitted to.
HELD_OUT = 0.3
# Share of the training examples by which training is stopped, and how often they are looked at.
STOPPED_BY, CHECKS = 0.2, 30


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    text = partial(flags.DEFINE_string, flag_values=values)
    whole = partial(flags.DEFINE_integer, flag_values=values)
    choice = partial(flags.DEFINE_enum, flag_values=values)
    several = partial(flags.DEFINE_list, flag_values=values)
    several("tables", [*TABLES], f"Of {', '.join(TABLES)}.")
    methods = ["noise_contrastive", "febm", "contrastive_divergence", "dual"]
    choice("method", methods[0], methods, "How the energy is trained.")
    text("divergence", "js", "Divergence of all but contrastive_divergence.")
    whole("seeds", 5, "Number of seeds: of the split, and of all that is random.", 1)
    text("out", "runs/anomaly_study", "Folder of the results.")
    runs.define_common(values, logdir=None)


def run(values) -> int:
    """Measure every detector on every table and seed, and write the table down."""
    unknown = [name for name in values.tables if name not in TABLES]
    if unknown or not values.tables:
        raise ValueError(f"--tables must be of {', '.join(TABLES)}; received {values.tables}.")
    console.import_quietly(intra_op_threads=1)
    from tf_febm import recipes

    recipe = recipes.for_dataset("csv", values.method)
    if values["divergence"].present:
        recipe = recipe.replace(divergence=values.divergence)
    recipe = recipe.replace(**runs.changes_of(values.set))
    rows = []
    for table in values.tables:
        for seed in range(values.seeds):
            scores = measure(table, seed, recipe)
            rows += [{"table": table, "seed": seed, "detector": d, **v} for d, v in scores.items()]
            figures = "  ".join(f"{d} {v['auroc']:.4f}" for d, v in scores.items())
            console.log(f"{table}, seed {seed}: AUROC {figures}")
    write(rows, recipe, Path(values.out))
    console.log(f"Tables are in {values.out}.")
    return console.DONE


def measure(table: str, seed: int, recipe) -> dict:
    """Return detector -> figures, on one split."""
    from sklearn.covariance import EmpiricalCovariance
    from sklearn.ensemble import IsolationForest

    from tf_febm import applications, evaluation

    train, usual, unusual = split(table, seed)
    model = fit(train, recipe.replace(seed=seed))
    forest = IsolationForest(random_state=seed).fit(train.vectors)
    z = (train.vectors - train.mean) / train.scale
    gaussian = EmpiricalCovariance().fit(z)
    # Higher is more usual.
    detectors = {
        "energy": lambda x: -applications.ood_scores(model, x)["energy"],
        "isolation_forest": forest.score_samples,
        "gaussian": lambda x: -gaussian.mahalanobis((x - train.mean) / train.scale),
    }
    with model.best_weights():
        found = {
            name: evaluation.ood_metrics(score(usual), score(unusual))
            for name, score in detectors.items()
        }
    return {name: metrics._asdict() for name, metrics in found.items()}


def split(table: str, seed: int):
    """Return the training data, held-out usual examples and the unusual ones."""
    import numpy as np

    from tf_febm import data

    usual, unusual = (x.astype(np.float32) for x in examples(table, seed))
    order = np.random.default_rng(seed).permutation(len(usual))
    count = round(HELD_OUT * len(order))
    # Pixels that are always black say nothing.
    vary = np.ptp(usual[order[count:]], axis=0) > 0.0
    usual, unusual = usual[:, vary], unusual[:, vary]
    train = data.VectorData(table, usual[order[count:]], source=f"scikit-learn {table}")
    return train, usual[order[:count]], unusual


def examples(table: str, seed: int):
    """Return usual and unusual rows."""
    import numpy as np
    import sklearn.datasets

    if table in UNUSUAL_CLASS:
        x, classes = getattr(sklearn.datasets, f"load_{table}")(return_X_y=True)
        return x[classes != UNUSUAL_CLASS[table]], x[classes == UNUSUAL_CLASS[table]]
    if table == "swiss_roll":
        usual = sklearn.datasets.make_swiss_roll(MADE[0], noise=0.3, random_state=seed)[0]
    else:
        usual = sklearn.datasets.make_blobs(MADE[0], 8, centers=5, random_state=seed)[0]
    box = usual.min(axis=0), usual.max(axis=0)
    return usual, np.random.default_rng(seed).uniform(*box, (MADE[1], usual.shape[1]))


def fit(train, recipe):
    """Train the energy, without a run folder.

    One that is relative to a Gaussian is stopped by a part of the training examples, at the weights
    that are furthest ahead of it, as somebody would who has nothing but usual examples.
    """
    import keras

    from tf_febm import data, training

    keras.utils.set_random_seed(recipe.seed)
    if recipe.reference is None:
        model = recipe.build(train)
        model.fit(recipe.stream(train), steps_per_epoch=recipe.steps, epochs=1, verbose=0)
        return model
    count = round(STOPPED_BY * len(train))
    model = recipe.build(train)
    gain = training.HeldOutGain(train.vectors[:count], restore_best_weights=True)
    rest = data.VectorData(train.name, train.vectors[count:], source=train.source)
    checks = min(CHECKS, recipe.steps)
    model.fit(
        recipe.stream(rest),
        steps_per_epoch=recipe.steps // checks,
        epochs=checks,
        verbose=0,
        callbacks=[gain],
    )
    return model


def write(rows: list[dict], recipe, out: Path) -> None:
    """Write all rows, and their means and deviations over the seeds."""
    from tf_febm import files

    try:
        runs.write_table(rows, out / "study.csv")
    except OSError as error:
        raise OSError(f"Cannot write to {out}: {error.strerror}.") from None
    summary = {}
    for name in dict.fromkeys(row["table"] for row in rows):
        for detector in DETECTORS:
            values = [
                row["auroc"] for row in rows if (row["table"], row["detector"]) == (name, detector)
            ]
            deviation = statistics.stdev(values) if len(values) > 1 else None
            mean = statistics.mean(values)
            summary.setdefault(name, {})[detector] = {"auroc": mean, "deviation": deviation}
            spread = "" if deviation is None else f" ± {deviation:.4f}"
            console.log(f"{name:14s} {detector:17s} AUROC {mean:.4f}{spread}")
    files.write_json(out / "study.json", {"recipe": recipe.as_dict(), "results": summary})


if __name__ == "__main__":
    console.main(run, define, "Interrupted; nothing was written.")
