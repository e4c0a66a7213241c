"""Packages that an extra of the installation brings, and that importing and fitting do not need."""

import importlib

__all__ = ["RUN", "needs"]

# Module -> the package that has it, for all that `pip install tf_febm[run]` adds.
RUN = {"PIL": "pillow", "matplotlib": "matplotlib", "tensorboard": "tensorboard"}


def needs(*modules: str) -> None:
    """Raise an ImportError that says how to get it, if a package of the extra `run` is missing.

    Args:
        modules: Names in `RUN`; those of all if none is given.
    """
    missing = []
    for module in modules or RUN:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(RUN[module])
    if missing:
        raise ImportError(
            f"This needs {', '.join(missing)}, of the extra run, which importing and fitting do "
            "without: pip install '.[run]' in a checkout of tf_febm."
        )
