"""Follow both bounds through training: `python -m studies.bounds`.

Three runs on one toy data set in the plane: a generator that is one to one and onto with the
weight of a bound, the same with the published weight of 1e-3, and a perceptron, which may fold. At
some steps log Z by a grid and expectations by quadrature say where ⌊L⌋, L and ⌈L⌉ are, without
sampling noise.
Writes bounds.csv, bounds.json, bounds.png and densities.png into --out.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from launch import console
from studies import runs

# Name -> heading, and the settings that choose it.
RUNS: dict[str, tuple[str, dict[str, Any]]] = {
    "certified": ("couplings, w = 1", {"generator": "coupling", "penalty_weight": 1.0}),
    "published": ("couplings, w = 0.001", {"generator": "coupling", "penalty_weight": 0.001}),
    "folding": ("perceptron, w = 1", {"generator": "mlp", "penalty_weight": 1.0}),
}
# Not those of the recipe, which is for the monotone generator and narrow modes. The energy begins
# as a Gaussian as wide as the data: less confined, L is far from both bounds at first, and no
# weight is certified.
OTHER: dict[str, Any] = {
    "confinement": 1.0,
    "network": "mlp",
    "average_decay": 0.99,
    "generator_learning_rate_ratio": 1.0,
}
# Half a side of the grid, in standard deviations of the data.
BOX = 8.0
# What a difference of estimates by quadrature may be without meaning, in nats.
NEGLIGIBLE = 1e-3


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    own = {"flag_values": values}
    flags.DEFINE_string("dataset", "moons", "A toy data set in the plane.", **own)
    flags.DEFINE_integer("steps", 6000, "Training steps of each run.", 2, **own)
    flags.DEFINE_integer("checks", 40, "How often the bounds are computed.", 2, **own)
    flags.DEFINE_integer("cells", 400, "Cells of the grid along each axis.", 4, **own)
    flags.DEFINE_integer("latents", 61, "Points of the quadrature along each axis of z.", 4, **own)
    flags.DEFINE_integer("seed", 0, "Seed of weights and batches.", 0, **own)
    flags.DEFINE_string("out", "runs/bounds", "Where table and pictures go.", **own)
    runs.define_common(values, logdir=None)


def run(values) -> int:
    """Train all three, then write the table and the pictures."""
    console.import_quietly()
    from tf_febm import data, evaluation, files

    if values.dataset not in data.toy_datasets.names():
        raise ValueError(
            f"--dataset must be one of {', '.join(data.toy_datasets.names())}; received "
            f"{values.dataset}."
        )
    density = data.toy_datasets.get(values.dataset)
    rows, models = [], {}
    for name in RUNS:
        models[name], own = follow(name, values)
        rows += own
    held_out = data.load(values.dataset, split="test").vectors
    truth = -float(density.log_prob(held_out).mean())
    out = Path(values.out)
    out.mkdir(parents=True, exist_ok=True)
    runs.write_table(rows, out / "bounds.csv")
    result = {"truth": truth, **{name: summary(name, rows) for name in RUNS}}
    files.write_json(out / "bounds.json", result)
    for name, found in result.items():
        console.log(f"{name}: {found}")
    draw(rows, truth, out / "bounds.png")
    # The densities that the runs end with, and samples of their generators, one below another.
    samples = {name: np.asarray(model.sample(400, seed=0)) for name, model in models.items()}
    pictures = [
        evaluation.density_plot(models[name].energy, samples[name], held_out, density.box)
        for name in RUNS
    ]
    evaluation.save_png(out / "densities.png", np.concatenate(pictures))
    console.log(f"Table and pictures are in {out}.")
    return console.DONE


def follow(name: str, values) -> tuple:
    """Train one model; return it and a row for each check."""
    import keras

    from tf_febm import analysis, data, recipes

    recipe = recipes.for_dataset(values.dataset, "bidirectional")
    changes = {**OTHER, **RUNS[name][1], "seed": values.seed, "steps": values.steps}
    recipe = recipe.replace(**changes).replace(**runs.changes_of(values.set))
    keras.utils.set_random_seed(values.seed)
    train_data, held_out = data.Source(values.dataset).load()
    model = recipe.build(train_data)
    low, high = (train_data.mean + side * BOX * train_data.scale for side in (-1.0, 1.0))
    # Evenly in square roots: most happens early.
    steps = np.unique(np.rint(values.steps * np.linspace(0.0, 1.0, values.checks) ** 2).astype(int))
    rows, start = [], time.monotonic()
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        found = analysis.plane_bounds(
            model, held_out.vectors, low, high, values.cells, num_latents=values.latents
        )
        rows.append(
            {
                "run": name,
                "step": int(step),
                **found._asdict(),
                "upper": found.upper(model.penalty_weight),
                "certified_weight": found.certified_weight,
                "sufficient_weight": found.sufficient_weight,
                "upper_certified": found.upper(found.certified_weight),
            }
        )
        console.log(
            f"{name} step {step}, {time.monotonic() - start:.0f} s: ⌊L⌋ {found.lower:.3f}  "
            f"L {found.likelihood:.3f}  ⌈L⌉ {rows[-1]['upper']:.3f}  sufficient weight "
            f"{found.sufficient_weight:.3g}, certified {found.certified_weight:.3g}"
        )
        if following is not None:
            stream = recipe.stream(train_data, start_step=int(step))
            model.fit(stream, steps_per_epoch=int(following - step), verbose=0)
    return model, rows


def summary(name: str, rows: list[dict]) -> dict:
    """Return how often each inequality fails in a run, by how much at most, and how it ends."""
    own = [row for row in rows if row["run"] == name]

    def failures(excess, rows=own) -> dict:
        values = np.array([excess(row) for row in rows])
        largest = float(values.max()) if len(values) else None
        return {"failures": int((values > NEGLIGIBLE).sum()), "largest": largest}

    certified = [row for row in own if np.isfinite(row["certified_weight"])]

    return {
        "checks": len(own),
        "lower_above": failures(lambda row: row["lower"] - row["likelihood"]),
        "upper_below": failures(lambda row: row["likelihood"] - row["upper"]),
        "certified": len(certified),
        "certified_below": failures(
            lambda row: row["likelihood"] - row["upper_certified"], certified
        ),
        "largest_sufficient_weight": max(row["sufficient_weight"] for row in own),
        "last": {key: own[-1][key] for key in ("lower", "likelihood", "upper", "penalty")},
    }


def draw(rows: list[dict], truth: float, path: Path) -> None:
    """Draw the three quantities over training."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    drawn, axes = charts.panels(len(RUNS), 4.1, 3.4)
    lines = (
        ("upper", "⌈L⌉", "#D55E00"),
        ("likelihood", "L", "black"),
        ("lower", "⌊L⌋", "#0072B2"),
    )
    for (name, (heading, _)), axis in zip(RUNS.items(), axes, strict=True):
        own = [row for row in rows if row["run"] == name]
        steps = [row["step"] for row in own]
        for key, label, colour in lines:
            axis.plot(steps, [row[key] for row in own], color=colour, label=label, lw=1.6)
        axis.axhline(truth, color="#999999", lw=0.9, ls="--", label="L of the true density")
        # Before the first step the generator is anywhere, and so is ⌈L⌉.
        seen = [row[key] for row in own[1:] for key, *_ in lines]
        margin = 0.1 * (max(seen) - min(*seen, truth))
        axis.set_ylim(min(*seen, truth) - margin, max(seen) + margin)
        charts.style(axis, heading, "step", "nats")
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define)
