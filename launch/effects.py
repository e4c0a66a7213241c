"""Flags of evaluate.py with an effect, and when; those of train.py are settings of a recipe.

One that is given in vain is refused; if it says what is done anyway, or is a harmless one of the
original's, a line says so.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from absl import flags


class Rule(NamedTuple):
    """A condition under which flags have an effect.

    Attributes:
        needs: What they are for, as "X is for …" reads.
        holds: Facts -> whether it is met; a KeyError says that it is not known yet.
        flags: Their names.
        found: Facts -> what there is instead, or nothing.
        cure: What to do.
        off: Flag -> a value that says what is done anyway where the rule does not hold.
    """

    needs: str
    holds: Callable[[dict[str, Any]], bool]
    flags: tuple[str, ...]
    found: Callable[[dict[str, Any]], str] = lambda facts: ""
    cure: str = "leave it out"
    off: Mapping[str, Any] = {}


def _of_features(needs: str, flag: str, *names: str) -> Rule:
    """Return the rule that the feature network is one of some names, or the only one offered."""

    def holds(facts):
        alone = flag == "squeezenet" and facts["features"] == "auto" and not facts["inception"]
        return alone or facts["features"] in names

    return Rule(needs, holds, (flag,), lambda facts: facts["features"])


# What has an effect in every evaluation; the third row may be said again, and must be the run's.
ALWAYS = (
    *("run", "exp", "num_samples", "im_number", "final_steps", "num_steps", "descent_steps"),
    "noise_removed",
    *("seed", "resume_iter", "data_dir", "rounds", "repeat_scale", "curve", "num_real", "features"),
    *("dataset", "cclass", "use_attention", "large_model", "larger_model", "wider_model"),
    *("out", "debug"),
)
# The first that does not hold is told.
RULES = (
    Rule("runs named by --exp=", lambda facts: bool(facts["exp"]), ("logdir",)),
    Rule(
        "sampling in rounds, without which the chains of training go on",
        lambda facts: facts["rounds"] > 0,
        (
            *("nomix", "batch_size", "pool_size", "restart_share", "label_share"),
            *("ensemble", "averaged"),
        ),
        cure="give --rounds= or --repeat_scale= (the original has --repeat_scale=100), or leave "
        "it out",
        off={"ensemble": 1, "averaged": True},
    ),
    Rule(
        "rounds before the last --nomix",
        lambda facts: facts["rounds"] > facts["nomix"],
        ("restart_share", "label_share"),
        lambda facts: f"--rounds={facts['rounds']} with --nomix={facts['nomix']}",
    ),
    Rule("runs with labels (--cclass)", lambda facts: facts["cclass"], ("label_share",)),
    Rule(
        "runs that keep averaged weights (--average_decay above 0)",
        lambda facts: facts["has_average"],
        ("averaged",),
        off={"averaged": False},
    ),
    Rule(
        "chains of one step or more",
        lambda facts: facts["num_steps"] > 0,
        ("step_lr", "proj_norm", "noise_scale"),
        lambda facts: "0",
        "give --final_steps=, or leave it out",
    ),
    _of_features("--features=auto or inception_graph", "inception", "auto", "inception_graph"),
    _of_features("--features=squeezenet, or auto without --inception", "squeezenet", "squeezenet"),
    _of_features("--features=keras_inception", "keras_weights", "keras_inception"),
    Rule(
        "figures, and there is no feature network",
        lambda facts: facts["has_features"],
        ("reference", "cache_dir"),
        cure="give --inception=, --squeezenet= or --features=, or leave it out",
    ),
)
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
    lines = {}
    for rule in RULES:
        for name in rule.flags:
            flag = values[name]
            if name in lines or not flag.present or _holds(rule, facts):
                continue
            instead = rule.found(facts)
            about = f"is for {rule.needs}" + (f", not {instead}" if instead else "")
            if name in _TOLD or (name in rule.off and flag.value == rule.off[name]):
                lines[name] = f"{as_given(flag)} has no effect: it {about}."
            else:
                raise ValueError(f"{as_given(flag)} {about}: {rule.cure}.")
    return list(lines.values())


def _holds(rule: Rule, facts: dict[str, Any]) -> bool:
    try:
        return rule.holds(facts)
    except KeyError:
        return True


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
