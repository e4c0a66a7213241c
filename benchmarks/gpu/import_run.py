"""Make a model and a run's folder of what `run.py` trained.

    python benchmarks/gpu/import_run.py TRAINED RUN --images=faces.npz

TRAINED is what `run.py --out` wrote. RUN becomes the folder of a run: a checkpoint that
`python launch/evaluate.py --run=RUN` measures, `model.keras`, and a picture of the last chains.
"""

import argparse
import json
import sys
from pathlib import Path

import keras
import numpy as np
from programs import PROGRAMS, images_in, model_of

from tf_febm import data, evaluation, training

# Cells of the picture.
CELLS = 100


def trained_state(folder: Path) -> dict[str, np.ndarray]:
    """Return name -> value of all that `run.py` wrote of a state."""
    found = {}
    for path in sorted(folder.glob("state_*.npz")):
        with np.load(path, allow_pickle=False) as file:
            for key in file.files:
                found[key.split(" ", 1)[1].replace("-", "/")] = file[key]
    return found


def assign(model, state: dict[str, np.ndarray]) -> list[str]:
    """Give a model a state, and return the names of the parts that it does not know."""
    known = {
        f"{group}/{i}": variable
        for group, variables in model.state_variables().items()
        for i, variable in enumerate(variables)
    }
    for name in state.keys() & known.keys():
        variable, value = known[name], state[name]
        if value.shape != tuple(variable.shape):
            # Of a large buffer a part comes back: the rest begins as copies of it.
            value = np.resize(value, variable.shape)
        variable.assign(value)
    return sorted(state.keys() - known.keys())


def main() -> int:
    """Write the folder of the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trained", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=Path, help="those that it was trained on, an .npz")
    arguments = parser.parse_args()
    told = json.loads((arguments.trained / "trained.json").read_text(encoding="utf-8"))
    program = PROGRAMS[told["program"]]
    if program.recipe == "digits":
        source = data.Source(name="digits")
        images = None
    else:
        source = data.Source(name="npz", data_dir=arguments.images)
        images = images_in(arguments.images)
    model, recipe = model_of(program, images)
    assign(model, trained_state(arguments.trained))
    folder = training.RunFolder(arguments.run)
    options = {"recipe": recipe.as_dict(), "data": source.as_dict(), "versions": {}}
    folder.prepare(options)
    folder.write_options(options)
    training.Checkpoints(folder.checkpoints, model).save()
    with model.best_weights():
        keras.saving.save_model(model, folder.model)
    chains = np.asarray(model.buffer.read(CELLS, (0, 0))[0])
    evaluation.save_png(folder.samples / "final.png", evaluation.image_grid(chains.clip(0.0, 1.0)))
    print(f"{arguments.run}: {told['steps']} steps, {told['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
