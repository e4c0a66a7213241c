"""Write the model of a run for other programs: `python launch/export.py --run=runs/name`.

The result needs neither tf_febm nor Keras. It holds the averaged weights, if the run kept them.
"""

from pathlib import Path

import console
from absl import flags

# What is written into the folder of the run unless --out says otherwise.
PLACES = {"saved_model": "saved_model", "onnx": "energy.onnx", "tflite": "energy.tflite"}


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags."""
    add = console.definers(values)
    add.text("run", None, "Folder of the run, <logdir>/<exp>.")
    out = "Where the results go; <run>/saved_model, energy.onnx or energy.tflite if unset."
    add.text("out", None, out)
    kinds = "saved_model has energy, score, log density ratio and samples; the others the energy."
    add.choice("format", "saved_model", list(PLACES), kinds)
    steps = "Steps of the sampler; of the endpoint sample, from noise. As a training step if unset."
    add.whole("num_steps", None, steps, 0)
    bad = "What saved_model says of rows out of bounds or NaN: an error, or NaN for these alone."
    add.choice("bad_values", "error", ["error", "nan"], bad)
    add.switch("debug", False, "Show tracebacks of errors.")


def run(values) -> int:
    """Load the model of the run and write it."""
    if not values.run:
        raise ValueError("--run= must name the folder of a run, <logdir>/<exp>.")
    if values["num_steps"].present and values.format != "saved_model":
        raise ValueError(
            f"--num_steps={values.num_steps} is for --format=saved_model, not {values.format}: "
            "leave it out."
        )
    console.import_quietly()
    import tf_febm

    folder = tf_febm.training.RunFolder(values.run)
    if not folder.model.exists():
        folder.load_model()  # It says what there is not.
    out = Path(values.out) if values.out else folder.path / PLACES[values.format]
    if out.exists():
        # Said before the seconds that loading takes.
        raise FileExistsError(f"{out} exists; remove it or give another --out.")
    result = folder.result_step() or 0
    newest = folder.newest_checkpoint()
    if result < newest:
        console.log(
            f"warning: the model is of step {result}; training went on to step {newest} since, "
            "and writes its model when it is finished."
        )
    model = folder.load_model()
    tf_febm.export(
        model, out, values.format, num_steps=values.num_steps, bad_values=values.bad_values
    )
    console.log(f"Done: {out}.")
    return console.DONE


if __name__ == "__main__":
    console.main(run, define)
