"""The plan of a run, told before it begins."""

import re
from collections.abc import Collection
from typing import Any

from tf_febm import arguments, catalogue
from tf_febm.training.run_folder import RunFolder

__all__ = ["describe"]


def describe(
    recipe: arguments.RecipeLike,
    source: Any,
    model: arguments.Model,
    folder: RunFolder,
    chosen: Collection[str] | None = None,
) -> str:
    """Return the plan of a run, a few lines for people.

    Args:
        recipe: The `Recipe`.
        source: What it is trained on.
        model: The model.
        folder: Where the run will be.
        chosen: The settings that are listed; all that have an effect if None.
    """
    parameters = " and ".join(f"{network.count_params():,}" for network in model.networks)
    divergence = getattr(model, "divergence", None)
    kind = "images" if hasattr(source, "images") else "vectors"
    method = recipe.method + (f" ({divergence.name})" if divergence else "")
    listed = "  ".join(
        f"{name}={value}"
        for name, value in sorted(recipe.in_effect(kind).items())
        if name not in ("name", "why") and (value is not None if chosen is None else name in chosen)
    )
    settings = f"\n{'' if chosen is None else 'with '}{listed}" if listed else ""
    # The rest of the reasons is in the report.
    why, noise = re.split(r"[:;.] |\.$", recipe.why)[0], ""
    if recipe.data_noise:
        noise = f"\nEnergies below are of data and chains with noise of {recipe.data_noise:g}."
    # A generator makes what chains make elsewhere.
    drawn = "chains" if catalogue.METHODS[recipe.method].chains else "samples"
    return (
        f"{method} on {source.total} {kind} {source.sample_shape} from {source.source}\n"
        f"networks of {parameters} parameters, {recipe.steps} steps of {recipe.batch_size} "
        f"examples and {drawn}, into {folder.path}\nrecipe {recipe.name}: {why}.{settings}{noise}"
    )
