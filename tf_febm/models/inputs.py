"""What may enter a model: shapes, dtypes, bounds and labels, each with one clear message."""

import contextlib
import re

import keras
import numpy as np
import tensorflow as tf

from tf_febm import distribution

__all__ = [
    "assert_valid_values",
    "assertions_in_one_line",
    "check_samples",
    "class_numbers",
    "one_hot",
    "sample_shape_of",
    "split_labels",
    "with_weights_kept",
]

# Frames the message of an assertion inside a compiled step, so that it can be shown without the
# graph's trace.
_FRAME = "tf_febm:{};"
_FRAMED = re.compile(r"tf_febm:([^;]*);")


@contextlib.contextmanager
def assertions_in_one_line():
    """Turn TensorFlow's error about one of our assertions into a ValueError with its message."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = _FRAMED.search(str(error))
        if found is None:
            raise
        raise ValueError(f"Stopped at a bad batch: {found.group(1)}.") from None


def check_samples(x, sample_shape, what: str = "x") -> tf.Tensor:
    """Return x as a floating tensor [n, *sample_shape], or raise an error that echoes it."""
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
    return tf.debugging.Assert(tf.reduce_all(condition), [_FRAME.format(message)])


def class_numbers(labels) -> tf.Tensor | None:
    """Return labels as class numbers, int32 [n]; of rows over the classes the likeliest one."""
    if labels is None:
        return None
    labels = tf.convert_to_tensor(labels)
    return tf.cast(labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1), tf.int32)


def one_hot(labels, num_classes: int, count=None) -> tf.Tensor:
    """Return labels as float32 one-hot rows, [n, num_classes].

    Args:
        labels: Integers in [0, num_classes), [n], or rows that are one-hot (or soft) already.
        num_classes: Number of classes.
        count: The n to expect, or None.

    Raises:
        ValueError: On any other shape or, where values are at hand, on labels out of range.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank == 0:
        raise ValueError(f"labels must be a vector, one per example; received {labels.numpy()}.")
    if count is not None and not tf.TensorShape([count]).is_compatible_with(labels.shape[:1]):
        raise ValueError(f"Expected {count} labels, one per example; received {labels.shape[0]}.")
    if labels.shape.rank == 2 and labels.shape[1] == num_classes:
        return tf.cast(labels, tf.float32)
    if labels.shape.rank != 1 or not labels.dtype.is_integer:
        raise ValueError(
            f"labels must be integers, shape [n], or one-hot rows, shape [n, {num_classes}]; "
            f"received shape {tuple(labels.shape)}, dtype {labels.dtype.name}."
        )
    if tf.executing_eagerly() and tf.size(labels):
        low, high = int(tf.reduce_min(labels)), int(tf.reduce_max(labels))
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"labels must lie in 0 … {num_classes - 1}; received values from {low} to {high}."
            )
    return tf.one_hot(labels, num_classes)


def assert_valid_values(x: tf.Tensor, bounds, labels, num_classes: int | None) -> tf.Tensor:
    """Return x behind assertions, for use inside a compiled step.

    It fails on NaN or Inf, on values outside the bounds (images in 0 … 255, say), and on integer
    labels out of range.
    """
    checks = [_assertion(tf.math.is_finite(x), "NaN or Inf in x")]
    if bounds is not None:
        low, high = bounds
        # Dequantised images reach the bounds to rounding, hence the slack.
        slack = 1e-3 * (high - low)
        inside = (x >= low - slack) & (x <= high + slack)
        checks.append(_assertion(inside, f"values of x outside the bounds [{low:g}, {high:g}]"))
    if labels is not None and labels.dtype.is_integer:
        inside = (labels >= 0) & (labels < num_classes)
        checks.append(_assertion(inside, f"labels outside 0 to {num_classes - 1}"))
    elif labels is not None:
        rows = (labels >= 0) & (tf.abs(tf.reduce_sum(labels, axis=1, keepdims=True) - 1) < 1e-3)
        checks.append(_assertion(rows, "rows of labels that are no distribution over the classes"))
    # Run eagerly, an assertion has raised already and is None.
    with tf.control_dependencies([operation for operation in checks if operation is not None]):
        return tf.identity(x)


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
    shape = spec.shape if isinstance(spec, (tf.TypeSpec, tf.Tensor, np.ndarray)) else None
    if shape is None or tf.TensorShape(shape).rank in (None, 0):
        return None
    sizes = tuple(tf.TensorShape(shape)[1:].as_list())
    return None if None in sizes else sizes
