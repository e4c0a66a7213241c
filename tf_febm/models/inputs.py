"""What may enter a model: shapes, dtypes, bounds and labels, each with one clear message."""

import contextlib
import re

import keras
import numpy as np
import tensorflow as tf

__all__ = [
    "as_rows",
    "assert_valid_values",
    "assertions_in_one_line",
    "check_samples",
    "one_hot",
    "sample_shape_of",
    "split_labels",
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
    """Unpack what `fit` hands to a step into (x, labels), or say what is missing."""
    x, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    if weights is not None:
        raise ValueError("sample_weight is not supported: the objective is a mean over the data.")
    if conditional and labels is None:
        raise ValueError("A conditional model needs labels: let the data yield (x, labels).")
    if not conditional and labels is not None:
        raise ValueError(
            "The data yields labels, but the energy network takes none: let it yield x alone, or "
            "build the networks with num_classes."
        )
    return x, None if labels is None else tf.convert_to_tensor(labels)


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
