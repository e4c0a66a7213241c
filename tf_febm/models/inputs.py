"""What may enter a model: shapes, dtypes, bounds and labels, each with one clear message."""

import contextlib
import re
import warnings
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tf_febm import distribution
from tf_febm.data.resolution import COARSEST, FEWEST_ROWS, check_float32_resolution

__all__ = [
    "as_rows",
    "assert_float32_resolution",
    "assert_valid_values",
    "assertions_in_one_line",
    "check_samples",
    "class_numbers",
    "one_hot",
    "require_arrays",
    "sample_shape_of",
    "split_labels",
    "with_weights_kept",
]

# Frame the message of an assertion inside a compiled step, so that it can be shown without the
# graph's trace.
_FRAME, _END = "tf_febm:", ";"
_FRAMED = re.compile(f"{_FRAME}([^{_END}]*){_END}")
_NO_NUMBERS = re.compile(r"Invalid dtype: ((?:str|bytes|object)\d*)")
_STOPPED = "Stopped at a bad batch: {}."


@contextlib.contextmanager
def assertions_in_one_line():
    """Turn TensorFlow's error about one of our assertions into a ValueError with its message.

    Keras' own error about arrays of strings or objects becomes one that says what to do.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        found = _NO_NUMBERS.fullmatch(str(error))
        if found is None:
            raise
        raise ValueError(
            f"Data and labels must be numbers; received an array of dtype {found.group(1)}. Number "
            "the classes: names, labels = numpy.unique(labels, return_inverse=True)."
        ) from None
    except tf.errors.InvalidArgumentError as error:
        found = _FRAMED.search(str(error))
        if found is None:
            raise
        # TensorFlow puts each part of the message into brackets.
        message = found.group(1).replace("] [", " ").strip()
        raise ValueError(_STOPPED.format(message)) from None


def check_samples(x, sample_shape, what: str = "x") -> tf.Tensor:
    """Return x as a floating tensor [n, *sample_shape], or raise an error that echoes it."""
    if isinstance(x, Mapping):
        keys = ", ".join(map(repr, x))
        raise TypeError(f"{what} must be an array; received a dictionary with the keys {keys}.")
    x = tf.convert_to_tensor(x)
    if not x.dtype.is_floating:
        raise TypeError(
            f"{what} must be floating, scaled to the sampler's bounds; received {x.dtype.name}."
        )
    if not x.shape.is_compatible_with((None, *sample_shape)):
        raise ValueError(
            f"{what} must have shape {('n', *sample_shape)}; received {tuple(x.shape)}."
        )
    return x


def split_labels(data, conditional: bool):
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
    return x, labels, None if weights is None else _checked_weights(weights, x)


def with_weights_kept(x, y, weights) -> tuple:
    """Return (x, y, weights) such that Keras passes the weights on.

    It drops them where arrays have no y, and several replicas cannot take a dataset of None. Labels
    of no width stand for none: `split_labels` knows them.
    """
    spec = getattr(x, "element_spec", None)
    if isinstance(x, tf.data.Dataset) and isinstance(spec, tuple) and len(spec) == 3:
        if spec[1] is None:
            x = x.map(lambda x, _, weights: (x, tf.zeros([tf.shape(x)[0], 0]), weights))
        return x, y, weights
    if isinstance(weights, (list, tuple)):
        weights = np.asarray(weights, np.float32)
    if y is None and weights is not None:
        y = np.zeros((len(x), 0), np.float32)
    return x, y, weights


def _checked_weights(weights, x) -> tf.Tensor:
    """Return sample weights as float32 [n] behind assertions, for use inside a compiled step."""
    try:
        weights = tf.cast(tf.convert_to_tensor(weights), tf.float32)
    except (TypeError, ValueError):
        raise ValueError(
            f"sample_weight must be numbers, shape [n]; received {type(weights).__name__}."
        ) from None
    if weights.shape.rank == 2 and weights.shape[1] == 1:
        weights = tf.squeeze(weights, axis=1)
    count = tf.convert_to_tensor(x).shape[:1]
    if weights.shape.rank != 1 or not weights.shape.is_compatible_with(count):
        raise ValueError(
            "sample_weight must have one weight per example, shape [n]; received shape "
            f"{tuple(weights.shape)} for {count[0]} examples."
        )
    fine = tf.math.is_finite(weights) & (weights >= 0.0)
    checks = [
        _assertion(fine, "sample_weight is negative or not finite"),
        _assertion(distribution.total(tf.reduce_sum(weights)) > 0.0, "all sample_weight are 0"),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(weights)


def _assertion(condition, message: str):
    """Return the operation that stops a compiled step with a message; None when run eagerly."""
    return tf.debugging.Assert(tf.reduce_all(condition), [f"{_FRAME}{message}{_END}"])


def class_numbers(labels) -> tf.Tensor | None:
    """Return labels as class numbers, int32 [n]; of rows over the classes the likeliest one."""
    if labels is None:
        return None
    labels = tf.convert_to_tensor(labels)
    return tf.cast(labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1), tf.int32)


def one_hot(labels, num_classes: int, count=None) -> tf.Tensor:
    """Check labels, and return them as rows, float32 [n, num_classes].

    Args:
        labels: Integers in [0, num_classes), [n], or rows that are distributions over the classes,
            [n, num_classes]: one-hot, or soft.
        num_classes: Number of classes.
        count: The n to expect, or None.

    Returns:
        The rows; where values are not known yet, inside a compiled function, behind an assertion.

    Raises:
        ValueError: On labels of another type, shape or, where values are at hand, value.
    """
    labels = _of_some_class(labels, num_classes, count)
    error = (
        f"labels must lie in 0 … {num_classes - 1}, and rows of them be distributions over the "
        "classes, ≥ 0 and of sum 1; received {values}."
    )
    return as_rows(_behind(_label_checks(labels, num_classes), labels, error), num_classes)


def as_rows(labels: tf.Tensor, num_classes: int) -> tf.Tensor:
    """Return labels that were checked before, as `one_hot` does without a look at their values."""
    if labels.shape.rank is None:
        return _rows_of_unknown_rank(labels, num_classes)
    if labels.shape.rank == 2:
        return tf.cast(labels, tf.float32)
    return tf.one_hot(tf.cast(labels, tf.int32), num_classes)


def _rows_of_unknown_rank(labels, num_classes: int) -> tf.Tensor:
    """Return rows where a compiled function has come to take both forms of labels.

    What is neither becomes rows that are no distribution.
    """
    count = tf.reduce_max(tf.shape(labels)[:1])
    if labels.dtype.is_integer:
        numbers = tf.one_hot(tf.cast(tf.reshape(labels, [-1]), tf.int64), num_classes)[:count]
    else:
        numbers = tf.fill([count, num_classes], -1.0)
    neither = tf.fill([count, num_classes], -1.0)
    rows = tf.case(
        [
            (tf.equal(tf.rank(labels), 1), lambda: numbers),
            (
                tf.reduce_all(tf.equal(tf.shape(labels)[1:], [num_classes])),
                lambda: tf.cast(tf.reshape(labels, [-1, num_classes]), tf.float32),
            ),
        ],
        default=lambda: neither,
    )
    return tf.ensure_shape(rows, (None, num_classes))


def _of_some_class(labels, num_classes: int, count=None) -> tf.Tensor:
    """Return labels as a tensor of a type and a shape that labels can have."""
    accepted = (
        f"labels must be integers from 0 to {num_classes - 1}, shape [n], or rows that are "
        f"distributions over the {num_classes} classes, shape [n, {num_classes}]"
    )
    try:
        tensor = tf.convert_to_tensor(labels)
    except (ValueError, TypeError, OverflowError):
        text = " ".join(f"{labels!r}".split())
        text = text if len(text) <= 80 else f"{text[:80]}…"
        raise ValueError(f"{accepted}; received {text}.") from None
    labels = tensor
    if labels.shape.rank is None and (labels.dtype.is_integer or labels.dtype.is_floating):
        labels = _rows_of_unknown_rank(labels, num_classes)
    rank, dtype = labels.shape.rank, labels.dtype
    vector = rank == 1 and dtype.is_integer
    rows = rank == 2 and labels.shape[1] == num_classes and (dtype.is_integer or dtype.is_floating)
    if not (vector or rows):
        cure = ""
        if rank == 1 and (dtype.is_floating or dtype.is_bool):
            cure = " Give class numbers as integers, such as labels.astype('int32')."
        elif rank == 0:
            cure = " Give a vector, one label for each example."
        elif rank == 1:
            cure = (
                " Number the classes: names, inverse = numpy.unique(labels, return_inverse=True)."
            )
        elif rank == 2 and labels.shape[1] == 1:
            cure = " Give a vector, such as labels[:, 0]."
        elif rank == 2 and dtype.is_bool:
            cure = " Give rows as numbers, such as labels.astype('float32')."
        raise ValueError(f"{accepted}; received shape {labels.shape}, dtype {dtype.name}.{cure}")
    if count is not None and not tf.TensorShape([count]).is_compatible_with(labels.shape[:1]):
        raise ValueError(f"Expected {count} labels, one per example; received {labels.shape[0]}.")
    return labels


def _label_checks(labels: tf.Tensor, num_classes: int) -> list[tuple]:
    """Return what must hold of the values of labels; see `_behind`."""
    if labels.shape.rank == 2:
        rows = tf.cast(labels, tf.float32)
        right = tf.reduce_all(rows >= 0.0, axis=1)
        right &= tf.abs(tf.reduce_sum(rows, axis=1) - 1.0) < 1e-3
        # The first that is wrong, if any is.
        first = rows[tf.argmin(tf.cast(right, tf.int32), output_type=tf.int32) :][:1]
        what = "rows of labels that are no distribution over the classes"
        return [(tf.reduce_all(right), what, "such as", first)]
    # Wide enough for all types but the last half of uint64, which becomes negative.
    labels = tf.cast(labels, tf.int64)
    inside = tf.reduce_all((labels >= 0) & (labels < num_classes))
    values = ("values from", tf.reduce_min(labels), "to", tf.reduce_max(labels))
    return [(inside, f"labels outside 0 to {num_classes - 1}", *values)]


def _behind(checks: list[tuple], value: tf.Tensor, error: str = _STOPPED) -> tf.Tensor:
    """Return a tensor behind checks: (condition, what is wrong otherwise, the values …).

    Raises:
        ValueError: At once if a condition is known not to hold; else see `assertions_in_one_line`.
    """
    operations = []
    for condition, what, *values in checks:
        if not tf.executing_eagerly():
            message = f"{_FRAME}{what}{',' if values else ''}"
            operations.append(tf.debugging.Assert(condition, [message, *values, _END]))
        elif not condition:
            text = " ".join(str(v.numpy() if tf.is_tensor(v) else v) for v in values)
            text = " ".join(text.split())
            raise ValueError(error.format(f"{what}, {text}" if text else what, values=text))
    with tf.control_dependencies(operations):
        return tf.identity(value)


def assert_valid_values(x: tf.Tensor, bounds, labels, num_classes: int | None) -> tf.Tensor:
    """Return x behind assertions, for use inside a compiled step.

    It fails on NaN or Inf, on values outside the bounds (images in 0 … 255, say), and on labels
    that are not one for each example or not of the kind that `one_hot` takes.

    Raises:
        ValueError: On labels of another type or shape and, run eagerly, on all of these.
    """
    checks: list[tuple] = [(tf.reduce_all(tf.math.is_finite(x)), "NaN or Inf in x")]
    if bounds is not None:
        low, high = bounds
        # Dequantised images reach the bounds to rounding, hence the slack.
        slack = 1e-3 * (high - low)
        inside = tf.reduce_all((x >= low - slack) & (x <= high + slack))
        checks.append((inside, f"values of x outside the bounds [{low:g}, {high:g}]"))
    if labels is not None:
        labels = _of_some_class(labels, num_classes, x.shape[0])
        count, needed = tf.shape(labels)[0], tf.shape(x)[0]
        values = (count, "of them beside", needed, "examples")
        checks.append((tf.equal(count, needed), "not one label for each example", *values))
        checks += _label_checks(labels, num_classes)
    return _behind(checks, x)


def assert_float32_resolution(x: tf.Tensor) -> tf.Tensor:
    """Return x, [n, …], as float32, behind an assertion that its columns can be told apart there.

    For use inside a compiled step, on batches of float64 that come from a `tf.data.Dataset`; see
    `tf_febm.data.check_float32_resolution`. Batches of fewer than ten examples are not judged.
    """
    deviation = tf.math.reduce_std(x - x[:1], axis=0)
    spacing = tf.reduce_max(tf.abs(x), axis=0) * np.finfo(np.float32).eps
    fine = (deviation == 0.0) | (spacing <= COARSEST * deviation)
    message = (
        "x has columns that vary by little beside a large number, where float32 cannot tell their "
        "values apart - subtract that, in float64, before it becomes float32"
    )
    few = tf.shape(x)[0] < FEWEST_ROWS
    check = _assertion(few | tf.reduce_all(fine), message)
    # Run eagerly, an assertion has raised already and is None.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.cast(x, tf.float32)


def sample_shape_of(data) -> tuple[int, ...] | None:
    """Return the shape of one example of anything that `fit` takes, or None if it cannot be told.

    Args:
        data: A `tf.data.Dataset`, an array or tensor, a `keras.utils.PyDataset`, or a tuple whose
            first entry is x.
    """
    spec = getattr(data, "element_spec", None)
    if spec is None and isinstance(data, keras.utils.PyDataset):
        spec = data[0]
    if spec is None:
        spec = data
    if isinstance(spec, (tuple, list)) and len(spec):
        spec = spec[0]
    # Of data that are spread over replicas, the part of the first.
    spec = getattr(spec, "_value_specs", (spec,))[0]
    shape = spec.shape if isinstance(spec, (tf.TypeSpec, tf.Tensor, np.ndarray)) else None
    if shape is None or tf.TensorShape(shape).rank in (None, 0):
        return None
    sizes = tuple(tf.TensorShape(shape)[1:].as_list())
    return None if None in sizes else sizes


# Of a range of the data as wide as 256, what is never above this is nearly black.
_DARKEST = 17 / 256


def require_arrays(data, bounds=None, what: str = "x", sample_shape=None) -> None:
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
        TypeError: If examples are dictionaries.
        ValueError: If float32 cannot hold a column, or examples have another shape.
    """
    spec = getattr(data, "element_spec", None)
    if spec is None and isinstance(data, keras.utils.PyDataset):
        spec = data[0]
    yielded = spec is not None
    first = data if spec is None else spec
    if isinstance(first, (tuple, list)) and len(first):
        first = first[0]
    if isinstance(first, Mapping):
        keys = list(first)
        named = ", ".join(map(repr, keys))
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
    shape = None if data is None or sample_shape is None else sample_shape_of(data)
    if shape is not None and shape != tuple(sample_shape):
        raise ValueError(
            f"{what} must have examples of shape {tuple(sample_shape)}; received {shape}."
        )
    if not yielded and (hasattr(first, "to_numpy") or isinstance(first, tf.Tensor)):
        first = np.asarray(first)
    if yielded or not isinstance(first, np.ndarray) or not first.size:
        return
    if bounds is None:
        check_float32_resolution(first, what)
    elif first.dtype.kind == "f":
        low, high = bounds
        top = (float(first.max()) - low) / (high - low)
        # Written so that NaN, which is for others to say, is not warned of.
        if top < _DARKEST:
            warnings.warn(
                f"{what} has no value above {first.max():.4g}, in bounds of {low:g} to {high:g}: "
                "are these images that were divided by 255 twice, or 0 … 16?",
                stacklevel=3,
            )
