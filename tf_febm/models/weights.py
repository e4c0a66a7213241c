"""Sample weights: what each example counts for in the density that is learned.

With weights w the density is p_w(x) ∝ E[w | x] p(x), so what is needed of a batch is an estimate of
E_p[w f]/E_p[w]. Dividing by the weights' sum in the batch itself would be wrong on average where
weights are unequal: a class of one example in a hundred, each of weight 99, is half of p_w, and
many a batch has none of it. So batches are divided by the mean weight of *all* data: that of the
arrays, or of what training has seen so far.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, objectives, parallel
from tf_febm.models.assertions import assertion

__all__ = [
    "MeanWeight",
    "WeightedBatches",
    "check_class_weight",
    "check_one_kind",
    "checked_weights",
    "of_arrays",
    "of_batches",
    "outputs_penalty",
    "with_weights_kept",
]


class MeanWeight(tf.Module):
    """The mean of all sample weights that training has seen, kept with the state of the model.

    Attributes:
        sums: The sum of the weights and their number, float64 [2].
    """

    def __init__(self):
        super().__init__(name="mean_weight")
        self.sums = tf.Variable(tf.zeros([2], tf.float64), trainable=False)

    def relative(self, weights: arguments.Tensor) -> tf.Tensor:
        """Take the weights of a batch into the mean, and return them divided by it, [n]."""
        added = tf.stack([tf.reduce_sum(weights), tf.cast(tf.size(weights), weights.dtype)])
        # Every replica adds the same to its own copy.
        sums = parallel.local(self.sums)
        sums.assign_add(tf.cast(parallel.all_reduce_sum(added), sums.dtype))
        total, count = tf.unstack(tf.convert_to_tensor(sums))
        return tf.math.divide_no_nan(weights, tf.cast(total / count, weights.dtype))


class WeightedBatches(NamedTuple):
    """How a batch of the data and one of the model enter an objective, and its loss.

    Where the samples of the model have the labels of the data they have their weights as well.
    Where they have none, a batch as a whole counts for the mean W of its weights: a constant that
    is added to the energy then gets no gradient from W being another one in every batch.

    Attributes:
        data: Weights of the data, float32 [n]; None for equal ones.
        model: Weights of the samples of the model, [n]; None for equal ones.
        scale: What the loss of the two batches is multiplied by, a scalar.
        level: What an objective with these weights is divided by to be told, a scalar.
    """

    data: tf.Tensor | None
    model: tf.Tensor | None
    scale: tf.Tensor | float = 1.0
    level: tf.Tensor | float = 1.0

    @property
    def arguments(self) -> dict:
        """The weights under the names that the objectives give them."""
        return {"weights_data": self.data, "weights_model": self.model}

    def told(self, value: Any) -> tf.Tensor:
        """Return an objective as it is with weights whose mean in the batch is 1."""
        return value if self.data is None else tf.math.divide_no_nan(value, self.level)


def of_batches(data_weights: arguments.Tensor, model_weights: arguments.Tensor) -> WeightedBatches:
    """Return how two batches with weights, [n] or None, enter a step.

    Args:
        data_weights: Of the data, relative to the mean of all data.
        model_weights: Of the samples of the model, the same ones; None if they are unrelated.
    """
    if data_weights is None:
        return WeightedBatches(None, None)
    mean = parallel.all_reduce_sum(parallel.batch_mean(data_weights))
    if model_weights is None:
        inside = tf.math.divide_no_nan(data_weights, mean)
        return WeightedBatches(inside, None, scale=mean)
    return WeightedBatches(data_weights, model_weights, level=mean)


def check_class_weight(class_weight: Any, num_classes: int | None) -> None:
    """Raise an error if `class_weight` is not a weight for each of some classes.

    Raises:
        TypeError: It is no dictionary.
        ValueError: A class is none, a weight no number ≥ 0, or the model takes no labels.
    """
    if class_weight is None:
        return
    if num_classes is None:
        raise ValueError(
            "class_weight needs labels, which an unconditional model does not take: give "
            "sample_weight, one weight per example."
        )
    if not isinstance(class_weight, Mapping):
        raise TypeError(
            "class_weight must be a dictionary, class number -> weight, such as {0: 1.0, 1: 3.0}; "
            f"received {type(class_weight).__name__}."
        )
    for number, weight in class_weight.items():
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not whole or not 0 <= number < num_classes:
            raise ValueError(
                f"class_weight must be for classes from 0 to {num_classes - 1}; received one for "
                f"{number!r}."
            )
        real = isinstance(weight, (int, float, np.number)) and not isinstance(weight, bool)
        if not real or not np.isfinite(weight) or weight < 0:
            raise ValueError(
                f"class_weight must be numbers ≥ 0; received {weight!r} for class {number}."
            )


def check_one_kind(weights: arguments.Tensor, class_weight: Any) -> None:
    """Raise a ValueError if both `sample_weight` and `class_weight` are given."""
    if weights is not None and class_weight is not None:
        raise ValueError(
            "Give sample_weight or class_weight, not both: an example's weight may be the product."
        )


def of_arrays(
    x: arguments.Tensor,
    y: arguments.Tensor,
    weights: arguments.Tensor,
    class_weight: Any,
    validation_split: float = 0.0,
) -> np.ndarray | None:
    """Return one weight per example of arrays, float32 [n], with a mean of 1.

    The mean is that of the examples before those that `validation_split` takes away.

    Args:
        x: An array [n, …], or anything else that `fit` takes.
        y: Labels [n] or rows over the classes [n, c], or None.
        weights: `sample_weight`, or None.
        class_weight: As `check_class_weight` accepts it, or None.
        validation_split: The share of the last examples that are not trained on.

    Returns:
        None if there are no weights, or x is a stream, whose weights are not known.

    Raises:
        ValueError: Both kinds of weights are given, or weights are not numbers ≥ 0, one for each
            example and not all 0.
    """
    streams = (tf.data.Dataset, tf.distribute.DistributedDataset, keras.utils.PyDataset)
    if (weights is None and class_weight is None) or isinstance(x, streams):
        return None
    if not hasattr(x, "__len__") and not tf.is_tensor(x):
        return None
    check_one_kind(weights, class_weight)
    count = len(x)
    if weights is None:
        if y is None:
            return None
        labels = np.asarray(y)
        numbers = labels if labels.ndim == 1 else labels.argmax(axis=-1)
        found = np.array([class_weight.get(number, 1.0) for number in numbers.tolist()])
    else:
        try:
            found = np.asarray(weights, np.float64)
        except (TypeError, ValueError):
            raise ValueError(_no_numbers(type(weights).__name__)) from None
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.shape != (count,):
        raise ValueError(_wrong_shape(found.shape, count))
    if not np.isfinite(found).all() or (found < 0.0).any():
        raise ValueError("sample_weight must be ≥ 0; received some that is negative or not finite.")
    mean = found[: max(int(count * (1.0 - validation_split)), 1)].mean()
    if not mean > 0.0:
        raise ValueError("all sample_weight are 0: at least one example must count.")
    return (found / mean).astype(np.float32)


def with_weights_kept(x: arguments.Tensor, y: arguments.Tensor, weights: arguments.Tensor) -> tuple:
    """Return (x, y, weights) such that Keras passes the weights on.

    It drops them where arrays have no y, and several replicas cannot take a dataset of None. Labels
    of no width stand for none: `inputs.split_labels` knows them.
    """
    spec = getattr(x, "element_spec", None)
    if isinstance(x, tf.data.Dataset) and isinstance(spec, tuple) and len(spec) == 3:
        # TensorFlow's own class for None is not public.
        if type(spec[1]).__name__ in ("NoneType", "NoneTensorSpec"):
            x = x.map(lambda x, _, weights: (x, tf.zeros([tf.shape(x)[0], 0]), weights))
        return x, y, weights
    if isinstance(x, keras.utils.PyDataset):
        return _LabelsOfNoWidth(x), y, weights
    if hasattr(x, "__next__"):
        return (_with_labels_of_no_width(batch) for batch in x), y, weights
    if isinstance(weights, (list, tuple)) or hasattr(weights, "__array__"):
        try:
            given = np.asarray(weights)
            weights = given.astype(np.float32) if given.dtype.kind in "biuf" else None
        except (TypeError, ValueError):
            weights = None
        if weights is None:
            raise ValueError(_no_numbers("others"))
    if isinstance(y, (list, tuple)):
        y = np.asarray(y)
    if y is None and weights is not None:
        y = np.zeros((len(x), 0), np.float32)
    return x, y, weights


def _with_labels_of_no_width(batch):
    if isinstance(batch, tuple) and len(batch) == 3 and batch[1] is None:
        return batch[0], np.zeros((len(batch[0]), 0), np.float32), batch[2]
    return batch


class _LabelsOfNoWidth(keras.utils.PyDataset):
    """A `PyDataset` whose batches of (x, None, weights) have labels of no width for None."""

    def __init__(self, data):
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self._data = data

    @property
    def num_batches(self):
        return self._data.num_batches

    def __getitem__(self, index):
        return _with_labels_of_no_width(self._data[index])

    def on_epoch_begin(self):
        self._data.on_epoch_begin()

    def on_epoch_end(self):
        self._data.on_epoch_end()


def checked_weights(weights: arguments.Tensor, x: arguments.Tensor) -> tf.Tensor:
    """Return sample weights as float32 [n] behind assertions, for use inside a compiled step."""
    try:
        weights = tf.cast(tf.convert_to_tensor(weights), tf.float32)
    except (TypeError, ValueError):
        raise ValueError(_no_numbers(type(weights).__name__)) from None
    if weights.shape.rank == 2 and weights.shape[1] == 1:
        weights = tf.squeeze(weights, axis=1)
    count = tf.convert_to_tensor(x).shape[:1]
    if weights.shape.rank != 1 or not weights.shape.is_compatible_with(count):
        raise ValueError(_wrong_shape(tuple(weights.shape), count[0]))
    fine = tf.math.is_finite(weights) & (weights >= 0.0)
    check = assertion(fine, "sample_weight is negative or not finite")
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(weights)


def _no_numbers(kind: str) -> str:
    return f"sample_weight must be numbers, shape [n]; received {kind}."


def _wrong_shape(shape: tuple, count) -> str:
    return (
        f"sample_weight must have one weight per example, shape [n]; received shape {shape} for "
        f"{count} examples."
    )


def outputs_penalty(
    weight: float,
    value_data: arguments.Tensor,
    value_model: arguments.Tensor,
    weights: WeightedBatches,
) -> Any:
    """Return the weighted regulariser of a network's outputs, zero without a weight."""
    if not weight:
        return 0.0
    return weight * objectives.energy_regulariser(value_data, value_model, **weights.arguments)
