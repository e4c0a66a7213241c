"""Flags of evaluate.py with an effect, and when; those of train.py are settings of a recipe.

One that is given in vain is refused, as a setting of a recipe is; if it says what is done anyway,
or is a harmless one of the original's, a line says so.
"""

from collections.abc import Callable
from typing import Any

import console
from absl import flags

with console.without_tensorflow():
    from tf_febm.recipes.effects import Rule, refuse_vain


def _rule(needs: str, holds: Callable[[dict[str, Any]], bool], *found_and_cure) -> Rule:
    """Return the rule that facts meet a condition; a KeyError says that one is not known yet."""

    def known(facts):
        try:
            return bool(holds(facts))
        except KeyError:
            return None

    return Rule(known, needs, *found_and_cure)


def _of_features(needs: str, flag: str, *names: str) -> Rule:
    """Return the rule that the feature network is one of some names, or the only one offered."""

    def holds(facts):
        alone = flag == "squeezenet" and facts["features"] == "auto" and not facts["inception"]
        return alone or facts["features"] in names

    return _rule(needs, holds, lambda facts: facts["features"])


# What has an effect in every evaluation; the third row may be said again, and must be the run's.
ALWAYS = (
    *("original", "num_samples", "im_number", "final_steps", "num_steps", "descent_steps"),
    *("seed", "data_dir", "rounds", "repeat_scale", "num_real", "features"),
    *("dataset", "cclass", "use_attention", "large_model", "larger_model", "wider_model"),
    *("noise_removed", "reference", "out", "debug"),
)
ROWS = ("run", "exp", "logdir", "resume_iter", "data_dir", "dataset", "odd", "out", "debug")
_RUN = _rule(
    "runs of this library", lambda facts: not facts["original"], lambda facts: "--original"
)
_ROUNDS = _rule(
    "sampling in rounds, without which the chains of training go on",
    lambda facts: facts["rounds"] > 0,
    lambda facts: "",
    "give --rounds= or --repeat_scale= (the original has --repeat_scale=100), or leave it out",
)
_MIXED = _rule(
    "rounds before the last --nomix",
    lambda facts: facts["rounds"] > facts["nomix"],
    lambda facts: f"--rounds={facts['rounds']} with --nomix={facts['nomix']}",
)
_AVERAGE = _rule(
    "runs that keep averaged weights (--average_decay above 0)", lambda facts: facts["has_average"]
)
_MOVING = _rule(
    "chains of one step or more",
    lambda facts: facts["num_steps"] > 0,
    lambda facts: "0",
    "give --final_steps=, or leave it out",
)
_FIGURES = _rule(
    "figures, and there is no feature network",
    lambda facts: facts["has_features"],
    lambda facts: "",
    "give --inception=, --squeezenet= or --features=, or leave it out",
)
# The first of a flag that does not hold is told.
RULES: dict[str, tuple[Rule, ...]] = {
    "logdir": (_rule("runs named by --exp=", lambda facts: facts["exp"]),),
    **dict.fromkeys(("run", "exp", "resume_iter", "curve"), (_RUN,)),
    "odd": (_rule("runs on vectors", lambda facts: not facts["images"], lambda facts: "images"),),
    **dict.fromkeys(("nomix", "batch_size", "pool_size"), (_ROUNDS,)),
    "ensemble": (_RUN, _ROUNDS),
    "restart_share": (_ROUNDS, _MIXED),
    "label_share": (
        *(_ROUNDS, _MIXED),
        _rule("runs with labels (--cclass)", lambda facts: facts["cclass"]),
    ),
    "averaged": (_ROUNDS, _AVERAGE),
    **dict.fromkeys(("step_lr", "proj_norm", "noise_scale"), (_MOVING,)),
    "inception": (
        _of_features("--features=auto or inception_graph", "inception", "auto", "inception_graph"),
    ),
    "squeezenet": (
        _of_features(
            "--features=squeezenet, or auto without --inception", "squeezenet", "squeezenet"
        ),
    ),
    "keras_weights": (
        _of_features("--features=keras_inception", "keras_weights", "keras_inception"),
    ),
    **dict.fromkeys(("compare_with", "cache_dir"), (_FIGURES,)),
}
# (Flag, rule) -> the value that says what is done anyway where the rule does not hold.
_OFF = {("ensemble", _ROUNDS): 1, ("averaged", _ROUNDS): True, ("averaged", _AVERAGE): False}
# Flags that lines of the original have, whatever their value.
_TOLD = ("nomix", "batch_size")


def check(values: flags.FlagValues, facts: dict[str, Any]) -> list[str]:
    """Return a line for each flag that was given, has no effect, and does no harm.

    Args:
        values: The parsed flags.
        facts: What the rules ask for, as far as it is known.

    Raises:
        ValueError: A flag was given in vain.
    """

    def harmless(flag):
        return lambda rule: flag.name in _TOLD or _OFF.get((flag.name, rule)) == flag.value

    given = [values[name] for name in RULES if values[name].present]
    return refuse_vain(
        [(flag.name, as_given(flag), harmless(flag)) for flag in given], RULES, facts
    )


def check_rows(values: flags.FlagValues) -> None:
    """Raise a ValueError if a flag was given that is nothing to rows of a table."""
    for flag in (values[name] for name in (*RULES, *ALWAYS) if name not in ROWS):
        if flag.present:
            raise ValueError(f"{as_given(flag)} is for images, not for vectors: leave it out.")


def as_given(flag: flags.Flag) -> str:
    """Return a flag as it stands on a command line."""
    if flag.boolean:
        return f"--{'' if flag.value else 'no'}{flag.name}"
    return f"--{flag.name}={flag.value}"


def check_names(values: flags.FlagValues, aliases: dict[str, str]) -> None:
    """Raise a ValueError if a flag is given under both of its names.

    Args:
        values: The parsed flags.
        aliases: Alias -> the flag itself.
    """
    for alias, name in aliases.items():
        # What is given as the alias counts for the flag too.
        if 0 < values[alias].present < values[name].present:
            raise ValueError(f"--{alias} and --{name} are one flag of two names: give one of them.")
