"""The recipes by name and by data set."""

import dataclasses

from tf_febm import arguments, catalogue
from tf_febm.data import npz_keys, records, tfds_names
from tf_febm.recipes import bounds_table, noise_table, table
from tf_febm.recipes.recipe import Recipe

__all__ = ["RECIPES", "for_dataset", "get", "names"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for module in (table, bounds_table, noise_table)
    for recipe in vars(module).values()
    if isinstance(recipe, Recipe)
}


def names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    return tuple(RECIPES)


@arguments.checked
def get(name: str) -> Recipe:
    """Return a recipe by its name.

    Args:
        name: One of `names()`, such as "digits".

    Raises:
        ValueError: There is none of this name.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; received {name!r}.")
    return RECIPES[name]


@arguments.checked
def for_dataset(
    dataset: str,
    method: str = "febm",
    accelerator: bool = False,
    data_dir: arguments.Path | None = None,
) -> Recipe:
    """Return the recipe that a data set starts from: its own, or one that it shares with others.

    Args:
        dataset: A name of `tf_febm.data.names()`.
        method: A name of `catalogue.METHODS`.
        accelerator: Whether the machine has one. Without, training shows something in minutes on
            two cores where there is a recipe for that; with one, some start from the paper's.
        data_dir: Where the data are, or None: vectors in an .npz, in TFRecord files and in prepared
            copies of TensorFlow Datasets start from what tables do.

    Raises:
        ValueError: There is no such method.
    """
    if method not in catalogue.METHODS:
        known = ", ".join(catalogue.METHODS)
        raise ValueError(f"method must be one of {known}; received {method!r}.")
    if _holds_vectors(dataset, data_dir):
        dataset = "csv"
    ending = catalogue.METHODS[method].recipes
    row = catalogue.dataset(dataset)
    names = [dataset, "paper" if row is None else row.recipe]
    if row is not None and row.kind == "plane":
        names.append("plane")
    if row is not None and row.accelerated is not None and accelerator:
        names.insert(0, row.accelerated)
    candidates = [f"{name}{ending}" for name in names]
    if ending:
        candidates.append(ending.lstrip("_"))
    found = next(RECIPES[name] for name in (*candidates, "paper") if name in RECIPES)
    return found if found.method == method else dataclasses.replace(found, method=method)


def _holds_vectors(dataset: str, data_dir) -> bool:
    if dataset.startswith("tfds:"):
        return tfds_names.holds_vectors(dataset, data_dir)
    told = {"npz": npz_keys.holds_vectors, "records": records.holds_vectors}.get(dataset)
    return bool(told is not None and data_dir and told(data_dir))
