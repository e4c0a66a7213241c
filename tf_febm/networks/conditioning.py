"""Conditioning of feature maps on a label: a shift and a scale per channel."""

import keras
import tensorflow as tf

from tf_febm import arguments

__all__ = ["LabelScale", "LabelShift"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class LabelShift(keras.layers.Layer):
    """Add to each channel a number that depends on the label: x + label·`shift`.

    The weight `shift`, [num_classes, channels], starts at zero.
    """

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights for images [n, …, channels] and labels [n, num_classes]."""
        images, labels = input_shape
        self.shift = self.add_weight(
            shape=(labels[-1], images[-1]), initializer="zeros", name="shift"
        )

    def call(self, inputs: arguments.Tensor) -> tf.Tensor:
        """Return the images of (images, one_hot), shifted."""
        images, labels = inputs
        return images + _over_space(tf.matmul(labels, tf.convert_to_tensor(self.shift)))

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the images."""
        return input_shape[0]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class LabelScale(keras.layers.Layer):
    """Multiply each channel by a number that depends on the label: x·(label·`scale` + `offset`).

    The weight `scale`, [num_classes, channels], starts at one; `offset`, [channels], which all
    labels share, at zero.
    """

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights for images [n, …, channels] and labels [n, num_classes]."""
        images, labels = input_shape
        self.scale = self.add_weight(
            shape=(labels[-1], images[-1]), initializer="ones", name="scale"
        )
        self.offset = self.add_weight(shape=images[-1:], initializer="zeros", name="offset")

    def call(self, inputs: arguments.Tensor) -> tf.Tensor:
        """Return the images of (images, one_hot), scaled."""
        images, labels = inputs
        scale = tf.matmul(labels, tf.convert_to_tensor(self.scale))
        return images * _over_space(scale + tf.convert_to_tensor(self.offset))

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the images."""
        return input_shape[0]


def _over_space(values: tf.Tensor) -> tf.Tensor:
    return values[:, tf.newaxis, tf.newaxis, :]
