"""The dtype of a run's chains where it is to choose: a probe of both at its start."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_febm import arguments, catalogue, workers
from tf_febm.samplers.sampler import DTYPES
from tf_febm.training.run_folder import RunFolder

__all__ = ["AUTO", "has_bfloat16", "settle", "times_as_fast"]

AUTO = "auto"
# How many times as fast chains in bfloat16 must be to be worth the digits.
WORTH = 1.3
# Chains of each kind that are timed, in turns, and seconds that one may take.
PAIRS = 7
SECONDS = 0.25
_SEED = (0, 16)
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16", "bf16"}
_CPUINFO = Path("/proc/cpuinfo")


def has_bfloat16() -> bool:
    """Return whether this machine is known to have instructions for bfloat16, or a GPU."""
    if tf.config.list_physical_devices("GPU"):
        return True
    if not _CPUINFO.exists():
        return False
    lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return not _INSTRUCTIONS.isdisjoint(next(flags, "").split())


def times_as_fast(model: arguments.Model, count: int) -> float:
    """Return how many times as fast chains in bfloat16 are as those in float32, on this machine.

    The median over pairs of chains of a few steps, in turns. The model is left as it is.

    Args:
        model: A built model with a sampler of this library.
        count: How many chains run at once.
    """
    present, programs = model.sampler, {}
    try:
        for dtype in DTYPES:
            model.sampler = present.with_dtype(dtype)
            programs[dtype] = _program(model, count)
    finally:
        model.sampler = present
    alone = min(_seconds(programs[DTYPES[0]], 1) for _ in range(2))
    steps = max(1, min(present.num_steps, int(SECONDS / alone)))
    ratios = []
    for _ in range(PAIRS):
        slow, fast = (_seconds(programs[dtype], steps) for dtype in DTYPES)
        ratios.append(slow / fast)
    return statistics.median(ratios)


def settle(
    recipe: arguments.RecipeLike,
    model: arguments.Model,
    folder: RunFolder | None,
    strategy: arguments.Strategy | None,
    report: Callable[[str], None] = lambda line: None,
) -> Any:
    """Return a recipe with the dtype of its chains settled, and give it to the model's sampler.

    Args:
        recipe: A `recipes.Recipe` with chain_dtype="auto".
        model: Its model.
        folder: Where a run goes on, which takes what it began with; None for a new one.
        strategy: That of the run: all workers take what the first one found.
        report: Takes a line that says what was chosen, and why.
    """
    known = None
    if folder is not None and folder.options.is_file():
        known = folder.read_options()["recipe"].get("chain_dtype")
    method = catalogue.METHODS[recipe.method]
    if known in DTYPES:
        chosen, why = known, "as the run began"
    elif not (method.chains or method.noisier):
        chosen, why = DTYPES[0], "training runs none"
    elif not has_bfloat16():
        chosen, why = DTYPES[0], "this processor has no instructions for bfloat16"
    else:
        ratio = times_as_fast(model, recipe.batch_size)
        chosen = DTYPES[ratio >= WORTH]
        why = f"{ratio:.2f} times as fast here"
        if chosen == DTYPES[0]:
            why = f"bfloat16 would be {why}, and {WORTH} is asked"
    index = workers.from_first(strategy, DTYPES.index(chosen))
    if DTYPES[index] != chosen:
        chosen, why = DTYPES[index], "as the first worker found"
    report(f"Chains in {chosen}: {why}.")
    model.sampler = model.sampler.with_dtype(chosen)
    return recipe.replace(chain_dtype=chosen)


def _program(model, count: int) -> Callable:
    """Return the model's chains, compiled, with the sampler that it has now."""

    @tf.function(autograph=False)
    def chains(num_steps):
        return model._chain(None, count, tf.constant(_SEED), num_steps, model.INITIAL[0], ())

    program = chains.get_concrete_function(tf.TensorSpec([], tf.int32))
    # The first call has more to set up.
    _seconds(program, 1)
    return program


def _seconds(program, num_steps: int) -> float:
    began = time.perf_counter()
    tf.nest.flatten(program(tf.constant(num_steps)))[0].numpy()
    return time.perf_counter() - began
