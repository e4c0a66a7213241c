"""Models that cannot be right, in the plane, by each divergence: `python -m studies.misspecified`.

A mixture of three Gaussians, and two energies that cannot be it: a Gaussian with full covariance,
and a perceptron with too few units. Each divergence is minimised over the energy's weights on a
grid, from several starts and without f-EBM; then f-EBM trains the same energy with exact samples of
its density, from the same grid. Writes fits.csv, claims.json and pictures of all densities into
--out; docs/concepts/divergences.md quotes the table. Runs that are done are not repeated.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from launch import console
from studies import runs
from studies.plane_grid import HALF, MEANS, grid, judged

# Cells along a side of the grid.
CELLS = {"gaussian": 100, "perceptron": 80}
DIVERGENCES = {
    "gaussian": ("kl", "reverse_kl", "js", "squared_hellinger", "pearson_chi2", "neyman_chi2"),
    "perceptron": ("kl", "reverse_kl", "js", "squared_hellinger"),
}
# Units of both hidden layers, and σ of the Gaussian that confines the perceptron.
UNITS, CONFINED = 3, 3.0
STARTS = {"gaussian": 7, "perceptron": 8}
STEPS, BATCH, RATE = 2500, 500, 0.01
# Excess of the divergence over the exact minimum, as a share of it, that counts as arriving.
NEAR = 0.05
PAGE = "concepts/divergences.md"


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    runs.define_measured(values, "runs/claims/misspecified")


def run(values) -> int:
    """Make what fits are missing, then write the table, the claims and the pictures."""
    console.import_quietly(intra_op_threads=1)
    out = Path(values.out)
    kinds = {"gaussian": ("kl", "reverse_kl")} if values.fast else DIVERGENCES
    jobs = [
        {"energy": kind, "divergence": name, "steps": STEPS // (50 if values.fast else 1),
         "starts": 2 if values.fast else STARTS[kind], "cells": CELLS[kind], "seed": 0}
        for kind, names in kinds.items()
        for name in names
    ]  # fmt: skip
    done = runs.each(fit, jobs, out / "done", values.processes)
    write(done, out)
    console.log(f"Table and pictures are in {out}.")
    return console.DONE


def sizes(kind: str) -> list[tuple[int, ...]]:
    """Return the shapes of an energy's weights."""
    if kind == "gaussian":
        return [(2,), (3,)]
    return [(2, UNITS), (UNITS,), (UNITS, UNITS), (UNITS,), (UNITS, 1)]


def energy_of(kind: str, x, weights):
    """Return E(x), [n], with the weights of these shapes."""
    import tensorflow as tf

    if kind == "gaussian":
        mean, (log_a, log_b, c) = weights[0], tf.unstack(weights[1])
        away = x - mean
        # z = L⁻¹(x − μ), with a lower triangle of positive diagonal.
        first = tf.exp(-log_a) * away[:, 0]
        second = tf.exp(-log_b) * away[:, 1] + c * away[:, 0]
        return 0.5 * (tf.square(first) + tf.square(second))
    hidden = tf.tanh(x @ weights[0] + weights[1])
    hidden = tf.tanh(hidden @ weights[2] + weights[3])
    return (hidden @ weights[4])[:, 0] + tf.reduce_sum(tf.square(x), 1) / (2.0 * CONFINED**2)


def starting_weights(kind: str, seed: int) -> list[np.ndarray]:
    """Return weights to start at.

    A Gaussian is a wide one first, then a narrow one at each component, as the divergences of
    heavy tails are infinite for wide ones; then, as a perceptron, what chance gives.
    """
    rng = np.random.default_rng(seed)
    if kind == "gaussian":
        wide, narrow = np.array([1.0, 1.0, 0.0]), np.array([-1.0, -1.0, 0.0])
        if seed in (1, 2, 3):
            return [np.array(MEANS[seed - 1]), narrow]
        return [
            rng.normal(size=2) * 2.0 * (seed > 0),
            wide - (seed > 0) * np.array([*rng.random(2), 0.0]),
        ]
    return [
        rng.normal(size=shape) * (1.0 if len(shape) == 1 else 2.0 / math.sqrt(shape[0]))
        for shape in sizes(kind)
    ]


def minimum(job: dict) -> tuple[np.ndarray, list[float]]:
    """Minimise D_f(p‖q) on the grid; return q there, and the values that all starts end at."""
    import tensorflow as tf
    from scipy import optimize

    from tf_febm import divergences

    divergence, cells, kind = divergences.get(job["divergence"]), grid(job["cells"]), job["energy"]
    shapes = sizes(kind)
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    x, log_p = tf.constant(cells.x), tf.constant(np.log(cells.p))
    p, log_area = tf.constant(cells.p * cells.area), math.log(cells.area)

    def log_density(flat):
        parts = tf.split(flat, np.diff([0, *cuts, flat.shape[0]]))
        weights = [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
        energy = energy_of(kind, x, weights)
        return -energy - tf.reduce_logsumexp(-energy) - log_area

    @tf.function
    def value_and_gradient(flat):
        with tf.GradientTape() as tape:
            tape.watch(flat)
            log_q = log_density(flat)
            r, q = log_p - log_q, tf.exp(log_q + log_area)
            # With the true ratio the variational bound is the divergence itself.
            value = tf.reduce_sum(p * divergence.derivative(r) - q * divergence.conjugate(r))
        return value, tape.gradient(value, flat)

    def objective(flat):
        value, gradient = (part.numpy() for part in value_and_gradient(tf.constant(flat)))
        # Beyond what doubles hold: L-BFGS steps back.
        good = np.isfinite(value) and np.isfinite(gradient).all()
        return (value, gradient) if good else (1e12, np.zeros_like(flat))

    found = []
    for seed in range(job["starts"]):
        start = np.concatenate([w.ravel() for w in starting_weights(kind, seed)])
        result = optimize.minimize(
            objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 400}
        )
        found.append((float(result.fun), result.x))
    found.sort(key=lambda pair: pair[0])
    density = np.exp(log_density(tf.constant(found[0][1])).numpy())
    return density, [value for value, _ in found]


def by_febm(job: dict) -> np.ndarray:
    """Train the energy by f-EBM on samples; return its density on the grid."""
    import keras
    import tensorflow as tf

    from tf_febm import data, models, networks, optimizers, randomness

    cells, kind = grid(job["cells"]), job["energy"]

    class Energy(keras.layers.Layer):
        def build(self, input_shape):
            for number, value in enumerate(starting_weights(kind, job["seed"])):
                initial = keras.initializers.Constant(0.0)
                made = self.add_weight(shape=value.shape, initializer=initial, name=f"w{number}")
                made.assign(value)
            self.built = True

        def call(self, x):
            return energy_of(kind, x, [tf.convert_to_tensor(w) for w in self.weights])[:, None]

    keras.utils.set_random_seed(job["seed"])
    inputs = keras.Input((2,), name="x")
    energy = keras.Model(inputs, Energy()(inputs), name="energy")
    x, width = tf.constant(cells.x, tf.float32), 2.0 * HALF / job["cells"]

    def sample(energy_fn, initial_state, seed):
        """Draw a cell in proportion to e^(−E), and a point in it."""
        ends = tf.cumsum(tf.nn.softmax(-tf.cast(energy_fn(x), tf.float64)))
        shares = randomness.uniform(tf.shape(initial_state)[:1], seed, dtype=tf.float64)
        chosen = tf.minimum(tf.searchsorted(ends, shares * ends[-1]), len(cells.x) - 1)
        inside = randomness.uniform(tf.shape(initial_state), seed + tf.constant([0, 1]))
        return tf.stop_gradient(tf.gather(x, chosen) + width * (inside - 0.5))

    rng = np.random.default_rng(job["seed"])
    which = rng.choice(len(cells.p), (200_000,), p=cells.p / cells.p.sum())
    examples = cells.x[which] + width * (rng.random((len(which), 2)) - 0.5)
    stream = tf.data.Dataset.from_tensor_slices(examples.astype(np.float32))
    stream = data.without_tuning(stream.repeat().batch(BATCH, drop_remainder=True))
    model = models.FEBM(
        energy,
        networks.mlp(2, (64, 64), "tanh"),
        job["divergence"],
        variational_divergence="js",
        sampler=sample,
        l2_coeff=0.0,
        average_decay=0.999,
        seed=job["seed"],
    )

    def optimizer():
        return optimizers.FusedAdam(RATE, global_clipnorm=0.3)

    model.compile(optimizer(), optimizer(), steps_per_execution=min(50, job["steps"]))
    model.fit(stream, epochs=1, steps_per_epoch=job["steps"], verbose=0)
    with model.averaged_weights():
        values = -np.asarray(model.energy(x), np.float64)
    density = np.exp(values - values.max())
    return density / (density.sum() * cells.area)


def fit(job: dict) -> dict:
    """Return the exact minimiser and that of f-EBM, judged, and both densities, coarsely."""
    cells, name = grid(job["cells"]), job["divergence"]
    exact, values = minimum(job)
    found = by_febm(job)
    if not np.isfinite(found).all():
        raise RuntimeError("f-EBM ended in numbers that are not finite.")

    def coarse(density):
        side = job["cells"] // 2
        return density.reshape(side, 2, side, 2).mean(axis=(1, 3)).round(6).tolist()

    return {
        "exact": judged(exact, name, cells),
        "febm": judged(found, name, cells),
        "ends_of_starts": values,
        "between": float(0.5 * np.abs(found - exact).sum() * cells.area),
        "densities": {"exact": coarse(exact), "febm": coarse(found)},
    }


def write(done: list[dict], out: Path) -> None:
    """Write the table, the claims and the pictures."""
    rows: list[dict[str, Any]] = []
    for result in done:
        job = {name: result["job"][name] for name in ("energy", "divergence")}
        if "failed" in result:
            rows.append({**job, "failed": result["failed"]})
            continue
        row: dict[str, Any] = {**job, "failed": ""}
        for who in ("exact", "febm"):
            row |= {f"{who}_{k}": v for k, v in result[who].items() if k != "mean"}
        row["excess"] = row["febm_divergence"] / row["exact_divergence"] - 1.0
        row["between"] = result["between"]
        ends = result["ends_of_starts"]
        row["starts_at_best"] = sum(end < 1.01 * ends[0] for end in ends)
        # Descent on the grid itself ends in other minima, too.
        row["starts_above_febm"] = sum(end > row["febm_divergence"] for end in ends)
        row["starts"] = len(ends)
        rows.append(row)
        console.log(
            f"{job['energy']:10s} {job['divergence']:18s} divergence {row['exact_divergence']:.4f},"
            f" f-EBM {row['febm_divergence']:.4f}; covered {row['exact_covered']:.2f}, "
            f"{row['febm_covered']:.2f}; spilt {row['exact_spilt']:.3f}, {row['febm_spilt']:.3f}; "
            f"between {row['between']:.3f}; best from {row['starts_at_best']} of {row['starts']}"
        )
    good = [row for row in rows if not row["failed"]]
    if not good:
        raise ValueError("Every fit failed; their messages are above.")
    runs.write_table(good, out / "fits.csv")
    runs.write_claims(out, _claims(rows), done, {"table": rows})
    for kind in dict.fromkeys(row["energy"] for row in good):
        own = [r for r in done if r["job"]["energy"] == kind and "failed" not in r]
        draw(own, out / f"{kind}.png")


def _claims(rows: list[dict]) -> list[dict]:
    command, claims = "python -m studies.misspecified", []
    titles = {
        "gaussian": "f-EBM finds the exact minimiser of a misspecified model: Gaussian, full "
        "covariance, three components in the plane",
        "perceptron": f"… a perceptron of {UNITS} and {UNITS} units, the same",
    }
    for kind in dict.fromkeys(row["energy"] for row in rows):
        own = [row for row in rows if row["energy"] == kind]
        good = [row for row in own if not row["failed"]]
        texts = [
            f"{row['divergence']} "
            + (
                "failed" if row["failed"] else f"{row['febm_divergence']:.3f} "
                f"({row['exact_divergence']:.3f}, which {row['starts_at_best']} of "
                f"{row['starts']} starts reach; {row['starts_above_febm']} end above f-EBM)"
            )
            for row in own
        ]  # fmt: skip
        near = [row["divergence"] for row in good if row["excess"] <= NEAR]
        text = (
            f"divergence that {STEPS:,} steps end at, one seed (exact minimum on a grid): "
            f"{', '.join(texts)}; within {NEAR:.0%} for {len(near)} of {len(own)}"
        )
        verdict: bool | str = "holds in part" if 0 < len(near) < len(own) else bool(near)
        claims.append(runs.claim(titles[kind], "6.1, in 2-D", text, verdict, command))
    own = {
        row["divergence"]: row for row in rows if row["energy"] == "gaussian" and not row["failed"]
    }
    if {"kl", "reverse_kl"} <= own.keys():
        text = "Gaussian, exact minimiser and f-EBM: " + ", ".join(
            f"{name} covers {row['exact_covered']:.2f}/{row['febm_covered']:.2f} of the least "
            f"component, spills {row['exact_spilt']:.2f}/{row['febm_spilt']:.2f}"
            for name, row in own.items()
        )
        order = all(
            own["kl"][f"{who}_covered"] > own["reverse_kl"][f"{who}_covered"]
            and own["kl"][f"{who}_spilt"] > own["reverse_kl"][f"{who}_spilt"]
            for who in ("exact", "febm")
        )
        title = "KL covers modes and spills; reverse KL seeks modes"
        claims.append(runs.claim(title, "1, 6.1", text, order, command))
    return claims


def page_table(figures: dict) -> str:
    """Return the table "Which divergence?" in Markdown, of what `write` stored."""
    lines = [
        "| energy | divergence | least component covered | mass spilt | total variation | "
        "KL(p‖q) | KL(q‖p) | f-EBM's excess |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in figures["table"]:
        names = f"| {row['energy']} | `{row['divergence']}` | "
        if row["failed"]:
            lines.append(names + "failed | | | | | |")
            continue
        cells = [
            f"{row[f'exact_{key}']:.2f}" for key in ("covered", "spilt", "total_variation", "kl")
        ]
        cells += [f"{row['exact_reverse_kl']:.2f}", f"{row['excess']:.1%}"]
        lines.append(names + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(done: list[dict], path: Path) -> None:
    """Draw the mixture, and the densities of every divergence: exact above, f-EBM below."""
    from tf_febm import evaluation
    from tf_febm.evaluation import charts

    count = len(done)
    drawn = charts.figure(2.3 * (count + 1), 4.8)
    cells = grid(done[0]["job"]["cells"])
    side = done[0]["job"]["cells"]
    extent = (-HALF, HALF, -HALF, HALF)
    for row, who in enumerate(("exact", "febm")):
        pictures = [("mixture", cells.p.reshape(side, side))]
        pictures += [(r["job"]["divergence"], np.array(r["densities"][who])) for r in done]
        for column, (name, density) in enumerate(pictures):
            axis = drawn.add_subplot(2, count + 1, row * (count + 1) + column + 1)
            axis.imshow(np.sqrt(density), origin="lower", extent=extent, cmap="magma")
            axis.set(xlim=(-5, 5), ylim=(-5, 5), xticks=[], yticks=[])
            axis.set_title(name if column == 0 else f"{name}, {who}", fontsize=10)
    evaluation.save_png(path, charts.pixels(drawn))


if __name__ == "__main__":
    console.main(run, define, runs.CONTINUES)
