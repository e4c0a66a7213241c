"""The flags of train.py and what they resolve to. Names are those of the original code."""

from functools import partial

import original_flags
from absl import flags
from presets import FILTERS_OF, PRESETS, preset_for

METHODS = ("febm", "contrastive_divergence", "dual", "bidirectional")
# As in tf_febm.networks.NAMES, which is not imported: TensorFlow takes seconds.
NETWORKS = (
    "conv",
    "fourier_mlp",
    "mlp",
    "mnist_net",
    "resnet32",
    "resnet32_large",
    "resnet32_larger",
    "resnet32_wider",
    "resnet128",
)
# As in tf_febm.networks.GENERATOR_NAMES.
GENERATORS = ("mlp", "coupling", "monotone", "dcgan", "resnet")
# Switches of the original code for what is --network here.
MODEL_SWITCHES = {name + "_model": f"resnet32_{name}" for name in ("large", "larger", "wider")}

# Flags that say how to start, and are no options of the run itself.
HOW_TO_START = ("resume_iter", "overwrite", "dry_run", "debug")

# Options that a continued run must share with its beginning; others, such as --steps, may change.
FIXED = (
    "method",
    "divergence",
    "dataset",
    "data_dir",
    "image_size",
    "cclass",
    "seed",
    "batch_size",
    "network",
    "num_filters",
    "use_attention",
    "confinement",
    "frequency",
    "replay_batch",
    "buffer_size",
    "average_decay",
    "generator",
    "generator_batch_norm",
    "latent_dim",
    "penalty",
    "entropy",
)

# Options that mean something to --method=bidirectional alone, and are unset for the others.
BIDIRECTIONAL = (
    "latent_dim",
    "penalty",
    "penalty_weight",
    "penalty_threshold",
    "entropy",
    "entropy_weight",
    "entropy_iterations",
    "generator",
    "generator_batch_norm",
    "generator_lr_ratio",
)


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
        "Whether the first column of a csv only numbers its rows; auto asks where it seems so.",
    )
    switch("cclass", False, "Train a conditional model on the labels of the data.")
    choice(
        "preset", "auto", ["auto", *PRESETS], "Settings to start from; auto is the data set's own."
    )
    # Where it goes.
    text("logdir", "runs", "Folder of all runs.")
    text("exp", None, "Name of this run; <dataset>_<method>_<divergence> if unset.")
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
    whole("variational_steps", None, "Steps of the variational network for one of the energy.", 1)
    number("l2_coeff", None, "Weight of the mean squared outputs in both losses.", 0.0)
    number("variational_l2_coeff", None, "That of the variational network, if another one.", 0.0)
    switch("shift_invariant", None, "No gradient of f-EBM along a constant added to the energy.")
    number("data_noise", None, "Standard deviation of Gaussian noise on the data.", 0.0)
    switch("random_flip", False, "Mirror each image left to right with probability 1/2.")
    whole("random_crop", 0, "Shift each image by up to so many pixels.", lower_bound=0)
    number("average_decay", None, "Decay of the weight average; 0 keeps none.", 0.0, 1.0)
    number("log_ratio_clip", None, "Clip exponents, as the original does with 5.")
    switch("guard", True, "Go back to the last good checkpoint when training diverges.")
    whole("max_rollbacks", 3, "How often to go back before giving up.", lower_bound=0)
    # Langevin chains.
    whole("num_steps", None, "Langevin steps per training step.", lower_bound=0)
    number("step_lr", None, "Step size of Langevin dynamics.")
    number("proj_norm", None, "Bound on the gradient of a Langevin step; 0 is none.")
    choice("proj_norm_type", "li", ["li", "l2"], "Bound each coordinate or the norm.")
    number("noise_scale", None, "Noise of a Langevin step, in units of 0.005.")
    switch("replay_batch", True, "Start chains in a replay buffer.")
    whole("buffer_size", None, "Capacity of the replay buffer.", lower_bound=1)
    number(
        "epsilon",
        None,
        "Step of the paper's Eq. 5, which then replaces --step_lr and --noise_scale; 0 is off. For "
        "vectors, in units of their standard deviation.",
        0.0,
    )
    # Networks.
    choice("network", None, NETWORKS, "Architecture of both networks.")
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
        GENERATORS,
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


def resolve(values: flags.FlagValues) -> dict:
    """Return all options of a run as one plain dictionary: flags, else preset.

    Args:
        values: The parsed flags.

    Raises:
        ValueError: If flags contradict each other.
    """
    preset, settings = preset_for(values.preset, values.dataset, values.method)
    names = [
        flag.name
        for module, own in values.flags_by_module_dict().items()
        if module.endswith("train_flags")
        for flag in own
        if flag.name not in (*HOW_TO_START, *MODEL_SWITCHES)
    ]
    options = {
        name: settings.get(name) if values[name].value is None else values[name].value
        for name in sorted(names)
    }
    options["preset"] = preset
    if values.method != "bidirectional":
        for name in BIDIRECTIONAL:
            if values[name].value is not None:
                raise ValueError(f"--{name} is for --method=bidirectional, not {values.method}.")
            options[name] = None
    for name, network in MODEL_SWITCHES.items():
        if values[name].value:
            if values.network not in (None, network):
                raise ValueError(f"--{name} and --network={values.network} exclude each other.")
            options["network"] = network
    if values.num_filters is None and options["network"] != settings["network"]:
        options["num_filters"] = FILTERS_OF.get(options["network"], options["num_filters"])
    if values.lr is not None and values.lr_final is None:
        options["lr_final"] = values.lr
    return options
