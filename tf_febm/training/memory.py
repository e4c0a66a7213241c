"""Estimated memory of a run, before any of it is taken."""

import math
from typing import Any, NamedTuple

import keras

from tf_febm import arguments, networks, untrusted_files

__all__ = ["Need", "check_memory", "needs"]

_GIB = 1 << 30
_FLOAT = 4
# Wider networks are judged by narrow ones, before they are made: numbers of weights and of
# activations are polynomials in the width.
WIDE = 512
NARROW = (8, 16, 24)
# Copies of what a step holds: gradients, Adam's two moments and an average beside the weights; data
# and samples, forwards and backwards, of the activations.
OF_WEIGHTS, OF_ACTIVATIONS, OF_EXAMPLES = 5, 4, 8


class Need(NamedTuple):
    """What takes memory.

    Attributes:
        setting: Name of the setting of the recipe that decides on it.
        value: Its value.
        size: Bytes.
    """

    setting: str
    value: Any
    size: float


def needs(
    recipe: arguments.RecipeLike, source: Any, model: arguments.Model | None = None
) -> list[Need]:
    """Estimate what a run of a recipe takes, roughly: without temporary results and libraries.

    Args:
        recipe: A `Recipe`.
        source: Its data.
        model: The model; None before it is made, when only what is wide is judged.
    """
    example = math.prod(source.sample_shape) * _FLOAT
    in_bytes = source.bounds is not None and recipe.buffer_storage != "float32"
    kept = {"replay": recipe.buffer_capacity, "persistent": recipe.batch_size}.get(recipe.chains, 0)
    chains = "batch_size" if recipe.chains == "persistent" else "buffer_capacity"
    found = [
        Need(chains, getattr(recipe, chains), kept * example / (_FLOAT if in_bytes else 1)),
        Need("num_samples", recipe.num_samples, 3.0 * recipe.num_samples * example),
    ]
    weights, activations = _of_networks(recipe, source, model)
    width = "recipe's own" if recipe.width is None else recipe.width
    batch = recipe.batch_size * (OF_EXAMPLES * example + OF_ACTIVATIONS * _FLOAT * activations)
    return [
        *found,
        Need("width", width, OF_WEIGHTS * _FLOAT * weights),
        Need("batch_size", recipe.batch_size, batch),
    ]


def check_memory(
    recipe: arguments.RecipeLike, source: Any, model: arguments.Model | None = None
) -> float:
    """Return how many bytes a run takes, roughly; see `needs`.

    Raises:
        ValueError: That is more than this machine has.
    """
    found = needs(recipe, source, model)
    total, present = sum(need.size for need in found), untrusted_files.memory_bytes()
    if total > present:
        largest = max(found, key=lambda need: need.size)
        raise ValueError(
            f"{largest.setting}={largest.value} takes about {largest.size / _GIB:,.0f} GiB of "
            f"memory, of {total / _GIB:,.0f} in all; this machine has {present / _GIB:,.0f} GiB: "
            "give less."
        )
    return total


def _of_networks(recipe, source, model) -> tuple[float, float]:
    """Return the numbers of weights, and of activations for one example, of all networks."""
    if model is not None:
        counts = [_counts(network) for network in model.networks]
        return sum(n for n, _ in counts), sum(n for _, n in counts)
    if recipe.width is None or recipe.width <= WIDE:
        return 0.0, 0.0
    narrow = [
        _counts(networks.build(recipe.network, source.sample_shape, width)) for width in NARROW
    ]
    weights, activations = (
        _extrapolated([count[k] for count in narrow], recipe.width) for k in (0, 1)
    )
    return weights, activations


def _counts(network: keras.Model) -> tuple[float, float]:
    shapes = [
        output.shape[1:]
        for layer in getattr(network, "layers", ())
        for output in keras.tree.flatten(layer.output)
    ]
    return float(network.count_params()), float(sum(math.prod(shape) for shape in shapes))


def _extrapolated(values, width: int) -> float:
    """Return the value at a width of the parabola through those at the narrow ones."""
    first, second, third = values
    step = NARROW[1] - NARROW[0]
    slope, bend = (second - first) / step, (third - 2 * second + first) / (2 * step**2)
    away = width - NARROW[0]
    return first + slope * away + bend * away * (away - step)
