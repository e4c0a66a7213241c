"""A flag of one of several names, some of which others may follow."""

from absl import flags

__all__ = ["define_names"]

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
