"""Names and units of the original code's settings, and the fields of a recipe that they are.

The command line keeps the original's names, and so did the run folders of version 0.1.
"""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "FIELDS",
    "FLAGS",
    "NOISE_UNIT",
    "SOURCES",
    "SWITCHES",
    "fields_of",
    "refuse_units",
    "source_of",
    "stands_for",
]

# Standard deviation that the noise_scale of the original's training program counts in, and that of
# version 0.1; the original's evaluation program, and everything here, have the deviation itself.
NOISE_UNIT = 0.005

# Name on the command line -> the field, where they differ.
FIELDS: dict[str, str] = {
    "cclass": "conditional",
    "lr": "learning_rate",
    "lr_final": "final_learning_rate",
    "variational_lr_ratio": "variational_learning_rate_ratio",
    "generator_lr_ratio": "generator_learning_rate_ratio",
    "step_lr": "step_size",
    "proj_norm": "grad_clip",
    "leapfrog_steps": "num_leapfrog_steps",
    "buffer_size": "buffer_capacity",
    "num_filters": "width",
}
# The other way round: what a field is called on the command line.
FLAGS: dict[str, str] = {field: flag for flag, field in FIELDS.items()}
# Switches of the original's training program that stand for settings with a value.
SWITCHES: dict[str, dict[str, Any]] = {
    **{f"{size}_model": {"network": f"resnet32_{size}"} for size in ("large", "larger", "wider")},
    "hmc": {"sampler": "hmc"},
    "augment": {"random_flip": True, "random_crop": 4},
}
# Settings whose 0 means that there is none.
_NONE_IF_ZERO = ("average_decay", "epsilon", "proj_norm", "slow_energy_decay")
# Of the original's switches, one stands for several settings of ours, and two for one.
_OTHERWISE = ("proj_norm_type", "replay_batch", "pcd")

# What says where the data are: name on the command line -> argument of `data.Source`.
SOURCES: dict[str, str] = {
    "dataset": "name",
    "data_dir": "data_dir",
    "image_size": "image_size",
    "table_header": "header",
    "table_index": "index_column",
    "label_column": "label_column",
    "drop_columns": "drop_columns",
    "subfolders": "subfolders",
    "max_pixels": "max_pixels",
    "max_gib": "max_gib",
    "max_depth": "max_depth",
}
_ANSWERS = {"auto": None, "yes": True, "no": False, "drop": True, "keep": False}


def stands_for(switch: str) -> str:
    """Return a switch of the original as flags of ours."""
    row = SWITCHES[switch].items()
    return " ".join(f"--{name}" if value is True else f"--{name}={value}" for name, value in row)


def fields_of(settings: Mapping[str, Any], noise_unit: float = 1.0) -> dict[str, Any]:
    """Return settings in the original's names as fields of a recipe.

    Args:
        settings: Name -> value; names that are neither are left out.
        noise_unit: What noise_scale counts in.
    """
    found = {}
    for name, value in settings.items():
        if name in SOURCES or name in _OTHERWISE:
            continue
        if name == "noise_scale" and value is not None:
            value = noise_unit * value
        elif name in _NONE_IF_ZERO and value == 0.0 or value == "none":
            value = None
        found[FIELDS.get(name, name)] = value
    if settings.get("proj_norm_type") == "l2" and "grad_clip" in found:
        found["grad_clip_norm"] = found.pop("grad_clip")
    if settings.get("pcd"):
        found["chains"] = "persistent"
    elif "replay_batch" in settings:
        found["chains"] = "replay" if settings["replay_batch"] else "fresh"
    return found


def refuse_units(noise: float | None) -> None:
    """Raise a ValueError if a deviation of noise on images is one in the original's units."""
    if noise is not None and noise >= 0.5:
        raise ValueError(
            f"noise_scale={noise} is a standard deviation, of pixels in [0, 1]; the original's "
            f"training program counts in {NOISE_UNIT}: for that write {noise * NOISE_UNIT:g}."
        )


def source_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings about the data as arguments of `data.Source`."""
    found = {SOURCES[name]: value for name, value in settings.items() if name in SOURCES}
    for name in ("header", "index_column", "subfolders"):
        found[name] = _ANSWERS.get(found.get(name), found.get(name))
    if isinstance(found.get("drop_columns"), str):
        names = (name.strip() for name in found["drop_columns"].split(","))
        found["drop_columns"] = [name for name in names if name]
    return found
