"""Trained weights and some chains as arrays, with a record of how they came about.

Arrays and a recipe, not a file of Keras: those of one version of Keras are not always read by an
earlier one.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tf_febm import arguments, data, untrusted_files
from tf_febm.files import write_atomically
from tf_febm.recipes import Recipe, Restored
from tf_febm.untrusted_files import records

__all__ = ["Pretrained", "describe", "load", "names", "write"]

_HERE = Path(__file__).parent
_ANY = records.Field(records.mapping())
_SCHEMA = {
    **dict.fromkeys(("recipe", "data", "versions", "figures"), _ANY),
    "steps": records.Field(records.whole),
    "num_steps": records.Field(records.whole),
}


@arguments.checked
@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Say how a model was made and how good it is.

    Attributes:
        recipe: The `recipes.Recipe` that it was trained by, its seed included.
        data: What it was trained on: name, where it came from, how many examples, their shape, and
            "hash", the SHA-256 of examples and labels.
        versions: Of the software that trained it; see `training.versions`.
        steps: Steps of training that it has.
        num_steps: Steps of the sampler of the loaded model, which fresh chains need.
        figures: What was measured of the model as `load` returns it, name -> figures.
    """

    recipe: Recipe
    data: dict[str, Any]
    versions: dict[str, Any]
    steps: int
    num_steps: int
    figures: dict[str, Any]


@arguments.checked
def names(folder: arguments.Path | None = None) -> tuple[str, ...]:
    """Return the names of all models that there are.

    Args:
        folder: Where `write` has put others; those of the library if None.
    """
    place = _HERE if folder is None else Path(folder)
    return tuple(sorted(path.stem for path in place.glob("*.npz")))


@arguments.checked
def describe(name: str, folder: arguments.Path | None = None) -> Pretrained:
    """Return how a model was made and how good it is.

    Args:
        name: One of `names()`, such as "digits".
        folder: See `names`.

    Raises:
        ValueError: There is no model of this name.
        OSError: Its files are damaged or cannot be read.
    """
    path = _place(name, folder).with_suffix(".json")
    found = untrusted_files.read_record(path, _SCHEMA)
    try:
        recipe = Recipe(**found["recipe"])
        shape = arguments.shape("sample_shape", found["data"].get("sample_shape"), 3)
        untrusted_files.check_pixels(shape[0], shape[1] * shape[2])
    except (TypeError, ValueError) as error:
        raise untrusted_files.DamagedError(f"{path.name} is damaged ({error})") from None
    return Pretrained(**{**found, "recipe": recipe})


@arguments.checked
def load(name: str, folder: arguments.Path | None = None) -> Any:
    """Return a trained model, ready to sample, to score and to train.

    Its energy has the averaged weights of the run, where it kept an average; so there is nothing to
    be done for the best ones. Its replay buffer holds the newest chains of training, from which
    `sample(…, initial="buffer")` goes on; and as fresh chains take longer, its sampler takes
    `num_steps` of the description, not of the recipe. Optimizers begin anew: to train on, give
    `model.sampler` its steps again (`model.sampler.num_steps = recipe.num_steps`).

    Args:
        name: One of `names()`, such as "digits".
        folder: See `names`.

    Returns:
        The compiled model that its recipe builds.

    Raises:
        ValueError: There is no model of this name.
        OSError: Its files are damaged or cannot be read.
    """
    path, about = _place(name, folder), describe(name, folder)
    # The recipe takes from images no more than their shape.
    blank = data.as_data(np.zeros((1, *about.data["sample_shape"]), np.uint8))
    model = about.recipe.build(blank)
    arrays = untrusted_files.read_arrays(path)
    kept = {key.removeprefix("buffer_"): value for key, value in arrays.items() if "buffer_" in key}
    weights = [arrays.get(f"weight_{i}") for i in range(len(arrays) - len(kept))]
    shapes = [tuple(variable.shape) for variable in _weights_of(model)]
    if [getattr(array, "shape", None) for array in weights] != shapes:
        raise untrusted_files.DamagedError(f"{path} has not the weights of the recipe beside it.")
    if not all(array.dtype.kind == "f" and np.isfinite(array).all() for array in weights):
        raise untrusted_files.DamagedError(f"{path} has weights that are no finite numbers.")
    for variable, array in zip(_weights_of(model), weights, strict=True):
        variable.assign(array)
    # An average begins at these.
    model.set_weights(model.get_weights()[: len(model.weights)])
    if kept:
        try:
            model.buffer.load_state(kept)
        except ValueError as error:
            raise untrusted_files.DamagedError(f"{path} has damaged chains ({error})") from None
    model.sampler.num_steps = about.num_steps
    return model


@arguments.checked
def write(
    run: Restored,
    folder: arguments.Path,
    *,
    num_chains: int = 500,
    num_steps: int = 400,
    measure: Callable[[Any], dict] | None = None,
) -> Path:
    """Write what `load` reads, of a run on images whose recipe has no reference.

    Args:
        run: What `recipes.restore` returns.
        folder: Where `NAME.npz` and `NAME.json` go, NAME being that of the recipe.
        num_chains: How many of the chains of training are kept, at least 0.
        num_steps: Steps of a fresh chain, at least 1.
        measure: The model as `load` returns it -> the `figures` of its description, ready for JSON;
            none if None.

    Returns:
        The path of the arrays.

    Raises:
        ValueError: A number is out of its range, or the run is of another kind.
    """
    num_chains = arguments.whole_number("num_chains", num_chains)
    num_steps = arguments.whole_number("num_steps", num_steps, 1)
    model, recipe = run.model, run.recipe
    if not hasattr(run.train, "images") or recipe.reference is not None or recipe.conditional:
        raise ValueError(
            "A pretrained model is unconditional, of images and without a reference, so that its "
            f"recipe alone builds it; received a run of the recipe {recipe.name!r} on "
            f"{run.train.source}."
        )
    with model.best_weights():
        arrays = {f"weight_{i}": v.numpy() for i, v in enumerate(_weights_of(model))}
    if num_chains and model.evaluation_start == "buffer":
        newest = model.buffer.state()
        order = (newest["written"] - 1 - np.arange(num_chains)) % len(newest["samples"])
        kept = newest["samples"][order[: len(newest["samples"])]]
        arrays |= {"buffer_samples": kept, "buffer_written": np.int64(len(kept))}
    path = Path(folder) / f"{recipe.name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
    options = run.folder.read_options()
    facts = ("name", "source", "num_examples", "sample_shape", "hash")
    record = {
        "recipe": recipe.as_dict(),
        "data": {name: options["data"][name] for name in facts},
        "versions": options["versions"],
        "steps": run.step,
        "num_steps": num_steps,
        "figures": {},
    }
    untrusted_files.write_record(path.with_suffix(".json"), record)
    if measure is not None:
        figures = measure(load(recipe.name, folder))
        untrusted_files.write_record(path.with_suffix(".json"), {**record, "figures": figures})
    return path


def _weights_of(model) -> list:
    return [variable for network in model.networks for variable in network.weights]


def _place(name: str, folder) -> Path:
    known = names(folder)
    if name not in known:
        there = ", ".join(known) or "none"
        raise ValueError(f"Unknown pretrained model {name!r}; there are: {there}.")
    return (_HERE if folder is None else Path(folder)) / f"{name}.npz"
