"""Hybrids of f-EBM and a classifier that run away: `python -m studies.hybrid_plane`.

Three classes in the plane, each normal, so that the best accuracy is known: 0.908. A conditional
f-EBM of perceptrons is trained with each weight of the loss of classes and with each of what may
hold the log ratio r. Measured: accuracy and log loss on held-out points, deviation of r; and at
steps of the way what the gradients' parts do to the mean of r: that of the bound for θ, that of the
loss of classes, and that of ω. Writes hybrid_plane.json into --out; a study that was stopped goes
on where it was.
"""

import math
import platform
import time
from pathlib import Path

from absl import flags

from launch import console
from studies import runs

CENTRES = ((0.0, 0.0), (3.0, 0.0), (0.0, 3.0))
WEIGHTS = (0.0, 1.0, 10.0)
# What holds the log ratio -> settings of the model; the divergence stands before it.
HOLDS = {
    "nothing": {},
    "l2_coeff=1": {"l2_coeff": 1.0},
    "shift_invariant": {"shift_invariant": True},
    "slow_energy_decay=0.8": {"slow_energy_decay": 0.8},
    "four times the rate of H": {},
}
# Figures of a run -> their names in the table.
FIGURES = {
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "spread": "deviation of r",
}
EXAMPLES, HELD_OUT, BATCH, RATE = 2000, 4000, 32, 1e-2
# Steps after which parts are measured.
PARTS_AT = (21, 42, 63, 126)


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    own = {"flag_values": values}
    flags.DEFINE_list("holds", [*HOLDS], f"Of {', '.join(HOLDS)}.", **own)
    flags.DEFINE_list("divergences", ["js"], "Names of divergences.", **own)
    flags.DEFINE_integer("seeds", 1, "Runs of each row and weight.", 1, **own)
    flags.DEFINE_integer("steps", 630, "Steps of each run.", 1, **own)
    flags.DEFINE_string("out", "runs/hybrid_plane", "Folder of the results.", **own)
    runs.define_common(values, logdir="runs/hybrid_plane")


def run(values) -> int:
    """Train and measure every row with every weight, and write the table down."""
    unknown = [name for name in values.holds if name not in HOLDS]
    if unknown or not values.holds:
        raise ValueError(f"--holds must be of {', '.join(HOLDS)}; received {unknown}.")
    console.import_quietly(intra_op_threads=1)
    jobs = [
        {"divergence": name, "holds": holds, "weight": weight, "seed": seed, "steps": values.steps}
        for name in values.divergences
        for holds in values.holds
        for weight in WEIGHTS
        for seed in range(values.seeds)
    ]
    results = runs.each(measure, jobs, Path(values.logdir))
    write([result for result in results if "failed" not in result], Path(values.out))
    console.log(f"hybrid_plane.json is in {values.out}.")
    return console.DONE


def points(count: int, seed: int) -> tuple:
    """Return points of all classes, float32 [n, 2], and their classes, int32 [n]."""
    import numpy as np

    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count).astype(np.int32)
    x = np.array(CENTRES)[labels] + rng.standard_normal((count, 2))
    return x.astype(np.float32), labels


def measure(job: dict) -> dict:
    """Train a model; return its figures, None where they are not finite."""
    import keras
    import numpy as np
    import tensorflow as tf

    import tf_febm
    from tf_febm import networks

    keras.utils.set_random_seed(job["seed"])
    x, labels = points(EXAMPLES, 1)
    model = tf_febm.FEBM(
        *(networks.mlp((2,), (32,), "swish", num_classes=3) for _ in range(2)),
        job["divergence"],
        reference=networks.GaussianReference().adapt(x),
        class_weight_coeff=job["weight"],
        seed=job["seed"],
        **{"l2_coeff": 0.0, **HOLDS[job["holds"]]},
    )
    second = 4 * RATE if job["holds"].startswith("four") else RATE
    model.compile(keras.optimizers.Adam(RATE), keras.optimizers.Adam(second))
    examples = tf.data.Dataset.from_tensor_slices((x, labels)).shuffle(len(x), job["seed"])
    batches = iter(examples.repeat().batch(BATCH))
    parts, done = {}, 0
    for end in [*(step for step in PARTS_AT if step < job["steps"]), job["steps"]]:
        logs = model.fit(batches, steps_per_epoch=end - done, verbose=0, shuffle=False).history
        parts[str(end)], done = moves_of_log_ratio(model, x[:512], labels[:512]), end
    held_out, classes = points(HELD_OUT, 2)
    log_probs = model.class_log_probs(held_out).numpy()
    found = {
        "accuracy": float((log_probs.argmax(axis=1) == classes).mean()),
        "log_loss": -float(log_probs[np.arange(len(classes)), classes].mean()),
        "spread": float(logs["log_ratio_std"][-1]),
    }
    found = {name: value if math.isfinite(value) else None for name, value in found.items()}
    return {**found, "parts": parts}


def moves_of_log_ratio(model, x, labels) -> dict[str, float]:
    """Return the mean of r over data and samples, and how fast the gradients' parts move it.

    The parts are those of a step of unit rate along a gradient, to first order: −∇_θ(mean r)·g of
    the surrogate of the bound, of the loss of classes, and ∇_ω(mean r)·g of the bound for ω.

    Args:
        model: A conditional `FEBM`.
        x: Data, [n, 2].
        labels: Their classes.

    Returns:
        "mean", "bound", "classes", "omega".
    """
    import tensorflow as tf

    from tf_febm import objectives
    from tf_febm.models.chains import Batch
    from tf_febm.models.weights import of_batches

    data = Batch(tf.constant(x), tf.constant(labels))
    chains = model._negatives_of(data, seed=tf.constant([1, 2]), remember=False)
    both, weights = (data, chains), of_batches(None, None)
    slow = model._slow_energies(*both)
    theta, omega = (network.trainable_variables for network in model.networks)
    with tf.GradientTape(persistent=True) as tape:
        energies = [model._evaluate(model.energy_network, batch) for batch in both]
        h = [model._evaluate(model.variational_network, batch) for batch in both]
        ratios = [a + b - c for a, b, c in zip(energies, h, slow, strict=True)]
        mean = 0.5 * tf.add_n([tf.reduce_mean(ratio) for ratio in ratios])
        bound = objectives.variational_bound(model.divergence, *ratios)
        of_theta = [tf.stop_gradient(b) + a - c for a, b, c in zip(energies, h, slow, strict=True)]
        surrogate = model._energy_surrogate(*of_theta, *energies, weights.arguments)
        classes = tf.convert_to_tensor(model._class_term(data, weights)[0])

    def along(value, variables) -> float:
        pairs = zip(tape.gradient(mean, variables), tape.gradient(value, variables), strict=True)
        return float(sum(tf.reduce_sum(a * b) for a, b in pairs if a is not None and b is not None))

    return {
        "mean": float(mean),
        "bound": -along(surrogate, theta),
        "classes": -along(classes, theta),
        "omega": along(bound, omega),
    }


def write(results: list[dict], out: Path) -> None:
    """Write the means over the seeds of each row and weight; None where a run was not finite."""
    from tf_febm import files, training

    if not results:
        raise ValueError("Every run failed; their messages are above.")
    rows: dict = {}
    for result in results:
        job = result["job"]
        rows.setdefault((f"{job['divergence']}, {job['holds']}", job["weight"]), []).append(result)
    summary: dict = {}
    for (row, weight), own in rows.items():
        means = {}
        for name in FIGURES:
            values = [r[name] for r in own]
            means[name] = None if None in values else sum(values) / len(values)
        means["parts"] = own[0]["parts"]
        summary.setdefault(row, {})[f"{weight:g}"] = means
    out.mkdir(parents=True, exist_ok=True)
    files.write_json(
        out / "hybrid_plane.json",
        {
            "date": time.strftime("%Y-%m-%d"),
            "versions": training.versions(),
            "machine": f"{platform.machine()}, one core, shared with other work",
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
