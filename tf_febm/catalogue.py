"""Tables of what can be chosen by name: a line registers a method, sampler, network or data set.

Nothing is imported here but the standard library: the command line reads this file by its place,
for the names and defaults, before TensorFlow is imported, which takes seconds. `load` imports what
a line stands for.
"""

import importlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = [
    "DATASETS",
    "GENERATORS",
    "METHODS",
    "NETWORKS",
    "SAMPLERS",
    "Dataset",
    "Method",
    "Network",
    "Sampler",
    "dataset",
    "find",
    "load",
    "tfds_name",
]


def load(place: str) -> Any:
    """Return what "package.module:attribute" names, imported now."""
    module, _, attribute = place.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find(what: str, table: Mapping[str, Any], name: str) -> Any:
    """Return a row of a table.

    Args:
        what: What the table lists, for the message.
        table: Name -> row.
        name: The name that is looked for.

    Raises:
        ValueError: There is no such name.
    """
    if name not in table:
        raise ValueError(f"{what} must be one of {', '.join(table)}; received {name!r}.")
    return table[name]


# --- samplers -------------------------------------------------------------------------------------


class Sampler(NamedTuple):
    """A kind of Markov chain.

    Attributes:
        place: Its class, which takes the settings, `num_steps` and `bounds`, by name.
        settings: The fields of a recipe that it takes.
        step_of_epsilon: The power and the factor that turn the ε of Eq. 5 into the `step_size` that
            moves by as much noise.
        target_acceptance: What its step size adapts to unless a recipe says otherwise.
    """

    place: str
    settings: tuple[str, ...]
    step_of_epsilon: tuple[float, float]
    target_acceptance: float | None = None


SAMPLERS: dict[str, Sampler] = {
    "langevin": Sampler(
        "tf_febm.samplers.langevin:Langevin",
        ("step_size", "noise_scale", "grad_clip", "grad_clip_norm", "schedule", "noise_schedule"),
        (1.0, 0.5),
    ),
    "mala": Sampler(
        "tf_febm.samplers.hamiltonian:MALA",
        ("step_size", "burn_in", "target_acceptance", "schedule"),
        (1.0, 0.5),
        0.574,
    ),
    "hmc": Sampler(
        "tf_febm.samplers.hamiltonian:HMC",
        ("step_size", "num_leapfrog_steps", "burn_in", "target_acceptance", "schedule"),
        (0.5, 1.0),
        0.651,
    ),
    "parallel_tempering": Sampler(
        "tf_febm.samplers.tempering:ParallelTempering",
        (
            *("step_size", "burn_in", "target_acceptance", "schedule"),
            *("num_temperatures", "smallest_inverse_temperature"),
        ),
        (1.0, 0.5),
        0.574,
    ),
}

# --- methods --------------------------------------------------------------------------------------


class Method(NamedTuple):
    """A way to train an energy.

    Attributes:
        place: Its class, which takes the players' networks in order, then `settings` by name.
        players: Whose networks it has: "energy", then "variational", "generator" or nobody.
        settings: The fields of a recipe that it takes, beside those that all take.
        chains: Whether its negatives are chains with a past, which take a buffer and labels.
        fixed: Further arguments, the same in every recipe.
        noisier: Whether its networks take rows over levels of noise, and the variational one pairs.
        recipes: Ending of the names of recipes of its own, where a data set has one.
        beta_2: Decay of Adam's second moment, as published.
    """

    place: str
    players: tuple[str, ...]
    settings: tuple[str, ...]
    chains: bool = True
    fixed: dict[str, Any] = {}
    noisier: bool = False
    recipes: str = ""
    beta_2: float = 0.999


_TWO_PLAYERS = (
    *("divergence", "log_ratio_clip", "variational_steps", "variational_l2_coeff"),
    *("class_weight_coeff", "leave_one_out", "warmup_steps"),
)

METHODS: dict[str, Method] = {
    "febm": Method(
        "tf_febm.models.febm:FEBM",
        ("energy", "variational"),
        (*_TWO_PLAYERS, "shift_invariant", "slow_energy_decay"),
    ),
    "contrastive_divergence": Method(
        "tf_febm.models.contrastive_divergence:ContrastiveDivergence",
        ("energy",),
        ("class_weight_coeff",),
        fixed={"initial": "noise"},
    ),
    "dual": Method("tf_febm.models.dual:DualFEBM", ("energy", "variational"), _TWO_PLAYERS),
    "noise_contrastive": Method(
        "tf_febm.models.noise_contrastive:NoiseContrastive",
        ("energy",),
        ("divergence", "log_ratio_clip"),
        chains=False,
        recipes="_noise_contrastive",
    ),
    "pseudo_spherical": Method(
        "tf_febm.models.pseudo_spherical:PseudoSpherical",
        ("energy",),
        ("gamma", "class_weight_coeff"),
        fixed={"initial": "noise"},
    ),
    "score_matching": Method(
        "tf_febm.models.score_matching:ScoreMatching",
        ("energy",),
        ("kind", "noise_stddev"),
        chains=False,
    ),
    "energy_discrepancy": Method(
        "tf_febm.models.energy_discrepancy:EnergyDiscrepancy",
        ("energy",),
        ("noise_stddev",),
        chains=False,
    ),
    "recovery": Method(
        "tf_febm.models.recovery:Recovery",
        ("energy", "variational"),
        (
            *("divergence", "log_ratio_clip", "variational_steps", "variational_l2_coeff"),
            *("levels", "chains_per_pair", "shift_invariant", "slow_energy_decay"),
            "class_weight_coeff",
        ),
        chains=False,
        noisier=True,
        recipes="_recovery",
    ),
    "multiscale": Method(
        "tf_febm.models.multiscale:MultiscaleScoreMatching",
        ("energy",),
        ("levels", "class_weight_coeff", "label_dropout", "guidance"),
        chains=False,
        noisier=True,
        recipes="_multiscale",
    ),
    "bidirectional": Method(
        "tf_febm.models.bidirectional:BidirectionalEBM",
        ("energy", "generator"),
        (
            *("latent_dim", "penalty", "penalty_weight", "penalty_threshold"),
            *("entropy", "entropy_weight", "entropy_iterations"),
        ),
        chains=False,
        recipes="_bidirectional",
        beta_2=0.9,
    ),
}

# --- networks and generators ----------------------------------------------------------------------


class Network(NamedTuple):
    """A function that builds an energy network or a generator; see `networks.build`.

    Attributes:
        place: The function, "package.module:function".
        kind: What its data are: "images", "vectors" or "both".
        default_width: Filters or hidden units where the user says nothing; 0 for a network whose
            size is not a width.
        options: The optional arguments of `networks.build`, or of `networks.build_generator`, that
            it takes.
        standardised: Whether over vectors it sees them in units of the data's standard deviations,
            and may have quadratic confinement; otherwise it takes raw units and is left as it is.
    """

    place: str
    kind: str
    default_width: int
    options: tuple[str, ...]
    standardised: bool = True


_LABELS, _RESNET = ("num_classes",), ("num_classes", "use_attention")
_GENERATOR = ("batch_norm", "output_activation")
_IN = "tf_febm.networks"

# The widths of the resnets are what the original builds.
NETWORKS = {
    "conv": Network(f"{_IN}.conv:conv", "images", 64, _LABELS),
    "fourier_mlp": Network(f"{_IN}.fourier:fourier_mlp", "vectors", 128, (*_LABELS, "frequency")),
    "mlp": Network(f"{_IN}.mlp:mlp", "both", 256, _LABELS),
    "mnist_net": Network(f"{_IN}.mnist:mnist_net", "images", 64, _LABELS),
    "resnet32": Network(f"{_IN}.resnets:resnet32", "images", 128, _RESNET),
    "resnet32_large": Network(f"{_IN}.resnets:resnet32_large", "images", 128, _RESNET),
    "resnet32_larger": Network(f"{_IN}.resnets:resnet32_larger", "images", 128, _RESNET),
    "resnet32_wider": Network(f"{_IN}.resnets:resnet32_wider", "images", 256, _RESNET),
    "resnet128": Network(f"{_IN}.resnets:resnet128", "images", 64, _RESNET),
    "noise_conditional": Network(
        f"{_IN}.noise_conditional:noise_conditional", "images", 32, _LABELS
    ),
    "strided": Network(f"{_IN}.strided:strided", "images", 32, (*_LABELS, "whiten")),
    "published_bounds": Network(f"{_IN}.published_bounds:published_bounds", "both", 64, (), False),
}
GENERATORS = {
    "mlp": Network(f"{_IN}.generators:generator_mlp", "both", 256, _GENERATOR),
    "coupling": Network(f"{_IN}.generators:generator_coupling", "both", 256, _GENERATOR),
    "monotone": Network(f"{_IN}.monotone:generator_monotone", "both", 0, ("output_activation",)),
    "dcgan": Network(f"{_IN}.generators:generator_dcgan", "images", 64, _GENERATOR),
    "resnet": Network(f"{_IN}.generators:generator_resnet", "images", 64, _GENERATOR),
    "published_bounds": Network(
        f"{_IN}.published_bounds:generator_published_bounds", "both", 64, ("batch_norm",)
    ),
}

# --- data sets ------------------------------------------------------------------------------------


class Dataset(NamedTuple):
    """Data that `tf_febm.data.load` reads.

    Attributes:
        place: A `tf_febm.data.files.Reader`, or for a "plane" a function without arguments that
            returns a `ToyDataset`: "package.module:attribute".
        kind: "images", "vectors", "plane" for vectors in the plane of a known density, or None
            where that depends on the file.
        recipe: What training starts from where nothing else is said.
        labels: Whether there are classes; None where that depends on the files.
        classifier: Whether a small classifier, which judges samples, learns it in seconds.
        accelerated: What training starts from on a machine with an accelerator, if another recipe.
    """

    place: str
    kind: str | None
    recipe: str
    labels: bool | None = False
    classifier: bool = False
    accelerated: str | None = None


_D = "tf_febm.data"

DATASETS = {
    "digits": Dataset(f"{_D}.digits:DIGITS", "images", "digits", True, True),
    "mnist": Dataset(f"{_D}.mnist:MNIST", "images", "mnist", True, True),
    "fashion_mnist": Dataset(f"{_D}.mnist:FASHION_MNIST", "images", "fashion_mnist", True, True),
    "stacked_mnist": Dataset(
        f"{_D}.mnist:STACKED_MNIST", "images", "mnist", True, accelerated="paper"
    ),
    "cifar10": Dataset(
        f"{_D}.cifar:CIFAR10", "images", "cifar10", True, accelerated="cifar10_paper"
    ),
    "cifar100": Dataset(f"{_D}.cifar:CIFAR100", "images", "celeba", True, accelerated="paper"),
    "svhn": Dataset(f"{_D}.svhn:SVHN", "images", "celeba", True, accelerated="paper"),
    "celeba": Dataset(f"{_D}.celeba:CELEBA", "images", "celeba", None, accelerated="celeba_paper"),
    "imagenet32": Dataset(
        f"{_D}.imagenet32:IMAGENET32", "images", "celeba", True, accelerated="paper"
    ),
    "folder": Dataset(f"{_D}.image_folder:FOLDER", "images", "folder", None),
    "npz": Dataset(f"{_D}.npz:NPZ", None, "paper", None),
    "records": Dataset(f"{_D}.records:RECORDS", None, "paper", None),
    "tfds": Dataset(f"{_D}.tfds_any:TFDS", None, "paper", None),
    "csv": Dataset(f"{_D}.table:CSV", "vectors", "vectors"),
    "25gaussians": Dataset(f"{_D}.toy_densities:gaussians_25", "plane", "25gaussians"),
    "8gaussians": Dataset(f"{_D}.toy_densities:gaussians_8", "plane", "8gaussians"),
    "swiss_roll": Dataset(f"{_D}.toy_densities:swiss_roll", "plane", "plane"),
    "moons": Dataset(f"{_D}.toy_densities:moons", "plane", "plane"),
    "checkerboard": Dataset(f"{_D}.toy_densities:checkerboard", "plane", "plane"),
    "pinwheel": Dataset(f"{_D}.toy_densities:pinwheel", "plane", "plane"),
    "rings": Dataset(f"{_D}.toy_densities:rings", "plane", "plane"),
}


# A name of TensorFlow Datasets, and one of its configurations.
_OF_TFDS = re.compile(r"tfds:([a-z][a-z0-9_]*)(?::([\w.\-]+))?")


def dataset(name: Any) -> Dataset | None:
    """Return the row of a data set, None if there is none; of "tfds:name" it is that of "tfds".

    Raises:
        ValueError: The name begins with "tfds:" and is no name of TensorFlow Datasets.
    """
    if not isinstance(name, str):
        return None
    if name.startswith("tfds:"):
        tfds_name(name)
        return DATASETS["tfds"]
    return DATASETS.get(name)


def tfds_name(name: str) -> str:
    """Return what TensorFlow Datasets calls "tfds:name" or "tfds:name:config".

    Raises:
        ValueError: It is neither.
    """
    found = _OF_TFDS.fullmatch(name)
    if found is None:
        raise ValueError(
            "Names of TensorFlow Datasets are tfds:<name> or tfds:<name>:<config>, such as "
            f"tfds:cifar10; received {name!r}."
        )
    return found[1] if found[2] is None else f"{found[1]}/{found[2]}"
