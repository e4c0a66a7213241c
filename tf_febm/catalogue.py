"""Tables of what can be chosen by name: one line registers a network, a sampler, a data set.

Nothing is imported here but the standard library: the command line reads this file by its place,
for the names and defaults, before TensorFlow is imported, which takes seconds. `load` imports what
a line stands for.
"""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["GENERATORS", "NETWORKS", "Network", "find", "load"]


def load(place: str) -> Any:
    """Return what "package.module:attribute" names, imported now."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find(what: str, table: Mapping[str, Any], name: str) -> Any:
    """Return a row of a table.

    Args:
        what: What the table lists, for the message.
        table: Name -> row.
        name: The name that is looked for.

    Raises:
        ValueError: If there is no such name.
    """
    if name not in table:
        raise ValueError(f"{what} must be one of {', '.join(table)}; received {name!r}.")
    return table[name]


# --- networks and generators ----------------------------------------------------------------------


class Network(NamedTuple):
    """A function that builds an energy network or a generator; see `networks.build`.

    Attributes:
        place: The function, "package.module:function".
        kind: What its data are: "images", "vectors" or "both".
        default_width: Filters or hidden units where the user says nothing; 0 for a network whose
            size is not a width.
        options: The optional arguments of `networks.build`, or of `networks.build_generator`, that
            it takes.
        standardised: Whether over vectors it sees them in units of the data's standard deviations,
            and may have quadratic confinement; otherwise it takes raw units and is left as it is.
    """

    place: str
    kind: str
    default_width: int
    options: tuple[str, ...] = ("num_classes",)
    standardised: bool = True


_N = "tf_febm.networks"
_RESNET = ("num_classes", "use_attention")
_GENERATOR = ("batch_norm", "output_activation")

# Of the resnets for 32×32 pixels and resnet128 the width is what the original builds.
NETWORKS = {
    "conv": Network(f"{_N}.conv:conv", "images", 64),
    "fourier_mlp": Network(
        f"{_N}.fourier:fourier_mlp", "vectors", 128, ("num_classes", "frequency")
    ),
    "mlp": Network(f"{_N}.mlp:mlp", "both", 256),
    "mnist_net": Network(f"{_N}.mnist:mnist_net", "images", 64),
    "resnet32": Network(f"{_N}.resnets:resnet32", "images", 128, _RESNET),
    "resnet32_large": Network(f"{_N}.resnets:resnet32_large", "images", 128, _RESNET),
    "resnet32_larger": Network(f"{_N}.resnets:resnet32_larger", "images", 128, _RESNET),
    "resnet32_wider": Network(f"{_N}.resnets:resnet32_wider", "images", 256, _RESNET),
    "resnet128": Network(f"{_N}.resnets:resnet128", "images", 64, _RESNET),
    "published_bounds": Network(
        f"{_N}.published_bounds:published_bounds", "both", 64, (), standardised=False
    ),
}
GENERATORS = {
    "mlp": Network(f"{_N}.generators:generator_mlp", "both", 256, _GENERATOR),
    "coupling": Network(f"{_N}.generators:generator_coupling", "both", 256, _GENERATOR),
    "monotone": Network(f"{_N}.monotone:generator_monotone", "both", 0, ("output_activation",)),
    "dcgan": Network(f"{_N}.generators:generator_dcgan", "images", 64, _GENERATOR),
    "resnet": Network(f"{_N}.generators:generator_resnet", "images", 64, _GENERATOR),
    "published_bounds": Network(
        f"{_N}.published_bounds:generator_published_bounds", "both", 64, ("batch_norm",)
    ),
}
