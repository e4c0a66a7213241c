"""Estimated costs of a training step on this machine, before one is taken."""

import time

from tf_febm import arguments, catalogue, energies, networks
from tf_febm.networks.cached_weights import products_in

__all__ = ["gradient_seconds", "least_seconds", "step_seconds"]

# A gradient of the energy that takes less is not slow, and says nothing: what is not compiled
# takes longer there than what is.
SLOW = 0.05
# One that takes longer is not measured again, nor on more examples.
LONG = 0.3
# What the update of a network costs, in gradients of its output with respect to x: it is evaluated
# up to three times, on data and on samples, and differentiated by its weights on both.
UPDATE = 3.5
# A gradient that is found faster than this would be a surprise.
FASTEST = 1e-5


def gradient_seconds(
    model: arguments.Model, x: arguments.Tensor, labels: arguments.Labels | None = None
) -> float:
    """Return how long ∇ₓE of a batch takes; a few steps of a chain are timed.

    Args:
        model: A built model.
        x: Floating [n, …].
        labels: Of a conditional model.
    """
    batch = model._as_batch(x, labels)
    energy_fn, x = model._energy_given(batch.labels), batch.samples
    shortest = float("inf")
    dtype = getattr(model.sampler, "dtype", "float32")
    with networks.cached_weights(model.energy_network), products_in(dtype):
        # The first has more to set up.
        for number in range(3):
            began = time.perf_counter()
            energies.value_and_gradient(energy_fn, x)[1].numpy()
            shortest = min(shortest, time.perf_counter() - began)
            if number and shortest > LONG:
                break
    return shortest


def step_seconds(
    recipe: arguments.RecipeLike, model: arguments.Model, data: arguments.Data
) -> float | None:
    """Return about how long a training step of a recipe will take.

    Args:
        recipe: A `recipes.Recipe`.
        model: Its model.
        data: What it is trained on, `ImageData` or `VectorData`.

    Returns:
        Seconds; None where gradients of the energy are so fast that the first steps say more.
    """
    count = min(len(data), recipe.batch_size)
    x = data.examples(count)
    labels = data.labels[:count] if recipe.conditional else None
    # A part first. Where it takes little longer than one example, what is timed is not arithmetic.
    part = min(count, max(8, count // 8))
    one, some = (
        gradient_seconds(model, x[:n], None if labels is None else labels[:n]) for n in (1, part)
    )
    if some < max(2.0 * one, SLOW / 4):
        return None
    seconds = some * count / part if some > LONG else gradient_seconds(model, x, labels)
    seconds *= recipe.batch_size / count
    return None if seconds < SLOW else seconds * _gradients(recipe, model)


def least_seconds(recipe: arguments.RecipeLike, model: arguments.Model) -> float:
    """Return how long a training step will take at least, on any machine."""
    return FASTEST * _gradients(recipe, model)


def _gradients(recipe, model) -> float:
    """Return what a training step costs, in gradients of an energy."""
    chains = recipe.num_steps if catalogue.METHODS[recipe.method].chains else 0
    if "num_leapfrog_steps" in catalogue.SAMPLERS[recipe.sampler].settings:
        chains *= recipe.num_leapfrog_steps
    if "num_temperatures" in catalogue.SAMPLERS[recipe.sampler].settings:
        chains *= recipe.num_temperatures
    return chains + UPDATE * (1 + (len(model.networks) - 1) * recipe.variational_steps)
