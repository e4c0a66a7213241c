"""The data of a run: loaded, split, and told by what is stored of them."""

import hashlib
from typing import Any

import numpy as np

from tf_febm import arguments, data

__all__ = ["building", "check_splits", "class_names_of", "described", "hash_of", "loaded", "probes"]

# Held-out examples whose energies are watched, and which pictures of the plane show.
PROBE = {"images": 256, "vectors": 1000}


def described(source: Any) -> dict[str, Any]:
    """Return what is stored of where data came from."""
    return source.as_dict() if isinstance(source, data.Source) else {}


def loaded(source: Any, held_out: arguments.Data) -> tuple:
    """Return the training and the held-out data, as `run` takes them."""
    if isinstance(source, data.Source):
        if held_out is not None:
            raise ValueError("held_out is the test split of a Source: leave it out.")
        return source.load()
    source = data.as_data(source, what="data")
    return (
        data.hold_out(source)
        if held_out is None
        else (source, data.as_data(held_out, what="held_out"))
    )


def building(recipe: arguments.RecipeLike) -> str:
    """Return the line that says what takes a while before a model is there."""
    fitting = "" if recipe.reference is None else "fitting a Gaussian to the data, "
    return f"… {fitting}building the model"


def check_splits(recipe: arguments.RecipeLike, source: Any, held_out: arguments.Data) -> None:
    """Raise a ValueError where what is held out does not fit, before anything is trained."""
    if not recipe.conditional:
        return
    for split in (source, held_out):
        if split.labels is None:
            raise ValueError(f"conditional=True needs labels; {split.source} has none.")
    if source.class_names != held_out.class_names:
        raise ValueError(
            f"The splits have different classes: {source.source}, and {held_out.source}."
        )


def class_names_of(recipe: arguments.RecipeLike, source: Any) -> list[str] | None:
    """Return what the data call their classes, if the model is conditional and they say it."""
    return list(source.class_names) if recipe.conditional and source.class_names else None


def hash_of(source: Any) -> str:
    """Return the SHA-256 of the examples and labels that are trained on."""
    digest = hashlib.sha256()
    for array in (getattr(source, "images", None), getattr(source, "vectors", None), source.labels):
        if array is not None:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def probes(recipe: arguments.RecipeLike, held_out: arguments.Data) -> tuple[tuple, tuple]:
    """Return fixed held-out examples: as they are, and as training takes them, with its noise.

    Args:
        recipe: The `Recipe`.
        held_out: The data.

    Returns:
        (x, labels) twice, labels None of an unconditional recipe. The first are for showing and
        comparing; the energies of the second are those that chains of training have to meet.
    """
    most = PROBE["images" if hasattr(held_out, "images") else "vectors"]
    x = held_out.examples(most)
    labels = held_out.labels[: len(x)] if recipe.conditional else None
    stream = data.stream(
        held_out,
        len(x),
        seed=recipe.seed,
        conditional=recipe.conditional,
        noise_stddev=recipe.data_noise,
        clip_noise=recipe.reference is None,
    )
    batch = next(iter(stream))
    return (x, labels), batch if recipe.conditional else (batch, None)
