"""Time to a quality of pictures, ours and TorchEBM's: `python -m studies.time_to_quality`.

How many seconds of the processor does each way of training need to the Fréchet distance at which
TorchEBM's persistent contrastive divergence stands at the end of its budget, with the best of six
settings? The same faces, the same features. Ways:

- `torchebm`: ContrastiveDivergence + LangevinDynamics 0.8.9, each of `SETTINGS`, samples from its
  buffer;
- `published`: f-EBM (JS) of this library by the paper's settings of chains and rates, the same
  network, samples from its buffer;
- `celeba` and `celeba_multiscale`: the recipes of this library, with their networks, to the end of
  their schedules.

Everything that a way does is in its time, the fit of a Gaussian and compilation too; drawing and
measuring samples is not. Seconds are of the processor, of all cores together, so that other work on
the machine is not counted. --peers names a Python with TorchEBM.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from launch import console
from studies import runs

# TorchEBM's: step size, noise of a step, steps a chain, learning rate. The first is the published
# one of image energies (Du & Mordatch 2019; Yu et al. 2020); the third is at full temperature.
SETTINGS = [
    {"step_size": step, "noise": noise, "num_steps": count, "rate": rate}
    for step, noise, count in ((10.0, 0.005, 60), (1.0, 0.01, 20), (0.01, 0.14, 40))
    for rate in (1e-4, 1e-3)
]
OURS = ("published", "celeba", "celeba_multiscale")
# Of the budget, where samples are measured: often early, where quality changes fast.
MOMENTS = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BATCH = 64


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    add = console.definers(values)
    add.text("data_dir", None, "Faces: see --dataset=celeba of launch/train.py.")
    add.text("squeezenet", None, "Weights of SqueezeNet 1.1 without top.")
    add.text("peers", None, "A Python that has TorchEBM.")
    add.whole("budget", 7200, "Seconds of the processor of each way.", 1)
    add.whole("tuning", 1200, "Seconds of each of the six settings, before the best of them.", 1)
    add.whole("num_samples", 1000, "Samples of each figure.", 10)
    runs.define_measured(values, "runs/time_to_quality")


def run(values) -> int:
    """Make what is not made yet, and write the table."""
    if not (values.data_dir and values.squeezenet and values.peers):
        raise ValueError("--data_dir, --squeezenet and --peers must be given; see --help.")
    console.import_quietly()
    common = {
        "folder": {name: getattr(values, name) for name in ("data_dir", "squeezenet", "peers")},
        "samples": 20 if values.fast else values.num_samples,
        "images": 200 if values.fast else None,
        "seed": 0,
    }
    budget, tuning = (2, 1) if values.fast else (values.budget, values.tuning)
    out = Path(values.out)
    tried = runs.each(
        of_torchebm, [{**common, **s, "budget": tuning, "moments": [0.5, 1.0]} for s in SETTINGS],
        out / "runs",
    )  # fmt: skip
    finite = [result for result in tried if "failed" not in result]
    if not finite:
        raise ValueError(f"No setting of TorchEBM came to its end: {tried[0]['failed']}")
    best = min(finite, key=lambda result: min(row["frechet"] for row in result["rows"]))["job"]
    chosen = {name: best[name] for name in SETTINGS[0]}
    every = {**common, "budget": budget, "moments": list(MOMENTS)}
    results = {
        "torchebm": runs.each(of_torchebm, [{**every, **chosen}], out / "runs")[0],
        **dict(
            zip(
                OURS,
                runs.each(of_ours, [{**every, "way": way} for way in OURS], out / "runs"),
                strict=True,
            )
        ),
    }
    write(results, chosen, budget, out)
    return console.DONE


def of_torchebm(job: dict) -> dict:
    """Train by TorchEBM in a process of its own; return the figures of its moments."""
    images, figure = _measure(job)
    options = {k: v for k, v in job.items() if k != "folder"} | {"batch": BATCH}
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "given.npz", images=images)
        script = Path(__file__).with_name("torchebm_images.py")
        command = [job["folder"]["peers"], str(script), folder, json.dumps(options)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        with np.load(Path(folder) / "made.npz") as made:
            return {
                "rows": [
                    {
                        "seconds": float(seconds), "steps": int(made["steps"][place]),
                        "frechet": figure(made[f"samples_{place}"]),
                    }
                    for place, seconds in enumerate(made["seconds"])
                ]
            }  # fmt: skip


def of_ours(job: dict) -> dict:
    """Train one of our ways; return the figures of its moments."""
    import keras

    from tf_febm import training

    images, figure = _measure(job)
    began = time.process_time()
    model, batches, recipe = build(job["way"], images, job["seed"])
    rows: list[dict] = []

    class Clock(keras.callbacks.Callback):
        """Measures at the moments, and stops its own clock meanwhile."""

        left, apart = [m * job["budget"] for m in job["moments"]], 0.0

        def on_train_batch_end(self, batch, logs=None):
            now = time.process_time()
            spent = now - began - self.apart
            # A recipe may end before its budget does.
            ended = batch + 1 >= recipe.steps
            if spent < self.left[0] and not ended:
                return
            while self.left and (ended or spent >= self.left[0]):
                self.left.pop(0)
            drawn, _ = training.draw_samples(
                model, job["samples"], recipe.final_steps, job["seed"], recipe.descent_steps,
                recipe.noise_removed,
            )  # fmt: skip
            rows.append({"seconds": spent, "steps": batch + 1, "frechet": figure(drawn)})
            self.apart += time.process_time() - now
            self.model.stop_training = not self.left

    model.fit(batches, steps_per_epoch=10**9, epochs=1, verbose=0, callbacks=[Clock()])
    return {"rows": rows}


def build(way: str, images: np.ndarray, seed: int) -> tuple:
    """Return the compiled model of one of our ways, its batches and its recipe."""
    import tensorflow as tf

    import tf_febm
    from tf_febm import data, optimizers, recipes, samplers

    pixels = np.round(255.0 * images).astype(np.uint8)
    if way != "published":
        recipe = recipes.get(way).replace(seed=seed)
        source = data.ImageData("celeba", pixels)
        return recipe.build(source), recipe.stream(source), recipe
    recipe = recipes.get("celeba_paper")
    model = tf_febm.FEBM(
        plain_network(images.shape[1:], "energy"), plain_network(images.shape[1:], "variational"),
        "js",
        sampler=samplers.Langevin(
            step_size=recipe.step_size, num_steps=recipe.num_steps, noise_scale=recipe.noise_scale,
            grad_clip=recipe.grad_clip, bounds=(0.0, 1.0),
        ),
        buffer=samplers.ReplayBuffer(
            recipe.buffer_capacity, restart_probability=recipe.restart_probability
        ),
        l2_coeff=recipe.l2_coeff, seed=seed,
    )  # fmt: skip
    settings = {"beta_1": recipe.beta_1, "beta_2": 0.999}
    model.compile(*(optimizers.ClippedAdam(recipe.learning_rate, **settings) for _ in range(2)))
    batches = tf.data.Dataset.from_tensor_slices(images).shuffle(len(images), seed).repeat()
    return model, batches.batch(BATCH), recipe


def plain_network(shape: tuple, name: str) -> Any:
    """Return the energy network of TorchEBM's side: strided convolutions and a dense layer."""
    import keras

    from tf_febm.networks.activations import swish

    layers = keras.layers
    inputs = keras.Input(shape)
    x = layers.Rescaling(2.0, -1.0)(inputs)
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 3, 2, padding="same", activation=swish)(x)
    x = layers.Dense(256, activation=swish)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(1)(x), name=name)


def _measure(job: dict) -> tuple:
    """Return the training images, float32, and a function: images -> Fréchet distance to them."""
    from tf_febm import data, evaluation

    images = data.load("celeba", job["folder"]["data_dir"]).images[: job["images"]]
    images = images.astype(np.float32) / 255.0
    network = evaluation.SqueezeNet(job["folder"]["squeezenet"])
    real = network.features(images)
    return images, lambda made: float(
        evaluation.frechet_distance(real, network.features(np.clip(made, 0.0, 1.0)))
    )


def seconds_to(rows: list[dict], goal: float) -> float | None:
    """Return the seconds of the processor until a way is at a distance; None: it never is."""
    return next((row["seconds"] for row in rows if row["frechet"] <= goal), None)


def write(results: dict, chosen: dict, budget: float, out: Path) -> None:
    """Write quality.json and the curves, and say who is where when."""
    from tf_febm import evaluation, files, training

    goal = min(row["frechet"] for row in results["torchebm"]["rows"])
    table = {
        way: {
            "seconds_to_goal": seconds_to(result["rows"], goal),
            "last": result["rows"][-1], "best": min(row["frechet"] for row in result["rows"]),
        }
        for way, result in results.items()
    }  # fmt: skip
    files.write_json(
        out / "quality.json",
        {
            "goal": goal, "budget": budget, "setting": chosen, "table": table,
            "rows": {way: result["rows"] for way, result in results.items()},
            "versions": training.versions(),
        },
    )  # fmt: skip
    curves = {
        way: (
            [row["seconds"] for row in result["rows"]],
            [row["frechet"] for row in result["rows"]],
        )
        for way, result in results.items()
    }
    chart = evaluation.line_chart(curves, "Faces", "seconds of the processor", "Fréchet distance")
    evaluation.save_png(out / "quality.png", chart)
    console.log(f"Fréchet distance of TorchEBM after {budget:g} s of the processor: {goal:.0f}")
    for way, row in table.items():
        found = row["seconds_to_goal"]
        reached = "never there" if found is None else f"there after {found:.0f} s"
        console.log(f"{way:20} {reached}; at the end {row['last']['frechet']:.0f}")


if __name__ == "__main__":
    console.main(run, define)
