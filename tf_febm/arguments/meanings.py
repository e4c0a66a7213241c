"""What arguments mean by their names, where they have no annotation or one that says less."""

import collections.abc
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
    LABELS,
    MAPPING,
    MODEL,
    NAMES,
    NATURAL,
    NONE,
    NUMBERS,
    PATH,
    PROBABILITY,
    REAL,
    REALS,
    REFERENCE,
    SEED,
    SEQUENCE,
    SHAPE,
    STRATEGY,
    SWITCH,
    TEXT,
    WHOLE,
    WRITER,
    Kind,
    dtype_name,
    having,
)

__all__ = ["kinds_of"]

# Of arguments without an annotation; with None as well, where that is what they are by default.
OF_NAMES: dict[str, Kind] = {
    "array": ARRAY,
    "base": having("a density with sample and log_prob", "sample", "log_prob"),
    "bed": having("a density with a box, as of data.toy_datasets", "sample", "log_prob", "box"),
    "bounds": BOUNDS | NONE,
    "cache_dir": PATH,
    "classifier": having("an evaluation.Classifier", "probabilities", "num_classes"),
    "columns": NAMES | NONE,
    "cov_a": ARRAY,
    "cov_b": ARRAY,
    "cross_block": ARRAY,
    "checkpoint": PATH,
    "count": WHOLE,
    "data_dir": PATH,
    "entropy": NUMBERS,
    "energy_block": ARRAY,
    "energy_data": NUMBERS,
    "energy_fn": FUNCTION,
    "energy_gradient": NUMBERS,
    "energy_model": NUMBERS,
    "epsilon": REAL,
    "features": REALS,
    "features_a": REALS,
    "features_b": REALS,
    "folder": PATH,
    "fresh": ARRAY,
    "function": FUNCTION,
    "images": ARRAY,
    "high": NUMBERS,
    "in_scores": REALS,
    "indices": ARRAY,
    "init_from": PATH,
    "initial_state": ARRAY,
    "known": NUMBERS,
    "labels": LABELS | NONE,
    "leave_one_out": SWITCH,
    "log_density_gradient": NUMBERS,
    "log_ratio": NUMBERS,
    "log_ratio_data": NUMBERS,
    "log_ratio_model": NUMBERS,
    "low": NUMBERS,
    "lower": NUMBERS,
    "mean": NUMBERS,
    "mean_a": ARRAY,
    "mean_b": ARRAY,
    "model": MODEL,
    "modes": ARRAY,
    "num_samples": WHOLE,
    "out": PATH,
    "out_scores": REALS,
    "path": PATH,
    "penalty": NUMBERS,
    "probabilities": REALS,
    "real": REALS,
    "reference": REFERENCE | NONE,
    "recipe": having("a Recipe", "as_dict", "batch_size"),
    "refine_steps": WHOLE,
    "return_diagnostics": SWITCH,
    "return_trajectory": SWITCH,
    "return_dict": SWITCH,
    "sample_shape": SHAPE,
    "samples": ARRAY,
    "scale": NUMBERS,
    "seed": SEED,
    "shape": SHAPE
    | Kind("a tensor of sizes", lambda v: dtype_name(getattr(v, "dtype", "")).startswith("int")),
    "start": ARRAY,
    "strategy": STRATEGY | NONE,
    "value_data": NUMBERS,
    "value_model": NUMBERS,
    "values": NUMBERS,
    "variational_block": ARRAY,
    "x": ARRAY,
    "weights": NUMBERS,
    "weights_data": NUMBERS,
    "weights_model": NUMBERS,
    "writer": WRITER | NONE,
    "z": ARRAY,
}


# Of arguments with an annotation that says less.
BEYOND_TYPES: dict[str, Kind] = {
    "activation": ACTIVATION,
    "batch_size": COUNT,
    "dropout": PROBABILITY,
    "label_probability": PROBABILITY,
    "image_size": COUNT,
    "max_depth": COUNT,
    "max_pixels": COUNT,
    "num_classes": NATURAL,
    "num_filters": COUNT,
    "output_activation": ACTIVATION,
    "restart_probability": PROBABILITY,
    "seed": NATURAL,
}


def kinds_of(
    function, signature: inspect.Signature, kinds: Mapping[str, Kind | None]
) -> dict[str, Kind]:
    """Return the kinds of a function's arguments, of those that have one; never nothing."""
    try:
        hints = typing.get_type_hints(function)
    except NameError:
        hints = {}
    found = {"": NONE}
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if name in kinds:
            kind = kinds[name]
        elif name not in hints:
            kind = OF_NAMES.get(name)
        elif (kind := BEYOND_TYPES.get(name)) is None:
            kind = _kind_of(hints[name])
        elif type(None) in typing.get_args(hints[name]):
            kind = kind | NONE
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


# What classes are called, where their name alone would not say enough.
_OF_CLASSES = {
    "GaussianReference": "a networks.GaussianReference",
    "Layer": "a Keras model or layer",
    "Model": "a Keras model or layer",
    "ReplayBuffer": "a ReplayBuffer, PersistentChains",
}


def _kind_of(annotation) -> Kind | None:
    """Return the kind that an annotation stands for, or None."""
    origin = typing.get_origin(annotation) or annotation
    if origin in (typing.Union, types.UnionType):
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
