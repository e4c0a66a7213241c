"""A small, spectrally normalised convolutional energy for images, strided from the first layer."""

import keras

from tf_febm import arguments
from tf_febm.networks.activations import swish
from tf_febm.networks.inputs import energy_inputs
from tf_febm.networks.reference import GaussianReference
from tf_febm.networks.spectral import SpectralConv2D, SpectralDense
from tf_febm.networks.whiten import Whiten

__all__ = ["strided"]

# Normalised layers make what they are given smaller, one after the other, until swish is linear:
# this keeps it where it bends.
_ACTIVATION_GAIN = 4.0
_WHITE_SCALE = 0.5


@arguments.checked
def strided(
    image_shape: tuple[int, ...],
    num_filters: int = 32,
    dense_units: int = 256,
    gain: float = 1.0,
    num_classes: int | None = None,
    whiten: GaussianReference | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return a spectrally normalised network that halves the image in every layer.

    3×3 convolutions of stride 2, each with twice the filters of the one before, until at most 4
    pixels a side are left; a dense layer; a linear output, zero at first, times `gain`. All of it
    costs as much as one 3×3 convolution of the same width at full resolution, which is what a
    machine without an accelerator can run thousands of times an hour. Kernels but the last are
    normalised to spectral norm 1, so that the slope of the features is bounded however long they
    are trained, and that of the energy by a multiple of the length of the last one.

    Args:
        image_shape: (height, width, channels).
        num_filters: Filters of the first convolution.
        dense_units: Width of the dense layer, the features of the image.
        gain: Factor of the output, positive: how fast energies may come to differ.
        num_classes: If given, the model takes (x, one_hot), and the energy is a linear function of
            the features whose weights depend on the label (a projection, Miyato & Koyama 2018).
        whiten: A fitted reference of spectral covariance, or None. With it the network sees the
            whitened image beside the image; see `Whiten`.
        name: The Keras name.

    Returns:
        A model from [n, height, width, channels], in [0, 1], to [n, 1].
    """
    image_shape = arguments.shape("image_shape", image_shape, 3)
    filters = arguments.whole_number("num_filters", num_filters, 1)
    dense_units = arguments.whole_number("dense_units", dense_units, 1)
    gain = arguments.number("gain", gain, above=True)
    layers = keras.layers
    inputs, x, label = energy_inputs(image_shape, num_classes)
    dtype = x.dtype

    def activated(x):
        return layers.Rescaling(_ACTIVATION_GAIN)(layers.Activation(swish)(x))

    seen = layers.Rescaling(2.0, -1.0)(x)
    if whiten is not None:
        # Of the scale of the image, roughly.
        white = layers.Rescaling(_WHITE_SCALE)(Whiten(whiten, dtype=dtype)(x))
        seen = layers.Concatenate()([seen, white])
    x = seen
    size = max(image_shape[:2])
    while True:
        x = activated(SpectralConv2D(filters, 3, strides=2, use_bias=True)(x))
        filters, size = 2 * filters, (size + 1) // 2
        if size <= 4:
            break
    x = layers.Flatten(data_format="channels_last")(x)
    features = activated(SpectralDense(dense_units)(x))
    energy = layers.Dense(1, kernel_initializer="zeros", dtype=dtype)(features)
    if label is not None:
        by_label = layers.Dense(
            dense_units, use_bias=False, kernel_initializer="zeros", dtype=dtype
        )(label)
        energy = layers.Add(dtype=dtype)(
            [energy, layers.Dot(axes=1, dtype=dtype)([features, by_label])]
        )
    return keras.Model(inputs, layers.Rescaling(gain, dtype=dtype)(energy), name=name)
