"""Networks by name, for programs that let their user choose."""

from collections.abc import Callable

import keras

from tf_febm.networks.conv import conv
from tf_febm.networks.fourier import fourier_mlp
from tf_febm.networks.mlp import mlp
from tf_febm.networks.mnist import mnist_net
from tf_febm.networks.resnets import (
    resnet32,
    resnet32_large,
    resnet32_larger,
    resnet32_wider,
    resnet128,
)

__all__ = ["NAMES", "get"]

_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    builder.__name__: builder
    for builder in (
        conv,
        fourier_mlp,
        mlp,
        mnist_net,
        resnet32,
        resnet32_large,
        resnet32_larger,
        resnet32_wider,
        resnet128,
    )
}

NAMES: tuple[str, ...] = tuple(_BUILDERS)


def get(name: str) -> Callable[..., keras.Model]:
    """Return the function that builds a network.

    All take the keywords `num_classes` and `name`; all but `mlp` and `fourier_mlp`, whose
    `input_shape` and `hidden_units` say the same, take `image_shape` and `num_filters`; the
    residual ones take `use_attention`.

    Args:
        name: One of `NAMES`.

    Raises:
        ValueError: If there is no such network.
    """
    if name not in _BUILDERS:
        raise ValueError(f"network must be one of {', '.join(NAMES)}; received {name!r}.")
    return _BUILDERS[name]
