"""Compare the pictures of a run with those of its reference alone: `python -m studies.pictures`.

A run whose energy is relative to a Gaussian begins with the samples of that Gaussian: what training
adds is the difference. Rows: held-out images; samples of the reference and of the trained model, as
they are, without the noise of the data, and after descent as well. Each has the Fréchet distance,
precision and recall of its features against all training images. Writes pictures.json, and a grid
of each row, to <run>/pictures.
"""

import functools

from absl import flags

from launch import console

NETWORKS = ("auto", "classifier", "inception_graph", "keras_inception", "squeezenet")
# Steps of descent of the last row.
DESCENT = 20
GRID = 100


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    add = console.definers(values)
    add.text("run", None, "Folder of the run.")
    add.text("data_dir", None, "Local folder or file of the data set, if it has moved since.")
    add.choice("features", "auto", NETWORKS, "Feature network; see launch/evaluate.py.")
    add.text("inception", None, "classify_image_graph_def.pb, for the published FID.")
    add.text("squeezenet", None, "Weights of SqueezeNet 1.1 without top.")
    add.whole("num_samples", 1000, "Samples of each row.", 10)
    add.whole("seed", 0, "Seed of the samples.", 0)
    add.switch("debug", False, "Show tracebacks of errors.")


def run(values) -> int:
    """Draw each row, and measure it."""
    if not values.run:
        raise ValueError("--run= must name the folder of a run.")
    console.import_quietly()
    from tf_febm import evaluation, files, recipes

    found = recipes.restore(values.run, values.data_dir, None, console.log)
    if found.model.reference is None or not hasattr(found.train, "images"):
        raise ValueError(
            f"{values.run} is no run of images whose energy is relative to a Gaussian: the recipe "
            f"has reference={found.recipe.reference}."
        )
    network = evaluation.find_feature_network(
        found.train, values.features, inception=values.inception, squeezenet=values.squeezenet
    )
    if network is None:
        raise ValueError("The figures need a feature network: give --squeezenet= or --inception=.")
    out = found.folder.path / "pictures"
    out.mkdir(exist_ok=True)
    real = network.features(found.train.images)
    rows = {}
    for name, draw in rows_of(found, values.num_samples, values.seed).items():
        images = draw()
        own = network.features(images)
        quality = evaluation.precision_and_recall(real, own)
        rows[name] = {
            "frechet_distance": float(evaluation.frechet_distance(real, own)),
            "precision": quality.precision,
            "recall": quality.recall,
        }
        console.log(f"{name:32}" + "  ".join(f"{k} {v:.3f}" for k, v in rows[name].items()))
        evaluation.save_png(out / f"{name}.png", evaluation.image_grid(images[:GRID]))
    result = {"step": found.step, "num_samples": values.num_samples, "seed": values.seed}
    result |= {"feature_network": network.feature_network, "rows": rows}
    files.write_json(out / "pictures.json", result)
    console.log(f"Done: look at {out}.")
    return console.DONE


def rows_of(found, count: int, seed: int) -> dict:
    """Return name -> function that draws images, float32 [count, …]."""
    import numpy as np
    import tensorflow as tf

    from tf_febm import samplers, training

    model, noise = found.model, found.recipe.noise_removed
    steps = found.recipe.final_steps

    def of_reference(clean: bool):
        samples = model.reference.sample(count, tf.constant([seed, 1]))
        if clean:
            samples = samplers.denoising_step(model.reference.energy, samples, noise)
        return np.clip(samples, 0.0, 1.0)

    def of_model(descent: int, removed: float):
        return training.draw_samples(model, count, steps, seed, descent, removed)[0]

    rows = {
        "held_out": lambda: found.held_out.images[:count],
        "reference": functools.partial(of_reference, False),
        "reference_denoised": functools.partial(of_reference, True),
        "trained": functools.partial(of_model, 0, 0.0),
        "trained_denoised": functools.partial(of_model, 0, noise),
    }
    if not hasattr(model, "levels"):
        # A level of little noise is far too steep for the steps of a descent.
        rows["trained_descended_denoised"] = functools.partial(of_model, DESCENT, noise)
    return rows


if __name__ == "__main__":
    console.main(run, define)
