"""What the flags of train.py resolve to: the options of a run, as one plain dictionary."""

import effects
from absl import flags
from presets import BOUNDS, FILTERS_OF, PLANES, PRESETS, preset_for

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
# What the examples of a data set are; those of npz are either.
KINDS = {
    **dict.fromkeys((*PLANES, "csv"), "vectors"),
    **dict.fromkeys(
        (
            *("digits", "mnist", "fashion_mnist", "stacked_mnist", "cifar10", "cifar100", "svhn"),
            *("celeba", "folder"),
        ),
        "images",
    ),
}
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


# Options of one sampler or of two, which are unset for the others; effects says who has an effect.
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
        options |= _augmented(values)
    if values.pcd:
        # The chains of a step have a past, in whatever is kept of it.
        options["replay_batch"] = True
    if values.suffix_exp:
        if not values.exp:
            raise ValueError("--suffix_exp needs --exp: the name by default has the divergence.")
        options["exp"] = f"{values.exp}_{values.divergence}".replace(":", "_")
    options |= _chains(values, options, settings["noise_scale"])
    effects.check(effects.TRAIN, values, facts(values, options))
    return options


def notes(values: flags.FlagValues, options: dict, kind: str) -> list[str]:
    """Return what to tell of flags that do nothing, or not what their line may mean.

    Args:
        values: The parsed flags.
        options: What they resolve to.
        kind: "images" or "vectors", what the data are.

    Raises:
        ValueError: If a flag has no effect on such data.
    """
    lines = effects.check(effects.TRAIN, values, facts(values, options, kind))
    network, filters = options["network"], options["num_filters"]
    if network.startswith("resnet") and values["num_filters"].present:
        published = FILTERS_OF[network]
        if filters != published:
            lines.append(
                f"--num_filters={filters} is the width of {network} here; the original, which does "
                f"not use the flag, has {published}: leave it out for that."
            )
    return lines


def origin(options: dict, name: str) -> str:
    """Return " (of --preset=…)" where an option is what the preset, or the method, of a run has."""
    preset = options.get("preset")
    sources = {f"--preset={preset}": PRESETS.get(preset, {})}
    if options["method"] == "bidirectional":
        sources["--method=bidirectional"] = BOUNDS
    for source, settings in sources.items():
        if name in settings and settings[name] == options[name]:
            return f" (of {source})"
    return ""


def facts(values: flags.FlagValues, options: dict, kind: str | None = None) -> dict:
    """Return what `effects.TRAIN` asks for.

    Args:
        values: The parsed flags.
        options: What they resolve to.
        kind: "images" or "vectors", what the data are; if None, as the name of the data set says,
            if it does.
    """
    known = {**options, "hmc": values.hmc}
    kind = kind or KINDS.get(options["dataset"])
    return known if kind is None else {**known, "kind": kind}


def _augmented(values) -> dict:
    """Return what --augment stands for.

    Raises:
        ValueError: If another flag says otherwise.
    """
    parts = {"random_flip": True, "random_crop": 4}
    for name, value in parts.items():
        if values[name].present and values[name].value != value:
            given = "--norandom_flip" if name == "random_flip" else f"--{name}={values[name].value}"
            raise ValueError(
                f"--augment is --random_flip --random_crop=4: it and {given} exclude each other."
            )
    return parts


def _chains(values, options: dict, noise_scale: float) -> dict:
    """Return the options of the sampler.

    Args:
        values: The parsed flags.
        options: What the others resolve to.
        noise_scale: Of the preset's Langevin dynamics.
    """
    sampler = options["sampler"]
    if values.hmc:
        if values["sampler"].present and sampler != "hmc":
            raise ValueError(f"--hmc and --sampler={sampler} exclude each other.")
        sampler = "hmc"
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
        epsilon = options["epsilon"] or (NOISE_UNIT * noise_scale) ** 2
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
