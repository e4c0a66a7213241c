"""The residual energy networks of the published code, layer for layer."""

from typing import NamedTuple

import keras

from tf_febm import arguments
from tf_febm.networks.activations import faster
from tf_febm.networks.attention import SelfAttention
from tf_febm.networks.precision import output_dtype
from tf_febm.networks.residual import residual_block
from tf_febm.networks.spectral import SpectralConv2D

__all__ = [
    "PLANS",
    "Plan",
    "Stage",
    "resnet32",
    "resnet32_large",
    "resnet32_larger",
    "resnet32_wider",
    "resnet128",
]


class Stage(NamedTuple):
    """One residual block.

    Attributes:
        name: Its name.
        width: Its output channels, in units of num_filters.
        downsample: Whether it halves the image.
    """

    name: str
    width: int
    downsample: bool = False


class Plan(NamedTuple):
    """What tells the residual networks apart.

    Attributes:
        stages: The residual blocks, in order.
        attention: The name of the stage at which self-attention comes.
        attention_replaces: Whether it takes the stage's place; else it comes before the stage.
        attention_divisor: num_filters divided by this is the length of its queries and keys.
        stem_filters: Filters of the first convolution; num_filters if None.
    """

    stages: tuple[Stage, ...]
    attention: str
    attention_replaces: bool = True
    attention_divisor: int = 2
    stem_filters: int | None = None


def _stages(*groups) -> tuple[Stage, ...]:
    """Return stages from groups (width, downsample, names), of which the first stage halves."""
    return tuple(
        Stage(f"res_{name}", width, downsample and i == 0)
        for width, downsample, names in groups
        for i, name in enumerate(names.split())
    )


_NINE_BLOCKS = _stages((1, True, "optim 1 2"), (2, True, "3 4 5"), (4, True, "6 7 8"))

PLANS = {
    "resnet32": Plan(
        _stages((1, True, "optim 1"), (2, True, "2 3"), (2, True, "4 5")), attention="res_3"
    ),
    "resnet32_large": Plan(_NINE_BLOCKS, attention="res_4", attention_divisor=1),
    "resnet32_larger": Plan(
        _stages((1, True, "optim 1 2 2a 2b"), (2, True, "3 4 5 5a 5b"), (4, True, "6 7 8 8a 8b")),
        attention="res_4",
    ),
    "resnet32_wider": Plan(_NINE_BLOCKS, attention="res_1", stem_filters=128),
    "resnet128": Plan(
        _stages(
            (1, True, "optim"),
            (2, True, "3"),
            (4, True, "5"),
            (8, True, "7"),
            (8, True, "9"),
            (8, False, "10"),
        ),
        attention="res_3",
        attention_replaces=False,
        stem_filters=64,
    ),
}


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
        ValueError: If an argument is out of its range.

    Source: Yu et al. 2020; `ResNet32` of the public f-EBM code, after Du & Mordatch 2019. There
    the flag for attention fails for this network; here it does what it does for the others.
    """
    return _resnet(
        PLANS["resnet32"], num_filters, num_classes, use_attention, image_shape, name, final="relu"
    )


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

    Args:
        num_filters: F.
        num_classes: See `resnet32`.
        use_attention: Whether self-attention stands in the place of the fifth block.
        image_shape: See `resnet32`.
        dropout: Rate in every block; it acts when the model is called with training=True. The
            models of this library do so with the batches of a training step and not in chains,
            where the published code kept it.
        name: The Keras name.

    Returns:
        A model as of `resnet32`.

    Source: `ResNet32Large` of the public f-EBM code.
    """
    final = "relu" if num_classes is None else "leaky_relu"
    return _resnet(
        PLANS["resnet32_large"],
        num_filters,
        num_classes,
        use_attention,
        image_shape,
        name,
        final=final,
        dropout=dropout,
    )


def resnet32_larger(
    num_filters: int = 128,
    num_classes: int | None = None,
    use_attention: bool = False,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """Return fifteen residual blocks: five each of F, 2F and 4F channels.

    The first block of each five halves the image. The last activation is relu, or leaky_relu if
    the network is conditional.

    Args:
        num_filters: F.
        num_classes: See `resnet32`.
        use_attention: Whether self-attention stands in the place of the seventh block.
        image_shape: See `resnet32`.
        name: The Keras name.

    Returns:
        A model as of `resnet32`.

    Source: `ResNet32Larger` of the public f-EBM code.
    """
    final = "relu" if num_classes is None else "leaky_relu"
    return _resnet(
        PLANS["resnet32_larger"],
        num_filters,
        num_classes,
        use_attention,
        image_shape,
        name,
        final=final,
    )


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
    after the first and the output use `activation` instead of leaky_relu.

    Args:
        num_filters: F. The published code needs it to differ from 128, where the first block's
            bypass is a convolution; at 128 it is the identity here.
        num_classes: See `resnet32`.
        use_attention: Whether self-attention stands in the place of the second block.
        image_shape: See `resnet32`.
        dropout: See `resnet32_large`; with attention, a tenth of its scores are dropped as well.
        activation: A Keras activation, "swish" or "leaky_relu" in the published code. In the place
            of leaky_relu, the last activation is relu.
        name: The Keras name.

    Returns:
        A model as of `resnet32`.

    Source: `ResNet32Wider` of the public f-EBM code.
    """
    return _resnet(
        PLANS["resnet32_wider"],
        num_filters,
        num_classes,
        use_attention,
        image_shape,
        name,
        final="relu" if activation == "leaky_relu" else activation,
        activation=activation,
        dropout=dropout,
        attention_dropout=0.1 if dropout else 0.0,
    )


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

    Blocks of F, 2F, 4F, 8F, 8F and 8F channels, all but the last of which halve the image. The
    first convolution, all blocks but the first, and the output use `activation`.

    Args:
        num_filters: F. The published code needs 64, where the first block's bypass is the identity;
            for any other number it is a convolution here.
        num_classes: See `resnet32`.
        use_attention: Whether self-attention comes after the first block, in addition. Its scores
            for 64×64 positions take 67 MB per image.
        image_shape: (height, width, channels), at least 32 pixels a side.
        dropout: See `resnet32_large`.
        activation: See `resnet32_wider`.
        name: The Keras name.

    Returns:
        A model as of `resnet32`.

    Source: `ResNet128` of the public f-EBM code.
    """
    return _resnet(
        PLANS["resnet128"],
        num_filters,
        num_classes,
        use_attention,
        image_shape,
        name,
        final="relu" if activation == "leaky_relu" else activation,
        activation=activation,
        dropout=dropout,
    )


def _resnet(
    plan: Plan,
    num_filters,
    num_classes,
    use_attention,
    image_shape,
    name,
    *,
    final,
    activation="leaky_relu",
    dropout=0.0,
    attention_dropout=0.0,
) -> keras.Model:
    num_filters = arguments.whole_number("num_filters", num_filters, 1)
    image_shape = arguments.shape("image_shape", image_shape, 3)
    dropout = arguments.number("dropout", dropout)
    smallest = 2 ** sum(stage.downsample for stage in plan.stages)
    if min(image_shape[:2]) < smallest:
        raise ValueError(
            f"image_shape must have at least {smallest} pixels a side; received {image_shape}."
        )
    layers = keras.layers
    dtype = output_dtype()
    inputs = images = keras.Input(image_shape, dtype=dtype, name="x")
    label = None
    if num_classes is not None:
        num_classes = arguments.whole_number("num_classes", num_classes, 1)
        label = keras.Input((num_classes,), dtype=dtype, name="label")
        inputs = (images, label)

    x = SpectralConv2D(plan.stem_filters or num_filters, name="c1_pre")(images)
    x = layers.Activation(faster(activation), name="c1_pre_output")(x)
    for i, stage in enumerate(plan.stages):
        if use_attention and stage.name == plan.attention:
            units = num_filters // plan.attention_divisor
            x = SelfAttention(units, dropout=attention_dropout, name="atten")(x)
            if plan.attention_replaces:
                continue
        x = residual_block(
            x,
            stage.width * num_filters,
            stage.name,
            label=label,
            downsample=stage.downsample,
            activation=activation if i else "leaky_relu",
            dropout=dropout,
        )
    x = layers.Activation(faster(final), name="final_output")(x)
    # A sum over all positions overflows in float16 and loses what it is the sum of in bfloat16.
    features = keras.ops.sum(keras.ops.cast(x, dtype), axis=(1, 2))
    return keras.Model(inputs, layers.Dense(1, dtype=dtype, name="fc5")(features), name=name)
