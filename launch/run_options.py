"""What the flags of train.py resolve to: the options of a run, as one plain dictionary."""

from absl import flags
from presets import FILTERS_OF, preset_for

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
# As in tf_febm.samplers, in the letters of the command line.
SAMPLERS = ("langevin", "mala", "hmc")
# As in tf_febm.samplers.ReplayBuffer.
STORAGES = ("auto", "uint8", "uint8_published", "float32")
# The networks of the code of Geng et al. 2021; see bounds_networks.
PUBLISHED_BOUNDS = "published_bounds"
# Standard deviation of the noise that --noise_scale counts in.
NOISE_UNIT = 0.005
# What the step size of a sampler adapts to; the classes' own defaults.
TARGETS = {"mala": 0.574, "hmc": 0.651}
# Of Adam, as published for each method.
BETA_2 = {name: 0.9 if name == "bidirectional" else 0.999 for name in METHODS}
# Switches of the original code for what is --network here.
MODEL_SWITCHES = {name + "_model": f"resnet32_{name}" for name in ("large", "larger", "wider")}
# Its switches that stand for several options here.
SHORTHANDS = ("hmc", "augment")

# Flags that say how to start, and are no options of the run itself.
HOW_TO_START = ("resume_iter", "overwrite", "dry_run", "debug", "suffix_exp")

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
    "pcd",
    "buffer_storage",
    "average_decay",
    "generator",
    "generator_batch_norm",
    "latent_dim",
    "penalty",
    "entropy",
)

# Options that came later: what runs whose options lack them did.
EARLIER = {
    "sampler": "langevin",
    "leapfrog_steps": None,
    "burn_in": None,
    "target_acceptance": None,
    "pcd": False,
    "match_labels": True,
    "buffer_storage": "auto",
    "leave_one_out": True,
    "warmup_steps": 10,
    "clip_gradients": True,
    "beta_2": None,
    "adam_epsilon": 1e-7,
}

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


# Options that mean something to some methods alone, and are refused with the others.
_TWO_PLAYERS = ("febm", "dual")
_CHAINS = (*_TWO_PLAYERS, "contrastive_divergence")
METHODS_OF = {
    **dict.fromkeys(BIDIRECTIONAL, ("bidirectional",)),
    "leave_one_out": _TWO_PLAYERS,
    "warmup_steps": _TWO_PLAYERS,
    "suffix_exp": _TWO_PLAYERS,
    "pcd": _CHAINS,
    "match_labels": _CHAINS,
    "buffer_storage": _CHAINS,
}

# Options that mean something to some samplers alone.
SAMPLERS_OF = {
    "noise_scale": ("langevin",),
    "proj_norm": ("langevin",),
    "proj_norm_type": ("langevin",),
    "burn_in": ("mala", "hmc"),
    "target_acceptance": ("mala", "hmc"),
    "leapfrog_steps": ("hmc",),
}


def resolve(values: flags.FlagValues) -> dict:
    """Return all options of a run as one plain dictionary: flags, else preset.

    Args:
        values: The parsed flags.

    Raises:
        ValueError: If flags contradict each other.
    """
    preset, settings = preset_for(values.preset, values.dataset, values.method)
    _check_methods(values)
    names = [
        flag.name
        for module, own in values.flags_by_module_dict().items()
        if module.endswith("train_flags")
        for flag in own
        if flag.name not in (*HOW_TO_START, *MODEL_SWITCHES, *SHORTHANDS)
    ]
    options = {
        name: settings.get(name) if values[name].value is None else values[name].value
        for name in sorted(names)
    }
    options["preset"] = preset
    if values.method != "bidirectional":
        options |= dict.fromkeys(BIDIRECTIONAL)
    switched = [f"--{name}" for name in MODEL_SWITCHES if values[name].value]
    if len(switched) > 1:
        raise ValueError(f"{' and '.join(switched)} exclude each other: each is a network.")
    for name, network in MODEL_SWITCHES.items():
        if values[name].value:
            if values.network not in (None, network):
                raise ValueError(f"--{name} and --network={values.network} exclude each other.")
            options["network"] = network
    if values.num_filters is None and options["network"] != settings["network"]:
        options["num_filters"] = FILTERS_OF.get(options["network"], options["num_filters"])
    if values.lr is not None and values.lr_final is None:
        options["lr_final"] = values.lr
    if options["beta_2"] is None:
        options["beta_2"] = BETA_2[values.method]
    if values.augment:
        for name, value in (("random_flip", True), ("random_crop", 4)):
            options[name] = value if values[name].value is None else values[name].value
    _check_buffer(options)
    if values.pcd:
        # The chains of a step have a past, in whatever is kept of it.
        options["replay_batch"] = True
    if values.suffix_exp:
        if not values.exp:
            raise ValueError("--suffix_exp needs --exp: the name by default has the divergence.")
        options["exp"] = f"{values.exp}_{values.divergence}".replace(":", "_")
    return options | _chains(values, options)


def _check_methods(values) -> None:
    """Raise a ValueError that names a flag which was given and is not for the method."""
    for name, methods in METHODS_OF.items():
        given = values[name].present and values[name].value != values[name].default
        if values.method not in methods and given:
            raise ValueError(
                f"--{name} is for --method={' or '.join(methods)}, not {values.method}."
            )


def _check_buffer(options: dict) -> None:
    """Raise a ValueError that names an option of the buffer which has no effect."""
    kept = options["replay_batch"] or options["pcd"]
    if not options["match_labels"] and not (options["cclass"] and kept):
        raise ValueError(
            "--nomatch_labels is for chains with labels and a past: give --cclass, and "
            "--replay_batch or --pcd, or leave it out."
        )
    if options["buffer_storage"] != "auto" and (options["pcd"] or not options["replay_batch"]):
        raise ValueError(
            f"--buffer_storage={options['buffer_storage']} is for the replay buffer: leave it out, "
            "or --pcd and --noreplay_batch."
        )


def _chains(values, options: dict) -> dict:
    """Return the options of the sampler."""
    sampler = options["sampler"]
    if values.hmc:
        if values["sampler"].present and sampler != "hmc":
            raise ValueError(f"--hmc and --sampler={sampler} exclude each other.")
        sampler = "hmc"
    for name, samplers in SAMPLERS_OF.items():
        # What Langevin dynamics alone has is in the original's lines with --hmc too, and means as
        # little there: a warning says so.
        means_nothing = sampler not in samplers and values[name].value
        if means_nothing and values[name].present and not (values.hmc and "langevin" in samplers):
            raise ValueError(
                f"--{name} is for --sampler={' or '.join(samplers)}, not {sampler}: leave it out."
            )
    chosen = {"sampler": sampler}
    steps = [f"--{name}" for name in ("step_lr", "noise_scale") if values[name].present]
    if steps and values.epsilon:
        raise ValueError(f"--epsilon and {steps[0]} exclude each other.")
    if steps and not values.hmc:
        # What is given wins over what the preset says of the same.
        chosen["epsilon"] = 0.0
    if sampler == "langevin":
        return chosen
    if values.step_lr is None:
        # The noise of a step, √ε, is that of the preset's Langevin dynamics.
        epsilon = options["epsilon"] or (NOISE_UNIT * options["noise_scale"]) ** 2
        chosen["step_lr"] = epsilon / 2 if sampler == "mala" else epsilon**0.5
    chosen |= {"epsilon": 0.0, "burn_in": options["burn_in"] or 0}
    if sampler == "hmc":
        chosen["leapfrog_steps"] = options["leapfrog_steps"] or 10
    if options["target_acceptance"] is None:
        chosen["target_acceptance"] = TARGETS[sampler]
    return chosen | dict.fromkeys(name for name, of in SAMPLERS_OF.items() if sampler not in of)


def fixed(options: dict, earlier: dict) -> tuple[str, ...]:
    """Return the names of options that a continued run may not change.

    Args:
        options: Those of the run that goes on.
        earlier: Those that it began with. What they lack came later.
    """
    return tuple(
        name
        for name in FIXED
        if name in earlier or name not in EARLIER or options[name] != EARLIER[name]
    )


def completed(options: dict) -> dict:
    """Return the options of a stored run, with those that came later as it had them."""
    options = {**EARLIER, **options}
    if options["beta_2"] is None and options.get("method") in BETA_2:
        options["beta_2"] = BETA_2[options["method"]]
    return options
