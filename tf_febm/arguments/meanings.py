"""Meanings of arguments by their annotations, and by their names where these say less."""

import collections.abc
import contextlib
import functools
import inspect
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_febm.arguments.kinds import (
    ACTIVATION,
    ARRAY,
    BOUNDS,
    COUNT,
    FUNCTION,
    MAPPING,
    NAMES,
    NATURAL,
    NONE,
    PATH,
    PROBABILITY,
    REAL,
    SEQUENCE,
    SWITCH,
    TEXT,
    WHOLE,
    Kind,
)

__all__ = ["kinds_of"]

# Of arguments with an annotation that says less.
BEYOND_TYPES: dict[str, Kind] = {
    "activation": ACTIVATION,
    "batch_size": COUNT,
    "dropout": PROBABILITY,
    "label_probability": PROBABILITY,
    "image_size": COUNT,
    "per_file": COUNT,
    "shuffle_buffer": COUNT,
    "max_depth": COUNT,
    "max_pixels": COUNT,
    "num_classes": NATURAL,
    "num_filters": COUNT,
    "output_activation": ACTIVATION,
    "restart_probability": PROBABILITY,
    "seed": NATURAL,
}


def kinds_of(
    function: Any, signature: inspect.Signature, kinds: Mapping[str, Kind | None]
) -> dict[str, Kind]:
    """Return the kinds of a function's arguments, of those that have one; never nothing."""
    hints = {}
    for name, parameter in signature.parameters.items():
        # What is imported for type checkers alone has no kind.
        with contextlib.suppress(NameError):
            said = parameter.annotation
            hints[name] = eval(said, function.__globals__) if isinstance(said, str) else said
    found = {"": NONE}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in kinds:
            kind = kinds[name]
        elif hints.get(name, parameter.empty) is parameter.empty:
            kind = None
        elif name not in BEYOND_TYPES or _says(hints[name]):
            kind = _kind_of(hints[name])
        elif type(None) in typing.get_args(hints[name]):
            kind = BEYOND_TYPES[name] | NONE
        else:
            kind = BEYOND_TYPES[name]
        if kind is not None and parameter.default is None:
            kind = kind | NONE
        if kind is not None:
            found[name] = kind
    return found


_OF_TYPES: dict[Any, Kind] = {
    bool: SWITCH,
    int: WHOLE,
    float: REAL,
    str: TEXT,
    np.ndarray: ARRAY,
    type(None): NONE,
    collections.abc.Callable: FUNCTION,
    collections.abc.Mapping: MAPPING,
    collections.abc.Sequence: SEQUENCE,
    dict: MAPPING,
}


_OF_PARTS: dict[Any, Kind] = {
    collections.abc.Sequence[str]: NAMES,
    tuple[str, ...]: NAMES,
    tuple[float, float]: BOUNDS,
}


_UNIONS = (typing.Union, types.UnionType)

# What classes are called, where their name alone would not say enough.
_OF_CLASSES = {
    "GaussianReference": "a networks.GaussianReference",
    "Layer": "a Keras model or layer",
    "Model": "a Keras model or layer",
    "ReplayBuffer": "a ReplayBuffer, PersistentChains",
}


def _says(annotation) -> bool:
    """Whether an annotation, or one that may be None, has its kind with it."""
    parts = (
        typing.get_args(annotation) if typing.get_origin(annotation) in _UNIONS else [annotation]
    )
    return any(typing.get_origin(part) is typing.Annotated for part in parts)


def _kind_of(annotation) -> Kind | None:
    """Return the kind that an annotation stands for, or None."""
    origin = typing.get_origin(annotation) or annotation
    if origin is typing.Annotated:
        (said,) = annotation.__metadata__
        return said if isinstance(said, Kind) else None
    if origin in _UNIONS:
        parts = [_kind_of(part) for part in typing.get_args(annotation)]
        known = [part for part in parts if part is not None]
        return functools.reduce(Kind.__or__, known) if len(known) == len(parts) else None
    if annotation in _OF_PARTS:
        return _OF_PARTS[annotation]
    if origin in _OF_TYPES:
        return _OF_TYPES[origin]
    if not inspect.isclass(origin) or getattr(origin, "_is_protocol", False):
        return None
    if origin.__module__.startswith("tensorflow") and origin.__name__ == "Tensor":
        return ARRAY
    if issubclass(origin, os.PathLike):
        return PATH
    if origin in (tuple, object, Any):
        return None
    article = "an" if origin.__name__[0] in "AEIOU" else "a"
    what = f"{article} {origin.__name__}"
    return Kind(
        _OF_CLASSES.get(origin.__name__, what), lambda value: isinstance(value, origin), TypeError
    )
