"""Checkpoints of the original code as Keras networks and models."""

import keras

from tf_febm import arguments, networks
from tf_febm.legacy import inference
from tf_febm.legacy.checkpoint import ScopeReader
from tf_febm.legacy.naming import (
    ARCHITECTURES,
    unused_names,
    unused_shapes,
    variables_by_name,
)
from tf_febm.models import FEBM
from tf_febm.renamed import warn_of_earlier

__all__ = ["load_network", "load_networks"]


@arguments.checked
def load_network(
    checkpoint: arguments.Path,
    architecture: str | None = None,
    num_filters: int | None = None,
    num_classes: int | None = None,
    use_attention: bool = False,
    scope: str = "context_energy",
    *,
    image_shape: tuple[int, int, int] | None = None,
    activation: str | None = None,
    dropout: float | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return the network of a checkpoint of the original f-EBM code.

        energy = tf_febm.legacy.load_network("dir/model_45900")

    It has the weights and the power iterations' vectors of the checkpoint, so its energies are
    those that the original code computes from it. What a checkpoint does not tell must be given:
    use_attention, and where they are not the defaults, `image_shape` of a residual network (its
    channels are told), `activation` and `dropout`.

    Args:
        checkpoint: Path of the files `….index` and `….data-…`, without these endings.
        architecture: "mnist_net", "resnet32", "resnet32_large", "resnet32_larger",
            "resnet32_wider" or "resnet128"; told from the variables if None.
        num_filters: As in `tf_febm.networks`; told from the shapes if None.
        num_classes: Likewise, and 0 for an unconditional network. A ResNet128, which always has
            room for 200 classes, is taken for conditional if training has changed them.
        use_attention: Whether the original ran with the flag of this name. Its variables exist
            in every checkpoint and are ignored otherwise.
        scope: "context_energy" or "context_dis", the variational function.
        image_shape: (height, width, channels) of the images.
        activation: Of the networks that take one; see `tf_febm.networks`.
        dropout: Likewise.
        name: Of the network.

    Returns:
        A Keras model from x, or (x, one_hot), to [n, 1].

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It cannot be read, no network is recognised, or its variables are not those
            of the network; all that are missing, superfluous, of a wrong shape, not float32 or
            not finite are named.
    """
    given = _given(image_shape=image_shape, activation=activation, dropout=dropout, name=name)
    network, faults = _read(
        checkpoint, scope, architecture, num_filters, num_classes, use_attention, given
    )
    if faults:
        raise ValueError(faults)
    return network


@arguments.checked
def load_networks(
    checkpoint: arguments.Path,
    architecture: str | None = None,
    num_filters: int | None = None,
    num_classes: int | None = None,
    use_attention: bool = False,
    *,
    image_shape: tuple[int, int, int] | None = None,
    activation: str | None = None,
    dropout: float | None = None,
) -> tuple[keras.Model, keras.Model]:
    """Return both networks of a checkpoint of the original f-EBM code, for an `FEBM`.

        energy, variational = tf_febm.legacy.load_networks("dir/model_45900")
        model = tf_febm.FEBM(energy, variational, "js")

    The checkpoint holds nothing else that is used: its divergence and sampler are in the command
    that trained it, its replay buffer was never stored, and its optimizers start anew. The chains
    of `FEBM`'s default sampler are those of the published command.

    Args:
        checkpoint: See `load_network`.
        architecture: Of both networks; see `load_network`, as for all that follow.
        num_filters: See there.
        num_classes: See there.
        use_attention: See there.
        image_shape: See there.
        activation: See there.
        dropout: See there.

    Returns:
        The energy and the variational network.

    Raises:
        FileNotFoundError: See `load_network`.
        ValueError: See `load_network`.
    """
    loaded, faults = [], []
    for scope, name in (("context_energy", "energy"), ("context_dis", "variational")):
        own = _given(image_shape=image_shape, activation=activation, dropout=dropout, name=name)
        try:
            network, fault = _read(
                checkpoint, scope, architecture, num_filters, num_classes, use_attention, own
            )
        except ValueError as error:
            network, fault = None, str(error)
        loaded.append(network)
        faults += [fault] if fault else []
    if faults:
        raise ValueError(" ".join(faults))
    return tuple(loaded)


def _given(**options) -> dict:
    """Return the options that were given, checked."""
    if options["image_shape"] is not None:
        options["image_shape"] = arguments.shape("image_shape", options["image_shape"], 3)
    return {name: value for name, value in options.items() if value is not None}


def load_febm(checkpoint, *network, network_options=None, **model) -> FEBM:
    """Return `FEBM(*load_networks(…), …)`, by a name of version 0.1."""
    warn_of_earlier("tf_febm.legacy.load_febm", "FEBM(*tf_febm.legacy.load_networks(path), …)")
    names = ("architecture", "num_filters", "num_classes", "use_attention")
    options = {**(network_options or {}), **dict(zip(names, network, strict=False))}
    options |= {name: model.pop(name) for name in names if name in model}
    return FEBM(*load_networks(checkpoint, **options), **model)


def _read(
    checkpoint, scope, architecture, num_filters, num_classes, use_attention, network_options
) -> tuple[keras.Model, str]:
    """Return the network under a scope and, if the checkpoint does not fit it, why not."""
    if architecture not in (None, *ARCHITECTURES):
        raise ValueError(
            f"architecture must be one of {', '.join(ARCHITECTURES)}; received {architecture!r}."
        )
    reader = ScopeReader(checkpoint, scope)
    if architecture is None:
        architecture = inference.infer_architecture(reader)
    if num_filters is None:
        num_filters = inference.infer_num_filters(reader, architecture)
    if num_classes is None:
        num_classes = inference.infer_num_classes(reader, architecture)
    options = {"num_filters": num_filters, "num_classes": num_classes or None, **network_options}
    if architecture != "mnist_net":
        options["use_attention"] = use_attention
    elif use_attention:
        raise ValueError("mnist_net has no attention; received use_attention=True.")
    if "image_shape" not in options:
        side = {"mnist_net": 28, "resnet128": 128}.get(architecture, 32)
        channels = inference.infer_channels(reader, architecture, options["num_classes"])
        options["image_shape"] = (side, side, channels)
    if num_filters is None:
        # Without any kernel there is nothing whose shape could be right.
        options["num_filters"] = 2
    network = networks.get(architecture)(**options)
    faults = _faults(reader, architecture, network, options)
    if faults:
        settings = ", ".join(f"{key}={value!r}" for key, value in options.items())
        settings = "of unknown size" if num_filters is None else settings
        fault = f"{reader.checkpoint} ({scope}) does not fit {architecture}({settings}). {faults}"
        return network, fault
    for name, variable in variables_by_name(network).items():
        variable.assign(reader.read(name))
    return network, ""


def _faults(reader: ScopeReader, architecture: str, network, options: dict) -> str:
    """Return all variables that are not as the network needs them, in one line; or nothing."""
    expected = {name: tuple(v.shape) for name, v in variables_by_name(network).items()}
    unused = unused_names(architecture, network)
    known = sorted(expected.keys() & reader.shapes.keys())
    # ResNet128 has room for 200 classes; an unconditional one has never used it.
    room = options["num_classes"]
    if architecture == "resnet128" and room is None and not inference.labels_act(reader):
        room = 200
    allowed = {name: {shape} for name, shape in expected.items()}
    allowed |= {k: v for k, v in unused_shapes(network, room).items() if k in unused}
    misshapen = [
        f"{name} is {reader.shapes[name]} and not {' or '.join(map(str, sorted(shapes, key=len)))}"
        for name, shapes in sorted(allowed.items())
        if name in reader.shapes and reader.shapes[name] not in shapes
    ]
    faults = {
        "missing": sorted(expected.keys() - reader.shapes.keys()),
        "superfluous": sorted(reader.shapes.keys() - expected.keys() - unused),
        "of a wrong shape": misshapen,
        "of wrong values": [fault for name in known if (fault := reader.value_fault(name))],
    }
    listed = ". ".join(f"{kind}: {', '.join(names)}" for kind, names in faults.items() if names)
    return f"{listed[:1].upper()}{listed[1:]}." if listed else ""
