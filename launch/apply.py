"""Put the energy of a run to use: `python launch/apply.py --run=runs/name`.

On held-out images: removes Gaussian noise, fills in the lower half, shows how chains evolve from
noise, and tells the images from others by their energy. Writes applications.json and pictures.
"""

import json
from pathlib import Path

import console
import effects
from absl import app, flags

# Images in the pictures.
SHOWN = 12


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    flags.DEFINE_string("run", None, "Folder of the run, <logdir>/<exp>.", flag_values=values)
    flags.DEFINE_string(
        "data_dir", None, "Local folder or file of the data set, if it moved.", flag_values=values
    )
    flags.DEFINE_multi_string(
        "against",
        [],
        "A data set of the same image shape to tell from the run's own, as name or name=path; may "
        "be repeated. Inverted images, noisy ones and uniform noise are always among them.",
        flag_values=values,
    )
    flags.DEFINE_float("noise", 0.3, "Standard deviation of the noise.", 0.0, flag_values=values)
    for name, default, text in (
        ("num_images", 256, "Held-out images to use."),
        ("steps", 400, "Langevin steps of filling in and of chains from noise."),
    ):
        flags.DEFINE_integer(name, default, text, 2, flag_values=values)
    flags.DEFINE_integer("resume_iter", -1, "Checkpoint; -1 is the newest.", flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of all of it.", 0, 2**31 - 1, flag_values=values)
    flags.DEFINE_string(
        "out", None, "Where it goes; <run>/applications if unset.", flag_values=values
    )
    flags.DEFINE_bool("debug", False, "Show tracebacks of errors.", flag_values=values)


def main(argv) -> int:
    """Apply a run."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    console.stop_at_once_on_signals()
    values = flags.FLAGS
    return console.exit_code(lambda: run(values), debug=values.debug)


def run(values) -> int:
    """Restore the model, do everything, write it down.

    Args:
        values: The flags.

    Returns:
        The exit code.
    """
    if not values.run:
        raise ValueError("--run= must name the folder of a run, <logdir>/<exp>.")
    effects.check(effects.APPLY, values, {})
    if not values.noise > 0.0:
        raise ValueError(f"--noise must be positive; received {values.noise}.")
    console.import_quietly()
    import building

    from tf_febm import data, files, training

    folder = training.RunFolder(values.run)
    _, model, _, held_out, _, step = building.restore(folder, values.data_dir, values.resume_iter)
    # First: a missing data set shall leave nothing behind.
    others = {text.partition("=")[0]: _load(text, held_out) for text in values.against}
    out = Path(values.out) if values.out else folder.applications
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"Cannot write to {out}: {error.strerror}.") from None
    if values["num_images"].present and values.num_images > len(held_out):
        console.log(
            f"warning: --num_images={values.num_images} is more than there are: {len(held_out)} "
            "held-out images."
        )
    images = data.dequantise(held_out.images[: values.num_images], seed=values.seed).numpy()
    labels = None
    if model.conditional:
        labels = held_out.labels[: values.num_images]
    results = {"run": str(folder.path), "step": step, "num_images": len(images)}
    if model.conditional:
        named = [held_out.class_names[k] for k in labels]
        results["classes"] = {name: named.count(name) for name in held_out.class_names}
    with model.best_weights():
        results["denoising"] = denoise(model, images, labels, values, out)
        results["inpainting"] = inpaint(model, images, labels, values, out)
        evolve(model, values, out)
        results["out_of_distribution"] = tell_apart(model, held_out, others, values, out)
    files.write_json(out / "applications.json", results)
    console.log(json.dumps(results, indent=2))
    console.log(f"Done: look at {out}.")
    return console.DONE


def _load(text: str, held_out):
    """Return the test images of "name" or "name=path", which must have the run's image shape."""
    from tf_febm import data

    name, _, path = text.partition("=")
    size = held_out.image_shape[0]
    other = data.load(name, split="test", data_dir=path or None, image_size=size)
    if other.image_shape != held_out.image_shape:
        raise ValueError(
            f"--against={name} has images of shape {other.image_shape}; the run's are of "
            f"{held_out.image_shape}."
        )
    return other


def denoise(model, images, labels, values, out) -> dict:
    """Remove noise; return mean peak signal-to-noise ratios in dB, peak 1."""
    import numpy as np

    from tf_febm import applications

    rng = np.random.default_rng(values.seed)
    noisy = (images + rng.normal(0.0, values.noise, images.shape)).astype(np.float32)
    console.log(f"Removing noise of {values.noise} from {len(images)} images …")
    result = applications.denoise(model, noisy, values.noise, labels, seed=(values.seed, 1))

    def ratio(estimates):
        errors = np.mean(np.square(estimates - images), axis=(1, 2, 3))
        return float(np.mean(-10.0 * np.log10(errors)))

    clipped = np.clip(noisy, 0.0, 1.0)
    _rows(out / "denoised.png", images, clipped, result.images)
    return {
        "noise": values.noise,
        "psnr_noisy": ratio(noisy),
        "psnr_clipped": ratio(clipped),
        "psnr_denoised": ratio(result.images),
        "energy_weight": result.energy_weight,
    }


def inpaint(model, images, labels, values, out) -> dict:
    """Fill in the lower halves of some images; return whether the upper ones were left alone."""
    import numpy as np

    from tf_febm import applications

    images = images[:SHOWN]
    height = images.shape[1]
    known = np.arange(height)[:, None, None] < height // 2
    console.log(f"Filling in the lower half of {len(images)} images …")
    filled = applications.inpaint(
        model,
        images,
        known,
        None if labels is None else labels[:SHOWN],
        seed=(values.seed, 2),
        num_steps=values.steps,
    )
    given = np.where(known, images, np.float32(0.5))
    _rows(out / "inpainted.png", images, given, filled)
    upper = slice(0, height // 2)
    return {"known_pixels_equal": bool(np.array_equal(filled[:, upper], images[:, upper]))}


def evolve(model, values, out) -> None:
    """Draw chains on their way from noise."""
    from tf_febm import applications, evaluation

    frames = min(SHOWN, values.steps + 1)
    evolution = applications.chain_evolution(
        model, 8, frames, seed=(values.seed, 3), num_steps=values.steps
    )
    picture = applications.evolution_picture(evolution, model.bounds)
    evaluation.save_png(out / "evolution.png", picture)


def tell_apart(model, held_out, others: dict, values, out) -> dict:
    """Score held-out images against others; return the figures of each score and set."""
    import numpy as np

    from tf_febm import applications, data, evaluation

    # Not those that were denoised: the mean energies below are of 1,000 images, if there are so
    # many.
    own = data.dequantise(held_out.images[-1000:], seed=values.seed + 1).numpy()
    rng = np.random.default_rng(values.seed + 2)
    sets = {
        "inverted": 1.0 - own,
        "noisy": np.clip(own + rng.normal(0.0, 0.2, own.shape), 0.0, 1.0).astype(np.float32),
        "uniform noise": rng.random(own.shape, np.float32),
        **{name: data.dequantise(o.images[:1000], seed=1).numpy() for name, o in others.items()},
    }
    console.log(f"Telling {held_out.name} from {', '.join(sets)} …")
    usual = applications.ood_scores(model, own)
    results = {"mean_energy": {held_out.name: float(usual["energy"].mean())}}
    energies = {held_out.name: usual["energy"]}
    for name, images in sets.items():
        strange = applications.ood_scores(model, images)
        energies[name] = strange["energy"]
        results["mean_energy"][name] = float(strange["energy"].mean())
        results[name] = {
            score: evaluation.ood_metrics(-usual[score], -strange[score])._asdict()
            for score in usual
        }
    _histograms(out / "energies.png", energies)
    return results


def _rows(path, *rows) -> None:
    """Write rows of as many images as fit."""
    import numpy as np

    from tf_febm import evaluation

    shown = [row[:SHOWN] for row in rows]
    columns = len(shown[0])
    evaluation.save_png(path, evaluation.image_grid(np.concatenate(shown), columns=columns))


def _histograms(path, energies: dict) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    plt.rcParams.update({"font.size": 12, "axes.spines.top": False, "axes.spines.right": False})
    figure, axis = plt.subplots(figsize=(7, 3.6))
    every = np.concatenate(list(energies.values()))
    bins = np.linspace(*np.quantile(every, [0.001, 0.999]), 80)
    colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
    for i, (name, values) in enumerate(energies.items()):
        axis.hist(
            np.clip(values, bins[0], bins[-1]),
            bins,
            histtype="stepfilled" if not i else "step",
            alpha=0.4 if not i else 1.0,
            lw=1.8,
            color=colours[i % len(colours)],
            label=name,
        )
    axis.set_yscale("log")
    axis.set_xlabel("energy")
    axis.set_ylabel("images")
    axis.legend(frameon=False, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    define()
    app.run(main)
