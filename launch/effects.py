"""Which flags of evaluate.py have an effect, and when; those of train.py are settings of a recipe.

One that is given and can have none is refused in one line; where it says no more than what is done
anyway, or is an original's that is harmless, a line says so. What depends on *facts* that are not
known yet is judged when `check` is called again with more of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from absl import flags

__all__ = ["EVALUATE", "check", "check_names"]

Facts = dict[str, Any]


class Rule(NamedTuple):
    """A condition under which a flag has an effect.

    Attributes:
        holds: Facts -> whether it is met; a KeyError says that it is not known yet.
        needs: What the flag is for, as "X is for …" reads.
        found: Facts -> what there is instead, or nothing.
        cure: What to do.
        harmless: Values of the flag that say what is done anyway where the rule does not hold.
        told: Facts -> whether the flag is told of, whatever its value, and not refused.
    """

    holds: Callable[[Facts], bool]
    needs: str
    found: Callable[[Facts], str] = lambda facts: ""
    cure: str = "leave it out"
    harmless: tuple = ()
    told: Callable[[Facts], bool] = lambda facts: False


def _is(name: str, *values: str) -> Rule:
    """Return the rule that an option is one of some values."""
    return Rule(
        lambda facts: facts[name] in values,
        f"--{name}={' or '.join(values)}",
        lambda facts: str(facts[name]),
    )


ALWAYS: tuple[Rule, ...] = ()

# --- evaluate.py ----------------------------------------------------------------------------------

_ROUNDS = Rule(
    lambda facts: facts["rounds"] > 0,
    "sampling in rounds, without which the chains of training go on",
    cure="give --rounds= or --repeat_scale= (the original has --repeat_scale=100), or leave it out",
)
_MIXING = Rule(
    lambda facts: facts["rounds"] > facts["nomix"],
    "rounds before the last --nomix",
    lambda facts: f"--rounds={facts['rounds']} with --nomix={facts['nomix']}",
)
_CONDITIONAL = Rule(lambda facts: facts["cclass"], "runs with labels (--cclass)")
_AVERAGED = Rule(
    lambda facts: facts["has_average"],
    "runs that keep averaged weights (--average_decay above 0)",
    harmless=(False,),
)
_STEPS = Rule(
    lambda facts: facts["num_steps"] > 0,
    "chains of one step or more",
    lambda facts: "0",
    "give --final_steps=, or leave it out",
)
_MEASURED = Rule(
    lambda facts: facts["has_features"],
    "figures, and there is no feature network",
    cure="give --inception=, --squeezenet= or --features=, or leave it out",
)

EVALUATE: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(
        (
            *("run", "exp", "num_samples", "im_number", "final_steps", "num_steps", "seed"),
            *("resume_iter", "data_dir", "rounds", "repeat_scale", "curve", "num_real"),
            *("features", "out", "debug"),
            # What the run has may be said again; original_evaluation holds it against the run.
            *("dataset", "cclass", "use_attention", "large_model", "larger_model", "wider_model"),
        ),
        ALWAYS,
    ),
    "logdir": (Rule(lambda facts: bool(facts["exp"]), "runs named by --exp="),),
    # Of the original's lines.
    **dict.fromkeys(("nomix", "batch_size"), (_ROUNDS._replace(told=lambda facts: True),)),
    "pool_size": (_ROUNDS,),
    "restart_share": (_ROUNDS, _MIXING),
    "label_share": (_ROUNDS, _MIXING, _CONDITIONAL),
    "ensemble": (_ROUNDS._replace(harmless=(1,)),),
    "averaged": (_ROUNDS._replace(harmless=(True,)), _AVERAGED),
    **dict.fromkeys(("step_lr", "proj_norm", "noise_scale"), (_STEPS,)),
    "inception": (
        Rule(
            lambda facts: facts["features"] in ("auto", "inception_graph"),
            "--features=auto or inception_graph",
            lambda facts: facts["features"],
        ),
    ),
    "squeezenet": (
        Rule(
            lambda facts: (
                facts["features"] == "squeezenet"
                or (facts["features"] == "auto" and not facts["inception"])
            ),
            "--features=squeezenet, or auto without --inception",
            lambda facts: facts["features"],
        ),
    ),
    "keras_weights": (_is("features", "keras_inception"),),
    "reference": (_MEASURED,),
    "cache_dir": (_MEASURED,),
}


def check(table: dict[str, tuple[Rule, ...]], values: flags.FlagValues, facts: Facts) -> list[str]:
    """Return a line for each flag that was given, has no effect, and does no harm.

    Args:
        table: Flag -> its rules, all of which must hold.
        values: The parsed flags.
        facts: What the rules ask for, as far as it is known.

    Raises:
        ValueError: If a flag was given that has no effect and says something else than what is
            done.
    """
    lines = []
    for name, rules in table.items():
        if name not in values or not values[name].present:
            continue
        for rule in rules:
            line = _judge(values[name], rule, facts)
            if line:
                lines.append(line)
                break
    return lines


def _judge(flag: flags.Flag, rule: Rule, facts: Facts) -> str | None:
    """Return what to say of a flag that was given, if anything."""
    try:
        if rule.holds(facts):
            return None
    except KeyError:
        return None
    instead = rule.found(facts)
    about = f"is for {rule.needs}" + (f", not {instead}" if instead else "")
    # A switch that is off unless it is given says nothing when it is given as off.
    off = flag.boolean and flag.value is False and not flag.default
    if off or flag.value in rule.harmless or rule.told(facts):
        return f"{_as_given(flag)} has no effect: it {about}."
    raise ValueError(f"{_as_given(flag)} {about}: {rule.cure}.")


def _as_given(flag: flags.Flag) -> str:
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
