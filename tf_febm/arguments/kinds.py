"""Kinds of arguments: what each may be, in words and by a test."""

import collections.abc
import inspect
import numbers
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tf_febm.arguments.values import fits, interval, is_finite, is_whole, shown

__all__ = [
    "ACTIVATION",
    "ANY_ARRAY",
    "ARRAY",
    "BOUNDS",
    "COUNT",
    "DATASETS",
    "FEATURE_NETWORK",
    "FUNCTION",
    "IMAGES",
    "LABELS",
    "MAPPING",
    "MODEL",
    "NAME",
    "NAMES",
    "NATURAL",
    "NETWORK",
    "NONE",
    "NUMBERS",
    "PATH",
    "PROBABILITY",
    "REAL",
    "REALS",
    "REFERENCE",
    "SEED",
    "SEQUENCE",
    "SHAPE",
    "SIZES",
    "STRATEGY",
    "SWITCH",
    "TEXT",
    "VECTORS",
    "WHOLE",
    "WRITER",
    "Kind",
    "dtype_name",
    "having",
]


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

    def check(self, name: str, value: Any) -> Any:
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
    return dtype_name(dtype).startswith(names) and not len(getattr(value, "shape", (1,)))


def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of NumPy or TensorFlow."""
    return str(getattr(dtype, "name", dtype))


_NUMERIC = ("float", "bfloat", "int", "uint", "bool", "half")


def is_numeric(value) -> bool:
    """Whether a value is an array, tensor or sequence of real numbers."""
    if isinstance(value, (str, bytes, Mapping, set)) or value is None or callable(value):
        return False
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return dtype_name(value.dtype).startswith(_NUMERIC)
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
        return not dtype_name(value.dtype).startswith(("datetime", "timedelta", "void"))
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
        return len(value) == 2 and all(map(is_whole, value))
    if tuple(getattr(value, "shape", ())) == (2,):
        return dtype_name(getattr(value, "dtype", None)).startswith(("int", "uint"))
    return is_whole(value) or _is_scalar_of(value, "int", "uint")


def _is_shape(value) -> bool:
    sizes = [value] if isinstance(value, numbers.Integral) else value
    try:
        return all(is_whole(size) and 0 < int(size) < 2**31 for size in sizes) and len(sizes) > 0
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
    lambda v: abs(v) < 2**63 if is_whole(v) else _is_scalar_of(v, "int", "uint"),
)
COUNT = Kind("a whole number ≥ 1", lambda v: is_whole(v) and 1 <= v < 2**31)
PROBABILITY = Kind("a number in [0, 1]", lambda v: is_finite(v) and 0 <= v <= 1)
REAL = Kind(
    "a finite number such as 0.5",
    lambda v: (
        is_finite(v)
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
# What has an order: no set, and no array without an axis, which cannot be walked through.
_NO_SEQUENCES = (str, bytes, Mapping, collections.abc.Set)
SEQUENCE = Kind(
    "a sequence",
    lambda v: (
        isinstance(v, collections.abc.Collection)
        and not isinstance(v, _NO_SEQUENCES)
        and getattr(v, "shape", None) != ()
    ),
    TypeError,
)
PATH = Kind("a path", _is_path, TypeError)
SEED = Kind("one: a seed is an int or a pair of ints", _is_seed)
NUMBERS = Kind("an array of numbers", is_numeric, TypeError)
ARRAY = Kind("an array of numbers", lambda v: is_numeric(v) and _has_rows(v), TypeError)
SHAPE = Kind("one or more positive whole numbers", _is_shape)
SIZES = Kind("a tensor of sizes", lambda v: dtype_name(getattr(v, "dtype", "")).startswith("int"))
BOUNDS = Kind("two finite numbers (low, high), low < high", lambda v: fits(interval, v))
STRATEGY = having("a tf.distribute.Strategy", "scope", "num_replicas_in_sync")
# Functions say more about complex ones.
REALS = Kind(
    "real numbers",
    lambda v: is_numeric(v) or dtype_name(getattr(v, "dtype", "")).startswith("complex"),
)
LABELS = Kind("an array of labels", lambda v: isinstance(v, Mapping) or _may_be_labels(v))
# Functions say more about what is in it.
ANY_ARRAY = Kind("an array", _may_be_labels, TypeError)
NAME = Kind("a name", lambda v: v is None or isinstance(v, (str, int, float)))
NATURAL = Kind("a whole number ≥ 0", lambda v: is_whole(v) and 0 <= v < 2**63)
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
