"""The flags of train.py and what they resolve to. Names are those of the original code."""

from absl import flags
from presets import PRESETS, preset_for

METHODS = ("febm",)
NETWORKS = ("conv", "mlp")

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
    "replay_batch",
    "buffer_size",
    "average_decay",
)


def define() -> None:
    """Register all flags with absl."""
    # What to train, on what.
    flags.DEFINE_enum("method", "febm", METHODS, "Training method.")
    flags.DEFINE_string(
        "divergence",
        "js",
        "f-divergence: kl, reverse_kl, js, squared_hellinger, pearson_chi2, neyman_chi2, "
        "alpha:<number>, or a spelling of the paper.",
    )
    flags.DEFINE_string(
        "dataset", "digits", "digits, mnist, fashion_mnist, cifar10, celeba, folder or npz."
    )
    flags.DEFINE_string("data_dir", None, "Local folder or file of the data set.")
    flags.DEFINE_integer(
        "image_size", None, "Side of the images of celeba and folder; 32 if unset."
    )
    flags.DEFINE_bool("cclass", False, "Train a conditional model on the labels of the data.")
    flags.DEFINE_enum(
        "preset", "auto", ["auto", *PRESETS], "Settings to start from; auto is the data set's own."
    )
    # Where it goes.
    flags.DEFINE_string("logdir", "runs", "Folder of all runs.")
    flags.DEFINE_string("exp", None, "Name of this run; <dataset>_<method>_<divergence> if unset.")
    flags.DEFINE_integer("resume_iter", -1, "Checkpoint to continue from; -1 is the newest.")
    flags.DEFINE_bool("overwrite", False, "Remove an earlier run of this name.")
    flags.DEFINE_bool("dry_run", False, "Print the plan and stop.")
    flags.DEFINE_bool("debug", False, "Show tracebacks of errors.")
    flags.DEFINE_integer("seed", 0, "Seed of weights, data order and chains.", lower_bound=0)
    # Training; a flag that is not given is taken from the preset.
    flags.DEFINE_integer("steps", None, "Training steps.", lower_bound=1)
    flags.DEFINE_integer("batch_size", None, "Images, and chains, of a step.", lower_bound=2)
    flags.DEFINE_float("lr", None, "Learning rate of both networks.", lower_bound=0.0)
    flags.DEFINE_float("lr_final", None, "Learning rate at the last step; cosine decay.", 0.0)
    flags.DEFINE_float("beta_1", None, "Momentum of Adam.", 0.0, 1.0)
    flags.DEFINE_float("l2_coeff", None, "Weight of the mean squared outputs in both losses.", 0.0)
    flags.DEFINE_float("data_noise", None, "Standard deviation of Gaussian noise on the data.", 0.0)
    flags.DEFINE_float(
        "average_decay", None, "Decay of the weight average; 0 keeps none.", 0.0, 1.0
    )
    flags.DEFINE_float("log_ratio_clip", None, "Clip exponents, as the original does with 5.")
    # Langevin chains.
    flags.DEFINE_integer("num_steps", None, "Langevin steps per training step.", lower_bound=0)
    flags.DEFINE_float("step_lr", None, "Step size of Langevin dynamics.")
    flags.DEFINE_float("proj_norm", None, "Bound on the gradient of a Langevin step; 0 is none.")
    flags.DEFINE_enum("proj_norm_type", "li", ["li", "l2"], "Bound each coordinate or the norm.")
    flags.DEFINE_float("noise_scale", None, "Noise of a Langevin step, in units of 0.005.")
    flags.DEFINE_bool("replay_batch", True, "Start chains in a replay buffer.")
    flags.DEFINE_integer("buffer_size", None, "Capacity of the replay buffer.", lower_bound=1)
    # Networks.
    flags.DEFINE_enum("network", "conv", NETWORKS, "Architecture of both networks.")
    flags.DEFINE_integer("num_filters", None, "Filters of the first convolution.", lower_bound=1)
    # Reports.
    flags.DEFINE_integer("log_interval", None, "Steps between two lines of metrics.", 1)
    flags.DEFINE_integer("sample_interval", None, "Steps between two grids of samples.", 1)
    flags.DEFINE_integer("save_interval", None, "Steps between two checkpoints.", 1)
    flags.DEFINE_integer("num_samples", 1000, "Samples drawn at the end.", lower_bound=2)
    flags.DEFINE_integer("final_steps", None, "Langevin steps of each of them.", lower_bound=0)


def resolve(values) -> dict:
    """Return all options as one plain dictionary: flags, else preset.

    Args:
        values: The parsed `flags.FLAGS`.
    """
    preset, settings = preset_for(values.preset, values.dataset)
    named = {
        name: values[name].value
        for name in values.flag_values_dict()
        if name in _own_names(values)
        and name not in ("resume_iter", "overwrite", "dry_run", "debug")
    }
    options = {k: settings.get(k) if value is None else value for k, value in named.items()}
    options["preset"] = preset
    if options["exp"] is None:
        name = f"{options['dataset']}_{options['method']}_{options['divergence']}"
        options["exp"] = name.replace(":", "_").replace("/", "_")
    return options


def _own_names(values) -> set:
    own = values.flags_by_module_dict()
    return {flag.name for module in own if module.endswith("train_flags") for flag in own[module]}
