"""Make a model that comes with the library: `python -m studies.pretrained --run=runs/digits`.

Takes the weights and some chains of a finished run, and measures them as `tf_febm.pretrained.load`
returns them: samples of the chains that are kept, samples of fresh chains, noise that is removed,
and images that are told from others.
"""

import tempfile

from absl import flags

from launch import console

# Whose figures are kept, beside those of samples; each has figures of its own for the energy.
STRANGERS = ("inverted", "noisy", "uniform noise")


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    add = console.definers(values)
    add.text("run", "runs/digits", "Folder of a finished run on images.")
    add.text("out", "tf_febm/pretrained", "Where the model goes.")
    add.whole("chains", 500, "Chains of training that are kept.", 0)
    add.whole("steps", 400, "Steps of a fresh chain.", 1)
    add.whole("num_samples", 1000, "Samples that are measured.", 10)
    add.switch("debug", False, "Show tracebacks.")


def run(values) -> int:
    """Write the model, load it again, and measure it."""
    console.import_quietly()
    from tf_febm import pretrained, recipes

    found = recipes.restore(values.run, report=console.log)
    path = pretrained.write(
        found,
        values.out,
        num_chains=values.chains,
        num_steps=values.steps,
        measure=lambda model: figures_of(model, found, values),
    )
    size = sum(p.stat().st_size for p in (path, path.with_suffix(".json")))
    console.log(f"Done: {path}, {size / 2**20:.2f} MiB with its description.")
    return console.DONE


def figures_of(model, found, values) -> dict:
    """Return what is measured of a loaded model: name -> figures."""
    from tf_febm import applications, evaluation, training

    figures = {}
    for start, steps in (("buffer", found.recipe.final_steps), ("noise", values.steps)):
        if start == "buffer" and not values.chains:
            continue
        console.log(f"Drawing {values.num_samples} samples from {start} …")
        x = model.sample(values.num_samples, seed=1, initial=start, num_steps=steps).numpy()
        x = training.to_unit_scale(model, x)
        figures[f"samples_from_{start}"] = {
            "num_steps": steps,
            **evaluation.run_figures(model, x, found.train, found.held_out),
        }
    with tempfile.TemporaryDirectory() as pictures:
        told = applications.demonstrate(model, found.held_out, pictures, report=console.log)
    figures["denoising"] = told["denoising"]
    figures["energy"] = {k: told["out_of_distribution"][k]["energy"] for k in STRANGERS}
    return figures


if __name__ == "__main__":
    console.main(run, define)
