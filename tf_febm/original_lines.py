"""The flags of the original programs: what each stands for here, so that its lines work.

Each is in exactly one table of its program: it means the same; it stands for something that has
another name here; or it has no counterpart. Of the last kind a value that changes nothing is
accepted with a warning that says why. A value that asked for something else than what is done here
is refused: a run must not silently differ from its line.
"""

from typing import NamedTuple

__all__ = [
    "EVALUATION_MAPPED",
    "EVALUATION_OF_THE_RUN",
    "EVALUATION_ORIGINAL",
    "EVALUATION_SAME",
    "MAPPED",
    "ORIGINAL",
    "SAME",
    "Original",
]


class Original(NamedTuple):
    """A flag of the original: its default there, whether other values are refused, and why.

    `refused` may also name a switch of the original that the value goes with: without that it has
    no effect there either.
    """

    default: object
    refused: bool | str
    reason: str


# --- train_febm.py, with the modules that it imports --------------------------------------------

SAME = (
    *("dataset", "batch_size", "logdir", "exp", "log_interval", "save_interval", "resume_iter"),
    *("lr", "divergence", "l2_coeff", "cclass", "proj_norm", "proj_norm_type", "num_steps"),
    *("step_lr", "replay_batch", "pcd", "use_attention"),
)
MAPPED = {
    "num_filters": "the width of the networks, which the original fixes: left out, it is the same",
    "large_model": "--network=resnet32_large",
    "larger_model": "--network=resnet32_larger",
    "wider_model": "--network=resnet32_wider",
    "hmc": "--sampler=hmc",
    "noise_scale": "the deviation itself, which the original's training counts in 0.005",
    "augment": "--random_flip --random_crop=4",
}

_TWO_PLAYERS = "the objective is that of --method and --divergence"
_NO_DSPRITES = "there is no dSprites here"
_NOT_CUT_OUT = "images are not cut out; leave it out"
_FROM_NOISE = "chains start in the buffer or from noise; leave it out"
_NORMALISED = "the normalisation is part of the network; leave it out"
# Of data.py and models.py, which both programs import.
_OF_DATA = {
    "single": Original(
        False, True, "nothing is trained on or compared with one image; leave it out"
    ),
    "cutout": Original(False, "augment", _NOT_CUT_OUT),
    "cutout_inside": Original(False, False, _NOT_CUT_OUT),
    "cutout_prob": Original(1.0, False, _NOT_CUT_OUT),
    "cutout_mask_size": Original(16, False, _NOT_CUT_OUT),
    "imagenet_path": Original("/data/Imagenet32", False, "say --dataset=folder --data_dir=…"),
    "imagenet_datadir": Original("/root/imagenet_big", False, "say --dataset=folder --data_dir=…"),
    "dsprites_path": Original("", False, _NO_DSPRITES),
    **{
        name: Original(False, False, _NO_DSPRITES)
        for name in ("dshape_only", "dpos_only", "dsize_only", "drot_only", "dsprites_restrict")
    },
}
_OF_NETWORKS = {
    "swish_act": Original(
        True, True, "mnist_net uses swish; in Keras, networks.mnist_net(activation='leaky_relu')"
    ),
    "spec_norm": Original(True, True, "the resnets are always normalised; say --network=conv"),
    "spec_iter": Original(1, True, "one power iteration a step, the default there; leave it out"),
    "spec_norm_val": Original(1.0, True, "kernels are normalised to 1; leave it out"),
    "downsample": Original(False, True, "convolutions have strides; leave it out"),
}
ORIGINAL = {
    "zero_kl": Original(False, False, "the gradient of the chains is never taken"),
    "ml_coeff": Original(1.0, False, _TWO_PLAYERS),
    "objective": Original("cd", False, _TWO_PLAYERS),
    "model_cclass": Original(False, False, "labels are those of the data, as they are"),
    "temperature": Original(1, "hmc", "energies are not scaled for --hmc; leave it out"),
    "proposal_debug": Original(
        False, False, "the acceptance of mala and hmc is in the logs as chain/acceptance"
    ),
    "datasource": Original("random", True, _FROM_NOISE),
    "data_workers": Original(4, False, "tf.data chooses its threads"),
    "num_gpus": Original(1, False, "say --strategy=mirrored; --batch_size is that of all"),
    "epoch_num": Original(10000, False, "the length of a run is --steps"),
    "test_interval": Original(100, False, "pictures appear every --sample_interval steps"),
    "train": Original(True, True, "launch/evaluate.py measures a finished run"),
    "mixup": Original(False, True, "images are not mixed; leave it out"),
    "rescale": Original(1.0, True, "images lie in [0, 1]; leave it out"),
    "spec_eval": Original(False, True, _NORMALISED),
    **{
        name: Original(False, False, _NO_DSPRITES)
        for name in ("cond_shape", "cond_size", "cond_pos", "cond_rot")
    },
    **_OF_DATA,
    **_OF_NETWORKS,
}

# --- test_inception_febm.py, likewise -------------------------------------------------------------

EVALUATION_SAME = (
    *("logdir", "exp", "step_lr", "noise_scale", "num_steps", "proj_norm", "batch_size"),
    *("resume_iter", "ensemble", "nomix", "im_number"),
)
EVALUATION_MAPPED = {"repeat_scale": "--rounds, twice the number"}
# What is a setting of the run here: it may be said again, and must then be what the run has.
EVALUATION_OF_THE_RUN = {
    "dataset": "name",
    "cclass": "conditional",
    "use_attention": "use_attention",
    **dict.fromkeys(("large_model", "larger_model", "wider_model"), "network"),
}
_UNUSED = "the original does not use it either"
EVALUATION_ORIGINAL = {
    "bn": Original(False, False, _UNUSED),
    "use_bias": Original(True, False, _UNUSED),
    "idx": Original(0, False, _UNUSED),
    "scaled": Original(True, False, _UNUSED),
    "gamma_sr": Original(1.0, False, _UNUSED),
    "datasource": Original("random", False, _FROM_NOISE),
    "spec_eval": Original(False, False, _NORMALISED),
    **_OF_DATA,
    # Nothing is augmented here.
    "cutout": Original(False, False, _NOT_CUT_OUT),
    **_OF_NETWORKS,
}
