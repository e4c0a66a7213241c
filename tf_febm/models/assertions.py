"""Assertions inside compiled steps, with errors of one line."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

__all__ = ["assertion", "assertions_in_one_line", "behind"]

# Frame the message of an assertion inside a compiled step, so that it can be shown without the
# graph's trace.
_FRAME, _END = "tf_febm:", ";"
_FRAMED = re.compile(f"{_FRAME}([^{_END}]*){_END}")
_NO_NUMBERS = re.compile(r"Invalid dtype: ((?:str|bytes|object)\d*)")
_STOPPED = "Stopped at a bad batch: {}."


@contextlib.contextmanager
def assertions_in_one_line() -> Iterator[None]:
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


def assertion(condition: Any, message: str) -> tf.Operation | None:
    """Return the operation that stops a compiled step with a message; None when run eagerly."""
    return tf.debugging.Assert(tf.reduce_all(condition), [f"{_FRAME}{message}{_END}"])


def behind(checks: list[tuple], value: tf.Tensor, error: str = _STOPPED) -> tf.Tensor:
    """Return a tensor behind checks: (condition, what is wrong otherwise, the values …).

    Raises:
        ValueError: At once if a condition is known not to hold; else see `assertions_in_one_line`.
    """
    operations = []
    for condition, what, *values in checks:
        if not tf.executing_eagerly():
            message = f"{_FRAME}{what}{',' if values else ''}"
            operations.append(tf.debugging.Assert(condition, [message, *values, _END], summarize=8))
        elif not condition:
            text = " ".join(str(v.numpy() if tf.is_tensor(v) else v) for v in values)
            text = " ".join(text.split())
            raise ValueError(error.format(f"{what}, {text}" if text else what, values=text))
    with tf.control_dependencies(operations):
        return tf.identity(value)
