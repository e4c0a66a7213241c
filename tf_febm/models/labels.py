"""Labels of examples: class numbers, or rows over the classes, checked wherever they enter."""

import tensorflow as tf

from tf_febm import arguments
from tf_febm.models.assertions import behind

__all__ = ["as_rows", "class_numbers", "label_checks", "of_some_class", "one_hot"]


def class_numbers(labels: arguments.Labels | None) -> tf.Tensor | None:
    """Return labels as class numbers, int32 [n]; of rows over the classes the likeliest one."""
    if labels is None:
        return None
    labels = tf.convert_to_tensor(labels)
    return tf.cast(labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1), tf.int32)


def one_hot(
    labels: arguments.Labels | None, num_classes: int, count: arguments.Whole | None = None
) -> tf.Tensor:
    """Check labels, and return them as rows, float32 [n, num_classes].

    Args:
        labels: Integers in [0, num_classes), [n], or rows that are distributions over the classes,
            [n, num_classes]: one-hot, or soft.
        num_classes: Number of classes.
        count: The n to expect, or None.

    Returns:
        The rows; where values are not known yet, inside a compiled function, behind an assertion.

    Raises:
        ValueError: Labels are of another type, shape or, where values are at hand, value.
    """
    labels = of_some_class(labels, num_classes, count)
    error = (
        f"labels must lie in 0 … {num_classes - 1}, and rows of them be distributions over the "
        "classes, ≥ 0 and of sum 1; received {values}."
    )
    return as_rows(behind(label_checks(labels, num_classes), labels, error), num_classes)


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


def of_some_class(
    labels: arguments.Labels | None, num_classes: int, count: arguments.Whole | None = None
) -> tf.Tensor:
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


def label_checks(labels: tf.Tensor, num_classes: int) -> list[tuple]:
    """Return what must hold of the values of labels; see `assertions.behind`."""
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
