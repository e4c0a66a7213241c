"""Registers and checks the flags of the original programs, of the tables in tf_febm."""

import console
from absl import flags

with console.without_tensorflow():
    from tf_febm.original_names import ORIGINAL, Original

_KINDS = {bool: "switch", int: "whole", float: "real", str: "text"}
TITLE = "Of the original code"


def define_table(table: dict[str, Original], values: flags.FlagValues) -> None:
    """Register the flags of a table, each with one line of help."""
    add = console.definers(values, TITLE)
    for name, flag in table.items():
        reason = flag.reason[:1].upper() + flag.reason[1:]
        getattr(add, _KINDS[type(flag.default)])(name, flag.default, f"{reason}.")


def warnings_of(table: dict[str, Original], values: flags.FlagValues) -> list[str]:
    """Return a warning for each flag of a table that was given.

    Raises:
        ValueError: A flag asks for what is not done here.
    """
    warnings = []
    for name, flag in table.items():
        if not values[name].present:
            continue
        given = flag.refused if isinstance(flag.refused, bool) else values[flag.refused].value
        if given and values[name].value != flag.default:
            raise ValueError(
                f"--{name}={values[name].value} of the original code is not supported: "
                f"{flag.reason}."
            )
        warnings.append(f"--{name} has no effect: {flag.reason}.")
    return warnings


def check(values: flags.FlagValues) -> list[str]:
    """Return a warning for each flag of training that was given and differs from the original's.

    Raises:
        ValueError: A flag asks for what is not done here.
    """
    warnings = warnings_of(ORIGINAL, values)
    if values.augment:
        warnings.append(
            "--augment: shifted images go on as their mirror image, where the original's have "
            "black borders."
        )
    if values.hmc and values["step_lr"].present:
        warnings.append(
            "--step_lr is the step of --hmc, which the original fixes at 15; without it the "
            "step follows from the noise of the recipe."
        )
    return warnings
