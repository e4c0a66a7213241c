"""A small convolutional classifier: the feature network of the quality figures."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.evaluation.array_cache import cached_arrays
from tf_febm.evaluation.feature_network import (
    BatchedNetwork,
    compiled,
    fingerprint_of,
    plain_settings,
)
from tf_febm.evaluation.scale import to_unit_interval

__all__ = ["Classifier", "train_classifier"]

FEATURE_UNITS = 64
# Part of the names of cached weights: to be raised with any change of the training below.
RECIPE = 1


@arguments.checked
class Classifier(BatchedNetwork):
    """Give class probabilities and penultimate features of images.

    Made by `train_classifier`. Its `feature_network` string names what a Fréchet distance in its
    features belongs to; two distances compare only if that string and the images that the
    classifier was trained on are the same.

    Args:
        model: Functional Keras model from float32 images [n, height, width, channels] in [0, 1] to
            the pair (features [n, d], logits [n, num_classes]).
        feature_network: The name of the features.
        batch_size: Images in one forward pass, at least 1.

    Attributes:
        image_shape: (height, width, channels) of one image.
        num_classes: int.
        model: As given.

    Raises:
        ValueError: The model has not one image input and two outputs, or the batch size is
            below 1.
    """

    def __init__(self, model: keras.Model, feature_network: str, batch_size: int = 512):
        outputs = model.outputs
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or len(outputs) != 2:
            raise ValueError(
                "model must map images [n, h, w, c] to (features, logits); received inputs "
                f"{[i.shape for i in model.inputs]} and outputs {[o.shape for o in outputs]}."
            )
        self.model = model
        self.image_shape = tuple(model.inputs[0].shape[1:])
        self.num_classes = outputs[1].shape[-1]

        def forward(images):
            features, logits = model(images, training=False)
            return features, tf.nn.softmax(logits)

        fingerprint = fingerprint_of(model.get_weights())
        graph = compiled(forward, self.image_shape)
        super().__init__(graph, feature_network, fingerprint, batch_size)

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Return float32 images in [0, 1]."""
        if images.shape[1:] != self.image_shape or len(images) == 0:
            raise ValueError(
                f"images must have shape [n, {', '.join(map(str, self.image_shape))}] with n ≥ 1; "
                f"received shape {images.shape}."
            )
        return to_unit_interval(images)

    def probabilities(self, images: arguments.Array) -> np.ndarray:
        """Compute class probabilities, float32 [n, classes]; see `features_and_probabilities`."""
        return self.features_and_probabilities(images)[1]


@arguments.checked
def train_classifier(
    images: arguments.Array,
    labels: arguments.Labels | None,
    num_classes: int,
    seed: int = 0,
    *,
    name: str = "images",
    num_steps: int = 600,
    batch_size: int = 64,
    learning_rate: float = 2e-3,
    filters: int = 32,
    cache_dir: arguments.Path | None = None,
) -> Classifier:
    """Train a small convolutional classifier, or find it in a cache.

    Cross-entropy, Adam with a cosine decay to zero, dropout of one half around the feature layer
    and no augmentation: the features must notice images that are shifted or blurred. The length is
    a number of steps, not of epochs, so that a larger data set does not take longer. Digits (8×8,
    1,437 training images) take about 5 s on two cores and reach 0.98 on held-out images.

    The result depends on the arguments alone; no global random state is read or changed. On
    another machine or TensorFlow build sums may round otherwise and the weights differ slightly.

    The name of a file in the cache is a hash of the images, the labels and all settings but
    `name`. A file that is damaged is reported, and the classifier trained again. Files are written
    whole or not at all, so that several programs may share a folder.

    Args:
        images: uint8, or float in [0, 1], [n, height, width, channels]; both mean the same, see
            `to_unit_interval`. Any size from 2×2; made for up to about 64×64.
        labels: Integers [n] in [0, num_classes).
        num_classes: At least 2.
        seed: At least 0, for initial weights, dropout and the order of the images.
        name: Of the data set; becomes part of `Classifier.feature_network`.
        num_steps: Optimiser steps, at least 1.
        batch_size: Images in a step, at least 1.
        learning_rate: The first one, positive.
        filters: Channels of the first two convolutions, at least 1; later ones have twice as many.
        cache_dir: A folder for trained weights, made if it is missing; None keeps nothing.

    Returns:
        A Classifier.

    Raises:
        ValueError: Shapes do not match, a label is out of range, or a setting is.
        TypeError: Labels are not integers.
        OSError: The cache can not be written.

    Warns:
        UserWarning: A file in the cache is damaged.
    """
    images = to_unit_interval(images)
    labels = checked_labels(labels, len(images), num_classes)
    if min(images.shape[1:3]) < 2:
        raise ValueError(f"images must be at least 2×2; received shape {images.shape}.")
    seed = arguments.whole_number("seed", seed)
    num_steps = arguments.whole_number("num_steps", num_steps, 1)
    batch_size = arguments.whole_number("batch_size", batch_size, 1)
    filters = arguments.whole_number("filters", filters, 1)
    learning_rate = arguments.number("learning_rate", learning_rate, above=True)

    order_seed, layers_seed = np.random.SeedSequence(seed).spawn(2)
    with plain_settings():
        model, trainer = _build(images.shape[1:], num_classes, filters, layers_seed)

    def train():
        order = _batches(len(images), batch_size, num_steps, np.random.default_rng(order_seed))
        _fit(trainer, images, labels, order, learning_rate)
        return {str(i): weight for i, weight in enumerate(model.get_weights())}

    def check(arrays):
        found = [(str(i), w.shape, w.dtype) for i, w in enumerate(model.get_weights())]
        if found != [(i, w.shape, w.dtype) for i, w in arrays.items()]:
            raise ValueError("other weights than the network's")
        if not all(np.isfinite(weight).all() for weight in arrays.values()):
            raise ValueError("weights are not finite")

    settings = f"filters{filters}-dense{FEATURE_UNITS}-steps{num_steps}-seed{seed}"
    if cache_dir is None:
        train()
    else:
        recipe = f"{RECIPE} {settings} {num_classes} {batch_size} {learning_rate!r}"
        key = fingerprint_of([recipe, images, labels])
        path = Path(cache_dir) / f"classifier-{key[:32]}.npz"
        model.set_weights(list(cached_arrays(path, train, check).values()))
    shape = "x".join(map(str, images.shape[1:]))
    return Classifier(model, f"classifier:{name}-{shape}-{settings}")


def _build(image_shape, num_classes, filters, seed_sequence):
    """Build (model with features and logits, model with logits alone) on the same layers."""
    # Two convolutions, then halvings down to at most 4×4, a convolution after each.
    stages = max(1, int(np.ceil(np.log2(max(image_shape[:2]) / 4))))
    seeds = (int(seed) for seed in seed_sequence.generate_state(stages + 6) >> 1)
    layers = keras.layers

    def weighted(layer, units, *args, **settings):
        initializer = keras.initializers.HeNormal(seed=next(seeds))
        return layer(units, *args, kernel_initializer=initializer, **settings)

    def convolution(units):
        return weighted(layers.Conv2D, units, 3, padding="same", activation="swish")

    inputs = keras.Input(image_shape)
    x = convolution(filters)(inputs)
    x = convolution(filters)(x)
    for _ in range(stages):
        x = layers.MaxPooling2D(padding="same")(x)
        x = convolution(2 * filters)(x)
    x = layers.Dropout(0.5, seed=next(seeds))(layers.Flatten()(x))
    features = weighted(layers.Dense, FEATURE_UNITS, activation="swish")(x)
    logits = weighted(layers.Dense, num_classes)(layers.Dropout(0.5, seed=next(seeds))(features))
    return keras.Model(inputs, [features, logits]), keras.Model(inputs, logits)


def _batches(num_images, batch_size, num_steps, generator):
    """Return indices [num_steps, batch_size], each image once before any comes again."""
    epochs = -(-num_steps * batch_size // num_images)
    order = np.concatenate([generator.permutation(num_images) for _ in range(epochs)])
    return order[: num_steps * batch_size].reshape(num_steps, batch_size)


def _fit(trainer, images, labels, order, learning_rate):
    trainer.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, len(order))
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # On the CPU XLA makes convolutions several times slower.
        jit_compile=False,
    )
    for batch in order:
        trainer.train_on_batch(images[batch], labels[batch])


def checked_labels(labels, num_images: int, num_classes: int) -> np.ndarray:
    """Return labels as int32 [n], one for each image, or raise an error that names them."""
    num_classes = arguments.whole_number("num_classes", num_classes, 2)
    arguments.class_count("num_classes", num_classes)
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers; received dtype {labels.dtype}.")
    if labels.shape != (num_images,):
        raise ValueError(
            f"labels must have shape [{num_images}], one for each image; received shape "
            f"{labels.shape}."
        )
    if num_images and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(
            f"labels must lie in [0, {num_classes}); received values from {labels.min()} to "
            f"{labels.max()}."
        )
    return labels.astype(np.int32)
