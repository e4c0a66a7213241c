"""The original code's flags in one table: what each is in either program, and which field here.

The command line keeps the original's names, and so did the run folders of version 0.1. In a program
a flag means the same; stands for something that has another name here; is an option of the run; or
has no counterpart. Of the last kind a value that changes nothing is accepted with a warning that
says why. A value that asked for something else than what is done here is refused: a run must not
silently differ from its line.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = [
    "EVALUATION_MAPPED",
    "EVALUATION_OF_THE_RUN",
    "EVALUATION_ORIGINAL",
    "EVALUATION_SAME",
    "FIELDS",
    "FLAGS",
    "MAPPED",
    "NOISE_UNIT",
    "ORIGINAL",
    "SAME",
    "SOURCES",
    "SWITCHES",
    "TABLE",
    "Original",
    "Row",
    "fields_of",
    "refuse_units",
    "source_of",
    "stands_for",
]

# Standard deviation that the noise_scale of the original's training program counts in, and that of
# version 0.1; the original's evaluation program, and everything here, have the deviation itself.
NOISE_UNIT = 0.005


class Original(NamedTuple):
    """A flag without counterpart: its default there, whether other values are refused, and why.

    `refused` may also name a switch of the original that the value goes with: without that it has
    no effect there either.
    """

    default: object
    refused: bool | str
    reason: str


class OfTheRun(NamedTuple):
    """An option of the run, which a line may say again, and must then say as the run has it."""

    option: str


class Row(NamedTuple):
    """What a flag is.

    Attributes:
        training: In train_febm.py and the modules that it imports: "same", what else it is called
            here, an `Original`, or None if it is no flag of that program.
        evaluation: In test_inception_febm.py, likewise, or an `OfTheRun`.
        field: Field of a recipe that it is, if that has another name.
        settings: Flags of ours that a switch stands for, with their values.
    """

    training: str | Original | None = None
    evaluation: str | Original | OfTheRun | None = None
    field: str | None = None
    settings: dict[str, Any] | None = None


_TWO_PLAYERS = "the objective is that of --method and --divergence"
_NO_DSPRITES = "there is no dSprites here"
_NOT_CUT_OUT = "images are not cut out; leave it out"
_FROM_NOISE = "chains start in the buffer or from noise; leave it out"
_NORMALISED = "the normalisation is part of the network; leave it out"
_UNUSED = "the original does not use it either"
_FOLDER = "say --dataset=folder --data_dir=…"
_ONE_IMAGE = "nothing is trained on or compared with one image; leave it out"
_DEVIATION = "the deviation itself, which the original's training counts in 0.005"
_WIDTH = "the width of the networks, which the original fixes: left out, it is the same"
_SWISH = "mnist_net uses swish; in Keras, networks.mnist_net(activation='leaky_relu')"


def _both(default: object, refused: bool | str, reason: str) -> Row:
    return Row(Original(default, refused, reason), Original(default, refused, reason))


def _training(default: object, refused: bool | str, reason: str) -> Row:
    return Row(Original(default, refused, reason))


def _unused(default: object) -> Row:
    return Row(None, Original(default, False, _UNUSED))


def _model(size: str) -> Row:
    network = {"network": f"resnet32_{size}"}
    return Row(f"--network=resnet32_{size}", OfTheRun("network"), settings=network)


TABLE: dict[str, Row] = {
    # Means the same in both programs.
    **dict.fromkeys(
        ("logdir", "exp", "resume_iter", "batch_size", "num_steps"), Row("same", "same")
    ),
    "step_lr": Row("same", "same", "step_size"),
    "proj_norm": Row("same", "same", "grad_clip"),
    # In one of them.
    **dict.fromkeys(("log_interval", "save_interval", "divergence", "l2_coeff"), Row("same")),
    **dict.fromkeys(("proj_norm_type", "replay_batch", "pcd"), Row("same")),
    "lr": Row("same", field="learning_rate"),
    **dict.fromkeys(("ensemble", "nomix", "im_number"), Row(None, "same")),
    # Options of a run.
    "dataset": Row("same", OfTheRun("name")),
    "cclass": Row("same", OfTheRun("conditional"), "conditional"),
    "use_attention": Row("same", OfTheRun("use_attention")),
    "large_model": _model("large"),
    "larger_model": _model("larger"),
    "wider_model": _model("wider"),
    # Called otherwise here.
    "noise_scale": Row(_DEVIATION, "same"),
    "num_filters": Row(_WIDTH, field="width"),
    "hmc": Row("--sampler=hmc", settings={"sampler": "hmc"}),
    "augment": Row(
        "--random_flip --random_crop=4", settings={"random_flip": True, "random_crop": 4}
    ),
    "repeat_scale": Row(None, "--rounds, twice the number"),
    # No counterpart, in training.
    "zero_kl": _training(False, False, "the gradient of the chains is never taken"),
    "ml_coeff": _training(1.0, False, _TWO_PLAYERS),
    "objective": _training("cd", False, _TWO_PLAYERS),
    "model_cclass": _training(False, False, "labels are those of the data, as they are"),
    "temperature": _training(1, "hmc", "energies are not scaled for --hmc; leave it out"),
    "proposal_debug": _training(
        False, False, "the acceptance of mala and hmc is in the logs as chain/acceptance"
    ),
    "data_workers": _training(4, False, "tf.data chooses its threads"),
    "num_gpus": _training(1, False, "say --strategy=mirrored; --batch_size is that of all"),
    "epoch_num": _training(10000, False, "the length of a run is --steps"),
    "test_interval": _training(100, False, "pictures appear every --sample_interval steps"),
    "train": _training(True, True, "launch/evaluate.py measures a finished run"),
    "mixup": _training(False, True, "images are not mixed; leave it out"),
    "rescale": _training(1.0, True, "images lie in [0, 1]; leave it out"),
    "cond_shape": _training(False, False, _NO_DSPRITES),
    "cond_size": _training(False, False, _NO_DSPRITES),
    "cond_pos": _training(False, False, _NO_DSPRITES),
    "cond_rot": _training(False, False, _NO_DSPRITES),
    # In the evaluation.
    "bn": _unused(False),
    "use_bias": _unused(True),
    "idx": _unused(0),
    "scaled": _unused(True),
    "gamma_sr": _unused(1.0),
    # In both; nothing is augmented or trained in an evaluation.
    "datasource": Row(
        Original("random", True, _FROM_NOISE), Original("random", False, _FROM_NOISE)
    ),
    "spec_eval": Row(Original(False, True, _NORMALISED), Original(False, False, _NORMALISED)),
    "cutout": Row(Original(False, "augment", _NOT_CUT_OUT), Original(False, False, _NOT_CUT_OUT)),
    "cutout_inside": _both(False, False, _NOT_CUT_OUT),
    "cutout_prob": _both(1.0, False, _NOT_CUT_OUT),
    "cutout_mask_size": _both(16, False, _NOT_CUT_OUT),
    "single": _both(False, True, _ONE_IMAGE),
    "imagenet_path": _both("/data/Imagenet32", False, _FOLDER),
    "imagenet_datadir": _both("/root/imagenet_big", False, _FOLDER),
    "dsprites_path": _both("", False, _NO_DSPRITES),
    "dshape_only": _both(False, False, _NO_DSPRITES),
    "dpos_only": _both(False, False, _NO_DSPRITES),
    "dsize_only": _both(False, False, _NO_DSPRITES),
    "drot_only": _both(False, False, _NO_DSPRITES),
    "dsprites_restrict": _both(False, False, _NO_DSPRITES),
    "swish_act": _both(True, True, _SWISH),
    "spec_norm": _both(True, True, "the resnets are always normalised; say --network=conv"),
    "spec_iter": _both(1, True, "one power iteration a step, the default there; leave it out"),
    "spec_norm_val": _both(1.0, True, "kernels are normalised to 1; leave it out"),
    "downsample": _both(False, True, "convolutions have strides; leave it out"),
    # Flags of ours in the manner of the original.
    "lr_final": Row(field="final_learning_rate"),
    "variational_lr_ratio": Row(field="variational_learning_rate_ratio"),
    "generator_lr_ratio": Row(field="generator_learning_rate_ratio"),
    "leapfrog_steps": Row(field="num_leapfrog_steps"),
    "buffer_size": Row(field="buffer_capacity"),
}

# What follows is read off it. Name on the command line -> the field, where they differ.
FIELDS: dict[str, str] = {name: row.field for name, row in TABLE.items() if row.field}
# The other way round: what a field is called on the command line.
FLAGS: dict[str, str] = {field: flag for flag, field in FIELDS.items()}
# Switches that stand for settings with a value.
SWITCHES: dict[str, dict[str, Any]] = {n: row.settings for n, row in TABLE.items() if row.settings}


def _of(program: str, kind: type) -> dict[str, Any]:
    cells = {name: getattr(row, program) for name, row in TABLE.items()}
    return {name: cell for name, cell in cells.items() if isinstance(cell, kind) and cell != "same"}


SAME = tuple(name for name, row in TABLE.items() if row.training == "same")
MAPPED: dict[str, str] = _of("training", str)
ORIGINAL: dict[str, Original] = _of("training", Original)
EVALUATION_SAME = tuple(name for name, row in TABLE.items() if row.evaluation == "same")
EVALUATION_MAPPED: dict[str, str] = _of("evaluation", str)
EVALUATION_ORIGINAL: dict[str, Original] = _of("evaluation", Original)
EVALUATION_OF_THE_RUN: dict[str, str] = {
    name: cell.option for name, cell in _of("evaluation", OfTheRun).items()
}
# Settings whose 0 means that there is none.
_NONE_IF_ZERO = ("average_decay", "epsilon", "proj_norm", "slow_energy_decay")
# Settings that are no field of their name alone.
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
    "label_attribute": "label_attribute",
    "shuffle_buffer": "shuffle_buffer",
}
# Those that are for some data sets alone.
ONLY_FOR: dict[str, tuple[str, ...]] = {
    "subfolders": ("folder",),
    **dict.fromkeys(("table_header", "table_index", "label_column", "drop_columns"), ("csv",)),
    "label_attribute": ("celeba",),
    "shuffle_buffer": ("imagenet32", "records", "tfds"),
    "max_pixels": ("folder", "celeba"),
    "max_depth": ("folder",),
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
