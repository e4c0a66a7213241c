"""Follow both bounds through training: `python launch/bounds_study.py`.

Three runs on one toy dataset: a generator that is one to one and onto with the weight of
a bound, the same with the published weight of 1e-3, and a perceptron, which may fold. At some steps
log Z by a grid and expectations by quadrature say where ⌊L⌋, L and ⌈L⌉ are, without sampling noise.
Writes bounds.csv, bounds.json, bounds.png and densities.png into --out.
"""

import csv
import io
import time
from pathlib import Path

import console
import numpy as np
import train_flags
from absl import app, flags

# Name -> heading, and the flags of train.py that choose it.
RUNS = {
    "certified": ("couplings, w = 1", ["--generator=coupling", "--penalty_weight=1"]),
    "published": ("couplings, w = 0.001", ["--generator=coupling", "--penalty_weight=0.001"]),
    "folding": ("perceptron, w = 1", ["--generator=mlp", "--penalty_weight=1"]),
}
# The energy begins as a Gaussian as wide as the data: with a shallower well L is far from both
# bounds at first, and no weight is certified.
WELL = "--confinement=1"
# Not those of the preset, which is for the monotone generator and narrow modes.
OTHER = ["--network=mlp", "--average_decay=0.99", "--generator_lr_ratio=1"]
# Half a side of the grid, in standard deviations of the data.
BOX = 8.0
# What a difference of estimates by quadrature may be without meaning, in nats.
NEGLIGIBLE = 1e-3

flags.DEFINE_string("dataset", "moons", "A toy dataset in the plane; see train.py.")
flags.DEFINE_integer("steps", 6000, "Training steps of each run.", 2)
flags.DEFINE_integer("checks", 40, "How often the bounds are computed.", 2)
flags.DEFINE_integer("cells", 400, "Cells of the grid along each axis.", 4)
flags.DEFINE_integer("latents", 61, "Points of the quadrature over z along each axis.", 4)
flags.DEFINE_integer("seed", 0, "Seed of weights and batches.", 0)
flags.DEFINE_multi_string("train", [], "A further flag of train.py for every run; may be repeated.")
flags.DEFINE_string("out", "runs/bounds", "Where table and pictures go.")
flags.DEFINE_bool("debug", False, "Show tracebacks.")


def main(argv) -> int:
    """Run the study."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    console.stop_at_once_on_signals()
    values = flags.FLAGS
    return console.exit_code(lambda: run(values), debug=values.debug)


def run(values) -> int:
    """Train all three, then write the table and the pictures."""
    console.import_quietly()
    from tf_febm import data, files

    if values.dataset not in data.toy_datasets.names():
        raise ValueError(
            f"--dataset must be one of {', '.join(data.toy_datasets.names())}; received "
            f"{values.dataset}."
        )
    bed = data.toy_datasets.get(values.dataset)
    rows, models = [], {}
    for name in RUNS:
        models[name], own = follow(name, values)
        rows += own
    held_out = data.load(values.dataset, split="test").vectors
    truth = -float(bed.log_prob(held_out).mean())
    out = Path(values.out)
    out.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    files.write_atomically(out / "bounds.csv", lambda file: file.write(text.getvalue().encode()))
    result = {"truth": truth, **{name: summary(name, rows) for name in RUNS}}
    files.write_json(out / "bounds.json", result)
    for name, found in result.items():
        console.log(f"{name}: {found}")
    draw(rows, truth, out / "bounds.png")
    draw_densities(models, bed, out / "densities.png")
    console.log(f"Table and pictures are in {out}.")
    return console.DONE


def follow(name: str, values) -> tuple:
    """Train one model; return it and a row for each check."""
    import building
    import keras

    from tf_febm import analysis

    own = flags.FlagValues()
    train_flags.define(own)
    common = [
        "--method=bidirectional",
        f"--dataset={values.dataset}",
        f"--seed={values.seed}",
        WELL,
        *OTHER,
    ]
    own(["train.py", *common, f"--steps={values.steps}", *RUNS[name][1], *values.train])
    options = train_flags.resolve(own)
    keras.utils.set_random_seed(values.seed)
    train_data, held_out = building.load_data(options)
    model = building.build_model(options, train_data)
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
            stream = building.make_stream(options, train_data, int(step))
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
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(RUNS), figsize=(4.1 * len(RUNS), 3.4))
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
        axis.set_title(heading, fontsize=11)
        axis.set_xlabel("step")
    axes[0].set_ylabel("nats")
    axes[0].legend(frameon=False, fontsize=8.5)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def draw_densities(models: dict, bed, path: Path) -> None:
    """Draw the densities that the runs end with, and samples of their generators."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(RUNS), figsize=(4.1 * len(RUNS), 3.2))
    for (name, (heading, _)), axis in zip(RUNS.items(), axes, strict=True):
        _panel(axis, models[name], bed)
        axis.set_title(heading, fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False})
    return plt


def _panel(axis, model, bed) -> None:
    """Draw the density of a model and points of its generator."""
    low, high = bed.box
    places = np.linspace(low, high, 200)
    x = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2).astype(np.float32)
    energy = np.asarray(model.energy(x)).reshape(200, 200)
    depth = np.clip(energy - energy.min(), 0.0, 12.0)
    axis.imshow(-depth, extent=(low, high, low, high), origin="lower", cmap="viridis")
    samples = np.asarray(model.sample(400, seed=0))
    axis.plot(*samples.T, ".", color="white", ms=1.5, alpha=0.8)
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_xticks([])
    axis.set_yticks([])


if __name__ == "__main__":
    app.run(main)
