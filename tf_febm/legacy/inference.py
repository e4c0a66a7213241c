"""Which network a checkpoint of the original code holds, told from its variables."""

import numpy as np

from tf_febm.legacy.checkpoint import ScopeReader

__all__ = ["infer_architecture", "infer_num_classes", "infer_num_filters"]

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
    """Return the name of the network, or raise a ValueError if it is none that is known."""
    for name, architecture in _MARKS.items():
        if name in reader.shapes:
            return architecture
    raise ValueError(
        f"No network of the original code is recognised under {reader.scope!r} in "
        f"{reader.checkpoint}; it has {len(reader.shapes)} variables there."
    )


def infer_num_filters(reader: ScopeReader, architecture: str) -> int:
    """Return num_filters, or raise a ValueError if the variable that tells it is missing."""
    name = "c1/cweight" if architecture == "mnist_net" else "res_optim_res_c2/cweight"
    return _shape(reader, name, 4)[3]


def infer_channels(reader: ScopeReader, architecture: str, num_classes: int | None) -> int:
    """Return the number of channels of the images."""
    channels = _shape(reader, "c1_pre/cweight", 4)[2]
    return channels - (num_classes or 0) if architecture == "mnist_net" else channels


def infer_num_classes(reader: ScopeReader, architecture: str) -> int | None:
    """Return the number of classes of a conditional network, None for an unconditional one."""
    if architecture == "mnist_net":
        # Labels are further channels of an image that has one.
        return _shape(reader, "c1_pre/cweight", 4)[2] - 1 or None
    if architecture == "resnet128" and not _labels_act(reader):
        return None
    shape = _shape(reader, "res_optim_res_c1/gb")
    return shape[0] if len(shape) == 2 else None


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


def _shape(reader: ScopeReader, name: str, rank: int | None = None) -> tuple[int, ...]:
    shape = reader.shapes.get(name)
    if shape is None or (rank is not None and len(shape) != rank):
        found = "missing" if shape is None else f"of shape {shape}"
        raise ValueError(
            f"{reader.checkpoint}: {reader.scope}/{name}, which tells the size of the network, is "
            f"{found}."
        )
    return shape
