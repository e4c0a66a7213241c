"""Put the energy of a run to use: `python launch/apply.py --run=runs/name`.

On held-out images: removes Gaussian noise, fills in the lower half, shows how chains evolve from
noise, and tells the images from others by their energy. On a table: scores all rows, names the
oddest, and tells classes apart. Writes applications.json and pictures.
"""

from pathlib import Path

import console
from absl import flags

# Flags that are nothing to vectors.
_OF_IMAGES = ("against", "noise", "num_images", "final_steps", "seed")


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    add = console.definers(values)
    add.text("run", None, "Folder of the run, <logdir>/<exp>.")
    add.text("data_dir", None, "Local folder or file of the data set; if it has moved since.")
    add.texts(
        "against",
        [],
        "A data set of the same image shape to tell from the run's own, as name or name=path; may "
        "be repeated. Inverted images, noisy ones and uniform noise are always among them.",
    )
    add.real("noise", 0.3, "Standard deviation of the noise.", 0.0)
    add.whole("num_images", 256, "Held-out images to use.", 2)
    add.real("odd", 0.05, "Rows of a table with a p_value up to this are odd.", 0.0, 1.0)
    steps = "Steps of the sampler for each of these samples; and of filling in."
    add.whole("final_steps", 400, steps, 2)
    add.alias("steps", "final_steps")
    add.whole("resume_iter", -1, "Checkpoint to take; -1 is the newest.")
    add.whole("seed", 0, "Seed of all that is random.", 0, 2**31 - 1)
    add.text("out", None, "Where the results go; <run>/applications if unset.")
    add.switch("debug", False, "Show tracebacks of errors.")


def run(values) -> int:
    """Restore the model, do everything, write it down."""
    if not values.run:
        raise ValueError("--run= must name the folder of a run, <logdir>/<exp>.")
    if not values.noise > 0.0:
        raise ValueError(f"--noise must be positive; received {values.noise}.")
    console.import_quietly()
    from tf_febm import applications, files, recipes, training

    folder = training.RunFolder(values.run)
    step = None if values.resume_iter < 0 else values.resume_iter
    found = recipes.restore(folder, values.data_dir, step, console.log)
    held_out = found.held_out
    vectors = not hasattr(held_out, "images")
    for name in _OF_IMAGES if vectors else ("odd",):
        if values[name].present:
            kinds = ("images", "vectors") if vectors else ("vectors", "images")
            raise ValueError(
                f"--{name} is for a run on {kinds[0]}, not on {kinds[1]}: leave it out."
            )
    # First: a missing data set shall leave nothing behind.
    others = {text.partition("=")[0]: _load(text, held_out) for text in values.against}
    out = Path(values.out) if values.out else folder.applications
    if values["num_images"].present and values.num_images > len(held_out):
        console.log(
            f"warning: --num_images={values.num_images} is more than there are: {len(held_out)} "
            "held-out images."
        )
    with files.staged(out) as new:
        if vectors:
            figures = applications.score_rows(
                found.model, found.train, held_out, new, odd=values.odd
            )
        else:
            figures = applications.demonstrate(
                found.model,
                held_out,
                new,
                num_images=values.num_images,
                noise=values.noise,
                num_steps=values.final_steps,
                others=others,
                noise_removed=found.recipe.noise_removed,
                seed=values.seed,
                report=console.log,
            )
        results = {"run": str(folder.path), "step": found.step, **figures}
        files.write_json(new / "applications.json", results)
    say = console.words.of_rows if vectors else console.words.of_applications
    console.log("\n".join(say(figures)))
    console.log(f"Done: look at {out}; applications.json has all figures.")
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


if __name__ == "__main__":
    console.main(run, define)
