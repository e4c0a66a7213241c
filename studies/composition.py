"""Slanted and thick digits, by two energies that never met: `python -m studies.composition`.

One f-EBM learns the third of the digits that leans most to the right, another the third with most
ink; `compose.product` asks for what is likely under both. Measured: slant and ink of samples of
each, of the product, and of the data. Writes composition.json and composition.png into --out.
"""

import platform
import time
from pathlib import Path

from absl import flags

from launch import console
from studies import runs

PARTS = ("slanted", "thick")
SAMPLES, COLUMNS = 500, 20


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    own = {"flag_values": values}
    flags.DEFINE_integer("steps", 3000, "Steps of each of the two models.", 1, **own)
    flags.DEFINE_integer("chain_steps", 500, "Steps of the chains, from noise.", 1, **own)
    flags.DEFINE_integer("seed", 0, "Seed of training and samples.", 0, **own)
    flags.DEFINE_string("out", "runs/composition", "Folder of the results.", **own)
    runs.define_common(values, logdir=None)


def run(values) -> int:
    """Train both parts, draw samples of each and of their product, and measure them."""
    changes = runs.changes_of(values.set)
    console.import_quietly(intra_op_threads=1)
    import keras
    import numpy as np

    from tf_febm import compose, data, evaluation, files, recipes, training

    out, digits = Path(values.out), data.load("digits", split="train").images
    keras.utils.set_random_seed(values.seed)
    recipe = recipes.get("digits_quick").replace(steps=values.steps, seed=values.seed)
    recipe = recipe.replace(**changes)
    figures, images, models = {"all digits": means(digits / 255.0)}, [], {}
    for number, name in enumerate(PARTS):
        measured = traits(digits / 255.0)[number]
        some = data.ImageData(name, digits[measured >= np.quantile(measured, 2 / 3)])
        figures[f"data, {name}"] = means(some.images / 255.0)
        model = recipe.build(some)
        model.fit(recipe.stream(some), steps_per_epoch=values.steps, verbose=0)
        models[name] = model
        console.log(f"{name}: trained on {some.total} digits")
    with models["slanted"].best_weights(), models["thick"].best_weights():
        models["slanted and thick"] = compose.product(*models.values())
        for name, model in models.items():
            drawn = model.sample(SAMPLES, seed=values.seed, num_steps=values.chain_steps)
            drawn = np.asarray(drawn)
            figures[f"samples, {name}"] = means(drawn)
            images.append(drawn[: 2 * COLUMNS])
    for name, row in figures.items():
        console.log(f"{name}: slant {row['slant']:.3f}, ink {row['ink']:.3f}")
    out.mkdir(parents=True, exist_ok=True)
    grid = evaluation.image_grid(np.concatenate(images), columns=COLUMNS, upscale=4)
    evaluation.save_png(out / "composition.png", grid)
    files.write_json(
        out / "composition.json",
        {
            "date": time.strftime("%Y-%m-%d"),
            "versions": training.versions(),
            "machine": f"{platform.machine()}, one core",
            "steps": values.steps,
            "chain_steps": values.chain_steps,
            "samples": SAMPLES,
            "results": figures,
        },
    )
    return console.DONE


def traits(images) -> tuple:
    """Return the slant and the ink of images [n, h, w, 1] in [0, 1], each [n].

    The slant is −μ_xy/μ_yy, by how many columns to the right a digit leans for each row upward;
    ink is the mean level.
    """
    import numpy as np

    level = np.asarray(images, np.float64)[..., 0]
    rows, columns = np.mgrid[: level.shape[1], : level.shape[2]]
    mass = level.sum((1, 2))
    y, x = (axis - ((level * axis).sum((1, 2)) / mass)[:, None, None] for axis in (rows, columns))
    return -(level * x * y).sum((1, 2)) / (level * y * y).sum((1, 2)), level.mean((1, 2))


def means(images) -> dict[str, float]:
    """Return the mean slant and ink of images."""
    slant, ink = traits(images)
    return {"slant": float(slant.mean()), "ink": float(ink.mean())}


def table(measured: dict) -> list[str]:
    """Return the lines of the page's table."""
    lines = ["| | slant | ink |", "|---|---|---|"]
    for name, row in measured["results"].items():
        lines.append(f"| {name} | {row['slant']:.3f} | {row['ink']:.3f} |")
    return lines


if __name__ == "__main__":
    console.main(run, define)
