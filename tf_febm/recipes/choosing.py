"""The recipes by name and by data set."""

import dataclasses
from typing import Any

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
    generator = "generator" in catalogue.METHODS[method].players
    row = catalogue.dataset(dataset)
    names = [dataset, "paper" if row is None else row.recipe]
    kind = "images" if row is None or row.kind in ("images", None) else "vectors"
    if row is not None and row.kind == "plane":
        names.append("plane")
    if row is not None and row.accelerated is not None and accelerator:
        names.insert(0, row.accelerated)
    candidates = [f"{name}{ending}" for name in names]
    if ending:
        whole = ending.lstrip("_")
        if kind == "vectors" and not _is_for(RECIPES[whole], kind) and not generator:
            candidates.append(f"plane{ending}")
        candidates.append(whole)
    found = next(RECIPES[name] for name in (*candidates, "paper") if name in RECIPES)
    changes = _for_kind(found, next(RECIPES[name] for name in names if name in RECIPES), kind)
    if generator and catalogue.GENERATORS[found.generator].kind not in (kind, "both"):
        # As few latent variables as any table has columns.
        changes |= {"generator": "mlp", "latent_dim": 2}
    if found.method != method:
        changes["method"] = method
    return dataclasses.replace(found, **changes) if changes else found


def _is_for(recipe: Recipe, kind: str) -> bool:
    return catalogue.NETWORKS[recipe.network].kind in (kind, "both")


def _for_kind(recipe: Recipe, own: Recipe, kind: str) -> dict[str, Any]:
    """Return what makes a method's recipe one for data of a kind.

    Args:
        recipe: What the method starts from.
        own: What the data start from with f-EBM.
        kind: "images" or "vectors".
    """
    changes: dict[str, Any] = {}
    if not _is_for(recipe, kind):
        of_networks = ("network", "width", "frequency", "confinement", "use_attention")
        changes |= {name: getattr(own, name) for name in of_networks}
    other = {"images": "full", "vectors": "spectral"}[kind]
    if recipe.reference == other:
        changes["reference"] = {"images": "spectral", "vectors": "full"}[kind]
    if kind == "vectors":
        # What is for images alone.
        changes |= {name: False for name in ("random_flip", "denoise_samples")
                    if getattr(recipe, name)}  # fmt: skip
    return changes


def _holds_vectors(dataset: str, data_dir) -> bool:
    if dataset.startswith("tfds:"):
        return tfds_names.holds_vectors(dataset, data_dir)
    told = {"npz": npz_keys.holds_vectors, "records": records.holds_vectors}.get(dataset)
    return bool(told is not None and data_dir and told(data_dir))
