"""Names: of choices that a flag takes, and of flags that somebody may have meant."""

from absl import flags

__all__ = ["advice", "define_names"]

# Ends a choice that stands for all names that begin as it does.
ANY = ":NAME"


class _Parser(flags.EnumParser):
    """Take a choice, or what begins as one with NAME at its end."""

    def parse(self, argument: str) -> str:
        """Return the name; raise a ValueError if there is none."""
        begins = tuple(c.removesuffix(ANY) + ":" for c in self.enum_values if c.endswith(ANY))
        return argument if argument.startswith(begins) else super().parse(argument)


def define_names(
    name: str, default: str, choices: list[str], text: str, *, flag_values: flags.FlagValues
) -> None:
    """Register the flag."""
    serializer: flags.ArgumentSerializer = flags.ArgumentSerializer()
    flags.DEFINE(_Parser(choices), name, default, text, flag_values, serializer)


def advice(error: flags.Error, values: flags.FlagValues) -> str:
    """Return an error about flags as text, with those whose names share a word with an unknown one.

    The parser itself names those that are spelt alike.

    Args:
        error: What the parser raised.
        values: The flags that there are.
    """
    text = str(error)
    if not isinstance(error, flags.UnrecognizedFlagError) or "Did you mean" in text:
        return text
    words = set(error.flagname.removeprefix("no").split("_")) | set(error.flagname.split("_"))
    near = sorted(f"--{name}" for name in values if words & set(name.split("_")))
    return f"{text}. Did you mean {' or '.join(near)}?" if 0 < len(near) <= 4 else text
