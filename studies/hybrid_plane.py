"""What the loss of classes does to f-EBM in the plane: `python -m studies.hybrid_plane`.

Points of three classes, each round and normal, so that densities and classes are known exactly. A
conditional model of the recipe `plane` is trained with each weight of the loss of classes, with and
without what holds its energies: the l2 term, and for "kl" the slow average of the energy. Measured:
Kullback-Leibler divergence of each class's density by a grid, log loss of the classes on held-out
points, deviation of the log ratio. Writes hybrid_plane.json into --out; a study that was stopped
goes on where it was.
"""

import math
import platform
import time
from pathlib import Path

from absl import flags

from launch import console
from studies import runs

CENTRES, SHARES = ((-2.0, 0.0), (2.0, 1.0), (0.0, -2.0)), (0.5, 0.3, 0.2)
WEIGHTS = (0.0, 1.0, 10.0)
_KL = {"divergence": "kl", "shift_invariant": True}
# What holds the energies -> (standard deviation of each class, changes of the recipe).
ROWS = {
    "js": (0.5, {}),
    "js overlapping": (1.2, {}),
    "js without l2": (0.5, {"l2_coeff": 0.0}),
    "kl": (0.5, _KL),
    "kl with slow average": (0.5, {**_KL, "slow_energy_decay": 0.8}),
}
# Figures of a run -> their names in the table.
FIGURES = {"kl": "KL, worst class", "log_loss": "log loss of classes", "spread": "deviation of r"}
# Halves of the sides of the grid, and its step.
HALF, STEP = 8.0, 0.1


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    own = {"flag_values": values}
    flags.DEFINE_list("rows", [*ROWS], f"Of {', '.join(ROWS)}.", **own)
    flags.DEFINE_integer("seeds", 2, "Runs of each row and weight.", 1, **own)
    flags.DEFINE_integer("steps", 1600, "Steps of each run.", 1, **own)
    flags.DEFINE_string("out", "runs/hybrid_plane", "Folder of the results.", **own)
    runs.define_common(values, logdir="runs/hybrid_plane")


def run(values) -> int:
    """Train and measure every row with every weight, and write the table down."""
    unknown = [name for name in values.rows if name not in ROWS]
    if unknown or not values.rows:
        raise ValueError(f"--rows must be of {', '.join(ROWS)}; received {unknown}.")
    changes = runs.changes_of(values.set)
    console.import_quietly(intra_op_threads=1)
    jobs = [
        {"row": row, "weight": weight, "seed": seed, "steps": values.steps, "changes": changes}
        for row in values.rows
        for weight in WEIGHTS
        for seed in range(values.seeds)
    ]
    results = runs.each(measure, jobs, Path(values.logdir))
    write([result for result in results if "failed" not in result], Path(values.out))
    console.log(f"hybrid_plane.json is in {values.out}.")
    return console.DONE


def points(count: int, deviation: float, seed: int) -> tuple:
    """Return points of all classes, float32 [n, 2], and their classes, int32 [n]."""
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = rng.choice(3, count, p=SHARES).astype(np.int32)
    x = np.array(CENTRES)[labels] + deviation * rng.standard_normal((count, 2))
    return x.astype(np.float32), labels


def log_densities(x, deviation: float):
    """Return log p(x | y) of each class, float64 [n, 3]."""
    import numpy as np

    squares = ((np.asarray(x, np.float64)[:, None] - np.array(CENTRES)) ** 2).sum(axis=2)
    return -squares / (2.0 * deviation**2) - math.log(2.0 * math.pi * deviation**2)


def measure(job: dict) -> dict:
    """Train a model; return its figures, None where they are not finite."""
    import keras
    import numpy as np

    from tf_febm import data, recipes

    deviation, changes = ROWS[job["row"]]
    keras.utils.set_random_seed(job["seed"])
    x, labels = points(20_000, deviation, 1)
    train = data.VectorData("classes", x, labels=labels, num_classes=3)
    recipe = recipes.get("plane").replace(
        conditional=True, class_weight_coeff=job["weight"], steps=job["steps"], seed=job["seed"]
    )
    recipe = recipe.replace(**changes).replace(**job["changes"])
    model = recipe.build(train)
    logs = model.fit(recipe.stream(train), steps_per_epoch=job["steps"], verbose=0).history
    side = np.arange(-HALF, HALF + STEP / 2, STEP)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    held_out, classes = points(2000, deviation, 2)
    truth = log_densities(grid, deviation)
    with model.best_weights():
        divergences = []
        for k in range(3):
            given = np.full(len(grid), k, np.int32)
            energy = model.energy(grid.astype(np.float32), given).numpy().astype(np.float64)
            log_z = np.logaddexp.reduce(-energy) + 2.0 * math.log(STEP)
            log_ratio = truth[:, k] + energy + log_z
            divergences.append(float((np.exp(truth[:, k]) * log_ratio).sum() * STEP**2))
        log_probs = model.class_log_probs(held_out).numpy()
    found = {
        "kl": max(divergences, key=lambda value: -math.inf if math.isnan(value) else value),
        "log_loss": -float(log_probs[np.arange(len(classes)), classes].mean()),
        "spread": float(logs["log_ratio_std"][-1]),
    }
    return {name: value if math.isfinite(value) else None for name, value in found.items()}


def write(results: list[dict], out: Path) -> None:
    """Write the means over the seeds of each row and weight; None where a run was not finite."""
    from tf_febm import files, training

    if not results:
        raise ValueError("Every run failed; their messages are above.")
    summary: dict = {}
    for row, weight in dict.fromkeys((r["job"]["row"], r["job"]["weight"]) for r in results):
        own = [r for r in results if (r["job"]["row"], r["job"]["weight"]) == (row, weight)]
        means = {}
        for name in FIGURES:
            values = [r[name] for r in own]
            means[name] = None if None in values else sum(values) / len(values)
        summary.setdefault(row, {})[f"{weight:g}"] = means
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(
        out / "hybrid_plane.json",
        {
            "date": time.strftime("%Y-%m-%d"),
            "versions": training.versions(),
            "machine": f"{platform.machine()}, one core",
            "seeds": len({r["job"]["seed"] for r in results}),
            "steps": results[0]["job"]["steps"],
            "results": summary,
        },
    )


def table(measured: dict) -> list[str]:
    """Return the lines of the table: a row for each setting and weight."""
    lines = [f"| | weight | {' | '.join(FIGURES.values())} |", "|---|---|" + "---|" * len(FIGURES)]
    for row, of_weights in measured["results"].items():
        for weight, figures in of_weights.items():
            texts = [
                "not finite" if figures[name] is None else f"{figures[name]:.3g}"
                for name in FIGURES
            ]
            lines.append(f"| {row} | {weight} | {' | '.join(texts)} |")
    return lines


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
