"""Train an energy-based model: `python launch/train.py --divergence=js --dataset=celeba`.

Everything goes to <logdir>/<exp>/. The same command again continues an interrupted run.
"""

import contextlib
import json
import platform
import subprocess
from pathlib import Path

import console
import original_flags
import run_options
import train_flags
from absl import app, flags

# What flags have to do with the folder of a run.
OTHER_FOLDER = "(--logdir and --exp name the folder; --overwrite starts anew in it.)"
# Where a machine finds what all of them have.
OWN_TO_A_MACHINE = ("data_dir", "logdir")


def main(argv) -> int:
    """Resolve the flags; train, or print the plan."""
    if len(argv) > 1:
        raise app.UsageError(f"Unknown argument {argv[1]!r}; every option starts with --.")
    values = flags.FLAGS
    return console.exit_code(
        lambda: run(train_flags.resolve(values), values),
        debug=values.debug,
        interrupted="Interrupted; the same command continues from the last checkpoint.",
    )


def run(options: dict, values) -> int:
    """Build everything that the options name, and train.

    Args:
        options: What `train_flags.resolve` returned.
        values: The flags, for those that are no options of the run itself.

    Returns:
        The exit code.
    """
    # TensorFlow takes seconds to import: only once the flags are known to be good.
    console.import_quietly(start_devices=options["strategy"] == "default")
    import building
    import keras

    from tf_febm import divergences, parallel, training, workers

    for warning in original_flags.check(values):
        console.log(f"warning: {warning}")
    # One name for all spellings, so that a continued run recognises itself.
    options["divergence"] = divergences.get(options["divergence"]).name
    if options["exp"] is None:
        parts = [options["dataset"], options["method"]]
        if options["method"] in ("febm", "dual"):
            parts.append(options["divergence"])
        options["exp"] = "_".join(parts).replace(":", "_")
    building.check(options)
    strategy = console.make_strategy(options["strategy"], options["num_replicas"])
    parallel.check_batch_size(options["batch_size"], strategy)
    choices = {name: getattr(values, name) for name in ("dry_run", "overwrite", "resume_iter")}
    same = {name: value for name, value in options.items() if name not in OWN_TO_A_MACHINE}
    workers.check_same(strategy, "Flags", json.dumps({**same, **choices}, sort_keys=True))
    keras.utils.set_random_seed(options["seed"])
    train_data, held_out = workers.run_on_all(strategy, lambda: building.load_data(options))
    with strategy.scope():
        model = building.build_model(options, train_data)
    folder = training.RunFolder(Path(options["logdir"]) / options["exp"])
    # Of several workers the first speaks, and holds the folder.
    chief = workers.is_chief(strategy)
    report = console.log if chief else _be_silent
    kind = "images" if hasattr(train_data, "images") else "vectors"
    for note in run_options.notes(values, options, kind):
        report(f"warning: {note}")
    report(describe(options, train_data, model, folder))
    if values.dry_run:
        workers.barrier(strategy)
        return console.DONE
    with contextlib.ExitStack() as stack:

        def hold() -> None:
            if chief:
                with console.advising(OTHER_FOLDER):
                    stack.enter_context(folder.locked())

        workers.run_on_all(strategy, hold)
        return train_in(folder, options, values, model, train_data, held_out, report)


def _be_silent(line: str) -> None:
    """Say nothing: of several workers the first speaks."""


def train_in(folder, options: dict, values, model, train_data, held_out, report) -> int:
    """Train a model in a folder that is ours alone; return the exit code.

    Of several workers the first writes, and each runs this.
    """
    import building

    from tf_febm import parallel, training, workers

    strategy = model.distribute_strategy
    chief = workers.is_chief(strategy)
    checkpoints = training.Checkpoints(
        folder.checkpoints,
        model,
        max_to_keep=options["keep_checkpoints"],
        best_metric=options["best_metric"],
        mode=options["best_mode"],
        report=report,
    )
    resume_step = None if values.resume_iter < 0 else values.resume_iter
    if resume_step is not None and values.overwrite:
        raise ValueError("--resume_iter and --overwrite exclude each other.")

    def prepare() -> None:
        if resume_step is not None:
            checkpoints.path_of(resume_step)
        if chief:
            earlier = {}
            with console.advising(OTHER_FOLDER):
                # Damaged or foreign folders are for `prepare` to refuse.
                with contextlib.suppress(OSError):
                    earlier = folder.read_options()
                fixed = run_options.fixed(options, earlier)
                folder.prepare(options, fixed, overwrite=values.overwrite)
                if folder.options.is_file():
                    earlier, names = folder.read_options(), options["class_names"]
                    building.check_classes(earlier, names, train_data.source)

    workers.run_on_all(strategy, prepare)
    step = checkpoints.restore(resume_step)
    if chief:
        folder.write_options(options, versions())
    if step:
        report(f"Continuing from step {step} of {options['steps']}.")
    stop = training.GracefulStop()
    several = f"ending with the other workers, in at most {stop.ASK_EVERY} steps,"
    ending = several if workers.spans_workers(strategy) else "finishing this step"
    console.stop_on_signals(stop, ending)
    probe = building.make_probe(options, held_out)
    guard = training.DivergenceGuard(
        checkpoints,
        reference=probe[0],
        max_rollbacks=options["max_rollbacks"],
        diagnosis=folder.diagnosis if chief else None,
        report=report,
    )
    done = training.train(
        model,
        lambda step: parallel.distribute(
            lambda shard: building.make_stream(options, train_data, step, shard),
            options["batch_size"],
            strategy,
        ),
        folder,
        checkpoints,
        total_steps=options["steps"],
        log_interval=options["log_interval"],
        sample_interval=options["sample_interval"],
        save_interval=options["save_interval"],
        probe=probe,
        report=report,
        stop=stop,
        guard=guard if options["guard"] else None,
    )
    if not done:
        if chief:
            training.write_report(folder)
        # The first worker must not leave the others while they speak to it.
        workers.barrier(strategy)
        console.ignore_signals()
        step = training.steps_taken(model)
        flags_of_once = [
            f"--{name}" for name in ("overwrite", "resume_iter") if values[name].present
        ]
        without = f" without {' and '.join(flags_of_once)}" if flags_of_once else ""
        report(f"Stopped at step {step}; the same command{without} continues from there.")
        return console.STOPPED
    if not chief:
        # The first worker's samples are not everybody's, but nobody leaves before they are drawn.
        workers.barrier(strategy)
        return console.DONE
    console.stop_at_once_on_signals()
    console.log(f"Drawing {options['num_samples']} samples …")
    summary = training.finish(
        model,
        folder,
        num_samples=options["num_samples"],
        num_steps=options["final_steps"],
        seed=options["seed"],
        measure=building.make_measure(model, train_data, held_out),
        probe=probe,
    )
    page = training.write_report(folder)
    workers.barrier(strategy)
    console.log(json.dumps(summary["quality"], indent=2))
    picture = folder.samples / "final.png"
    seen = picture if picture.exists() else picture.with_suffix(".npz")
    console.log(f"Done: look at {page} and {seen}.")
    return console.DONE


def describe(options: dict, train_data, model, folder) -> str:
    """Return the plan of a run, a few lines for people."""
    parameters = " and ".join(f"{network.count_params():,}" for network in model.networks)
    divergence = getattr(model, "divergence", None)
    method = options["method"] + (f" ({divergence.name})" if divergence else "")
    # There may be a thousand classes.
    chosen = "  ".join(
        f"{k}={v}" for k, v in sorted(options.items()) if v is not None and k != "class_names"
    )
    # A generator makes what chains make elsewhere.
    drawn = "samples" if options["method"] == "bidirectional" else "chains"
    return (
        f"{method} on {len(train_data)} {'images' if hasattr(train_data, 'images') else 'vectors'} "
        f"{train_data.sample_shape} from {train_data.source}\n"
        f"networks of {parameters} parameters, {options['steps']} steps of "
        f"{options['batch_size']} examples and {drawn}, into {folder.path}\n{chosen}"
    )


def versions() -> dict:
    """Return the versions of what the run depends on."""
    import keras
    import numpy
    import tensorflow

    import tf_febm

    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        git = subprocess.run(
            describe, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        ).stdout.strip()
    except OSError:
        git = ""
    return {
        "tf_febm": tf_febm.__version__,
        "git": git or None,
        "python": platform.python_version(),
        "tensorflow": tensorflow.__version__,
        "keras": keras.__version__,
        "numpy": numpy.__version__,
    }


if __name__ == "__main__":
    train_flags.define()
    app.run(main)
