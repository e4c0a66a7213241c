"""Earlier names of what the library exports, which keep working for one version."""

import importlib
import warnings
from collections.abc import Callable

__all__ = ["earlier_names"]


def earlier_names(module: str, names: dict[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a module whose names have changed.

    Args:
        module: The module's `__name__`.
        names: Earlier name -> the present one, "package.module:attribute", or "package.module" for
            a module.

    Returns:
        name -> what it is called for; warns with a DeprecationWarning that says the present name.
    """

    def find(name: str):
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, attribute = names[name].partition(":")
        present = f"{place}.{attribute}" if attribute else place
        warnings.warn(
            f"{module}.{name} is now {present}; the earlier name goes with the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        found = importlib.import_module(place)
        return getattr(found, attribute) if attribute else found

    return find
