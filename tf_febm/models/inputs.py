"""Checks of a model's inputs: shapes, dtypes, bounds and labels."""

import numbers
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, parallel
from tf_febm.data.bounds import inside, reach
from tf_febm.data.resolution import COARSEST, FEWEST_IN_BATCH, LARGEST, check_float32_resolution
from tf_febm.models.assertions import assertion, behind
from tf_febm.models.labels import label_checks, of_some_class
from tf_febm.models.weights import checked_weights

__all__ = [
    "assert_float32_resolution",
    "assert_valid_values",
    "check_resolution",
    "check_samples",
    "check_units",
    "is_fine_by_bounds",
    "refuse_dictionary",
    "require_arrays",
    "require_batch",
    "require_data",
    "require_same_length",
    "sample_shape_of",
    "split_labels",
]


def refuse_dictionary(value: Any, what: str) -> None:
    """Raise a TypeError that names the keys if a value is a dictionary where arrays are taken."""
    if isinstance(value, Mapping):
        keys = ", ".join(map(repr, value))
        raise TypeError(f"{what} must be an array; received a dictionary with the keys {keys}.")


def check_samples(x: arguments.Tensor, sample_shape: arguments.Shape, what: str = "x") -> tf.Tensor:
    """Return x as a floating tensor [n, *sample_shape], or raise an error that echoes it.

    Where a graph is made and the shape is not all known, it is checked when that runs.
    """
    refuse_dictionary(x, what)
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise TypeError(
            f"{what} must be floating, scaled to the sampler's bounds; received {x.dtype.name}: "
            "tf_febm.data.dequantise(x) makes float32 in [0, 1] of 8-bit images, and "
            "tf.cast(x, tf.float32) leaves the numbers as they are."
        )
    if not x.shape.is_compatible_with((None, *sample_shape)):
        raise ValueError(
            f"{what} must have shape {('n', *sample_shape)}; received {tuple(x.shape)}."
        )
    if x.shape.rank is not None and x.shape[1:].is_fully_defined():
        return x
    return _with_shape_checked(x, sample_shape, what)


def _with_shape_checked(x: tf.Tensor, sample_shape, what: str) -> tf.Tensor:
    """Return x, of unknown static shape, with the right one, behind an assertion about it."""
    sizes = tf.shape(x)
    right = tf.equal(tf.size(sizes), len(sample_shape) + 1)
    # As many of either as there are of both: others would not compare.
    given = sizes[1 : len(sample_shape) + 1]
    right &= tf.reduce_all(given == tf.constant(sample_shape, tf.int32)[: tf.size(given)])
    form = f"[n, {', '.join(map(str, sample_shape))}]"
    x = behind([(right, f"{what} has not the shape {form}", "it is", sizes)], x)
    # Another operation would end in an error of its own, perhaps before the assertion.
    x.set_shape((None, *sample_shape))
    return x


def split_labels(data: arguments.Data, conditional: bool) -> tuple:
    """Unpack what `fit` hands to a step into (x, labels, weights), or say what is missing.

    Weights are float32 [n], at least 0, one per example; None for equal ones.
    """
    x, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if isinstance(x, dict):
        keys = ", ".join(map(repr, x))
        raise ValueError(
            f"The data yields dicts with the keys {keys}: let it yield x, or (x, labels), as in "
            "dataset.map(lambda d: d['image'])."
        )
    refuse_dictionary(labels, "labels")
    if labels is not None and getattr(labels, "shape", (1,))[-1:] == (0,):
        labels = None
    if conditional and labels is None:
        raise ValueError("A conditional model needs labels: let the data yield (x, labels).")
    if not conditional and labels is not None:
        raise ValueError(
            "The data yields labels, but the energy network takes none: let it yield x alone, or "
            "build the networks with num_classes."
        )
    labels = None if labels is None else tf.convert_to_tensor(labels)
    return x, labels, None if weights is None else checked_weights(weights, x)


def assert_valid_values(
    x: tf.Tensor,
    bounds: arguments.Bounds | None,
    labels: arguments.Labels | None,
    num_classes: int | None,
) -> tf.Tensor:
    """Return x behind assertions, for use inside a compiled step.

    It fails on NaN or Inf, on values outside the bounds (images in 0 … 255, say), and on labels
    that are not one for each example or not of the kind that `one_hot` takes.

    Raises:
        ValueError: Labels are of another type or shape or, run eagerly, any of these is met.
    """
    checks: list[tuple] = [(tf.reduce_all(tf.math.is_finite(x)), "NaN or Inf in x")]
    if parallel.replicas() == 1:
        # Of a last batch that is smaller than there are replicas, some get nothing.
        checks.append((tf.shape(x)[0] > 0, "x without examples"))
    if bounds is not None:
        good = tf.reduce_all(inside(x, bounds))
        checks.append((good, _outside(bounds[0], bounds[1], x.shape.rank)))
    if labels is not None:
        labels = of_some_class(labels, num_classes, x.shape[0])
        count, needed = tf.shape(labels)[0], tf.shape(x)[0]
        values = (count, "of them beside", needed, "examples")
        checks.append((tf.equal(count, needed), "not one label for each example", *values))
        checks += label_checks(labels, num_classes)
    return behind(checks, x)


def _outside(low: float, high: float, rank: int) -> str:
    """Say what to do about values outside the bounds."""
    cure = (
        "scale 8-bit images to [0, 1] by tf_febm.data.dequantise(x), or give a sampler with other "
        "bounds"
        if rank > 2
        else "vectors in units of their own need a sampler without bounds, such as "
        "tf_febm.samplers.Langevin.from_epsilon(0.1, num_steps=40)"
    )
    return f"values of x outside the bounds [{low:g}, {high:g}] of the sampler - {cure}"


def check_units(x: tf.Tensor, values: arguments.Bounds | None, what: str = "x") -> tf.Tensor:
    """Return images behind a check that they are not 8-bit levels where a model is of less.

    Chains that have run away, and images with much noise, are as large, but go below, too.

    Args:
        x: Floating [n, …], of known rank; vectors are left as they are.
        values: The range of the images that the model is of, or None, for no check.
        what: What x is called.

    Raises:
        ValueError: Run eagerly, values go further up than `reach`, and none is below the range;
            see `behind`.
    """
    if values is None or x.shape.rank < 3:
        return x
    high, low = reach(values)[1], 2.0 * values[0] - values[1]
    # No comparison with NaN holds: that is for others to say.
    levels = tf.reduce_any(x > high) & ~tf.reduce_any(x < low)
    wrong = (
        f"{what} must have the units of the model's images, which lie in [{values[0]:.3g}, "
        f"{values[1]:.3g}] - tf_febm.data.dequantise(x) scales 8-bit images to [0, 1]"
    )
    ends = ("received values from", tf.reduce_min(x), "to", tf.reduce_max(x))
    return behind([(~levels, wrong, *ends)], x, "{}.")


def is_fine_by_bounds(bounds: arguments.Bounds | None, rank: int) -> bool:
    """Whether samples are in reach of float32 by their bounds, as levels of pictures are.

    Vectors may lie in bounds, too, that are far from zero beside their deviations.

    Args:
        bounds: (low, high), or None.
        rank: Of an array of samples, n included.
    """
    return bounds is not None and rank > 2


def check_resolution(x: arguments.Tensor, bounds: arguments.Bounds | None, what: str = "x") -> None:
    """Raise a ValueError if float32 rounds away what tells the rows of a float64 array apart.

    Other arrays have been rounded already.
    """
    if is_fine_by_bounds(bounds, np.ndim(x)):
        return
    if isinstance(x, np.ndarray) and x.dtype == np.float64:
        check_float32_resolution(x, what)


def assert_float32_resolution(x: tf.Tensor) -> tf.Tensor:
    """Return x, [n, …], as float32, behind an assertion that its columns can be told apart there.

    For use inside a compiled step, on batches that come from a stream, whether they have been
    rounded to float32 or not; see `tf_febm.data.check_float32_resolution`. Batches of fewer than
    ten examples are judged by the size of the numbers alone.
    """
    deviation = tf.math.reduce_std(x - x[:1], axis=0)
    spacing = tf.reduce_max(tf.abs(x), axis=0) * np.finfo(np.float32).eps
    # NaN and infinity are for others to say. No comparison is negated: TensorFlow would turn it
    # round, and NaN with it.
    coarse = tf.reduce_any((deviation > 0.0) & (spacing > COARSEST * deviation))
    message = (
        "x has columns that vary by little beside a large number, where float32 cannot tell their "
        "values apart - subtract that, in float64, before it becomes float32"
    )
    few = tf.shape(x)[0] < FEWEST_IN_BATCH
    largest = tf.reduce_max(tf.abs(x))
    large = tf.reduce_any((largest > LARGEST) & tf.math.is_finite(largest))
    too_large = (
        f"x has values beyond {LARGEST:g}, whose squares float32 cannot hold - divide it by its "
        "standard deviation"
    )
    checks = [assertion(few | ~coarse, message), assertion(~large, too_large)]
    # Run eagerly, an assertion has raised already and is None.
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.cast(x, tf.float32)


def sample_shape_of(data: arguments.Data) -> tuple[int, ...] | None:
    """Return the shape of one example of anything that `fit` takes, or None if it cannot be told.

    Args:
        data: A `tf.data.Dataset`, an array or tensor, a `keras.utils.PyDataset`, or a tuple whose
            first entry is x.
    """
    spec, _ = _first_part(data)
    # Of data that are spread over replicas, the part of the first.
    spec = getattr(spec, "_value_specs", (spec,))[0]
    shape = spec.shape if isinstance(spec, (tf.TypeSpec, tf.Tensor, np.ndarray)) else None
    if shape is None or tf.TensorShape(shape).rank in (None, 0):
        return None
    sizes = tuple(tf.TensorShape(shape)[1:].as_list())
    return None if None in sizes else sizes


def _first_part(data) -> tuple:
    """Return x of data, or what tells its form, and whether it stands for batches yet to come."""
    spec = getattr(data, "element_spec", None)
    if spec is None and isinstance(data, keras.utils.PyDataset):
        spec = data[0]
    first = data if spec is None else spec
    if isinstance(first, (tuple, list)) and len(first):
        first = first[0]
    return first, spec is not None


# Of a range of the data as wide as 256, what is never above this is nearly black.
_DARKEST = 17 / 256


def _refuse_numbers(data, what: str) -> None:
    """Raise a TypeError if data are numbers, text or lists of those, which Keras would print."""
    first = data
    while isinstance(first, (list, tuple)) and len(first):
        first = first[0]
    plain = isinstance(first, (bool, int, float, str, bytes))
    if plain or (isinstance(data, list) and not len(data)):
        count = f" of {len(data)}" if isinstance(data, (list, tuple)) else ""
        raise TypeError(
            f"{what} must be an array, such as numpy.asarray(…, 'float32') of shape [n, …], or a "
            f"dataset; received {type(data).__name__}{count}."
        )


def _require_batches(data, first, what: str, sample_shape) -> None:
    """Raise a ValueError if a dataset yields single examples, or an array is one."""
    shape = getattr(getattr(first, "_value_specs", (first,))[0], "shape", None)
    if shape is None or tf.TensorShape(shape).rank is None:
        return
    shape = tuple(tf.TensorShape(shape).as_list())
    single = len(shape) < 2 if sample_shape is None else shape == tuple(sample_shape)
    if single and isinstance(data, tf.data.Dataset):
        raise ValueError(
            f"{what} must yield batches, [n, …]; received a dataset of single examples of shape "
            f"{shape}: give it as dataset.batch(64)."
        )
    if single:
        raise ValueError(
            f"{what} must be examples, [n, …]; received one of shape {shape}: "
            f"{what}[None] is a batch of it."
        )


def require_data(x: arguments.Tensor, what: str = "x") -> None:
    """Raise an error if there are no data, or what can be none."""
    if x is None:
        raise ValueError(f"{what} must be an array or a dataset; received None.")
    many = hasattr(x, "__iter__") or hasattr(x, "__getitem__") or hasattr(x, "__array__")
    scalar = isinstance(x, (complex, np.generic)) or callable(x)
    scalar |= not many and not isinstance(x, numbers.Real)
    if scalar or (hasattr(x, "dtype") and hasattr(x, "shape")):
        arguments.ARRAY.check(what, x)


def require_batch(
    x: arguments.Tensor,
    y: arguments.Tensor | None = None,
    sample_shape: arguments.Shape | None = None,
) -> None:
    """Raise an error if x is no array, or y has not one label for each of its examples."""
    refuse_dictionary(x, "x")
    if not isinstance(x, tuple):
        arguments.ARRAY.check("x", x)
        if np.shape(x)[:1] == (0,):
            raise ValueError(f"x must have an example or more; received shape {np.shape(x)}.")
        if sample_shape is not None and np.shape(x)[1:] != tuple(sample_shape):
            raise ValueError(
                f"x must have shape {('n', *sample_shape)}; received {tuple(np.shape(x))}."
            )
        require_same_length(x, y)


def require_same_length(x: arguments.Tensor, y: arguments.Tensor) -> None:
    """Raise a ValueError if arrays x and y have different lengths."""
    if y is None or not hasattr(x, "shape"):
        return
    if np.ndim(y) not in (1, 2):
        raise ValueError(
            f"y must be labels [n] or rows over the classes; received {arguments.shown(y)}."
        )
    rows, labels = len(x), len(y)
    if rows != labels:
        raise ValueError(f"y must have one label for each of {rows} examples; received {labels}.")


def require_arrays(
    data: arguments.Data,
    bounds: arguments.Bounds | None = None,
    what: str = "x",
    sample_shape: arguments.Shape | None = None,
) -> None:
    """Raise an error for what no step could be taken on, before the first one.

    Dictionaries are refused, by their keys, and NumPy arrays whose columns float32 cannot tell
    apart, see `tf_febm.data.check_float32_resolution`; arrays that fill the lowest part of the
    bounds alone are warned of.

    Args:
        data: Anything that `fit` takes as x or as validation_data, or None.
        bounds: (low, high) of the data, or None.
        what: What it is called in messages.
        sample_shape: Shape of one example to expect, or None.

    Raises:
        TypeError: Examples are dictionaries, or plain numbers instead of arrays.
        ValueError: float32 cannot hold a column, or examples have another shape.
    """
    _refuse_numbers(data, what)
    first, yielded = _first_part(data)
    if isinstance(first, Mapping):
        keys = list(first) or ["x"]
        named = ", ".join(map(repr, first))
        image = next((key for key in ("image", "x", "features") if key in first), keys[0])
        label = next((key for key in ("label", "labels", "y") if key in first), "label")
        cure = (
            f"let it yield x alone, data.map(lambda e: tf.cast(e[{image!r}], tf.float32) / 255) "
            f"for 8-bit images, or pairs (x, e[{label!r}]) for a conditional model"
            if yielded
            else f"give the array itself, as x[{image!r}], and labels as y"
        )
        raise TypeError(
            f"{what} must be arrays; received dictionaries with the keys {named}: {cure}."
        )
    _require_batches(data, first, what, sample_shape)
    shape = None if data is None or sample_shape is None else sample_shape_of(data)
    if shape is not None and shape != tuple(sample_shape):
        raise ValueError(
            f"{what} must have examples of shape {tuple(sample_shape)}; received {shape}."
        )
    if not yielded and (hasattr(first, "to_numpy") or isinstance(first, tf.Tensor)):
        first = np.asarray(first)
    if not yielded and np.shape(first)[:1] == (0,):
        raise ValueError(f"{what} must have an example or more; received shape {first.shape}.")
    # Of a `PyDataset` that is the first batch; of others there is only the shape.
    if not isinstance(first, np.ndarray) or not first.size:
        return
    if not yielded and not is_fine_by_bounds(bounds, first.ndim):
        check_float32_resolution(first, what)
    if bounds is not None and first.dtype.kind == "f":
        low, high = bounds
        top = (float(first.max()) - low) / (high - low)
        # Written so that NaN, which is for others to say, is not warned of.
        if top < _DARKEST:
            warnings.warn(
                f"{what} has no value above {first.max():.4g}, in bounds of {low:g} to {high:g}: "
                "are these images that were divided by 255 twice, or 0 … 16?",
                stacklevel=4,
            )
