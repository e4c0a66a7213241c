"""The residual block of the published energy networks."""

import keras

from tf_febm.networks.activations import faster
from tf_febm.networks.conditioning import LabelScale, LabelShift
from tf_febm.networks.spectral import SpectralConv2D

__all__ = ["residual_block"]


def residual_block(
    x,
    filters: int,
    name: str,
    *,
    label=None,
    downsample: bool = False,
    activation="leaky_relu",
    dropout: float = 0.0,
):
    """Apply a residual block to a symbolic feature map.

        h = c2(act(dropout(c1(x)))),   x' = act(pool(h + bypass(x)))

    c1 and c2 are spectrally normalised 3×3 convolutions without bias; c2 starts near zero. Given a
    label, both shift their input by it, channel by channel, and c2 scales its output by it. The
    bypass is the identity or, where the number of channels changes, a third such convolution, which
    knows no label. There is no batch normalisation, so energies do not depend on the batch.

    Args:
        x: Keras tensor [n, height, width, channels].
        filters: Number of output channels.
        name: The names of all layers begin with it.
        label: Keras tensor of one-hot rows [n, num_classes], or None.
        downsample: Whether a mean over 2×2 pixels halves height and width, rounded down.
        activation: A Keras activation.
        dropout: Rate at which features are dropped in training.

    Returns:
        A Keras tensor [n, height', width', filters].
    """
    layers = keras.layers
    first, second = f"{name}_res_c1", f"{name}_res_c2"
    h = x if label is None else LabelShift(name=f"{first}_shift")([x, label])
    h = SpectralConv2D(filters, name=first)(h)
    if dropout:
        h = layers.Dropout(dropout, name=f"{name}_dropout")(h)
    h = layers.Activation(faster(activation), name=f"{name}_hidden")(h)
    if label is not None:
        h = LabelShift(name=f"{second}_shift")([h, label])
    h = SpectralConv2D(filters, bounded=True, name=second)(h)
    if label is not None:
        h = LabelScale(name=f"{second}_scale")([h, label])
    if x.shape[-1] != filters:
        x = SpectralConv2D(filters, name=f"{name}_res_adaptive")(x)
    x = layers.Add(name=f"{name}_sum")([h, x])
    if downsample:
        x = layers.AveragePooling2D(2, data_format="channels_last", name=f"{name}_pool")(x)
    return layers.Activation(faster(activation), name=f"{name}_output")(x)
