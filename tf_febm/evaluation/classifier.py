"""A small convolutional classifier: the feature network of the quality figures."""

import keras
import numpy as np
import tensorflow as tf

from tf_febm.evaluation.feature_network import fingerprint_of
from tf_febm.evaluation.scale import to_unit_interval

__all__ = ["Classifier", "train_classifier"]

FEATURE_UNITS = 64


class Classifier:
    """Give class probabilities and penultimate features of images.

    Made by `train_classifier`. Its `feature_network` string names what a Fréchet distance in its
    features belongs to; two distances compare only if that string and the images that the
    classifier was trained on are the same.

    Attributes:
        image_shape: tuple (height, width, channels) of one image.
        num_classes: number of classes.
        feature_network: str that begins with "classifier:".
        fingerprint: str, a hash of the weights.
        published: False, see `FeatureNetwork`.
        model: functional Keras model from float32 images [n, height, width, channels] in [0, 1] to
            the pair (features [n, 64], logits [n, num_classes]).
    """

    published = False

    def __init__(self, model, feature_network, batch_size=512):
        """Wrap a trained model.

        Args:
            model: functional Keras model with the outputs (features, logits), as above.
            feature_network: str that names the features.
            batch_size: number of images in one forward pass, ≥ 1.

        Raises:
            ValueError: if the model has not one image input and two outputs of rank 2, or the
                batch size is below 1.
        """
        outputs = model.outputs
        if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4 or len(outputs) != 2:
            raise ValueError(
                "model must map images [n, h, w, c] to (features, logits); received inputs "
                f"{[i.shape for i in model.inputs]} and outputs {[o.shape for o in outputs]}."
            )
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; received {batch_size}.")
        self.model = model
        self.feature_network = feature_network
        self.fingerprint = fingerprint_of(model.get_weights())
        self.image_shape = tuple(model.inputs[0].shape[1:])
        self.num_classes = outputs[1].shape[-1]
        self._batch_size = batch_size
        # One signature: a short last batch does not trace the function again.
        self._forward = tf.function(
            lambda images: model(images, training=False),
            input_signature=[tf.TensorSpec((None, *self.image_shape), tf.float32)],
            jit_compile=False,
        )

    def features_and_probabilities(self, images):
        """Run the network once for both outputs.

        Args:
            images: array [n, height, width, channels], n ≥ 1; float in [0, 1], or uint8, which
                `to_unit_interval` maps.

        Returns:
            Pair of float32 arrays: features [n, 64] after the activation, and softmax
            probabilities [n, num_classes].

        Raises:
            ValueError: if the shape of one image is not `image_shape`, or values are out of range.
        """
        images = np.asarray(images)
        if images.shape[1:] != self.image_shape or len(images) == 0:
            raise ValueError(
                f"images must have shape [n, {', '.join(map(str, self.image_shape))}] with n ≥ 1; "
                f"received shape {images.shape}."
            )
        features, probabilities = [], []
        for start in range(0, len(images), self._batch_size):
            # Scaled batch by batch: a whole data set as floats is four times its size in bytes.
            batch = to_unit_interval(images[start : start + self._batch_size])
            batch = tf.convert_to_tensor(batch)
            batch_features, batch_logits = self._forward(batch)
            features.append(batch_features.numpy())
            probabilities.append(tf.nn.softmax(batch_logits).numpy())
        return np.concatenate(features), np.concatenate(probabilities)

    def features(self, images):
        """Compute the penultimate features, float32 [n, 64]; see `features_and_probabilities`."""
        return self.features_and_probabilities(images)[0]

    def probabilities(self, images):
        """Compute class probabilities, float32 [n, classes]; see `features_and_probabilities`."""
        return self.features_and_probabilities(images)[1]


def train_classifier(
    images,
    labels,
    num_classes,
    seed=0,
    *,
    name="images",
    num_steps=600,
    batch_size=64,
    learning_rate=2e-3,
    filters=32,
):
    """Train a small convolutional classifier.

    Cross-entropy, Adam with a cosine decay to zero, dropout of one half around the feature layer
    and no augmentation: the features must notice images that are shifted or blurred. The length is
    a number of steps, not of epochs, so that a larger data set does not take longer. Digits (8×8,
    1,437 training images) take about 5 s on two cores and reach 0.98 on held-out images.

    The result depends on the arguments alone; no global random state is read or changed. On
    another machine or TensorFlow build sums may round otherwise and the weights differ slightly.

    Args:
        images: array [n, height, width, channels]; float in [0, 1], or uint8, which
            `to_unit_interval` maps. Any size ≥ 2×2; made for up to about 64×64.
        labels: integer array [n] in [0, num_classes).
        num_classes: number of classes, ≥ 2.
        seed: int ≥ 0, for initial weights, dropout and the order of the images.
        name: name of the data set; becomes part of `Classifier.feature_network`.
        num_steps: number of optimiser steps, ≥ 1.
        batch_size: images in a step, ≥ 1.
        learning_rate: initial learning rate, > 0.
        filters: channels of the first two convolutions, ≥ 1; later ones have twice as many.

    Returns:
        `Classifier`.

    Raises:
        ValueError: if shapes do not match, a label is out of range, or a setting is out of range.
        TypeError: if labels are not integers.
    """
    images = to_unit_interval(images)
    labels = _checked_labels(labels, len(images), num_classes)
    if min(images.shape[1:3]) < 2:
        raise ValueError(f"images must be at least 2×2; received shape {images.shape}.")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be an integer ≥ 0; received {seed!r}.")
    for setting, value in (("num_steps", num_steps), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"{setting} must be at least 1; received {value}.")
    if filters < 1:
        raise ValueError(f"filters must be at least 1; received {filters}.")
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive; received {learning_rate}.")

    order_seed, layers_seed = np.random.SeedSequence(seed).spawn(2)
    model, trainer = _build(images.shape[1:], num_classes, filters, layers_seed)
    trainer.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(learning_rate, num_steps)
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # On the CPU XLA makes convolutions several times slower.
        jit_compile=False,
    )
    for batch in _batches(len(images), batch_size, num_steps, np.random.default_rng(order_seed)):
        trainer.train_on_batch(images[batch], labels[batch])

    shape = "x".join(map(str, images.shape[1:]))
    settings = f"filters{filters}-dense{FEATURE_UNITS}-steps{num_steps}-seed{seed}"
    return Classifier(model, f"classifier:{name}-{shape}-{settings}")


def _build(image_shape, num_classes, filters, seed_sequence):
    """Build (model with features and logits, model with logits alone) on the same layers."""
    # Two convolutions, then halvings down to at most 4×4, a convolution after each.
    stages = max(1, int(np.ceil(np.log2(max(image_shape[:2]) / 4))))
    seeds = (int(seed) for seed in seed_sequence.generate_state(stages + 6) >> 1)

    # Whatever the global settings: features of all runs stay comparable.
    plain = {"dtype": "float32", "data_format": "channels_last"}

    def weighted(layer, units, *args, **kwargs):
        initializer = keras.initializers.HeNormal(seed=next(seeds))
        return layer(units, *args, kernel_initializer=initializer, dtype="float32", **kwargs)

    def convolution(units):
        settings = {"padding": "same", "activation": "swish", "data_format": "channels_last"}
        return weighted(keras.layers.Conv2D, units, 3, **settings)

    def dropout():
        return keras.layers.Dropout(0.5, seed=next(seeds), dtype="float32")

    inputs = keras.Input(image_shape, dtype="float32")
    x = convolution(filters)(inputs)
    x = convolution(filters)(x)
    for _ in range(stages):
        x = keras.layers.MaxPooling2D(padding="same", **plain)(x)
        x = convolution(2 * filters)(x)
    x = dropout()(keras.layers.Flatten(**plain)(x))
    features = weighted(keras.layers.Dense, FEATURE_UNITS, activation="swish")(x)
    logits = weighted(keras.layers.Dense, num_classes)(dropout()(features))
    return keras.Model(inputs, [features, logits]), keras.Model(inputs, logits)


def _batches(num_images, batch_size, num_steps, generator):
    """Yield indices [batch_size], each image once before any comes again."""
    epochs = -(-num_steps * batch_size // num_images)
    order = np.concatenate([generator.permutation(num_images) for _ in range(epochs)])
    yield from order[: num_steps * batch_size].reshape(num_steps, batch_size)


def _checked_labels(labels, num_images, num_classes):
    if num_classes < 2:
        raise ValueError(f"num_classes must be at least 2; received {num_classes}.")
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers; received dtype {labels.dtype}.")
    if labels.shape != (num_images,):
        raise ValueError(
            f"labels must have shape [{num_images}], one for each image; received shape "
            f"{labels.shape}."
        )
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must lie in [0, {num_classes}); received values from {labels.min()} to "
            f"{labels.max()}."
        )
    return labels.astype(np.int32)
