"""Keras' layers with the fast path of this library's chains."""

import keras
import tensorflow as tf

from tf_febm.networks import convolution
from tf_febm.networks.activations import faster
from tf_febm.networks.preparation import PreparedLayer

__all__ = ["Conv2D"]


@keras.saving.register_keras_serializable(package="tf_febm")
class Conv2D(PreparedLayer, keras.layers.Conv2D):
    """Convolve images as `keras.layers.Conv2D` does, with faster gradients in Langevin chains.

    Arguments, weights and values are those of `keras.layers.Conv2D`, which it may replace in any
    network. Inside a `networks.prepared` block, where the models of this library run their chains,
    the gradient for the input is a forward convolution with a kernel that is made ready once per
    chain. Anywhere else, and with dilation, groups, unequal strides or channels first, it is
    Keras' own layer.
    """

    def build(self, input_shape):
        """Create the weights for images [n, height, width, channels]."""
        super().build(input_shape)
        self.image_size = tuple(input_shape[1:3])

    def prepare(self) -> None:
        """Return None: outside of chains there is nothing to prepare."""

    def prepare_for_chain(self) -> convolution.Weights | None:
        """Return the kernel and what its gradient for the input needs, if the layer has that."""
        ordinary = (
            self.data_format == "channels_last"
            and set(self.dilation_rate) == {1}
            and self.groups == 1
            and len(set(self.strides)) == 1
        )
        if not ordinary:
            return None
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), self.compute_dtype)
        weights = convolution.Weights(kernel)
        return weights.for_chain(self.strides[0], self.padding.upper(), self.image_size)

    def call(self, inputs):
        """Return [n, height', width', filters]."""
        weights = self.prepared_weights()
        if weights is None:
            return super().call(inputs)
        bias = tf.convert_to_tensor(self.bias) if self.use_bias else None
        x = convolution.convolve(inputs, *weights, self.strides[0], self.padding.upper(), bias)
        return faster(self.activation)(x)
