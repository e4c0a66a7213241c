"""Flags of the original code that have no counterpart here, so that its command lines still work.

A flag whose value changes nothing is accepted with a warning that says why. A value that asked for
something else than what is trained here is refused: a run must not silently differ from its line.
"""

from typing import NamedTuple

from absl import flags

__all__ = ["check", "define"]


class Original(NamedTuple):
    """A flag of the original: its default there, whether other values are refused, and why."""

    default: object
    refused: bool
    reason: str


_TWO_PLAYERS = "the objective is that of --method and --divergence"
_NO_DSPRITES = "there is no dSprites here"
ORIGINAL = {
    "zero_kl": Original(False, False, "the gradient of the chains is never taken"),
    "ml_coeff": Original(1.0, False, _TWO_PLAYERS),
    "objective": Original("cd", False, _TWO_PLAYERS),
    "model_cclass": Original(False, False, "labels of the buffer are used as they are"),
    "temperature": Original(1, True, "the noise of the chains is set by --noise_scale"),
    "datasource": Original("random", True, "chains start in the buffer or from noise"),
    "data_workers": Original(4, False, "tf.data chooses its threads"),
    "num_gpus": Original(1, False, "say --strategy=mirrored; --batch_size is that of all"),
    "epoch_num": Original(10000, False, "the length of a run is --steps"),
    "test_interval": Original(100, False, "pictures appear every --sample_interval steps"),
    "train": Original(True, True, "launch/evaluate.py measures a finished run"),
    "single": Original(False, True, "there is no training on a single image"),
    "hmc": Original(False, True, "chains are Langevin dynamics; in Keras, samplers.HMC"),
    "pcd": Original(False, True, "say --replay_batch, or in Keras samplers.PersistentChains"),
    "mixup": Original(False, True, "images are not mixed"),
    "augment": Original(False, True, "say --random_flip and --random_crop=4"),
    "rescale": Original(1.0, True, "images lie in [0, 1]"),
    "spec_norm": Original(True, True, "the resnets are always normalised; --network=conv is not"),
    "swish_act": Original(True, True, "mnist_net uses swish; in Keras: activation='leaky_relu'"),
    "cutout": Original(False, True, "images are not cut out"),
    "cutout_inside": Original(False, False, "images are not cut out"),
    "cutout_prob": Original(1.0, False, "images are not cut out"),
    "cutout_mask_size": Original(16, False, "images are not cut out"),
    "imagenet_path": Original("/data/Imagenet32", False, "say --dataset=folder --data_dir=…"),
    "imagenet_datadir": Original("/root/imagenet_big", False, "say --dataset=folder --data_dir=…"),
    "spec_iter": Original(1, True, "one power iteration a step, as is the default there"),
    "spec_norm_val": Original(1.0, True, "kernels are normalised to 1"),
    "spec_eval": Original(False, True, "the normalisation is part of the network"),
    "downsample": Original(False, True, "images are used as they are"),
    "dsprites_path": Original("", False, _NO_DSPRITES),
    **{
        name: Original(False, False, _NO_DSPRITES)
        for name in (
            *("cond_shape", "cond_size", "cond_pos", "cond_rot"),
            *("dshape_only", "dpos_only", "dsize_only", "drot_only", "dsprites_restrict"),
        )
    },
}
_DEFINE = {
    bool: flags.DEFINE_bool,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}


def define(values: flags.FlagValues) -> None:
    """Register them all, hidden behind one line of help each."""
    for name, flag in ORIGINAL.items():
        help_text = f"Of the original code: {flag.reason}."
        _DEFINE[type(flag.default)](name, flag.default, help_text, flag_values=values)


def check(values: flags.FlagValues) -> list[str]:
    """Return a warning for each that was given.

    Raises:
        ValueError: If one asks for what is not done here.
    """
    warnings = []
    for name, flag in ORIGINAL.items():
        if not values[name].present:
            continue
        if flag.refused and values[name].value != flag.default:
            raise ValueError(
                f"--{name}={values[name].value} of the original code is not supported: "
                f"{flag.reason}."
            )
        warnings.append(f"--{name} has no effect: {flag.reason}.")
    return warnings
