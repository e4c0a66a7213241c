"""Checks of whole calls: they go in front of everything public."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tf_febm.arguments.kinds import Kind
from tf_febm.arguments.meanings import kinds_of
from tf_febm.arguments.values import is_whole, shown

__all__ = ["checked", "checking"]

Thing = TypeVar("Thing")


def checked(thing: Thing) -> Thing:
    """Check the arguments of a function, or of a class's constructor and methods, at each call.

    What is hidden and what Keras calls is left alone.
    """
    return checking({})(thing)


def checking(kinds: Mapping[str, Kind | None]) -> Callable[[Thing], Thing]:
    """Return `checked` with kinds of arguments by name, which go before all others.

    Those of the kind None are left to the function.
    """

    def decorate(thing: Any) -> Any:
        if not inspect.isclass(thing):
            return _with_checks(thing, kinds)
        for name, member in list(vars(thing).items()):
            if name.startswith("_") and name not in ("__init__", "__call__"):
                continue
            if name.startswith(_HOOKS):
                continue
            if isinstance(member, (classmethod, staticmethod)):
                setattr(thing, name, type(member)(_with_checks(member.__func__, kinds)))
            elif inspect.isfunction(member):
                setattr(thing, name, _with_checks(member, kinds))
        return thing

    return decorate


# What Keras calls, with arguments of its own.
_HOOKS = ("on_", "build", "compute_", "get_", "from_config",
          "train_step", "test_step", "predict_step",
          "save_own", "load_own", "compile_from", "set_", "update_", "call", "export")  # fmt: skip


def _with_checks(function: Callable, kinds: Mapping[str, Kind | None]) -> Callable:
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [parameter.name for parameter in parameters if parameter.kind in by_place]
    known: dict[str, Kind] = {}

    def check(values: tuple, named: dict) -> None:
        if not known:
            # When first called: what annotations name may not be there before.
            known.update(kinds_of(function, signature, kinds))
        for name, value in zip(positional, values, strict=False):
            if name in known:
                known[name].check(name, value)
        for name, value in named.items():
            if name in known:
                known[name].check(name, value)

    # AutoGraph converts what a caller's tf.function calls; there is nothing in it to convert.
    check.autograph_info__ = {}  # type: ignore[attr-defined]

    @functools.wraps(function)
    def call(*values, **named):
        check(values, named)
        try:
            return function(*values, **named)
        except Exception as error:
            if not _is_of_memory(error):
                raise
            given = {**dict(zip(positional, values, strict=False)), **named}
            # Said by the outermost call, the one that the user wrote.
            name = function.__qualname__.removesuffix(".__init__")
            raise _TooLarge(name, given, getattr(error, "message", str(error))) from None

    # Keras asks for the arguments of a constructor without following what it wraps.
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.is_checked = True  # type: ignore[attr-defined]
    return call


def _is_of_memory(error: Exception) -> bool:
    """Whether an error of Python, NumPy, TensorFlow or ours says that something is too large."""
    # By its name: TensorFlow need not be imported for this.
    kind = type(error).__name__
    many = kind == "InvalidArgumentError" and "more than 2**63 - 1 elements" in str(error)
    return isinstance(error, _TooLarge | MemoryError) or many or kind == "ResourceExhaustedError"


class _TooLarge(ValueError):
    """What a call asks for does not fit into memory."""

    def __init__(self, name: str, given: Mapping[str, Any], message: str):
        # TensorFlow's message, for calls further out.
        self.message = message
        tensor = re.search(r"shape *(\[[\d,]*\]|\([\d, ]*\))", message, re.IGNORECASE)
        what = f" for a tensor of shape {tensor.group(1)}" if tensor else ""
        sizes = [f"{key}={shown(value)}" for key, value in given.items() if _is_size(value)]
        received = f"; received {', '.join(sizes)}" if sizes else ""
        super().__init__(f"{name}: there is no memory{what}{received}: take smaller numbers.")


def _is_size(value: Any) -> bool:
    """Whether a value is a size, some of them, or an array, which is shown by its shape."""
    if isinstance(value, (tuple, list)):
        return bool(value) and all(map(is_whole, value))
    return is_whole(value) or (hasattr(value, "shape") and hasattr(value, "dtype"))
