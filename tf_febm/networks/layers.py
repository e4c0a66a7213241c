"""Keras' layers with the fast path of this library's chains."""

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.networks import convolution
from tf_febm.networks.activations import fused_activation
from tf_febm.networks.cached_weights import CachedWeightsLayer
from tf_febm.networks.precision import multiplied

__all__ = ["Conv2D", "Dense"]

_LAST = "channels_last"


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class Conv2D(CachedWeightsLayer, keras.layers.Conv2D):
    """Convolve images as `keras.layers.Conv2D` does, with faster gradients in Langevin chains.

    Weights and values are those of `keras.layers.Conv2D`, which it may replace in any network of
    channels-last images. Inside a `networks.cached_weights` block, where the models of this library
    run their chains, the gradient for the input is a forward convolution with a kernel computed
    once per chain. Anywhere else, and with dilation, groups, unequal strides or channels first, it
    is Keras' own layer.

    Args:
        filters: Number of output channels.
        kernel_size: Sides of the kernel.
        strides: Strides in both directions.
        padding: "valid" or "same".
        data_format: "channels_last", whatever `keras.config.image_data_format()` says, or
            "channels_first".
        **kwargs: The other arguments of `keras.layers.Conv2D`.
    """

    multiplies_in_dtype_of_weights = True

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int] = 1,
        padding: str = "valid",
        data_format: str | None = _LAST,
        **kwargs,
    ):
        filters = arguments.whole_number("filters", filters, 1, 2**31)
        for name, sides in (("kernel_size", kernel_size), ("strides", strides)):
            arguments.shape(name, sides, 2 if isinstance(sides, (tuple, list)) else None)
        arguments.choice("padding", padding, ("valid", "same"))
        arguments.choice("data_format", data_format, (_LAST, "channels_first", None))
        super().__init__(filters, kernel_size, strides, padding, data_format or _LAST, **kwargs)

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights for images [n, height, width, channels]."""
        super().build(input_shape)
        self.image_size = tuple(input_shape[1:3])

    def compute_weights(self) -> None:
        """Return None: outside of chains there is nothing to prepare."""

    def compute_weights_for_chain(self) -> convolution.Weights | None:
        """Return the kernel and what its gradient for the input needs, if the layer has that."""
        ordinary = (
            self.data_format == _LAST
            and set(self.dilation_rate) == {1}
            and self.groups == 1
            and len(set(self.strides)) == 1
        )
        if not ordinary:
            return None
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), self.compute_dtype)
        weights = convolution.Weights(kernel)
        return weights.for_chain(self.strides[0], self.padding.upper(), self.image_size)

    def call(self, inputs: arguments.Tensor) -> tf.Tensor:
        """Return [n, height', width', filters]."""
        weights = self.cached_weights()
        if weights is None:
            return super().call(inputs)
        bias = tf.convert_to_tensor(self.bias) if self.use_bias else None
        kernel, precomputed = weights
        x = convolution.convolve(
            inputs, kernel, precomputed, self.strides[0], self.padding.upper(), bias
        )
        return fused_activation(self.activation)(x)


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class Dense(CachedWeightsLayer, keras.layers.Dense):
    """Multiply by a matrix as `keras.layers.Dense` does, in bfloat16 in chains that ask for it.

    Weights and values are those of `keras.layers.Dense`, which it may replace in any network. Only
    in the chains of a sampler with dtype="bfloat16" does it compute anything else.

    Args:
        units: Length of an output vector.
        **kwargs: The other arguments of `keras.layers.Dense`.
    """

    multiplies_in_dtype_of_weights = True

    def __init__(self, units: int, **kwargs):
        super().__init__(arguments.whole_number("units", units, 1, 2**31), **kwargs)

    def compute_weights(self) -> None:
        """Return None: outside of chains there is nothing to prepare."""

    def compute_weights_for_chain(self) -> tf.Tensor:
        """Return the matrix, in the dtype in which the layer computes."""
        return tf.cast(tf.convert_to_tensor(self.kernel), self.compute_dtype)

    def call(self, inputs: arguments.Tensor, training: bool | None = None) -> tf.Tensor:
        """Return [n, …, units]."""
        kernel = self.cached_weights()
        if kernel is None or kernel.dtype == inputs.dtype:
            return super().call(inputs, training=training)
        x = multiplied(inputs, kernel)
        x = x if self.bias is None else x + tf.convert_to_tensor(self.bias)
        return x if self.activation is None else fused_activation(self.activation)(x)
