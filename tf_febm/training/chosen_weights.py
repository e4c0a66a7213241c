"""Rows of a table that are kept aside while it is trained on, and choose the weights of the run."""

import dataclasses

import numpy as np

from tf_febm import arguments, evaluation
from tf_febm.training.checkpoints import Checkpoints
from tf_febm.training.held_out_gain import HeldOutGain
from tf_febm.training.schedule import steps_taken

__all__ = ["METRIC", "begin", "divided", "rows_aside", "take_best"]

# The metric, as `HeldOutGain` logs it, whose best checkpoint such a run ends with.
METRIC = "held_out_gain"
# Rows below which none are kept aside, and their share.
FEWEST_TO_DIVIDE, SHARE = 20, 0.2


def rows_aside(count: int, seed: int, share: float = SHARE) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the rows to train on, and of those kept aside: none of few."""
    aside = round(share * count) if count >= FEWEST_TO_DIVIDE else 0
    aside = aside if aside >= 2 else 0
    # Rows may come in an order.
    order = np.random.default_rng(seed).permutation(count)
    return order[aside:], order[:aside]


def divided(
    recipe: arguments.RecipeLike,
    model: arguments.Model,
    source: arguments.Data,
    asked: bool = False,
) -> tuple:
    """Return the rows that a run trains on, and those that choose its weights.

    Args:
        recipe: Of the run.
        model: Its model.
        source: What it was adapted to.
        asked: Whether somebody asked for it in so many words.

    Returns:
        Two of `VectorData`; the source and None where the recipe does not ask for it, or it cannot
        be: without a reference that the energy is relative to, on several replicas, of conditional
        models, images, few rows or rows that are not in memory.

    Raises:
        ValueError: It cannot be, and somebody asked for it.
    """
    if recipe.best_metric != METRIC:
        return source, None
    rows, aside = rows_aside(len(source), recipe.seed)
    if (
        not len(aside)
        or model.reference is None
        or model.conditional
        or model.distribute_strategy.num_replicas_in_sync > 1
        or not hasattr(source, "vectors")
        or source.rows is not None
    ):
        if asked:
            raise ValueError(
                f"best_metric={METRIC} is for tables of {FEWEST_TO_DIVIDE} rows or more in memory, "
                "and unconditional models with a reference on one device: leave it out."
            )
        return source, None

    def part(chosen):
        labels = None if source.labels is None else source.labels[chosen]
        return dataclasses.replace(source, vectors=source.vectors[chosen], labels=labels)

    return part(rows), part(aside)


def begin(checkpoints: Checkpoints, model: arguments.Model, aside: arguments.Data) -> HeldOutGain:
    """Return the callback that measures the rows; keep the model as it is before the first step."""
    if not steps_taken(model):
        with model.best_weights():
            found = evaluation.gain_over_reference(model, aside.vectors)
        checkpoints.save({METRIC: found.gain})
    return HeldOutGain(aside.vectors)


def take_best(checkpoints: Checkpoints) -> dict:
    """Let a run that has all its steps end with the weights of its best checkpoint.

    Returns:
        Figures for its results: the step whose weights these are, and what the rows kept aside
        gained by them over the reference, in nats a row.
    """
    step = checkpoints.take_best()
    gain = checkpoints.facts(checkpoints.best).get("metrics", {}).get(METRIC)
    return {"weights_of_step": step, "gain_of_rows_aside": gain}
