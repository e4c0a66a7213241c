"""A plain convolutional energy for small images."""

import keras

from tf_febm import arguments
from tf_febm.networks.activations import fused_activation
from tf_febm.networks.inputs import energy_inputs
from tf_febm.networks.layers import Conv2D, Dense

__all__ = ["conv"]


@arguments.checked
def conv(
    image_shape: tuple[int, ...],
    num_filters: int = 32,
    dense_units: int = 128,
    activation: str = "swish",
    num_classes: int | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return a convolutional network with one linear output.

    A 3×3 convolution, then for each halving of the image until 4 pixels a side are left a 3×3
    convolution of stride 2 with twice the filters, then one dense layer. There is no batch
    normalisation, under which the energy of an image would depend on its neighbours in the batch,
    and the activation is smooth, so that scores are.

    Args:
        image_shape: (height, width, channels).
        num_filters: Filters of the first convolution.
        dense_units: Width of the dense layer, the features of the image.
        activation: A Keras activation.
        num_classes: If given, the model takes (x, one_hot), and the energy is a linear function of
            the features whose weights depend on the label (a projection, Miyato & Koyama 2018).
        name: The Keras name.

    Returns:
        A model from [n, height, width, channels] to [n, 1].
    """
    image_shape = arguments.shape("image_shape", image_shape, 3)
    filters = arguments.whole_number("num_filters", num_filters, 1)
    dense_units = arguments.whole_number("dense_units", dense_units, 1)
    layers = keras.layers
    activate = fused_activation(activation)
    inputs, x, label = energy_inputs(image_shape, num_classes)
    dtype = x.dtype
    x = Conv2D(filters, 3, padding="same", activation=activate)(x)
    size = min(image_shape[:2])
    while size > 4:
        filters, size = 2 * filters, (size + 1) // 2
        x = Conv2D(filters, 3, strides=2, padding="same", activation=activate)(x)
    x = Conv2D(filters, 3, padding="same", activation=activate)(x)
    x = layers.Flatten(data_format="channels_last")(x)
    features = Dense(dense_units, activation=activate)(x)
    energy = layers.Dense(1, dtype=dtype)(features)
    if label is not None:
        by_label = layers.Dense(dense_units, use_bias=False, dtype=dtype)(label)
        projection = layers.Dot(axes=1, dtype=dtype)([features, by_label])
        energy = layers.Add(dtype=dtype)([energy, projection])
    return keras.Model(inputs, energy, name=name)
