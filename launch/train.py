"""Train an energy-based model: `python launch/train.py --divergence=js --dataset=celeba`.

Everything goes to <logdir>/<exp>/. The same command again continues an interrupted run.
"""

from pathlib import Path

import console
import train_flags

FINISHING = "Interrupted; training is done, and the same command draws the samples anew."
OTHER_FOLDER = "(--logdir and --exp name the folder; --overwrite starts anew in it.)"
DAY, _AS_THEY_ARE = 86_400.0, ("init_from", "init_chains", "overwrite", "dry_run")


def _shorter(values, recipe) -> str:
    """Return what can be done about a run that would take too long."""
    own = train_flags.for_data(values, recipe.method).name
    small = f"--recipe={own} is for machines like this one; " if own != recipe.name else ""
    return f"({small}fewer --steps end earlier; --yes trains all the same.)"


def run(values) -> int:
    """Resolve the flags; train, or print the plan."""
    plan = train_flags.resolve(values)
    # TensorFlow takes seconds to import: only once the flags are known to be good.
    console.import_quietly(start_devices=values.strategy == "default")
    from tf_febm import data, divergences, parallel, training, workers

    if other := train_flags.other_recipe(values, plan):
        own = plan.recipe.name
        if parallel.has_accelerator():
            plan = train_flags.resolve(values, accelerator=True)
            console.log(f"The recipe is {other}; --recipe={own} is for machines without a GPU.")
        else:
            console.log(f"No GPU: the recipe is {own}; --recipe={other} is the one for a GPU.")
    for note in plan.notes:
        console.log(f"warning: {note}")
    # One name for all spellings, so that a continued run recognises itself.
    recipe = plan.recipe.changed({"divergence": divergences.get(plan.recipe.divergence).name})
    strategy = console.make_strategy(values.strategy, values.num_replicas, values.wait_seconds)
    stop = training.GracefulStop()
    several = f"ending with the other workers, in at most {stop.ASK_EVERY} steps,"
    ending = several if workers.spans_workers(strategy) else "finishing this step"
    once = [f"--{name}" for name in ("overwrite", "resume_iter") if values[name].present]
    without = f" without {' and '.join(once)}" if once else ""

    def stopped(step: int) -> str:
        return console.words.stopped(step, without)

    def on_phase(name: str) -> None:
        if name == "training":
            console.stop_on_signals(stop, ending, stopped)
        elif name == "finishing":
            console.stop_at_once_on_signals(FINISHING)
        else:
            console.ignore_signals()

    def report(line: str) -> None:
        warning, mark, text = line.partition("warning: ")
        console.log(warning + mark + train_flags.translated(text, values) if mark else line)

    with (
        console.advising(OTHER_FOLDER, ("Cannot write to", "another folder", "another one")),
        console.advising(_shorter(values, plan.recipe), ("; the limit is",)),
        train_flags.in_flags(values),
    ):
        result = training.run(
            recipe,
            data.Source(**plan.source),
            Path(values.logdir) / plan.exp,
            strategy,
            resume_step=None if values.resume_iter < 0 else values.resume_iter,
            **{name: values[name].value for name in _AS_THEY_ARE},
            max_seconds=None if values.yes else DAY,
            chosen=plan.chosen,
            report=report,
            stop=stop,
            on_phase=on_phase,
        )
    chief = workers.is_chief(strategy)
    if values.dry_run:
        return console.DONE
    if not result.done:
        if chief:
            console.log(stopped(result.step))
        return console.STOPPED
    if chief:
        if quality := result.summary["quality"]:
            from tf_febm import evaluation

            console.log(evaluation.verdict(quality).sentence)
        picture = result.folder.samples / "final.png"
        seen = picture if picture.exists() else picture.with_suffix(".npz")
        console.log(f"Done: look at {result.folder.path / 'report.html'} and {seen}.")
    return console.DONE


if __name__ == "__main__":
    console.main(run, train_flags.define)
