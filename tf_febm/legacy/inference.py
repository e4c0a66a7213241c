"""Which network a checkpoint of the original code holds, told from its variables."""

import numpy as np

from tf_febm.legacy.checkpoint import ScopeReader
from tf_febm.legacy.naming import ARCHITECTURES, needed_names

__all__ = ["infer_architecture", "infer_channels", "infer_num_classes", "infer_num_filters"]

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
    expected = {name: needed_names(name) for name in ARCHITECTURES}
    overlap = {name: len(found & names) / len(names) for name, names in expected.items()}
    best = max(overlap, key=overlap.__getitem__)
    if overlap[best] < 0.5:
        raise ValueError(
            f"No network of the original code is recognised under {reader.scope!r} in "
            f"{reader.checkpoint}; it has {len(found)} variables there."
        )
    return best


def infer_num_filters(reader: ScopeReader, architecture: str) -> int | None:
    """Return num_filters, or None if the variable that tells it is not there."""
    name = "c1/cweight" if architecture == "mnist_net" else "res_optim_res_c2/cweight"
    shape = _shape(reader, name, 4)
    return shape and shape[3]


def infer_channels(reader: ScopeReader, architecture: str, num_classes: int | None) -> int | None:
    """Return the number of channels of the images, or None if nothing tells it."""
    shape = _shape(reader, "c1_pre/cweight", 4)
    if shape is None:
        return None
    return shape[2] - (num_classes or 0) if architecture == "mnist_net" else shape[2]


def infer_num_classes(reader: ScopeReader, architecture: str) -> int | None:
    """Return the number of classes of a conditional network, None for an unconditional one."""
    if architecture == "mnist_net":
        # Labels are further channels of an image that has one.
        shape = _shape(reader, "c1_pre/cweight", 4)
        return (shape and shape[2] - 1) or None
    if architecture == "resnet128" and not _labels_act(reader):
        return None
    shapes = (shape for name, shape in reader.shapes.items() if name.endswith("res_c1/gb"))
    return next((shape[0] for shape in shapes if len(shape) == 2), None)


def _labels_act(reader: ScopeReader) -> bool:
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
