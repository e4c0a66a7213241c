"""The page that `--help` prints: flags in groups, each with its default. No TensorFlow."""

import re
import textwrap
from collections.abc import Mapping
from typing import Any

__all__ = ["help_page"]

_COLUMN, _WIDTH = 26, 100


def help_page(about: str, flags: Mapping[str, Any], groups: Mapping[str, Mapping[str, str]]) -> str:
    """Return the page.

    Args:
        about: What the program is.
        flags: Name -> flag, as `absl.flags` has them.
        groups: Title -> name of a flag -> what to say of it for want of a default. A title that
            speaks of the original comes last.
    """
    lines = [about.strip()]
    for title in sorted(groups, key=lambda title: "original" in title):
        lines += ["", f"{title}:"]
        for name, unset in groups[title].items():
            lines += _row(name, flags[name], unset)
    return "\n".join(lines)


def _row(name: str, flag: Any, unset: str) -> list[str]:
    given = f"--[no]{name}" if flag.boolean else f"--{name}="
    # The choices stand in front of absl's own text, without a space between them.
    text = re.sub(r"^<[^>]*>: ", "", re.sub(r"\s+", " ", flag.help or ""))
    default = unset if flag.default in (None, []) else flag.default
    if flag.boolean:
        default = {True: "yes", False: "no"}.get(flag.default, unset)
    alias = text.startswith("Alias for")
    choices = getattr(flag.parser, "enum_values", None)
    if choices and not alias:
        text += f" One of {', '.join(choices)}."
    if str(default) and not alias:
        text += f" [{default}]"
    wrapped = textwrap.wrap(text, _WIDTH - _COLUMN, break_long_words=False, break_on_hyphens=False)
    rows = [" " * _COLUMN + line for line in wrapped]
    if len(given) > _COLUMN - 4 or not rows:
        return [f"  {given}", *rows]
    return [f"  {given:{_COLUMN - 2}}{rows[0].lstrip()}", *rows[1:]]
