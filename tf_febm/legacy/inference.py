"""Identification of the network in a checkpoint of the original code by its variables."""

import collections

import numpy as np

from tf_febm.legacy.checkpoint import ScopeReader
from tf_febm.legacy.naming import ARCHITECTURES, shapes_by_name

__all__ = [
    "infer_architecture",
    "infer_channels",
    "infer_num_classes",
    "infer_num_filters",
    "labels_act",
]

# A variable that no architecture further down has. A first block with a bypass is that of the wider
# network, whose first convolution has 128 filters.
_MARKS = {
    "c3/cweight": "mnist_net",
    "res_10_res_c1/cweight": "resnet128",
    "res_8b_res_c1/cweight": "resnet32_larger",
    "res_optim_res_adaptive/cweight": "resnet32_wider",
    "res_8_res_c1/cweight": "resnet32_large",
    "res_5_res_c1/cweight": "resnet32",
}


def infer_architecture(reader: ScopeReader) -> str:
    """Return the name of the network, or raise a ValueError if it is none that is known.

    Where the variable that marks a network is missing, it is the one with the most of its
    variables here, and at least half of them.
    """
    for name, architecture in _MARKS.items():
        if name in reader.shapes:
            return architecture
    found = reader.shapes.keys()
    expected = {name: shapes_by_name(name, 2).keys() for name in ARCHITECTURES}
    overlap = {name: len(found & names) / len(names) for name, names in expected.items()}
    best = max(overlap, key=overlap.__getitem__)
    if overlap[best] < 0.5:
        raise ValueError(
            f"No network of the original code is recognised under {reader.scope!r} in "
            f"{reader.checkpoint}; it has {len(found)} variables there."
        )
    return best


def infer_num_filters(reader: ScopeReader, architecture: str) -> int | None:
    """Return what most of the kernels say of num_filters, or None if there are none."""
    probe = 4
    votes: collections.Counter[int] = collections.Counter()
    for name, shape in shapes_by_name(architecture, probe).items():
        found = _shape(reader, name, 4)
        # Widths are multiples of num_filters, but for those of some first convolutions.
        if found is not None and len(shape) == 4 and not found[3] * probe % shape[3]:
            votes[found[3] * probe // shape[3]] += 1
    return max(votes, key=votes.__getitem__) if votes else None


def infer_channels(reader: ScopeReader, architecture: str, num_classes: int | None) -> int:
    """Return the number of channels of the images; if nothing tells it, that of the original."""
    kernel, offset = _shape(reader, "c1_pre/cweight", 4), _shape(reader, "c1_pre/cb", 1)
    grey = architecture == "mnist_net"
    inputs = (kernel and kernel[2]) or (offset and offset[0])
    if not inputs:
        return 1 if grey else 3
    return max(inputs - (num_classes or 0), 1) if grey else inputs


def infer_num_classes(reader: ScopeReader, architecture: str) -> int | None:
    """Return the number of classes of a conditional network, None for an unconditional one."""
    if architecture == "mnist_net":
        # Labels are further channels of an image that has one.
        shape = _shape(reader, "c1_pre/cweight", 4)
        return (shape and shape[2] - 1) or None
    if architecture == "resnet128" and not labels_act(reader):
        return None
    shapes = (shape for name, shape in reader.shapes.items() if name.endswith("res_c1/gb"))
    return next((shape[0] for shape in shapes if len(shape) == 2), None)


def labels_act(reader: ScopeReader) -> bool:
    """Return whether any variable by which labels act has left its initial value.

    The original code gives every ResNet128 room for 200 classes, whether it trains on labels or
    not. While none has left it, energies are the same with every label and without.
    """
    initial = {"g": 1.0, "gb": 0.0, "cb": 0.0}
    return any(
        np.any(reader.read(name) != initial[leaf])
        for name in reader.shapes
        if (leaf := name.rpartition("/")[2]) in initial
    )


def _shape(reader: ScopeReader, name: str, rank: int) -> tuple[int, ...] | None:
    shape = reader.shapes.get(name)
    return shape if shape is not None and len(shape) == rank else None
