"""Helpers of the applications: E(x) with or without labels, arrays in batches."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.applications.importance import check_labels
from tf_febm.models import inputs
from tf_febm.models.labels import one_hot

__all__ = ["checked_images", "checked_labels", "energy_of", "in_batches"]


def energy_of(model: arguments.Model, labels: arguments.Labels | None = None) -> Callable:
    """Return x -> E(x), [n], for a model with or without labels.

    Of a conditional model without labels it is the energy of x alone, the label summed out:

        E(x) = −log Σ_y p(y) exp(−E(x, y))

    which costs num_classes evaluations. It takes the joint energy at its word: classes whose
    normalisers differ do not weigh alike. See `EnergyModel.marginal_energy`.

    Args:
        model: A built EnergyModel.
        labels: Labels of a conditional model, as `checked_labels` returns them, or None.
    """
    # As the model's own chains have it: without checks in every step, and with gradients that do
    # not overflow in 16 bits.
    if labels is None and model.conditional:
        return model._marginal_given()
    return model._energy_given(labels)


def checked_labels(
    model: arguments.Model, labels: arguments.Labels | None, count: int
) -> np.ndarray | None:
    """Return labels for a model as float32 rows [count, num_classes], or None for None.

    Raises:
        ValueError: The model takes none, or they are not as `EnergyModel.energy` takes them.
    """
    if labels is None:
        return None
    if not model.conditional:
        raise ValueError("labels were given, but the energy network takes none.")
    inputs.refuse_dictionary(labels, "labels")
    return one_hot(check_labels(labels, count), model.num_classes).numpy()


def for_all_labels(model, function: Callable, x: tf.Tensor) -> tf.Tensor:
    """Evaluate (x, labels) -> [n] with every label, [n, num_classes]."""
    count, classes = tf.shape(x)[0], model.num_classes
    values = function(tf.repeat(x, classes, axis=0), tf.tile(tf.range(classes), [count]))
    return tf.reshape(values, [count, classes])


def checked_images(
    model: arguments.Model, images: arguments.Tensor, what: str = "images"
) -> np.ndarray:
    """Return images as a floating array [n, *sample_shape], n ≥ 1.

    Raises:
        TypeError: They are not floating.
        ValueError: The model is not built or the shape is another one.
    """
    if model.sample_shape is None:
        raise ValueError("The model has no shape yet: fit it or call model.build first.")
    inputs.refuse_dictionary(images, what)
    images = np.asarray(images)
    inputs.check_resolution(images, model.bounds, what)
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            f"{what} must be floating, scaled to the model's bounds; received {images.dtype}."
        )
    if images.shape[1:] != tuple(model.sample_shape) or not len(images):
        raise ValueError(
            f"{what} must have shape {('n', *model.sample_shape)}, n ≥ 1; received {images.shape}."
        )
    inputs.check_units(tf.convert_to_tensor(images), model.value_range, what)
    return images


def in_batches(
    function: Callable, images: np.ndarray, labels: arguments.Labels | None, batch_size: int
) -> list:
    """Apply (start, images, labels) -> result to one batch after the other.

    Args:
        function: Takes the number of the first image, float32 images [m, …] and their labels or
            None.
        images: [n, …].
        labels: [n] or one-hot rows [n, num_classes], or None.
        batch_size: Largest m, at least 1.

    Returns:
        The results, in order.

    Raises:
        ValueError: There is not one label for each image, or the size is below 1.
    """
    batch_size = arguments.whole_number("batch_size", batch_size, 1)
    labels = check_labels(labels, len(images))
    results = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        own = None if labels is None else tf.convert_to_tensor(labels[part])
        results.append(function(start, images[part].astype(np.float32, copy=False), own))
    return results
