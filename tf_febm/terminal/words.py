"""Figures as a sentence, for the console. Nothing but the standard library."""

import textwrap
from collections.abc import Mapping
from typing import Any

__all__ = ["in_words"]


def in_words(title: str, figures: Mapping[str, Any]) -> str:
    """Return "Title: name value, …." in lines of at most 100 columns.

    Args:
        title: What the figures are of.
        figures: Name -> number, text, or more of these; lists and what is missing are left out.
    """
    return textwrap.fill(f"{title}: {_listed(figures)}.", 100, break_long_words=False)


def _listed(figures: Mapping[str, Any]) -> str:
    parts = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            value = f"({_listed(value)})"
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, float):
            value = f"{value:.4g}"
        elif not isinstance(value, (int, str)):
            continue
        parts.append(f"{name.replace('_', ' ')} {value}".rstrip())
    return ", ".join(parts)
