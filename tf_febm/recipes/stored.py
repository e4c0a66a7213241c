"""The recipe, data and model of a run that is stored in a folder."""

import contextlib
import dataclasses
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

from tf_febm import arguments, data
from tf_febm.recipes.recipe import Recipe
from tf_febm.training import Checkpoints, RunFolder, checkpoint_files
from tf_febm.training.run_data import building

__all__ = ["Restored", "restore"]


class Restored(NamedTuple):
    """What a run's folder holds.

    Attributes:
        folder: Its `training.RunFolder`.
        recipe: Its `Recipe`.
        model: The compiled model, with the weights of a checkpoint.
        train: The data that it was trained on.
        held_out: The data that it was not.
        checkpoints: Its `training.Checkpoints`; None of a checkpoint of the original code.
        step: Which of them was restored.
    """

    folder: RunFolder
    recipe: Recipe
    model: Any
    train: Any
    held_out: Any
    checkpoints: Checkpoints | None
    step: int


@arguments.checking({"folder": arguments.PATH | arguments.having("a RunFolder", "read_options")})
def restore(
    folder: arguments.Path | RunFolder,
    data_dir: arguments.Path | None = None,
    step: int | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Restored:
    """Return a run whose data have a name, ready to sample, measure or apply.

    Args:
        folder: The run's folder, or its `training.RunFolder`.
        data_dir: Where the data are, if they have moved since.
        step: Of the checkpoint; the newest if None.
        report: Takes lines about what is going on, and about damaged checkpoints.

    Raises:
        OSError: There is no run, no checkpoint, or the data are gone.
        ValueError: The options are those of another version, the data those of no name, or they
            have other classes now.
    """
    step = arguments.optional(arguments.whole_number, "step", step)
    kept = folder if isinstance(folder, RunFolder) else RunFolder(folder)
    options = kept.read_options()
    # What the steps up to this checkpoint were trained with, not what comes after.
    options |= _options_of(kept, step)
    recipe = _recipe(options["recipe"], kept)
    names = {field.name for field in dataclasses.fields(data.Source)}
    where = {name: value for name, value in options["data"].items() if name in names}
    if "name" not in where:
        raise ValueError(
            f"{kept.path} was trained on arrays, which are not stored: load its "
            f"{kept.model.name} by keras.models.load_model."
        )
    if data_dir is not None:
        where["data_dir"] = data_dir
    report("… reading the data")
    train, held_out = data.Source(**where).load()
    known = options["data"].get("class_names")
    present = list(train.class_names) if recipe.conditional and train.class_names else None
    if known is not None and known != present:
        raise ValueError(f"The run has the classes {known}; {train.source} has {present}.")
    report(building(recipe))
    model = recipe.build(train)
    checkpoints = Checkpoints(kept.checkpoints, model, report=report)
    if not checkpoints.steps:
        raise FileNotFoundError(f"There is no checkpoint in {kept.checkpoints}.")
    step = checkpoints.restore(step)
    return Restored(kept, recipe, model, train, held_out, checkpoints, step)


def _options_of(folder: RunFolder, step: int | None) -> dict:
    """Return the options that a checkpoint says it was trained with; nothing if it says none."""
    if step is None:
        step = folder.newest_checkpoint()
    with contextlib.suppress(checkpoint_files.DamagedError):
        found = checkpoint_files.read_manifest(folder.checkpoints, step) or {}
        return {**found["history"][-1]} if found.get("history") else {}
    return {}


def _recipe(stored: dict, folder: RunFolder) -> Recipe:
    """Return the recipe of stored settings, those of an earlier version completed."""
    types = typing.get_type_hints(Recipe)
    known = {name: value for name, value in stored.items() if name in types}
    # Version 0.1 stored more than settings; what it did not store is what it did.
    unknown = set() if "flags" in stored else stored.keys() - known.keys()
    if "method" not in known or unknown:
        what = f"has the unknown {', '.join(sorted(unknown))}" if unknown else "lacks method"
        raise ValueError(f"{folder.options} {what}: another version wrote it.")
    return Recipe(**known)
