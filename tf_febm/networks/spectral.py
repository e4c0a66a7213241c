"""Spectral normalisation of convolutions and dense layers, by power iteration."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_febm import arguments, parallel
from tf_febm.networks import convolution
from tf_febm.networks.cached_weights import CachedWeightsLayer, layers_of
from tf_febm.networks.precision import multiplied

__all__ = ["Normalised", "SpectralConv2D", "SpectralDense", "normalise", "power_iteration"]


class Normalised(NamedTuple):
    """A normalised kernel and what was found on the way to it.

    Attributes:
        kernel: W/σ, or W·min(σ, 1)/σ, of the shape of W.
        sigma: The estimate σ of the largest singular value, a scalar.
        vector: The u that the power iteration ended at, [1, out], a constant to gradients.
    """

    kernel: tf.Tensor
    sigma: tf.Tensor
    vector: tf.Tensor


def normalise(
    kernel: arguments.Tensor, vector: arguments.Tensor, bounded: bool = False
) -> Normalised:
    """Divide a kernel by an estimate of its spectral norm, after one power iteration.

        W: the kernel as a matrix [–1, out]
        v = normalised(u Wᵀ),  u' = normalised(v W),  σ = v W u'ᵀ

    Gradients flow through W and through σ, whose gradient is vᵀ u'; v and u' are constants.

    σ never exceeds the largest singular value and is as close to it as u is to the right singular
    vector: after a single iteration from a random u it can be far too small. For convolutions the
    matrix is the kernel's, not that of the linear map on images, whose norm differs.

    Args:
        kernel: W, floating [..., out].
        vector: u, [1, out].
        bounded: Return W·min(σ, 1)/σ, which leaves W as it is while σ < 1. In it σ is enlarged by
            1e-6, so that a kernel near zero does no harm.

    Returns:
        A `Normalised`.

    Source: Miyato, Kataoka, Koyama, Yoshida: Spectral Normalization for Generative Adversarial
    Networks, ICLR 2018; constants and `bounded` as in the public f-EBM code.
    """
    matrix = tf.reshape(kernel, [-1, kernel.shape[-1]])
    left = tf.math.l2_normalize(tf.matmul(vector, matrix, transpose_b=True))
    image = tf.matmul(tf.stop_gradient(left), matrix)
    following = tf.stop_gradient(tf.math.l2_normalize(image))
    sigma = tf.reduce_sum(image * following) + (1e-6 if bounded else 0.0)
    scaled = kernel / sigma
    return Normalised(scaled * tf.minimum(sigma, 1.0) if bounded else scaled, sigma, following)


@arguments.checked
class SpectralLayer(arguments.Configured, CachedWeightsLayer):
    """Base of the layers with a spectrally normalised kernel.

    Weights: `kernel` and, not trainable, `vector`, the u of `normalise`, [1, out]. Calling the
    layer never changes u: `power_iteration` does.

    Args:
        bounded: See `normalise`; the kernel then starts near zero and so grows into its layer.
        use_bias: Whether to add a bias.
        **kwargs: Those of `keras.layers.Layer`.
    """

    multiplies_in_dtype_of_weights = True

    def __init__(self, bounded: bool = False, use_bias: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.bounded, self.use_bias = bool(bounded), bool(use_bias)
        self.bias = None

    def add_kernel(self, shape) -> None:
        """Create kernel, vector and bias for a kernel of a shape, [..., out]."""

        def add(name, shape, stddev, **settings):
            # Normalisation is computed in the weights' own precision under any dtype policy.
            normal = keras.initializers.RandomNormal(stddev=stddev)
            return self.add_weight(shape, normal, autocast=False, name=name, **settings)

        self.kernel = add("kernel", shape, 1e-10 if self.bounded else 1.0)
        # All replicas of a distribution strategy find the same vector.
        one = {"trainable": False, "aggregation": "only_first_replica"}
        self.vector = add("vector", (1, shape[-1]), 1.0, **one)
        if self.use_bias:
            self.bias = self.add_weight(shape=shape[-1:], initializer="zeros", name="bias")

    def normalised(self) -> Normalised:
        """Return `normalise` of the present weights."""
        kernel, vector = tf.convert_to_tensor(self.kernel), tf.convert_to_tensor(self.vector)
        return normalise(kernel, vector, self.bounded)

    def compute_weights(self) -> tf.Tensor:
        """Return the normalised kernel in the dtype in which the layer computes."""
        return tf.cast(self.normalised().kernel, self.compute_dtype)


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class SpectralConv2D(SpectralLayer):
    """Convolve images with a spectrally normalised kernel, with SAME padding.

    Args:
        filters: Number of output channels.
        kernel_size: Side of the square kernel.
        strides: Stride in both directions.
        bounded: See `SpectralLayer`.
        use_bias: Whether to add a bias.
        **kwargs: Those of `keras.layers.Layer`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        bounded: bool = False,
        use_bias: bool = False,
        **kwargs,
    ):
        super().__init__(bounded, use_bias, **kwargs)
        self.filters = arguments.whole_number("filters", filters, 1)
        self.kernel_size = arguments.whole_number("kernel_size", kernel_size, 1)
        self.strides = arguments.whole_number("strides", strides, 1)

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights for images [n, height, width, channels]."""
        self.image_size = tuple(input_shape[1:3])
        self.add_kernel((self.kernel_size, self.kernel_size, input_shape[-1], self.filters))

    def compute_weights(self) -> convolution.Weights:
        """Return the normalised kernel in the dtype in which the layer computes."""
        return convolution.Weights(super().compute_weights())

    def compute_weights_for_chain(self) -> convolution.Weights:
        """Return the normalised kernel and what its gradient for the input needs."""
        return self.compute_weights().for_chain(self.strides, "SAME", self.image_size)

    def call(self, x: arguments.Tensor) -> tf.Tensor:
        """Return [n, ⌈height/strides⌉, ⌈width/strides⌉, filters]."""
        kernel, precomputed = self.cached_weights()
        x = convolution.convolve(x, kernel, precomputed, self.strides, "SAME")
        return x if self.bias is None else x + tf.convert_to_tensor(self.bias)

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the output for a shape of the input."""
        sizes = (None if s is None else math.ceil(s / self.strides) for s in input_shape[1:3])
        return (input_shape[0], *sizes, self.filters)


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class SpectralDense(SpectralLayer):
    """Multiply vectors by a spectrally normalised matrix and add a bias.

    Args:
        units: Length of an output vector.
        use_bias: Whether to add a bias.
        bounded: See `SpectralLayer`.
        **kwargs: Those of `keras.layers.Layer`.
    """

    def __init__(self, units: int, use_bias: bool = True, bounded: bool = False, **kwargs):
        super().__init__(bounded, use_bias, **kwargs)
        self.units = arguments.whole_number("units", units, 1)

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights for vectors [n, length]."""
        self.add_kernel((input_shape[-1], self.units))

    def call(self, x: arguments.Tensor) -> tf.Tensor:
        """Return [n, units]."""
        x = multiplied(x, self.cached_weights())
        return x if self.bias is None else x + tf.convert_to_tensor(self.bias)

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the output for a shape of the input."""
        return (*input_shape[:-1], self.units)


@contextlib.contextmanager
@arguments.checked
def power_iteration(*networks: Any) -> Iterator[None]:
    """Advance the power iteration of every spectrally normalised layer by one, around a step.

    The new vectors are computed when the block is entered and stored when it ends, so every
    evaluation before the weights change uses the same σ, the one that those vectors give; so do
    sampling and inference at any other time, which store nothing. If the block raises, nothing is
    stored (eagerly; a compiled step stops where it is).

    Args:
        *networks: Keras models or layers, built. Those without such layers are left as they are.

    Yields:
        Nothing.
    """
    layers = [layer for network in networks for layer in layers_of(network, SpectralLayer)]
    vectors = [layer.normalised().vector for layer in layers]
    yield
    for layer, vector in zip(layers, vectors, strict=True):
        # Every replica finds the same vector from the same weights.
        parallel.local(layer.vector.value).assign(vector)
