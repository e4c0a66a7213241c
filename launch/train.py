"""Train an energy-based model: `python launch/train.py --divergence=js --dataset=celeba`.

Everything goes to <logdir>/<exp>/. The same command again continues an interrupted run.
"""

import json
from pathlib import Path

import console
import train_flags

OTHER_FOLDER = "(--logdir and --exp name the folder; --overwrite starts anew in it.)"


def run(values) -> int:
    """Resolve the flags; train, or print the plan."""
    plan = train_flags.resolve(values)
    # TensorFlow takes seconds to import: only once the flags are known to be good.
    console.import_quietly(start_devices=values.strategy == "default")
    from tf_febm import data, divergences, training, workers

    for note in plan.notes:
        console.log(f"warning: {note}")
    # One name for all spellings, so that a continued run recognises itself.
    recipe = plan.recipe.changed({"divergence": divergences.get(plan.recipe.divergence).name})
    strategy = console.make_strategy(values.strategy, values.num_replicas)
    stop = training.GracefulStop()
    several = f"ending with the other workers, in at most {stop.ASK_EVERY} steps,"
    ending = several if workers.spans_workers(strategy) else "finishing this step"

    def on_phase(name: str) -> None:
        if name == "training":
            console.stop_on_signals(stop, ending)
        elif name == "finishing":
            console.stop_at_once_on_signals()
        else:
            console.ignore_signals()

    def report(line: str) -> None:
        warning, mark, text = line.partition("warning: ")
        console.log(warning + mark + train_flags.translated(text, values) if mark else line)

    with (
        console.advising(OTHER_FOLDER, ("Cannot write to", "another folder", "another one")),
        train_flags.in_flags(values),
    ):
        result = training.run(
            recipe,
            data.Source(**plan.source),
            Path(values.logdir) / plan.exp,
            strategy,
            overwrite=values.overwrite,
            resume_step=None if values.resume_iter < 0 else values.resume_iter,
            dry_run=values.dry_run,
            chosen=plan.chosen,
            report=report,
            stop=stop,
            on_phase=on_phase,
        )
    chief = workers.is_chief(strategy)
    if values.dry_run:
        return console.DONE
    if not result.done:
        once = [f"--{name}" for name in ("overwrite", "resume_iter") if values[name].present]
        without = f" without {' and '.join(once)}" if once else ""
        if chief:
            console.log(
                f"Stopped at step {result.step}; the same command{without} continues from there."
            )
        return console.STOPPED
    if chief:
        console.log(json.dumps(result.summary["quality"], indent=2))
        picture = result.folder.samples / "final.png"
        seen = picture if picture.exists() else picture.with_suffix(".npz")
        console.log(f"Done: look at {result.folder.path / 'report.html'} and {seen}.")
    return console.DONE


if __name__ == "__main__":
    console.main(
        run,
        train_flags.define,
        interrupted="Interrupted; the same command continues from the last checkpoint.",
    )
