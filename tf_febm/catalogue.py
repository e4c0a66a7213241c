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
    options: tuple[str, ...]
    standardised: bool = True


_LABELS, _RESNET = ("num_classes",), ("num_classes", "use_attention")
_GENERATOR = ("batch_norm", "output_activation")
_IN = "tf_febm.networks"

# The widths of the resnets are what the original builds.
NETWORKS = {
    "conv": Network(f"{_IN}.conv:conv", "images", 64, _LABELS),
    "fourier_mlp": Network(f"{_IN}.fourier:fourier_mlp", "vectors", 128, (*_LABELS, "frequency")),
    "mlp": Network(f"{_IN}.mlp:mlp", "both", 256, _LABELS),
    "mnist_net": Network(f"{_IN}.mnist:mnist_net", "images", 64, _LABELS),
    "resnet32": Network(f"{_IN}.resnets:resnet32", "images", 128, _RESNET),
    "resnet32_large": Network(f"{_IN}.resnets:resnet32_large", "images", 128, _RESNET),
    "resnet32_larger": Network(f"{_IN}.resnets:resnet32_larger", "images", 128, _RESNET),
    "resnet32_wider": Network(f"{_IN}.resnets:resnet32_wider", "images", 256, _RESNET),
    "resnet128": Network(f"{_IN}.resnets:resnet128", "images", 64, _RESNET),
    "published_bounds": Network(f"{_IN}.published_bounds:published_bounds", "both", 64, (), False),
}
GENERATORS = {
    "mlp": Network(f"{_IN}.generators:generator_mlp", "both", 256, _GENERATOR),
    "coupling": Network(f"{_IN}.generators:generator_coupling", "both", 256, _GENERATOR),
    "monotone": Network(f"{_IN}.monotone:generator_monotone", "both", 0, ("output_activation",)),
    "dcgan": Network(f"{_IN}.generators:generator_dcgan", "images", 64, _GENERATOR),
    "resnet": Network(f"{_IN}.generators:generator_resnet", "images", 64, _GENERATOR),
    "published_bounds": Network(
        f"{_IN}.published_bounds:generator_published_bounds", "both", 64, ("batch_norm",)
    ),
}
