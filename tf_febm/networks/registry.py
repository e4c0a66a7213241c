"""Networks by name, for programs that let their user choose."""

import inspect
from collections.abc import Callable
from typing import Any

import keras

from tf_febm import arguments, catalogue
from tf_febm.catalogue import GENERATORS, NETWORKS
from tf_febm.networks.units import standardised, with_confinement

__all__ = ["GENERATOR_NAMES", "NAMES", "build", "build_generator", "get", "get_generator"]

NAMES: tuple[str, ...] = tuple(NETWORKS)
GENERATOR_NAMES: tuple[str, ...] = tuple(GENERATORS)


@arguments.checked
def get(name: str) -> Callable[..., keras.Model]:
    """Return the function that builds an energy network, with arguments of its own.

    Args:
        name: One of `NAMES`.

    Raises:
        ValueError: There is no such network.
    """
    return catalogue.load(catalogue.find("name", NETWORKS, name).place)


@arguments.checked
def get_generator(name: str) -> Callable[..., keras.Model]:
    """Return the function that builds a generator, with arguments of its own.

    Args:
        name: One of `GENERATOR_NAMES`.

    Raises:
        ValueError: There is no such generator.
    """
    return catalogue.load(catalogue.find("name", GENERATORS, name).place)


@arguments.checking({"shape": arguments.SHAPE})
def build(
    network: str,
    shape: tuple[int, ...],
    width: int | None = None,
    *,
    num_classes: int | None = None,
    use_attention: bool = False,
    frequency: float | None = None,
    whiten: Any = None,
    mean: arguments.Numbers | None = None,
    scale: arguments.Numbers | None = None,
    confinement: float = 0.0,
    name: str | None = None,
) -> keras.Model:
    """Return an energy network by its name, with the same few arguments for all of them.

    Activations are swish wherever a network lets one choose.

    Args:
        network: One of `NAMES`.
        shape: Of one example: (height, width, channels), or (d,) for vectors.
        width: Filters of a convolutional network, or units of each of two hidden layers; the
            catalogue's default if None.
        num_classes: If given, the model takes (x, one_hot).
        use_attention: Whether there is self-attention.
        frequency: See `fourier_mlp`; its default if None.
        whiten: See `strided`.
        mean: Of the data, [d], together with `scale`: the network then takes raw units and sees
            standardised ones, see `standardised`. One that is published for raw units (see
            `catalogue.Network`) stays as it is.
        scale: Of the data, [d].
        confinement: Strength of the quadratic confinement, in standardised units; see
            `with_confinement`.
        name: The Keras name, of what is inside where there is standardisation or confinement.

    Returns:
        A model from [n, *shape], or such and one-hot labels, to [n, 1].

    Raises:
        ValueError: There is no such network, or it does not have what is asked of it.
    """
    row = catalogue.find("network", NETWORKS, network)
    asked = {
        "num_classes": num_classes,
        "use_attention": use_attention or None,
        "frequency": frequency,
        "whiten": whiten,
    }
    asked = {option: value for option, value in asked.items() if value is not None}
    for option, value in asked.items():
        if option not in row.options:
            having = ", ".join(other for other in NAMES if option in NETWORKS[other].options)
            raise ValueError(
                f"network {network!r} takes no {option}; received {option}={value!r}, which is for "
                f"{having}."
            )
    if confinement and not row.standardised:
        raise ValueError(
            f"network {network!r} has no confinement; received confinement={confinement}."
        )
    made = _call("network", NETWORKS, network, shape, width, name=name, **asked)
    if confinement:
        made = with_confinement(made, confinement)
    if (mean is None) != (scale is None):
        missing = "mean" if mean is None else "scale"
        raise ValueError(f"mean and scale must be given together; received no {missing}.")
    if mean is not None and row.standardised:
        made = standardised(made, mean, scale)
    return made


@arguments.checking({"shape": arguments.SHAPE})
def build_generator(
    generator: str,
    latent_dim: int,
    shape: tuple[int, ...],
    width: int | None = None,
    *,
    batch_norm: bool = False,
    output_activation: str | None = None,
    name: str | None = "generator",
) -> keras.Model:
    """Return a generator by its name, with the same few arguments for all of them.

    What a generator does not have is left out: the width and the batch normalisation of `monotone`,
    the activation of the output of `published_bounds`, which has its own.

    Args:
        generator: One of `GENERATOR_NAMES`.
        latent_dim: d, the length of z.
        shape: Of one example: (height, width, channels), or (D,) for vectors.
        width: Filters of a convolutional generator, or units of each of two hidden layers; the
            catalogue's default if None.
        batch_norm: Whether there is batch normalisation.
        output_activation: Of the last layer: None for data without bounds, "sigmoid" for [0, 1].
        name: The Keras name.

    Returns:
        A model from [n, latent_dim] to [n, *shape].

    Raises:
        ValueError: There is no such generator, or it does not make data of this shape.
    """
    settings = {
        "latent_dim": latent_dim,
        "batch_norm": batch_norm,
        "output_activation": output_activation,
        "name": name,
    }
    return _call("generator", GENERATORS, generator, shape, width, **settings)


def _call(what: str, table: dict, name: str, shape, width, /, **settings) -> keras.Model:
    """Return what a function of a table builds, given those of the arguments that it has."""
    row = catalogue.find(what, table, name)
    kind = "images" if len(shape) == 3 else "vectors"
    if row.kind not in (kind, "both"):
        others = ", ".join(other for other in table if table[other].kind in (kind, "both"))
        raise ValueError(
            f"{what} {name!r} is for {row.kind}; received shape {tuple(shape)}: {kind} take "
            f"{others}."
        )
    width = row.default_width if width is None else width
    settings |= dict.fromkeys(("image_shape", "input_shape", "output_shape"), shape)
    settings |= {"num_filters": width, "hidden_units": (width, width), "activation": "swish"}
    function = catalogue.load(row.place)
    taken = inspect.signature(function).parameters.keys() & settings.keys()
    return function(**{argument: settings[argument] for argument in taken})
