"""The energy network of the published code for images of 28×28 in one channel."""

import keras

from tf_febm import arguments
from tf_febm.networks.activations import fused_activation
from tf_febm.networks.inputs import energy_inputs
from tf_febm.networks.spectral import SpectralConv2D, SpectralDense

__all__ = ["mnist_net"]


@arguments.checked
def mnist_net(
    num_filters: int = 64,
    num_classes: int | None = None,
    image_shape: tuple[int, ...] = (28, 28, 1),
    activation: str = "swish",
    name: str | None = None,
) -> keras.Model:
    """Return a spectrally normalised convolutional network of four layers.

    A 3×3 convolution to 64 channels; 4×4 convolutions of stride 2 to F = num_filters, 2F and 4F
    channels; a dense layer of 2F units and a linear output. All kernels but the last are spectrally
    normalised, and none of the convolutions has a bias.

    Args:
        num_filters: F.
        num_classes: If given, the model takes (x, one_hot) and sees a tenth of the label as further
            channels of the image. The published code means this too but fails to build it.
        image_shape: (height, width, channels).
        activation: A Keras activation, "swish" or "leaky_relu" in the published code.
        name: The Keras name.

    Returns:
        A model from [n, height, width, channels], in [0, 1], to [n, 1].

    Raises:
        ValueError: An argument is out of its range.

    Source: `MnistNet` of the public f-EBM code, after Du & Mordatch 2019.
    """
    num_filters = arguments.whole_number("num_filters", num_filters, 1)
    height, width, _ = image_shape = arguments.shape("image_shape", image_shape, 3)
    layers, ops = keras.layers, keras.ops
    activate = fused_activation(activation)
    inputs, x, label = energy_inputs(image_shape, num_classes)
    dtype = x.dtype
    if label is not None:
        channels = layers.Reshape((height, width, num_classes))(
            layers.RepeatVector(height * width)(label / 10.0)
        )
        x = ops.concatenate([x, channels], axis=-1)
    convolutions = (
        SpectralConv2D(64, 3, name="c1_pre"),
        SpectralConv2D(num_filters, 4, 2, name="c1"),
        SpectralConv2D(2 * num_filters, 4, 2, name="c2"),
        SpectralConv2D(4 * num_filters, 4, 2, name="c3"),
    )
    for convolution in convolutions:
        x = layers.Activation(activate, name=f"{convolution.name}_output")(convolution(x))
    x = layers.Flatten(data_format="channels_last")(x)
    x = SpectralDense(2 * num_filters, name="fc_dense")(x)
    x = layers.Activation(activate, name="fc_dense_output")(x)
    return keras.Model(inputs, layers.Dense(1, dtype=dtype, name="fc5")(x), name=name)
