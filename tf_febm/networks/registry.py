"""Networks by name, for programs that let their user choose."""

import inspect
from collections.abc import Callable

import keras

from tf_febm import catalogue
from tf_febm.networks.units import standardised, with_confinement

__all__ = ["GENERATOR_NAMES", "NAMES", "build", "build_generator", "get", "get_generator"]

NAMES: tuple[str, ...] = tuple(catalogue.NETWORKS)
GENERATOR_NAMES: tuple[str, ...] = tuple(catalogue.GENERATORS)


def get(name: str) -> Callable[..., keras.Model]:
    """Return the function that builds an energy network, with arguments of its own.

    Args:
        name: One of `NAMES`.

    Raises:
        ValueError: If there is no such network.
    """
    return catalogue.load(catalogue.find("network", catalogue.NETWORKS, name).place)


def get_generator(name: str) -> Callable[..., keras.Model]:
    """Return the function that builds a generator, with arguments of its own.

    Args:
        name: One of `GENERATOR_NAMES`.

    Raises:
        ValueError: If there is no such generator.
    """
    return catalogue.load(catalogue.find("generator", catalogue.GENERATORS, name).place)


def build(
    network: str,
    shape: tuple[int, ...],
    width: int | None = None,
    *,
    num_classes: int | None = None,
    use_attention: bool = False,
    frequency: float | None = None,
    mean=None,
    scale=None,
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
        ValueError: If there is no such network, or it does not have what is asked of it.
    """
    row = catalogue.find("network", catalogue.NETWORKS, network)
    options = {
        "num_classes": num_classes,
        "use_attention": use_attention or None,
        "frequency": frequency,
    }
    made = _call("network", catalogue.NETWORKS, network, shape, width, options, name=name)
    if confinement:
        if not row.standardised:
            raise ValueError(
                f"network {network!r} has no confinement; received confinement={confinement}."
            )
        made = with_confinement(made, confinement)
    if mean is not None and row.standardised:
        made = standardised(made, mean, scale)
    return made


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
        ValueError: If there is no such generator, or it does not make data of this shape.
    """
    fixed = {"batch_norm": batch_norm, "output_activation": output_activation}
    table = catalogue.GENERATORS
    return _call("generator", table, generator, shape, width, {}, latent_dim, name=name, **fixed)


def _call(what: str, table: dict, chosen: str, shape, width, options: dict, *first, **settings):
    """Return what a function of the catalogue builds, given the arguments that it has.

    Args:
        what: "network" or "generator", for messages.
        table: The catalogue's.
        chosen: The name in it.
        shape: Of one example.
        width: None for the default.
        options: Those that a network must have where they are not None.
        *first: What comes before the shape.
        **settings: Those that are passed where the function has them.
    """
    row = catalogue.find(what, table, chosen)
    kind = "images" if len(shape) == 3 else "vectors"
    if row.kind not in (kind, "both"):
        others = ", ".join(name for name, other in table.items() if other.kind in (kind, "both"))
        raise ValueError(
            f"{what} {chosen!r} is for {row.kind}; received shape {tuple(shape)}: {kind} take "
            f"{others}."
        )
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - row.options:
        having = ", ".join(other for other in table if name in table[other].options)
        raise ValueError(
            f"{what} {chosen!r} takes no {name}; received {name}={given[name]!r}, which is for "
            f"{having}."
        )
    width = row.default_width if width is None else width
    settings |= {
        "image_shape": shape,
        "input_shape": shape,
        "output_shape": shape,
        "num_filters": width,
        "hidden_units": (width, width),
        "activation": "swish",
        **given,
    }
    function = catalogue.load(row.place)
    taken = inspect.signature(function).parameters.keys() & settings.keys()
    return function(*first, **{name: settings[name] for name in taken})
