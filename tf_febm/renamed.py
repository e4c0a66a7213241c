"""Earlier names of what the library exports, which keep working for one version."""

import functools
import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Callable

__all__ = ["earlier_arguments", "earlier_names", "warn_of_earlier"]

# Earlier name of a module -> the present one, or the present places of its names.
_MODULES: dict[str, str | dict[str, str]] = {
    "tf_febm.data.stacked": {
        "CHANNELS": "tf_febm.data.mnist:CHANNELS",
        "read": "tf_febm.data.mnist:read_stacked",
        "stack": "tf_febm.data.mnist:stack",
    },
    # Its parent has a function of this name, too.
    "tf_febm.samplers.mixed_chain": "tf_febm.models.chain_pools",
}


def earlier_names(module: str, names: dict[str, str]) -> Callable[[str], object]:
    """Return the `__getattr__` of a module whose names have changed.

    Args:
        module: The module's `__name__`.
        names: Earlier name -> the present one, "package.module:attribute", or "package.module" for
            a module, which is imported by the earlier name too.

    Returns:
        name -> what it is called for; warns with a DeprecationWarning that says the present name.
    """
    modules = {name: place for name, place in names.items() if ":" not in place}
    _MODULES.update({f"{module}.{name}": place for name, place in modules.items()})

    def find(name: str):
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, attribute = names[name].partition(":")
        warn_of_earlier(f"{module}.{name}", f"{place}.{attribute}" if attribute else place)
        found = importlib.import_module(place)
        return getattr(found, attribute) if attribute else found

    return find


def earlier_arguments(names: dict[str, str]) -> Callable[[Callable], Callable]:
    """Return a decorator by which a function takes arguments by their earlier names, too.

    Args:
        names: Earlier name -> the present one.
    """

    def decorate(function):
        @functools.wraps(function)
        def call(*values, **named):
            for earlier in names.keys() & named.keys():
                warn_of_earlier(f"{function.__name__}({earlier}=…)", f"{names[earlier]}=…")
                named[names[earlier]] = named.pop(earlier)
            return function(*values, **named)

        return call

    return decorate


def warn_of_earlier(earlier: str, present: str) -> None:
    """Warn that a name has changed; the caller of who asks is named as the place.

    Args:
        earlier: The name that was used.
        present: The one to use.
    """
    warnings.warn(
        f"{earlier} is now {present}; the earlier name goes with the next version.",
        DeprecationWarning,
        stacklevel=3,
    )


class _EarlierModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import the present module where an earlier name is asked for."""

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name in _MODULES else None

    def exec_module(self, module) -> None:
        place = _MODULES[module.__name__]
        if isinstance(place, dict):
            module.__getattr__ = earlier_names(module.__name__, place)
            return
        warn_of_earlier(module.__name__, place)
        sys.modules[module.__name__] = importlib.import_module(place)


# Asked last, when there is no file of that name.
sys.meta_path.append(_EarlierModules())
