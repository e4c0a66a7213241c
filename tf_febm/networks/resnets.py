"""The residual energy networks of the published code, layer for layer, and a table of them."""

from typing import NamedTuple

import keras

from tf_febm import arguments
from tf_febm.networks.activations import fused_activation
from tf_febm.networks.attention import SelfAttention
from tf_febm.networks.conditioning import LabelScale, LabelShift
from tf_febm.networks.inputs import energy_inputs
from tf_febm.networks.precision import output_dtype
from tf_febm.networks.spectral import SpectralConv2D

__all__ = ["PLANS", "resnet32", "resnet32_large", "resnet32_larger", "resnet32_wider", "resnet128"]


class Plan(NamedTuple):
    """What tells the residual networks apart.

    Attributes:
        blocks: The residual blocks, in order, in groups of one width: that width in units of
            num_filters, and the names of the blocks, of which the first halves the image.
        attention: The name of the block at which self-attention comes.
        attention_replaces: Whether it takes the block's place; else it comes before the block.
        attention_divisor: num_filters divided by this is the length of its queries and keys.
        attention_dropout: The rate at which its scores are dropped where there is dropout.
        stem_filters: Filters of the first convolution; num_filters if None.
        last_halves: Whether the first block of the last group halves the image too.
        leaky_with_labels: Whether the last activation is leaky_relu in a conditional network,
            where it is relu in an unconditional one.
    """

    blocks: tuple[tuple[int, str], ...]
    attention: str
    attention_replaces: bool = True
    attention_divisor: int = 2
    attention_dropout: float = 0.0
    stem_filters: int | None = None
    last_halves: bool = True
    leaky_with_labels: bool = False


_NINE_BLOCKS = ((1, "optim 1 2"), (2, "3 4 5"), (4, "6 7 8"))

PLANS = {
    "resnet32": Plan(((1, "optim 1"), (2, "2 3"), (2, "4 5")), "res_3"),
    "resnet32_large": Plan(_NINE_BLOCKS, "res_4", attention_divisor=1, leaky_with_labels=True),
    "resnet32_larger": Plan(
        ((1, "optim 1 2 2a 2b"), (2, "3 4 5 5a 5b"), (4, "6 7 8 8a 8b")),
        "res_4",
        leaky_with_labels=True,
    ),
    "resnet32_wider": Plan(_NINE_BLOCKS, "res_1", attention_dropout=0.1, stem_filters=128),
    "resnet128": Plan(
        ((1, "optim"), (2, "3"), (4, "5"), (8, "7"), (8, "9"), (8, "10")),
        "res_3",
        attention_replaces=False,
        stem_filters=64,
        last_halves=False,
    ),
}


@arguments.checked
def resnet32(
    num_filters: int = 128,
    num_classes: int | None = None,
    use_attention: bool = False,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """Return the network of the paper's CIFAR-10 and CelebA experiments: six residual blocks.

    A 3×3 convolution to F = num_filters channels; blocks (see `residual_block`) of F, F, 2F, 2F,
    2F and 2F channels, of which the first, third and fifth halve the image; relu, the sum over all
    positions, and a linear output. All kernels but the last are spectrally normalised.

    Args:
        num_filters: F.
        num_classes: If given, the model takes (x, one_hot), and every block depends on the label.
        use_attention: Whether self-attention stands in the place of the fourth block.
        image_shape: (height, width, channels), at least 8 pixels a side.
        name: The Keras name.

    Returns:
        A model from [n, height, width, channels], in [0, 1], to [n, 1].

    Raises:
        ValueError: An argument is out of its range.

    Source: Yu et al. 2020; `ResNet32` of the public f-EBM code, after Du & Mordatch 2019. There
    the flag for attention fails for this network; here it does what it does for the others.
    """
    return _resnet("resnet32", num_filters, num_classes, use_attention, image_shape, name)


@arguments.checked
def resnet32_large(
    num_filters: int = 128,
    num_classes: int | None = None,
    use_attention: bool = False,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    dropout: float = 0.5,
    name: str | None = None,
) -> keras.Model:
    """Return nine residual blocks: three each of F, 2F and 4F channels, with dropout.

    The first block of each three halves the image. The last activation is relu, or leaky_relu if
    the network is conditional.

    Arguments and result are those of `resnet32`, but for attention, in the place of the fifth
    block, and `dropout`, the rate in every block. It acts when the model is called with
    training=True: the models of this library do so with the batches of a training step and not in
    chains, where the published code kept it.

    Source: `ResNet32Large` of the public f-EBM code.
    """
    return _resnet(
        "resnet32_large", num_filters, num_classes, use_attention, image_shape, name, dropout
    )


@arguments.checked
def resnet32_larger(
    num_filters: int = 128,
    num_classes: int | None = None,
    use_attention: bool = False,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """Return fifteen residual blocks: five each of F, 2F and 4F channels.

    The first block of each five halves the image. The last activation is relu, or leaky_relu if
    the network is conditional. Arguments and result are those of `resnet32`, but for attention, in
    the place of the seventh block.

    Source: `ResNet32Larger` of the public f-EBM code.
    """
    return _resnet("resnet32_larger", num_filters, num_classes, use_attention, image_shape, name)


@arguments.checked
def resnet32_wider(
    num_filters: int = 256,
    num_classes: int | None = None,
    use_attention: bool = False,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    dropout: float = 0.0,
    activation: str = "swish",
    name: str | None = None,
) -> keras.Model:
    """Return nine residual blocks of which all but the first are smooth, after 128 filters.

    As `resnet32_large`, but the first convolution has 128 filters whatever F is, and it, the blocks
    after the first and the output use `activation`, a Keras activation, instead of leaky_relu:
    "swish" or "leaky_relu" in the published code. Where it is leaky_relu, the last one is relu.
    Self-attention stands in the place of the second block; with dropout a tenth of its scores are
    dropped as well. The published code needs F to differ from 128, where the first block's bypass
    is a convolution; at 128 it is the identity here.

    Source: `ResNet32Wider` of the public f-EBM code.
    """
    args = num_filters, num_classes, use_attention, image_shape, name, dropout, activation
    return _resnet("resnet32_wider", *args)


@arguments.checked
def resnet128(
    num_filters: int = 64,
    num_classes: int | None = None,
    use_attention: bool = False,
    image_shape: tuple[int, int, int] = (128, 128, 3),
    dropout: float = 0.0,
    activation: str = "swish",
    name: str | None = None,
) -> keras.Model:
    """Return the network for images of 128×128: six residual blocks, after 64 filters.

    Blocks of F, 2F, 4F, 8F, 8F and 8F channels, all but the last of which halve the image, of at
    least 32 pixels a side. The first convolution, all blocks but the first, and the output use
    `activation`. Arguments and result are those of `resnet32_wider`, but for attention, which comes
    after the first block, in addition: its scores for 64×64 positions take 67 MB per image. The
    published code needs F = 64, where the first block's bypass is the identity; for any other
    number it is a convolution here.

    Source: `ResNet128` of the public f-EBM code.
    """
    args = num_filters, num_classes, use_attention, image_shape, name, dropout, activation
    return _resnet("resnet128", *args)


def _resnet(
    kind: str,
    num_filters,
    num_classes,
    use_attention,
    image_shape,
    name,
    dropout=0.0,
    activation="leaky_relu",
) -> keras.Model:
    plan = PLANS[kind]
    num_filters = arguments.whole_number("num_filters", num_filters, 1)
    image_shape = arguments.shape("image_shape", image_shape, 3)
    dropout = arguments.number("dropout", dropout)
    smallest = 2 ** (len(plan.blocks) - (not plan.last_halves))
    if min(image_shape[:2]) < smallest:
        raise ValueError(
            f"image_shape must have at least {smallest} pixels a side; received {image_shape}."
        )
    layers = keras.layers
    inputs, images, label = energy_inputs(image_shape, num_classes)
    x = SpectralConv2D(plan.stem_filters or num_filters, name="c1_pre")(images)
    x = layers.Activation(fused_activation(activation), name="c1_pre_output")(x)
    for group, (width, suffixes) in enumerate(plan.blocks):
        halves = plan.last_halves or group < len(plan.blocks) - 1
        for i, suffix in enumerate(suffixes.split()):
            block = f"res_{suffix}"
            if use_attention and block == plan.attention:
                rate = plan.attention_dropout if dropout else 0.0
                x = SelfAttention(num_filters // plan.attention_divisor, rate, name="atten")(x)
                if plan.attention_replaces:
                    continue
            x = residual_block(
                x,
                width * num_filters,
                block,
                label=label,
                downsample=halves and i == 0,
                activation="leaky_relu" if block == "res_optim" else activation,
                dropout=dropout,
            )
    if activation == "leaky_relu" and not (plan.leaky_with_labels and label is not None):
        activation = "relu"
    x = layers.Activation(fused_activation(activation), name="final_output")(x)
    # A sum over all positions overflows in float16 and loses what it is the sum of in bfloat16.
    dtype = output_dtype()
    features = keras.ops.sum(keras.ops.cast(x, dtype), axis=(1, 2))
    return keras.Model(inputs, layers.Dense(1, dtype=dtype, name="fc5")(features), name=name)


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
    activation = fused_activation(activation)
    first, second = f"{name}_res_c1", f"{name}_res_c2"
    h = x if label is None else LabelShift(name=f"{first}_shift")([x, label])
    h = SpectralConv2D(filters, name=first)(h)
    if dropout:
        h = layers.Dropout(dropout, name=f"{name}_dropout")(h)
    h = layers.Activation(activation, name=f"{name}_hidden")(h)
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
    return layers.Activation(activation, name=f"{name}_output")(x)
