"""What can be chosen by name, and where it is defined: one line for each sampler and method.

Nothing is imported here, so that a command line can name the choices before TensorFlow starts. To
add a sampler or a method, write it in a file of its own and add its line: recipes, flags and the
contract tests find it by that.
"""

import importlib
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
    "find",
]


def find(place: str) -> Any:
    """Import what "package.module:name" names."""
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)


# --- Samplers -------------------------------------------------------------------------------------


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
        ("step_size", "noise_scale", "grad_clip", "grad_clip_norm"),
        (1.0, 0.5),
    ),
    "mala": Sampler(
        "tf_febm.samplers.hamiltonian:MALA",
        ("step_size", "burn_in", "target_acceptance"),
        (1.0, 0.5),
        0.574,
    ),
    "hmc": Sampler(
        "tf_febm.samplers.hamiltonian:HMC",
        ("step_size", "num_leapfrog_steps", "burn_in", "target_acceptance"),
        (0.5, 1.0),
        0.651,
    ),
}

# --- Methods --------------------------------------------------------------------------------------


class Method(NamedTuple):
    """A way to train an energy.

    Attributes:
        place: Its class, which takes the players' networks in order, then `settings` by name.
        players: Whose networks it has: "energy", then "variational", "generator" or nobody.
        settings: The fields of a recipe that it takes, beside those that all take.
        chains: Whether its negatives are chains with a past, which take a buffer and labels.
        fixed: Further arguments, the same in every recipe.
        recipes: Ending of the names of recipes of its own, where a data set has one.
        beta_2: Decay of Adam's second moment, as published.
    """

    place: str
    players: tuple[str, ...]
    settings: tuple[str, ...]
    chains: bool = True
    fixed: dict[str, Any] = {}
    recipes: str = ""
    beta_2: float = 0.999


_TWO_PLAYERS = (
    *("divergence", "log_ratio_clip", "variational_steps", "variational_l2_coeff"),
    *("leave_one_out", "warmup_steps"),
)

METHODS: dict[str, Method] = {
    "febm": Method(
        "tf_febm.models.febm:FEBM", ("energy", "variational"), (*_TWO_PLAYERS, "shift_invariant")
    ),
    "contrastive_divergence": Method(
        "tf_febm.models.contrastive_divergence:ContrastiveDivergence",
        ("energy",),
        (),
        fixed={"initial": "noise"},
    ),
    "dual": Method("tf_febm.models.dual:DualFEBM", ("energy", "variational"), _TWO_PLAYERS),
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

# --- Networks -------------------------------------------------------------------------------------


class Network(NamedTuple):
    """An architecture."""

    width: int
    settings: tuple[str, ...] = ()


NETWORKS: dict[str, Network] = {
    "conv": Network(64),
    "fourier_mlp": Network(128, ("frequency", "confinement")),
    "mlp": Network(256, ("confinement",)),
    "mnist_net": Network(64),
    "resnet32": Network(128, ("use_attention",)),
    "resnet32_large": Network(128, ("use_attention",)),
    "resnet32_larger": Network(128, ("use_attention",)),
    "resnet32_wider": Network(256, ("use_attention",)),
    "resnet128": Network(64, ("use_attention",)),
    "published_bounds": Network(64),
}
GENERATORS: dict[str, Network] = {
    "mlp": Network(256, ("generator_batch_norm",)),
    "coupling": Network(256, ("generator_batch_norm",)),
    "monotone": Network(256),
    "dcgan": Network(64, ("generator_batch_norm",)),
    "resnet": Network(64, ("generator_batch_norm",)),
    "published_bounds": Network(64, ("generator_batch_norm",)),
}

# --- Data sets ------------------------------------------------------------------------------------


class Dataset(NamedTuple):
    """A data set."""

    kind: str | None
    recipe: str = "paper"


_PLANE = ("25gaussians", "8gaussians", "swiss_roll", "moons", "checkerboard", "pinwheel", "rings")
DATASETS: dict[str, Dataset] = {
    **{n: Dataset("images") for n in ("digits", "mnist", "fashion_mnist", "stacked_mnist")},
    "cifar10": Dataset("images", "cifar10_paper"),
    "cifar100": Dataset("images"),
    "svhn": Dataset("images"),
    "celeba": Dataset("images", "celeba_paper"),
    "folder": Dataset("images"),
    "npz": Dataset(None),
    "csv": Dataset("vectors", "vectors"),
    **{n: Dataset("vectors", "plane") for n in _PLANE},
}
