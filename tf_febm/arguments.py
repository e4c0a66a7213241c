"""Checks of arguments that everything public shares; each message echoes what was received.

`checked` goes in front of a public function or class: each call is then checked before anything of
it runs, by annotations, and by names where there are none, which mean the same everywhere. Ranges
that an annotation does not tell are checked where they are known, by the functions below.
"""

import collections.abc
import functools
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

__all__ = [
    "Configured",
    "ANY_ARRAY",
    "COUNT",
    "NAME",
    "LABELS",
    "DATASETS",
    "IMAGES",
    "VECTORS",
    "FEATURE_NETWORK",
    "Kind",
    "ARRAY",
    "NETWORK",
    "NUMBERS",
    "NONE",
    "PATH",
    "SHAPE",
    "WRITER",
    "Settled",
    "checked",
    "checking",
    "choice",
    "class_count",
    "having",
    "instance",
    "interval",
    "number",
    "optional",
    "probability",
    "shape",
    "shown",
    "switch",
    "whole_number",
]

Thing = TypeVar("Thing")


class Configured:
    """Settings as a config; each argument of the constructor is kept under its name."""

    def get_config(self) -> dict:
        """Return the constructor's arguments, and those of Keras where it is a layer."""
        parameters = inspect.signature(type(self)).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
        of_keras: dict = getattr(super(), "get_config", dict)()
        return {**of_keras, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """Make one from the result of `get_config`."""
        return getattr(super(), "from_config", lambda config: cls(**config))(config)

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


class Settled:
    """An attribute that can be given once: what was made with it would not follow a new value.

    Args:
        cure: What to do for another value; it ends the message.
    """

    def __init__(self, cure: str):
        self._cure = cure

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, instance, owner=None):
        if instance is None:
            return self
        try:
            return instance.__dict__[self._name]
        except KeyError:
            raise AttributeError(f"{type(instance).__name__} has no {self._name} yet.") from None

    def __set__(self, instance, value):
        present = instance.__dict__.setdefault(self._name, value)
        if present != value:
            raise AttributeError(
                f"{self._name} of a {type(instance).__name__} is settled when it is made, at "
                f"{present!r}; received {value!r}. {self._cure}"
            )


def shown(value) -> str:
    """Return a value as messages echo it, in short."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        dtype = getattr(value.dtype, "name", value.dtype)
        if tuple(value.shape) or "numpy" not in type(value).__module__:
            return f"{type(value).__name__} of shape {tuple(value.shape)}, dtype {dtype}"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({type(value).__name__})"


def _is_whole(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_finite(value) -> bool:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # A whole number beyond what a float can be.
        return False


def whole_number(name: str, value, minimum: int = 0, below: int | None = None) -> int:
    """Return `value` as an int of at least `minimum` and `below` a limit, or raise a ValueError."""
    limit = 2**63 if below is None else below
    whole = _is_whole(value)
    if not whole or not minimum <= value < limit:
        said = f" and < {limit}" if below is not None or (whole and value >= limit) else ""
        raise ValueError(
            f"{name} must be a whole number ≥ {minimum}{said}; received {shown(value)}."
        )
    return int(value)


# A network has weights for each class, and a name is kept of it.
MOST_CLASSES = 100_000


def class_count(name: str, value) -> int:
    """Return a number of classes as an int from 1 to 100,000, or raise a ValueError."""
    if whole_number(name, value, 1) > MOST_CLASSES:
        raise ValueError(f"{name} must be at most {MOST_CLASSES:,}; received {value}.")
    return int(value)


def number(name: str, value, *, minimum: float = 0.0, above: bool = False) -> float:
    """Return `value` as a finite float, at least `minimum` or above it, or raise a ValueError."""
    if not _is_finite(value) or value < minimum or (above and value == minimum):
        relation = ">" if above else "≥"
        raise ValueError(
            f"{name} must be a finite number {relation} {minimum:g}; received {shown(value)}."
        )
    return float(value)


def probability(name: str, value) -> float:
    """Return `value` as a float in [0, 1], or raise a ValueError."""
    if not _is_finite(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} must lie in [0, 1]; received {shown(value)}.")
    return float(value)


def switch(name: str, value) -> bool:
    """Return `value` as a bool, or raise a ValueError if it is none."""
    return bool(SWITCH.check(name, value))


def choice(name: str, value, choices: tuple) -> Any:
    """Return `value` if it is one of the choices, or raise a ValueError that lists them."""
    if not any(type(value) is type(known) and value == known for known in choices):
        *most, last = map(repr, choices)
        listed = f"{', '.join(most)} or {last}" if most else last
        raise ValueError(f"{name} must be {listed}; received {shown(value)}.")
    return value


def instance(name: str, value, kind: type | tuple[type, ...], what: str) -> Any:
    """Return `value` if it is of a kind, or raise a TypeError that says what it must be."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be {what}; received {shown(value)}.")
    return value


def optional(check: Callable, name: str, value, *bounds) -> Any:
    """Return None for None, and what the check returns for others."""
    return None if value is None else check(name, value, *bounds)


def interval(name: str, value) -> tuple[float, float]:
    """Return `value` as two finite floats (low, high) with low < high, or raise a ValueError."""
    ordered = isinstance(value, (tuple, list)) or getattr(value, "shape", None) == (2,)
    bounds = [getattr(bound, "item", lambda b=bound: b)() for bound in value] if ordered else []
    if len(bounds) != 2 or not all(map(_is_finite, bounds)) or not bounds[0] < bounds[1]:
        raise ValueError(
            f"{name} must be two finite numbers (low, high), low < high; received {shown(value)}."
        )
    return float(bounds[0]), float(bounds[1])


def shape(name: str, value, rank: int | None = None) -> tuple[int, ...]:
    """Return `value`, an int or a sequence, as a tuple of positive ints, or raise a ValueError."""
    sizes = (value,) if isinstance(value, numbers.Integral) else value
    try:
        sizes = tuple(whole_number(name, size, 1) for size in sizes)
    except (TypeError, ValueError):
        sizes = ()
    if not sizes or (rank is not None and len(sizes) != rank):
        count = "positive whole numbers" if rank is None else f"{rank} positive whole number(s)"
        raise ValueError(f"{name} must be {count}; received {shown(value)}.")
    return sizes


class Kind(NamedTuple):
    """What an argument may be.

    Attributes:
        what: That in words, as they follow "must be".
        accepts: Whether a value is of this kind.
        error: What is raised for others, ValueError or TypeError.
    """

    what: str
    accepts: Callable[[Any], bool]
    error: type[Exception] = ValueError

    def check(self, name: str, value) -> Any:
        """Return the value, or raise an error that names the argument."""
        if not self.accepts(value):
            raise self.error(f"{name} must be {self.what}; received {_described(value)}.")
        return value

    def __or__(self, other: Any) -> "Kind":
        """Return what is of either kind."""
        accepts = self.accepts, other.accepts
        known = self.what.split(" or ")
        words = (
            self.what if other.what in known or not other.what else f"{self.what} or {other.what}"
        )
        return Kind(words, lambda value: any(one(value) for one in accepts), self.error)


def _described(value) -> str:
    if isinstance(value, Mapping):
        return f"a dictionary with the keys {', '.join(map(repr, value))}"
    return shown(value)


def _is_scalar_of(value, *names: str) -> bool:
    """Whether a value is a scalar array or tensor of a dtype whose name begins so."""
    dtype = getattr(value, "dtype", None)
    return _dtype_name(dtype).startswith(names) and not len(getattr(value, "shape", (1,)))


def _dtype_name(dtype) -> str:
    return str(getattr(dtype, "name", dtype))


_NUMERIC = ("float", "bfloat", "int", "uint", "bool", "half")


def _is_numeric(value) -> bool:
    """Whether a value is an array, tensor or sequence of real numbers."""
    if isinstance(value, (str, bytes, Mapping, set)) or value is None or callable(value):
        return False
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _dtype_name(value.dtype).startswith(_NUMERIC)
    if isinstance(value, (list, tuple)) and any(hasattr(entry, "op") for entry in value):
        return True  # Tensors of a graph that is being made.
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except (TypeError, ValueError):
        return False


def _has_rows(value) -> bool:
    try:
        return len(value.shape if hasattr(value, "shape") else np.shape(value)) > 0
    except ValueError:  # A tensor of unknown rank.
        return True


def _may_be_labels(value) -> bool:
    """Whether a value is an array or a list of one; what is in it, models have more to say of."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return not _dtype_name(value.dtype).startswith(("datetime", "timedelta", "void"))
    if isinstance(value, (numbers.Real, list, tuple)) or hasattr(value, "__array__"):
        try:
            return np.asarray(value).dtype.kind in "biufUS"
        except (TypeError, ValueError):
            return False
    return False


def _is_activation(value) -> bool:
    if not isinstance(value, str):
        return callable(value)
    import keras  # Not before flags are known to be good: it takes seconds.

    try:
        keras.activations.get(value)
    except (TypeError, ValueError):
        return False
    return bool(value)


def _is_path(value) -> bool:
    if not isinstance(value, (str, os.PathLike)):
        return False
    text = os.fspath(value)
    return isinstance(text, str) and "\0" not in text


def _is_seed(value) -> bool:
    if isinstance(value, (tuple, list)):
        return len(value) == 2 and all(map(_is_whole, value))
    if tuple(getattr(value, "shape", ())) == (2,):
        return _dtype_name(getattr(value, "dtype", None)).startswith(("int", "uint"))
    return _is_whole(value) or _is_scalar_of(value, "int", "uint")


def _is_shape(value) -> bool:
    sizes = [value] if isinstance(value, numbers.Integral) else value
    try:
        return all(_is_whole(size) and 0 < int(size) < 2**31 for size in sizes) and len(sizes) > 0
    except TypeError:
        return False


def having(what: str, *attributes: str) -> Kind:
    """Return the kind of what has certain attributes."""
    return Kind(
        what,
        lambda value: (
            not inspect.isclass(value) and all(hasattr(value, name) for name in attributes)
        ),
        TypeError,
    )


NONE = Kind("None", lambda value: value is None)
SWITCH = Kind("True or False", lambda value: isinstance(value, (bool, np.bool_)))
WHOLE = Kind(
    "a whole number below 2⁶³",
    lambda v: abs(v) < 2**63 if _is_whole(v) else _is_scalar_of(v, "int", "uint"),
)
COUNT = Kind("a whole number ≥ 1", lambda v: _is_whole(v) and 1 <= v < 2**31)
PROBABILITY = Kind("a number in [0, 1]", lambda v: _is_finite(v) and 0 <= v <= 1)
REAL = Kind(
    "a finite number such as 0.5",
    lambda v: (
        _is_finite(v)
        if isinstance(v, numbers.Real)
        else _is_scalar_of(v, "float", "bfloat", "int", "uint")
    ),
)
TEXT = Kind("a string", lambda value: isinstance(value, str), TypeError)
NAMES = Kind(
    "a sequence of strings",
    lambda value: (
        not isinstance(value, (str, bytes, Mapping))
        and isinstance(value, (collections.abc.Collection, np.ndarray))
        and all(isinstance(entry, str) for entry in value)
    ),
    TypeError,
)
FUNCTION = Kind("callable", callable, TypeError)
MAPPING = Kind("a dictionary", lambda value: isinstance(value, Mapping), TypeError)
SEQUENCE = Kind(
    "a sequence",
    lambda v: isinstance(v, collections.abc.Collection) and not isinstance(v, (str, bytes)),
    TypeError,
)
PATH = Kind("a path", _is_path, TypeError)
SEED = Kind("one: a seed is an int or a pair of ints", _is_seed)
NUMBERS = Kind("an array of numbers", _is_numeric, TypeError)
ARRAY = Kind("an array of numbers", lambda v: _is_numeric(v) and _has_rows(v), TypeError)
SHAPE = Kind("one or more positive whole numbers", _is_shape)
BOUNDS = Kind("two finite numbers (low, high), low < high", lambda v: _fits(interval, v))
STRATEGY = having("a tf.distribute.Strategy", "scope", "num_replicas_in_sync")
# Functions say more about complex ones.
REALS = Kind(
    "real numbers",
    lambda v: _is_numeric(v) or _dtype_name(getattr(v, "dtype", "")).startswith("complex"),
)
LABELS = Kind("an array of labels", lambda v: isinstance(v, Mapping) or _may_be_labels(v))
# Functions say more about what is in it.
ANY_ARRAY = Kind("an array", _may_be_labels, TypeError)
NAME = Kind("a name", lambda v: v is None or isinstance(v, (str, int, float)))
NATURAL = Kind("a whole number ≥ 0", lambda v: _is_whole(v) and 0 <= v < 2**63)
ACTIVATION = Kind(
    "a function or the name of an activation that Keras has, such as 'swish'", _is_activation
)
REFERENCE = having("a networks.GaussianReference", "whiten", "color")
WRITER = PATH | having("a tf.summary writer", "as_default", "flush")
FEATURE_NETWORK = having("an evaluation.FeatureNetwork", "features", "feature_network")
IMAGES = having("an ImageData", "images")
VECTORS = having("a VectorData", "vectors")
DATASETS = IMAGES | VECTORS
MODEL = having("a model of this library", "energy")
NETWORK = having("a Keras model or layer", "trainable_variables", "call")

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
    | Kind("a tensor of sizes", lambda v: _dtype_name(getattr(v, "dtype", "")).startswith("int")),
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
_BEYOND_TYPES: dict[str, Kind] = {
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


def _fits(check: Callable, value) -> bool:
    try:
        check("", value)
    except (TypeError, ValueError):
        return False
    return True


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
            known.update(_kinds_of(function, signature, kinds))
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
        return function(*values, **named)

    # Keras asks for the arguments of a constructor without following what it wraps.
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.is_checked = True  # type: ignore[attr-defined]
    return call


def _kinds_of(
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
        elif (kind := _BEYOND_TYPES.get(name)) is None:
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
