"""The flags of train.py; run_options says what they resolve to. Names are the original code's."""

from functools import partial

import original_flags
from absl import flags
from presets import PRESETS
from run_options import (
    FIXED,
    GENERATORS,
    METHODS,
    MODEL_SWITCHES,
    NETWORKS,
    PUBLISHED_BOUNDS,
    SAMPLERS,
    STORAGES,
    resolve,
)

__all__ = ["FIXED", "GENERATORS", "METHODS", "NETWORKS", "define", "resolve"]


def define(values: flags.FlagValues = flags.FLAGS) -> None:
    """Register all flags.

    Args:
        values: Where to; absl's own unless a test has its own.
    """
    text = partial(flags.DEFINE_string, flag_values=values)
    choice = partial(flags.DEFINE_enum, flag_values=values)
    switch = partial(flags.DEFINE_bool, flag_values=values)
    whole = partial(flags.DEFINE_integer, flag_values=values)
    number = partial(flags.DEFINE_float, flag_values=values)

    # What to train, on what.
    choice("method", "febm", METHODS, "Training method.")
    text(
        "divergence",
        "js",
        "f-divergence: kl, reverse_kl, js, squared_hellinger, pearson_chi2, neyman_chi2, "
        "alpha:<number>, or a spelling of the paper.",
    )
    text(
        "dataset",
        "digits",
        "Images: digits, mnist, fashion_mnist, stacked_mnist, cifar10, cifar100, svhn, celeba, "
        "folder or npz. In the plane: 25gaussians, 8gaussians, swiss_roll, moons, checkerboard, "
        "pinwheel or rings. Vectors: csv, or npz with --preset=vectors.",
    )
    text("data_dir", None, "Local folder or file of the data set.")
    whole("image_size", None, "Side of the images of celeba and folder; 32 if unset.")
    choice(
        "table_header",
        "auto",
        ("auto", "yes", "no"),
        "Whether the first line of a csv holds names; auto asks where that is not clear.",
    )
    choice(
        "table_index",
        "auto",
        ("auto", "drop", "keep"),
        "Whether to drop columns of a csv that only number its rows; auto asks where some seem to.",
    )
    choice(
        "subfolders",
        "auto",
        ("auto", "splits", "classes"),
        "What the sub-folders of a folder of images are; auto asks where their names do not say.",
    )
    switch("cclass", False, "Train a conditional model on the labels of the data.")
    choice(
        "preset", "auto", ["auto", *PRESETS], "Settings to start from; auto is the data set's own."
    )
    # Where it goes.
    text("logdir", "runs", "Folder of all runs.")
    text("exp", None, "Name of this run; <dataset>_<method>_<divergence> if unset.")
    switch("suffix_exp", False, "Add _<divergence> to --exp, as the original code does.")
    whole("resume_iter", -1, "Checkpoint to continue from; -1 is the newest.")
    switch("overwrite", False, "Remove an earlier run of this name.")
    switch("dry_run", False, "Print the plan and stop.")
    switch("debug", False, "Show tracebacks of errors.")
    whole("seed", 0, "Seed of weights, data order and chains.", 0, 2**31 - 1)
    # On what. A run may be continued on another number of replicas.
    choice(
        "strategy",
        "default",
        ("default", "mirrored", "multi_worker"),
        "One device; all GPUs of this machine; or all of the machines in TF_CONFIG.",
    )
    whole("num_replicas", None, "GPUs of --strategy=mirrored, or logical CPUs.", lower_bound=1)
    # Training; a flag that is not given is taken from the preset.
    whole("steps", None, "Training steps.", lower_bound=1)
    whole("batch_size", None, "Images, and chains, of a step.", lower_bound=2)
    number(
        "lr",
        None,
        "Learning rate of the energy, constant unless --lr_final is given.",
        lower_bound=0.0,
    )
    number(
        "lr_final",
        None,
        "Learning rate at the last step, by a cosine; --lr if given.",
        0.0,
    )
    number("variational_lr_ratio", None, "Learning rate of the variational network over --lr.", 0.0)
    number("beta_1", None, "Momentum of Adam.", 0.0, 1.0)
    number("beta_2", None, "Decay of Adam's second moment; 0.999, or 0.9 of bounds.", 0.0, 1.0)
    number("adam_epsilon", None, "What Adam adds to the root of its second moment.", 0.0)
    switch("clip_gradients", None, "Bound each gradient by earlier ones; optimizers.ClippedAdam.")
    whole("variational_steps", None, "Steps of the variational network for one of the energy.", 1)
    number("l2_coeff", None, "Weight of the mean squared outputs in both losses.", 0.0)
    number("variational_l2_coeff", None, "That of the variational network, if another one.", 0.0)
    switch("leave_one_out", True, "Unbiased covariance in the gradient of the energy.")
    whole("warmup_steps", 10, "First steps, in which the l2 terms alone are trained.", 0)
    switch("shift_invariant", None, "No gradient of f-EBM along a constant added to the energy.")
    number("data_noise", None, "Standard deviation of Gaussian noise on the data.", 0.0)
    switch("random_flip", None, "Mirror each image left to right with probability 1/2.")
    whole("random_crop", None, "Shift each image by up to so many pixels.", lower_bound=0)
    switch("augment", False, "The same as --random_flip --random_crop=4.")
    number("average_decay", None, "Decay of the weight average; 0 keeps none.", 0.0, 1.0)
    number("log_ratio_clip", None, "Clip exponents, as the original does with 5.")
    switch("guard", True, "Go back to the last good checkpoint when training diverges.")
    whole("max_rollbacks", 3, "How often to go back before giving up.", lower_bound=0)
    # Chains.
    choice(
        "sampler",
        "langevin",
        SAMPLERS,
        "Langevin dynamics as published; or, exact in the limit of long chains, the same with a "
        "Metropolis test (mala) or Hamiltonian Monte Carlo (hmc).",
    )
    switch("hmc", False, "The same as --sampler=hmc.")
    whole("num_steps", None, "Steps of the sampler per training step.", lower_bound=0)
    number(
        "step_lr",
        None,
        "Factor of the gradient of a step of langevin or mala; length of a leapfrog step of hmc. "
        "If unset, the last two move by as much noise as the preset's Langevin dynamics.",
    )
    whole("leapfrog_steps", None, "Gradients of a step of --sampler=hmc; 10 if unset.", 1)
    whole(
        "burn_in",
        None,
        "First steps of mala or hmc in which the step size adapts, in each run of the chains; 0 if "
        "unset.",
        0,
    )
    number("target_acceptance", None, "What it adapts to; 0.574 for mala, 0.651 for hmc.", 0.0, 1.0)
    number("proj_norm", None, "Bound on the gradient of a Langevin step; 0 is none.")
    choice("proj_norm_type", "li", ["li", "l2"], "Bound each coordinate or the norm.")
    number("noise_scale", None, "Noise of a Langevin step, in units of 0.005.")
    switch("replay_batch", True, "Start chains in a replay buffer.")
    whole("buffer_size", None, "Capacity of the replay buffer.", lower_bound=1)
    switch(
        "match_labels",
        True,
        "Start chains of a conditional model in samples of their own label, where the original "
        "takes any.",
    )
    choice(
        "buffer_storage",
        "auto",
        STORAGES,
        "How the buffer keeps samples; uint8_published is the original's coding, which drifts.",
    )
    switch("pcd", False, "As many chains as --batch_size, each of which goes on where it ended.")
    number(
        "epsilon",
        None,
        "Step of the paper's Eq. 5, in the place of --step_lr and --noise_scale; 0 is off. For "
        "mala the step size is half of it, for hmc its square root. For vectors, in units of their "
        "standard deviation.",
        0.0,
    )
    # Networks.
    choice("network", None, (*NETWORKS, PUBLISHED_BOUNDS), "Architecture of both networks.")
    for name, network in MODEL_SWITCHES.items():
        switch(name, False, f"The same as --network={network}.")
    switch("use_attention", False, "Self-attention in the resnets.")
    whole(
        "num_filters",
        None,
        "Filters of the first convolution, or units of each layer of an mlp.",
        lower_bound=1,
    )
    number(
        "confinement",
        None,
        "Weight of the quadratic well in the energy of vectors, without which they may run away.",
        0.0,
    )
    number("frequency", None, "Standard deviation of the angular frequencies of fourier_mlp.", 0.0)
    # Bidirectional bounds.
    whole("latent_dim", None, "Length of the generator's latent variables.", 1)
    choice("penalty", None, ["latent", "data", "none"], "Gradient penalty on the energy.")
    number("penalty_weight", None, "Weight of the gradient penalty; 1 is a bound's.", 0.0)
    number("penalty_threshold", None, "What the weighted penalty may be without effect.", 0.0)
    choice(
        "entropy",
        None,
        ["auto", "logdet", "smallest_singular_value"],
        "How the generator's entropy is estimated.",
    )
    number("entropy_weight", None, "Weight of the entropy in the generator's loss.", 0.0)
    whole("entropy_iterations", None, "LOBPCG iterations for the smallest singular value.", 0)
    choice(
        "generator",
        None,
        (*GENERATORS, PUBLISHED_BOUNDS),
        "Architecture of the generator; coupling and monotone are one to one.",
    )
    switch("generator_batch_norm", None, "Batch normalisation in the generator.")
    number("generator_lr_ratio", None, "Learning rate of the generator over --lr.", 0.0)
    # Reports.
    whole("log_interval", None, "Steps between two lines of metrics.", 1)
    whole("sample_interval", None, "Steps between two grids of samples.", 1)
    whole("save_interval", None, "Steps between two checkpoints.", 1)
    whole("keep_checkpoints", 3, "How many of the newest checkpoints are kept.", 1)
    text("best_metric", None, "Metric, as in metrics.csv, whose best checkpoint is kept besides.")
    choice("best_mode", "min", ("min", "max"), "Which value of it is the best.")
    whole("num_samples", 1000, "Samples drawn at the end.", lower_bound=2)
    whole("final_steps", None, "Langevin steps of each of them.", lower_bound=0)
    original_flags.define(values)
