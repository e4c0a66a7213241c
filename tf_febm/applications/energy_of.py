"""What the uses of an energy share: E(x) with or without labels, and arrays taken in batches."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.applications.importance import check_labels

__all__ = ["checked_images", "energy_of", "in_batches"]


def energy_of(model, labels=None) -> Callable:
    """Return x -> E(x), [n], for a model with or without labels.

    Of a conditional model without labels it is the energy of x alone, the label summed out:

        E(x) = −log Σ_y exp(−E(x, y))

    which costs num_classes evaluations. It takes the joint energy at its word: classes whose
    normalisers differ do not weigh alike.

    Args:
        model: A built EnergyModel.
        labels: Labels of a conditional model, integers [n] or one-hot rows, or None.
    """
    if labels is not None or not model.conditional:
        return lambda x: model.energy(x, labels)
    return lambda x: -tf.reduce_logsumexp(-for_all_labels(model, model.energy, x), axis=1)


def for_all_labels(model, function: Callable, x: tf.Tensor) -> tf.Tensor:
    """Evaluate (x, labels) -> [n] with every label, [n, num_classes]."""
    count, classes = tf.shape(x)[0], model.num_classes
    values = function(tf.repeat(x, classes, axis=0), tf.tile(tf.range(classes), [count]))
    return tf.reshape(values, [count, classes])


def checked_images(model, images, what: str = "images") -> np.ndarray:
    """Return images as a floating array [n, *sample_shape], n ≥ 1.

    Raises:
        TypeError: If they are not floating.
        ValueError: If the model is not built or the shape is another one.
    """
    if model.sample_shape is None:
        raise ValueError("The model has no shape yet: fit it or call model.build first.")
    images = np.asarray(images)
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            f"{what} must be floating, scaled to the model's bounds; received {images.dtype}."
        )
    if images.shape[1:] != tuple(model.sample_shape) or not len(images):
        raise ValueError(
            f"{what} must have shape {('n', *model.sample_shape)}, n ≥ 1; received {images.shape}."
        )
    return images


def in_batches(function: Callable, images: np.ndarray, labels, batch_size: int) -> list:
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
        ValueError: If there is not one label for each image, or the size is below 1.
    """
    batch_size = arguments.whole_number("batch_size", batch_size, 1)
    labels = check_labels(labels, len(images))
    results = []
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        own = None if labels is None else tf.convert_to_tensor(labels[part])
        results.append(function(start, images[part].astype(np.float32, copy=False), own))
    return results
