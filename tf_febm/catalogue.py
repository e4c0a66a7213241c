"""Tables of what can be chosen by name: one line registers a network, a sampler, a data set.

Nothing is imported here but the standard library: the command line reads this file by its place,
for the names and defaults, before TensorFlow is imported, which takes seconds. `load` imports what
a line stands for.
"""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["DATASETS", "Dataset", "find", "load"]


def load(place: str) -> Any:
    """Return what "package.module:attribute" names, imported now."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find(what: str, table: Mapping[str, Any], name: str) -> Any:
    """Return a row of a table.

    Args:
        what: What the table lists, for the message.
        table: Name -> row.
        name: The name that is looked for.

    Raises:
        ValueError: If there is no such name.
    """
    if name not in table:
        raise ValueError(f"{what} must be one of {', '.join(table)}; received {name!r}.")
    return table[name]


# --- data sets ------------------------------------------------------------------------------------


class Dataset(NamedTuple):
    """Data that `tf_febm.data.load` reads.

    Attributes:
        place: A `tf_febm.data.files.Source`, or for a "plane" a function without arguments that
            returns a `ToyDataset`: "package.module:attribute".
        kind: "images", "vectors", "plane" for vectors in the plane of a known density, or None
            where that depends on the file.
        recipe: What training starts from where nothing else is said.
        labels: Whether there are classes; None where that depends on the files.
        classifier: Whether a small classifier, which judges samples, learns it in seconds.
    """

    place: str
    kind: str | None
    recipe: str
    labels: bool | None = False
    classifier: bool = False


_D = "tf_febm.data"

DATASETS = {
    "digits": Dataset(f"{_D}.digits:DIGITS", "images", "digits", True, True),
    "mnist": Dataset(f"{_D}.mnist:MNIST", "images", "mnist", True, True),
    "fashion_mnist": Dataset(f"{_D}.mnist:FASHION_MNIST", "images", "fashion_mnist", True, True),
    "stacked_mnist": Dataset(f"{_D}.mnist:STACKED_MNIST", "images", "paper", True),
    "cifar10": Dataset(f"{_D}.cifar:CIFAR10", "images", "cifar10_paper", True),
    "cifar100": Dataset(f"{_D}.cifar:CIFAR100", "images", "paper", True),
    "svhn": Dataset(f"{_D}.svhn:SVHN", "images", "paper", True),
    "celeba": Dataset(f"{_D}.celeba:CELEBA", "images", "celeba_paper", None),
    "folder": Dataset(f"{_D}.image_folder:FOLDER", "images", "folder", None),
    "npz": Dataset(f"{_D}.npz:NPZ", None, "paper", None),
    "csv": Dataset(f"{_D}.table:CSV", "vectors", "vectors"),
    "25gaussians": Dataset(f"{_D}.toy_densities:gaussians_25", "plane", "25gaussians"),
    "8gaussians": Dataset(f"{_D}.toy_densities:gaussians_8", "plane", "8gaussians"),
    "swiss_roll": Dataset(f"{_D}.toy_densities:swiss_roll", "plane", "plane"),
    "moons": Dataset(f"{_D}.toy_densities:moons", "plane", "plane"),
    "checkerboard": Dataset(f"{_D}.toy_densities:checkerboard", "plane", "plane"),
    "pinwheel": Dataset(f"{_D}.toy_densities:pinwheel", "plane", "plane"),
    "rings": Dataset(f"{_D}.toy_densities:rings", "plane", "plane"),
}
