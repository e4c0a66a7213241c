"""The original code's names for the variables of each network."""

import keras

from tf_febm import arguments, networks
from tf_febm.networks.resnets import PLANS

__all__ = [
    "ARCHITECTURES",
    "shapes_by_name",
    "unused_names",
    "unused_shapes",
    "variables_by_name",
]

ARCHITECTURES = ("mnist_net", *PLANS)

# What every convolution has beside its kernel and u, whether or not its forward pass uses it.
_EXTRAS = ("b", "g", "gb", "cb")
_ATTENTION = {f"atten/atten_{part}{leaf}" for part in "qkv" for leaf in ("weight", "_u", "_b1")} | {
    "atten/gamma"
}


def variables_by_name(network: arguments.Network) -> dict:
    """Return name -> Keras variable for all variables that define a network's energies.

    Names are those of the original code, without the scope.
    """
    return {
        f"{_scope(layer)}/{leaf}": variable
        for layer in network.layers
        for leaf, variable in _leaves(layer).items()
    }


def shapes_by_name(architecture: str, num_filters: int) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of the variables of an unconditional network."""
    side = 128 if architecture == "resnet128" else 32
    network = networks.get(architecture)(num_filters=num_filters, image_shape=(side, side, 1))
    return {name: tuple(v.shape) for name, v in variables_by_name(network).items()}


def unused_names(architecture: str, network: arguments.Network) -> set[str]:
    """Return the names of variables that the original code creates but does not use.

    They are: the bias `b` of every convolution; `g`, `gb` and `cb`, by which labels act, of
    convolutions on which no label acts; `fc_dense` of two networks; without self-attention its
    variables, and with it the bias of its values and the block that it replaces.

    Args:
        architecture: One of ARCHITECTURES.
        network: The network that is to be loaded.
    """
    convolutions = [
        layer.name for layer in network.layers if isinstance(layer, networks.SpectralConv2D)
    ]
    names = {f"{scope}/{leaf}" for scope in convolutions for leaf in _EXTRAS}
    if architecture in PLANS:
        names |= _ATTENTION
        plan = PLANS[architecture]
        names |= {
            f"{plan.attention}_res_{convolution}/{leaf}"
            for convolution in ("c1", "c2")
            for leaf in ("cweight", "c_u", *_EXTRAS)
        }
    if architecture in ("resnet32", "resnet32_larger"):
        names |= {"fc_dense/wweight", "fc_dense/w_u", "fc_dense/b"}
    return names - set(variables_by_name(network))


def unused_shapes(network: arguments.Network, num_classes: int | None) -> dict[str, set]:
    """Return name -> shapes that it may have, of the unused variables of convolutions.

    Args:
        network: The network that is to be loaded.
        num_classes: For how many classes the original made room; None without labels.
    """
    shapes = {}
    for layer in network.layers:
        if isinstance(layer, networks.SpectralConv2D):
            channels, filters = layer.kernel.shape[2:]
            for leaf, size in (("b", filters), ("g", filters), ("gb", channels), ("cb", channels)):
                by_label = {(num_classes, size)} if num_classes and leaf in ("g", "gb") else set()
                shapes[f"{layer.name}/{leaf}"] = {(size,)} | by_label
    return shapes


def _scope(layer) -> str:
    if isinstance(layer, (networks.LabelShift, networks.LabelScale)):
        # They have layers of their own here and belong to a convolution there.
        return layer.name.rpartition("_")[0]
    return layer.name


def _leaves(layer) -> dict:
    if isinstance(layer, networks.SpectralConv2D):
        return {"cweight": layer.kernel, "c_u": layer.vector}
    if isinstance(layer, networks.LabelShift):
        return {"gb": layer.shift}
    if isinstance(layer, networks.LabelScale):
        return {"g": layer.scale, "cb": layer.offset}
    if isinstance(layer, networks.SpectralDense):
        return {"wweight": layer.kernel, "w_u": layer.vector, "b": layer.bias}
    if isinstance(layer, keras.layers.Dense):
        return {"wweight": layer.kernel, "b": layer.bias}
    if isinstance(layer, networks.SelfAttention):
        parts = {"q": layer.query, "k": layer.key, "v": layer.value}
        leaves = {"gamma": layer.gamma}
        for name, part in parts.items():
            leaves[f"atten_{name}weight"] = part.kernel
            leaves[f"atten_{name}_u"] = part.vector
            if part.bias is not None:
                leaves[f"atten_{name}_b1"] = part.bias
        return leaves
    return {}
