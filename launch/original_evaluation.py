"""Command lines of the original's evaluation program, for evaluate.py: flags, and the run named."""

from pathlib import Path

import console
import original_flags
from absl import flags

with console.without_tensorflow():
    from tf_febm import catalogue
    from tf_febm import original_names as names
    from tf_febm.recipes.recipe import field_texts


def define(values: flags.FlagValues) -> None:
    """Register the flags of the original that evaluate.py has no use for but in its lines."""
    add = console.definers(values, original_flags.TITLE)
    add.text("logdir", "runs", "Folder of all runs; with --exp.")
    add.text("exp", None, "Name of the run; in the place of --run=<logdir>/<exp>.")
    add.whole("repeat_scale", None, "Half of --rounds, as in the original.", 0)
    # Options of the run that a line may say again.
    own = "Data set; that of the run, or of --original."
    add.choice("dataset", None, list(catalogue.DATASETS), own)
    said = {name: f"The same as {names.stands_for(name)}" for name in names.SWITCHES}
    for name, field in names.EVALUATION_OF_THE_RUN.items():
        if name != "dataset":
            text = said.get(name) or field_texts()[field].rstrip(".")
            add.switch(name, None, f"{text}; as the run has it.")
    original_flags.define_table(names.EVALUATION_ORIGINAL, values)


def folder_of(values, report) -> Path:
    """Return the folder of the run that --run, or --logdir and --exp, name.

    Args:
        values: The flags.
        report: Takes a line that says where a run was found that is not where the line says.

    Raises:
        ValueError: Nothing, or two things, name a run.
        OSError: There is no run.
    """
    if values.run and values.exp:
        raise ValueError("--run and --exp exclude each other: both name the run.")
    if not values.run and not values.exp:
        raise ValueError(
            "--run= must name the folder of a run, <logdir>/<exp>; or --logdir= and --exp=."
        )
    folder = Path(values.run or Path(values.logdir) / values.exp)
    if values.run or (folder / "options.json").is_file():
        return folder
    console.import_quietly()
    from tf_febm.training.original_runs import find_run

    return find_run(values.logdir, values.exp, report)


def rounds_of(values) -> int:
    """Return the rounds of a pool that --rounds or --repeat_scale ask for."""
    if values.repeat_scale is None:
        return values.rounds
    rounds = 2 * values.repeat_scale
    if values["rounds"].present and values.rounds != rounds:
        raise ValueError(
            f"--repeat_scale={values.repeat_scale} is --rounds={rounds}; received "
            f"--rounds={values.rounds} as well."
        )
    return rounds


def check(values, recipe, train) -> list[str]:
    """Return a warning for each flag of the original that has no effect.

    Args:
        values: The flags.
        recipe: That of the run.
        train: The data of the run.

    Raises:
        ValueError: A flag asks for what is not done, or for another run than this one.
    """
    warnings = original_flags.warnings_of(names.EVALUATION_ORIGINAL, values)
    for name, option in names.EVALUATION_OF_THE_RUN.items():
        own = train.name if option == "name" else getattr(recipe, option)
        wanted = values[name].value
        if wanted is None:
            continue
        switch = names.SWITCHES.get(name, {}).get("network")
        if wanted != (own if switch is None else own == switch):
            known = name if switch is None else "network"
            raise ValueError(
                f"--{name}={wanted} is not what the run has, {known}={own}: leave it out, or name "
                "another run."
            )
    return warnings
