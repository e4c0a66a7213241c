"""Figures and errors as sentences, for the console. Nothing but the standard library."""

import textwrap
from collections.abc import Mapping
from typing import Any

__all__ = ["error_line", "in_words"]


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


def error_line(error: Exception, more: str) -> str:
    """Return an error as one line for people.

    Args:
        error: A ValueError, TypeError, OSError, ArithmeticError or ImportError is taken to be meant
            for them; any other one is named as unexpected.
        more: How to see all of it, where that is more than the line.
    """
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename:
        # As people say it: the system's own form begins with a number.
        text = f"{error.filename}: {error.strerror}"
    lines = text.strip().splitlines() or ["no message"]
    expected = isinstance(error, (ValueError, TypeError, OSError, ArithmeticError, ImportError))
    what = "" if expected else f"unexpected {type(error).__name__}: "
    hint = "" if expected and len(lines) == 1 else f" ({more})"
    return f"error: {what}{lines[0]}{hint}"
