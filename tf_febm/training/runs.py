"""A whole run by a recipe: data, model, folder, checkpoints, guard, samples, figures, report."""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_febm import arguments, catalogue, evaluation, extras, parallel, workers
from tf_febm.terminal.clock import duration
from tf_febm.training import chain_dtype, checkpoint_files, chosen_weights, run_data
from tf_febm.training.checkpoints import Checkpoints, DivergedError
from tf_febm.training.environment import versions
from tf_febm.training.estimate import least_seconds, step_seconds
from tf_febm.training.finishing import finish
from tf_febm.training.guard import DivergenceGuard
from tf_febm.training.loop import train
from tf_febm.training.memory import check_memory
from tf_febm.training.pictures import write_data_picture
from tf_febm.training.plan import describe
from tf_febm.training.report import write_report
from tf_febm.training.run_folder import NO_START, RunFolder
from tf_febm.training.schedule import steps_taken
from tf_febm.training.stop import GracefulStop
from tf_febm.training.warm_start import warm_start
from tf_febm.untrusted_files import memory_bytes

__all__ = ["Run", "TooLongError", "run"]

# What a continued run must share with its beginning; all else, such as `steps`, may change.
FIXED = (
    *("method", "divergence", "conditional", "batch_size", "seed", "network", "width"),
    *("use_attention", "confinement", "frequency", "average_decay", "chains"),
    *("buffer_capacity", "buffer_storage", "generator", "generator_batch_norm", "latent_dim"),
    *("penalty", "entropy", "reference", "levels"),
)
# What the Gaussian reference of a run is fitted to besides.
OF_REFERENCE = ("data_noise", "random_flip")
FIXED_OF_DATA = (
    *("name", "data_dir", "image_size", "label_column", "drop_columns"),
    *("label_attribute", "shuffle_buffer"),
)
# Seconds of a run, at least, that are worth a line where a step is fast.
WORTH_SAYING = 3600.0
# What each part of a run is told to have been trained with.
OF_SEGMENTS = ("recipe", "data", "versions")


class TooLongError(ValueError):
    """A run would take longer than it may."""


class Run(NamedTuple):
    """What `run` returns.

    Attributes:
        model: The model, with the weights of the last step.
        folder: The `RunFolder`.
        step: Steps that were taken.
        done: Whether those are all.
        summary: That of `finish`; None if the run is not done, or in a worker but the first.
    """

    model: Any
    folder: RunFolder
    step: int
    done: bool
    summary: dict | None


@arguments.checked
def run(
    recipe: arguments.RecipeLike,
    data: arguments.Data,
    folder: arguments.Path,
    strategy: arguments.Strategy | None = None,
    *,
    held_out: arguments.Data | None = None,
    init_from: arguments.Path | None = None,
    init_chains: bool = False,
    overwrite: bool = False,
    resume_step: int | None = None,
    dry_run: bool = False,
    max_seconds: float | None = None,
    chosen: Mapping[str, Any] | None = None,
    report: Callable[[str], None] = lambda line: None,
    stop: GracefulStop | None = None,
    on_phase: Callable[[str], None] = lambda name: None,
) -> Run:
    """Train by a recipe in a folder that holds all of the run, or go on with the run that is there.

    What is written: options with versions and the hash of the data, metrics, TensorBoard events,
    sample grids, checkpoints; at the end samples, figures, `model.keras` and a report. The same
    call again continues an interrupted run, bit for bit on one device. Of a run that has all its
    steps, and its figures, nothing is touched. Where settings change between two parts of a run,
    the options tell which steps were trained with which, and so does each checkpoint.

    Of several workers each calls this with the same arguments; the first writes.

    Args:
        recipe: A `recipes.Recipe`.
        data: A `data.Source`; or `ImageData`, `VectorData`, or an array as `Recipe.build` takes it.
        folder: Where the run is or will be.
        strategy: Of `parallel.make_strategy`; the present one if None.
        held_out: The data that figures and watched energies are of. Of a `Source` its test split;
            else, if None, every tenth example, which is then not trained on.
        init_from: Folder of a finished run, by any method, whose weights this one begins with: the
            energy's, and the second network's where it stands for the same in both methods. None
            for weights of its own. It is in the options, with the SHA-256 of that run's model, and
            an interrupted run goes on by the same call without another look at it.
        init_chains: Whether the replay buffer begins with that run's chains, too.
        overwrite: Whether to remove a run that is there.
        resume_step: Step of the checkpoint to go on from; the newest if None.
        dry_run: Whether to stop before anything is written, with the plan reported.
        max_seconds: How long training may take; no limit if None. It is measured, roughly, where a
            step takes long.
        chosen: Settings of the recipe that somebody chose, field -> value: each must have an effect
            on such data.
        report: Takes lines about progress, the plan first.
        stop: Ends training early, with a checkpoint; see `GracefulStop`.
        on_phase: Called with "training", then "finishing" or "stopped", when it begins.

    Returns:
        The run.

    Raises:
        ValueError: The recipe does not fit the data, or the run that is there; or it would take too
            long.
        OSError: Data cannot be read, or the folder cannot be written.
        DivergedError: Training diverged, and going back did not help.
        ImportError: The extra `run` is not installed.
    """
    extras.needs()
    if resume_step is not None and overwrite:
        raise ValueError("resume_step and overwrite exclude each other.")
    _check_start(init_from, init_chains, resume_step, folder)
    place = catalogue.load(catalogue.METHODS[recipe.method].place)
    metrics = [name for name in place.METRICS if name not in place.EVALUATION_ONLY]
    metrics += place.CLASS_METRICS if recipe.class_weight_coeff else ()
    if recipe.best_metric not in (None, chosen_weights.METRIC, *metrics):
        raise ValueError(
            f"best_metric must be one of {', '.join(metrics)}; received {recipe.best_metric!r}."
        )
    strategy = tf.distribute.get_strategy() if strategy is None else strategy
    parallel.check_batch_size(recipe.batch_size, strategy)
    stored = {"recipe": recipe.as_dict(), "data": run_data.described(data)}
    stored["start"] = NO_START | ({} if init_from is None else {"init_from": str(init_from)})
    stored["start"]["init_chains"] = bool(init_chains)
    choices = (bool(overwrite), resume_step, bool(dry_run))
    everything = {**stored, "data": {**stored["data"], "data_dir": None}, "choices": choices}
    workers.check_same(strategy, "Recipes", json.dumps(everything, sort_keys=True))
    keras.utils.set_random_seed(recipe.seed)
    chief = workers.is_chief(strategy)
    report = report if chief else lambda line: None
    report("… reading the data")
    source, held_out = workers.run_on_all(strategy, lambda: run_data.loaded(data, held_out))
    stored["data"] |= {
        "hash": run_data.hash_of(source),
        "class_names": run_data.class_names_of(recipe, source),
        "num_examples": source.total,
        "sample_shape": list(source.sample_shape),
        "source": source.source,
        "columns": list(columns) if (columns := getattr(source, "columns", None)) else None,
    }
    kind = "images" if hasattr(source, "images") else "vectors"
    notes = recipe.without_effect(chosen or {}, kind)
    run_data.check_splits(recipe, source, held_out)
    report(run_data.building(recipe))
    with strategy.scope():
        model = recipe.build(source)
    rows, aside = chosen_weights.divided(recipe, model, source, "best_metric" in (chosen or {}))
    unused = recipe.best_metric == chosen_weights.METRIC and aside is None
    run_folder = RunFolder(folder)
    if recipe.chain_dtype == chain_dtype.AUTO and not dry_run:
        earlier = None if overwrite else run_folder
        recipe = chain_dtype.settle(recipe, model, earlier, strategy, report)
        stored["recipe"] = recipe.as_dict()
    for note in notes:
        report(f"warning: {note}")
    report(describe(recipe, source, model, run_folder, None if dry_run else chosen))
    needed = check_memory(recipe, source, model) / 2**30
    report(f"Memory: about {needed:.2g} GiB; this machine has {memory_bytes() / 2**30:.0f}.")
    there = () if overwrite else checkpoint_files.steps_in(run_folder.checkpoints)
    start = max(there, default=0) if resume_step is None else resume_step
    left = max(recipe.steps - start, 0)

    def begin_warm() -> None:
        found = warm_start(model, init_from, chains=init_chains)
        stored["start"] = found
        report(f"Begins with {' and '.join(found['taken'])} of {init_from} ({found['method']}).")
        for name, reason in found["left"].items():
            report(f"Its {name} network is left: {reason}.")

    if init_from is not None and not start:
        workers.run_on_all(strategy, begin_warm)
    report("… timing some steps of chains")
    cost = None if workers.spans_workers(strategy) else step_seconds(recipe, model, source)
    least = least_seconds(recipe, model)
    if cost is not None:
        whole = f"{left:,} steps, about {duration(cost * left)} in all"
        report(f"A step takes about {duration(cost)} here: {whole}.")
    elif least * left > WORTH_SAYING:
        report(f"{left:,} steps take {duration(least * left)} or more.")
    each = least if cost is None else cost
    if max_seconds is not None and each * left > max_seconds and not dry_run:
        raise TooLongError(
            f"This would take about {duration(each * left)} on this machine, {left:,} steps of "
            f"about {duration(each)}; the limit is {duration(max_seconds)}."
        )
    if dry_run:
        workers.barrier(strategy)
        return Run(model, run_folder, 0, False, None)
    with contextlib.ExitStack() as stack:
        if chief:
            workers.run_on_all(strategy, lambda: stack.enter_context(run_folder.locked()))
        else:
            workers.run_on_all(strategy, lambda: None)
        checkpoints = Checkpoints(
            run_folder.checkpoints,
            model,
            max_to_keep=recipe.keep_checkpoints,
            best_metric=None if unused else recipe.best_metric,
            mode=recipe.best_mode,
            report=report,
        )

        fixed = FIXED + (OF_REFERENCE if recipe.reference is not None else ())

        def check() -> None:
            if resume_step is not None:
                checkpoints.path_of(resume_step)
            if chief:
                run_folder.check(stored, fixed, FIXED_OF_DATA, overwrite=overwrite)

        workers.run_on_all(strategy, check)
        step = 0 if overwrite else checkpoints.restore(resume_step)
        if init_from is not None and start and not step:
            # The run went back to its beginning.
            workers.run_on_all(strategy, begin_warm)
        if step >= recipe.steps:
            report(f"Nothing to train: the run has {step} steps, and {recipe.steps} are asked for.")
            finished = int(chief and run_folder.result_step() == step)
            if workers.from_first(strategy, finished):
                workers.barrier(strategy, last=True)
                return Run(
                    model, run_folder, step, True, run_folder.read_summary() if chief else None
                )
        else:
            _begin(strategy, run_folder, checkpoints, stored, fixed, overwrite, step)
        if 0 < step < recipe.steps:
            report(f"Continuing from step {step} of {recipe.steps}.")
        return _train_in(
            *(run_folder, recipe, model, checkpoints, source, held_out, report, stop, on_phase),
            *(rows, aside, cost),
        )


def _begin(
    strategy, folder: RunFolder, checkpoints, stored: dict, fixed: tuple, overwrite: bool, step: int
) -> None:
    """Make the folder ready, and write down what the steps from now on are trained with."""

    def prepare() -> None:
        if workers.is_chief(strategy):
            folder.prepare(stored, fixed, FIXED_OF_DATA, overwrite=overwrite)

    earlier = folder.read_options() if folder.options.is_file() and not overwrite else None
    workers.run_on_all(strategy, prepare)
    options = {**stored, "versions": versions()}
    if earlier is not None and step:
        options["start"] = earlier["start"]
    segment = {name: options[name] for name in OF_SEGMENTS}
    known = earlier is not None and "flags" not in earlier["recipe"]
    checkpoints.begin(segment, {name: earlier[name] for name in OF_SEGMENTS} if known else None)
    if workers.is_chief(strategy):
        folder.write_options({**options, "segments": checkpoints.history})


def _train_in(
    folder, recipe, model, checkpoints, source, held_out, report, stop, on_phase, rows, aside, cost
) -> Run:
    """Train in a folder that is ours alone, and finish the run if all steps are done."""
    strategy = model.distribute_strategy
    chief = workers.is_chief(strategy)
    on_phase("training")
    probe, watched = run_data.probes(recipe, held_out)
    guard = DivergenceGuard(
        checkpoints,
        reference=probe[0],
        max_rollbacks=recipe.max_rollbacks,
        diagnosis=folder.diagnosis if chief else None,
        report=report,
    )
    if chief:
        write_data_picture(folder, model, probe[0])
    try:
        done = train(
            model,
            lambda step: parallel.distribute(
                lambda shard: recipe.stream(rows, start_step=step, shard=shard),
                recipe.batch_size,
                strategy,
            ),
            folder,
            checkpoints,
            total_steps=recipe.steps,
            log_interval=recipe.log_interval,
            sample_interval=recipe.sample_interval,
            save_interval=recipe.save_interval,
            probe=probe,
            watched=watched,
            noise_removed=recipe.noise_removed,
            report=report,
            stop=stop,
            guard=guard if recipe.guard else None,
            gain=None if aside is None else chosen_weights.begin(checkpoints, model, aside),
            expected_seconds=cost or 0.0,
            settings=recipe.as_dict(),
        )
    except DivergedError:
        if chief:
            write_report(folder)
        raise
    step = steps_taken(model)
    if not done or not chief:
        if chief:
            write_report(folder)
        # Nobody leaves while others speak to it, or before the first worker has drawn its samples.
        workers.barrier(strategy, last=True)
        if not done:
            on_phase("stopped")
        return Run(model, folder, step, done, None)
    on_phase("finishing")
    taken = {} if aside is None else chosen_weights.take_best(checkpoints)
    report(f"Drawing {recipe.num_samples} samples …")
    summary = finish(
        model,
        folder,
        num_samples=recipe.num_samples,
        num_steps=recipe.final_steps,
        descent_steps=recipe.descent_steps,
        noise_removed=recipe.noise_removed,
        seed=recipe.seed,
        measure=lambda drawn: (
            evaluation.run_figures(model, drawn, source, held_out, recipe.noise_removed) | taken
        ),
        probe=probe,
        segments=checkpoints.history,
        report=report,
    )
    write_report(folder)
    workers.barrier(strategy, last=True)
    return Run(model, folder, step, True, summary)


def _check_start(init_from, init_chains: bool, resume_step: int | None, folder) -> None:
    """Raise a ValueError where what a run is to begin with contradicts the rest."""
    if init_from is None:
        if init_chains:
            raise ValueError("init_chains=True needs init_from, the run whose chains to take.")
        return
    if resume_step is not None:
        raise ValueError(
            f"init_from={str(init_from)!r} and resume_step={resume_step} exclude each other: a run "
            "either begins or goes on."
        )
    if Path(init_from).resolve() == Path(folder).resolve():
        raise ValueError(
            f"init_from={str(init_from)!r} is the folder of this run itself: give another folder "
            "to one of the two."
        )
