"""Recipes that are known to work, each with a sentence of why.

The evidence stands in docs/concepts/recipes.md.
"""

import dataclasses

from tf_febm import arguments, catalogue
from tf_febm.data import npz_keys
from tf_febm.recipes.recipe import Recipe

__all__ = ["RECIPES", "for_dataset", "get", "names"]


def _recipe(base: Recipe, name: str, why: str, **settings) -> Recipe:
    return dataclasses.replace(base, name=name, why=why, **settings)


# --- f-EBM and contrastive divergence -------------------------------------------------------------

PAPER = Recipe(width=64)
# The original's command lines for CIFAR-10 and CelebA.
_RESNET = {"network": "resnet32", "width": 128}
CIFAR10_PAPER = _recipe(
    PAPER,
    "cifar10_paper",
    "The published settings for CIFAR-10; too large for a machine without a GPU.",
    **_RESNET,
)
CELEBA_PAPER = _recipe(
    PAPER,
    "celeba_paper",
    "The published settings for CelebA; too large for a machine without a GPU.",
    **_RESNET,
)
CELEBA = _recipe(
    PAPER,
    "celeba",
    "For machines without an accelerator: chains move in the white coordinates of a Gaussian with "
    "the data's spectrum and principal components, where every scale of the image has one step; "
    "noise on the data brings these near that Gaussian, and is taken off at the end; networks see "
    "fine structure; H follows E by a slow average; and spectral norms bound the slope of all "
    "layers but the last.",
    steps=3000,
    batch_size=64,
    learning_rate=2e-4,
    final_learning_rate=2e-5,
    beta_1=0.0,
    clip_gradients=False,
    shift_invariant=True,
    l2_coeff=0.005,
    reference="spectral",
    slow_energy_decay=0.99,
    epsilon=0.15,
    grad_clip=None,
    num_steps=4,
    buffer_capacity=5000,
    restart_probability=0.02,
    data_noise=0.08,
    random_flip=True,
    average_decay=0.999,
    network="strided",
    width=32,
    log_interval=20,
    sample_interval=500,
    save_interval=500,
    final_steps=60,
    denoise_samples=True,
    num_samples=1000,
)
DIGITS = _recipe(
    PAPER,
    "digits",
    "On 8×8 pixels a perceptron will do, whose chains cost little; noise on data and chains keeps "
    "these mixing, and a variational function at a quarter of the rate does not "
    "outrun the energy.",
    steps=14_000,
    batch_size=64,
    learning_rate=1.5e-3,
    final_learning_rate=1e-4,
    variational_learning_rate_ratio=0.25,
    num_steps=40,
    noise_scale=0.05,
    l2_coeff=0.1,
    data_noise=0.05,
    network="mlp",
    width=256,
    log_interval=100,
    sample_interval=1000,
    save_interval=1000,
    final_steps=20,
)
DIGITS_QUICK = _recipe(
    DIGITS,
    "digits_quick",
    "Digits in less than a minute: steps of half as many Langevin steps, twice the rate, and a "
    "small buffer, whose chains are taken up sooner and so are as long.",
    steps=6000,
    learning_rate=3e-3,
    num_steps=20,
    buffer_capacity=2000,
)
_MNIST = {"steps": 6000, "width": 512}
MNIST = _recipe(
    DIGITS,
    "mnist",
    "In half an hour on one core the perceptron of the digits, twice as wide, came further than "
    "convolutions.",
    **_MNIST,
)
FASHION_MNIST = _recipe(
    DIGITS,
    "fashion_mnist",
    "Images of the size and number of MNIST's, and its settings, untouched.",
    **_MNIST,
)
FOLDER = _recipe(
    CELEBA,
    "folder",
    "The faces' recipe in a third of their steps, so that a first look at images of one's own "
    "takes minutes anywhere; celeba_paper is what the paper makes of a large folder on a GPU.",
    steps=1000,
    sample_interval=250,
    save_interval=250,
)
CIFAR10 = _recipe(
    CELEBA,
    "cifar10",
    "The faces' recipe: for machines without an accelerator, where the published settings take "
    "years.",
)
PLANE = _recipe(
    PAPER,
    "plane",
    "Points in the plane: l2 terms keep the energies of modes between which no chain moves at one "
    "level, and bounded gradients keep chains from running away in steep wells.",
    steps=4000,
    batch_size=128,
    learning_rate=5e-4,
    final_learning_rate=1e-5,
    num_steps=15,
    epsilon=1e-3,
    grad_clip=100.0,
    l2_coeff=0.02,
    average_decay=0.99,
    network="fourier_mlp",
    width=128,
    frequency=5.0,
    confinement=0.1,
    log_interval=100,
    sample_interval=1000,
    save_interval=1000,
    # Chains from noise cross plateaus by diffusion.
    final_steps=3000,
)
_25 = {"epsilon": 2e-4, "grad_clip": 300.0}
GAUSSIANS_25 = _recipe(
    PLANE,
    "25gaussians",
    "Narrow modes bound ε: at curvature c the chains' variance is 1/(c(1 − εc/4)), never below ε.",
    **_25,
)
GAUSSIANS_8 = _recipe(
    PLANE,
    "8gaussians",
    "Modes narrower still than those of 25gaussians, so a smaller ε and steeper wells.",
    epsilon=1e-4,
    grad_clip=500.0,
)
VECTORS = _recipe(
    PLANE,
    "vectors",
    "Vectors of any length: confined with weight 1 the energy begins as a standard Gaussian; noise "
    "on the data keeps few examples from becoming wells; l2 terms would flatten the confinement, "
    "so the constant of the energy is held by shift_invariant instead.",
    steps=1000,
    sample_interval=250,
    batch_size=64,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    num_steps=20,
    epsilon=0.01,
    grad_clip=30.0,
    l2_coeff=0.0,
    shift_invariant=True,
    data_noise=0.1,
    network="mlp",
    confinement=1.0,
)

NOISE_CONTRASTIVE = _recipe(
    VECTORS,
    "noise_contrastive",
    "Rows of a table against the Gaussian of their covariance, which is the noise and the "
    "reference: no chains, seconds of training; Fourier features find what is no hill. Few "
    "rows are soon learned by heart: training is short, and training.HeldOutGain tells when to "
    "stop.",
    method="noise_contrastive",
    steps=600,
    sample_interval=200,
    save_interval=200,
    learning_rate=5e-4,
    final_learning_rate=2e-5,
    data_noise=0.0,
    reference="full",
    confinement=0.0,
    network="fourier_mlp",
    frequency=None,
    epsilon=0.05,
    grad_clip=None,
    shift_invariant=False,
)
PLANE_NOISE_CONTRASTIVE = _recipe(
    NOISE_CONTRASTIVE,
    "plane_noise_contrastive",
    "In the plane the Gaussian of the data is everywhere that data are, so that they are learned "
    "against it in seconds; higher frequencies for narrow shapes, and short steps of MALA, which "
    "stay inside these.",
    steps=3000,
    sample_interval=1000,
    save_interval=1000,
    batch_size=256,
    learning_rate=2e-3,
    final_learning_rate=1e-5,
    frequency=3.0,
    sampler="mala",
    epsilon=1e-3,
    final_steps=2000,
)

# --- Bidirectional bounds -------------------------------------------------------------------------

# Settings of the sampler are those of one that may refine samples.
BIDIRECTIONAL = _recipe(
    PAPER,
    "bidirectional",
    "Batch size, rates, Adam's β and latent variables of Geng et al. (2021), with networks of this "
    "library, a bound's weight of the penalty and enough iterations for the singular value.",
    method="bidirectional",
    batch_size=64,
    learning_rate=2e-4,
    l2_coeff=0.0,
    final_steps=0,
)
BOUNDS_PAPER = _recipe(
    BIDIRECTIONAL,
    "bounds_paper",
    "What the public code of Geng et al. (2021) does on CIFAR-10, as far as methods are the same.",
    # 100 epochs.
    steps=78_100,
    random_flip=True,
    average_decay=None,
    clip_gradients=False,
    adam_epsilon=1e-6,
    penalty_weight=1e-3,
    entropy="smallest_singular_value",
    entropy_iterations=2,
    network="published_bounds",
    width=None,
    generator="published_bounds",
    generator_batch_norm=True,
)
BOUNDS_PAPER_PLANE = _recipe(
    BOUNDS_PAPER,
    "bounds_paper_plane",
    "The same on points; with two latent variables the smallest singular value is exact.",
    steps=150_000,
    batch_size=200,
    random_flip=False,
    width=100,
    latent_dim=2,
    epsilon=1e-3,
    grad_clip=100.0,
    num_steps=15,
    log_interval=100,
    sample_interval=1000,
    save_interval=5000,
)
DIGITS_BIDIRECTIONAL = _recipe(
    BIDIRECTIONAL,
    "digits_bidirectional",
    "Perceptrons; beside a hundredth of the theory's penalty, a tenth of its entropy weight halved "
    "the Fréchet ratio, since the generator gives up detail for entropy.",
    steps=10_000,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    penalty_weight=0.01,
    entropy_weight=0.1,
    data_noise=0.05,
    latent_dim=10,
    network="mlp",
    width=256,
    generator="mlp",
    log_interval=100,
    sample_interval=1000,
    save_interval=1000,
)
_MNIST_BOUNDS = {
    "steps": 20_000,
    "latent_dim": 24,
    "entropy": "smallest_singular_value",
    "entropy_iterations": 3,
}
MNIST_BIDIRECTIONAL = _recipe(
    DIGITS_BIDIRECTIONAL,
    "mnist_bidirectional",
    "Perceptrons, as convolutions on so many pixels take a GPU; weights of the digits.",
    **_MNIST_BOUNDS,
)
STACKED_MNIST_BIDIRECTIONAL = _recipe(
    DIGITS_BIDIRECTIONAL,
    "stacked_mnist_bidirectional",
    "Three digits in one image: as mnist_bidirectional, with a generator that learns three times "
    "as fast as the energy, as the gap of energies runs away at equal rates.",
    generator_learning_rate_ratio=3.0,
    **_MNIST_BOUNDS,
)
PLANE_BIDIRECTIONAL = _recipe(
    PLANE,
    "plane_bidirectional",
    "Of the generators the monotone one alone reaches modes far apart, and none that folds goes "
    "with the penalty, whose gradient has a pole at every fold.",
    method="bidirectional",
    steps=5000,
    batch_size=200,
    learning_rate=1e-3,
    final_learning_rate=1e-5,
    generator_learning_rate_ratio=3.0,
    l2_coeff=0.0,
    average_decay=0.999,
    latent_dim=2,
    penalty_weight=0.1,
    generator="monotone",
    final_steps=0,
)
GAUSSIANS_25_BIDIRECTIONAL = _recipe(
    PLANE_BIDIRECTIONAL,
    "25gaussians_bidirectional",
    "Narrow modes far apart: a hundredth of the penalty, which grows with the slopes between them, "
    "and less entropy, which puts samples on the bridges.",
    steps=20_000,
    penalty_weight=0.001,
    entropy_weight=0.9,
    **_25,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        *(
            PAPER,
            CIFAR10_PAPER,
            CIFAR10,
            CELEBA_PAPER,
            CELEBA,
            DIGITS,
            DIGITS_QUICK,
            PLANE,
            GAUSSIANS_25,
            GAUSSIANS_8,
            VECTORS,
        ),
        *(
            MNIST,
            FOLDER,
            FASHION_MNIST,
            NOISE_CONTRASTIVE,
            PLANE_NOISE_CONTRASTIVE,
            BIDIRECTIONAL,
            BOUNDS_PAPER,
            BOUNDS_PAPER_PLANE,
        ),
        *(DIGITS_BIDIRECTIONAL, MNIST_BIDIRECTIONAL, STACKED_MNIST_BIDIRECTIONAL),
        *(PLANE_BIDIRECTIONAL, GAUSSIANS_25_BIDIRECTIONAL),
    )
}


def names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    return tuple(RECIPES)


@arguments.checked
def get(name: str) -> Recipe:
    """Return a recipe by its name.

    Args:
        name: One of `names()`, such as "digits".

    Raises:
        ValueError: There is none of this name.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe must be one of {', '.join(RECIPES)}; received {name!r}.")
    return RECIPES[name]


@arguments.checked
def for_dataset(
    dataset: str, method: str = "febm", accelerator: bool = False, data_dir=None
) -> Recipe:
    """Return the recipe that a data set starts from: its own, or one that it shares with others.

    Args:
        dataset: A name of `tf_febm.data.names()`.
        method: A name of `catalogue.METHODS`.
        accelerator: Whether the machine has one. Without, training shows something in minutes on
            two cores where there is a recipe for that; with one, some start from the paper's.
        data_dir: Where the data are, or None: vectors in an .npz start from what tables do.

    Raises:
        ValueError: There is no such method.
    """
    if method not in catalogue.METHODS:
        known = ", ".join(catalogue.METHODS)
        raise ValueError(f"method must be one of {known}; received {method!r}.")
    if dataset == "npz" and data_dir and npz_keys.holds_vectors(data_dir):
        dataset = "csv"
    ending = catalogue.METHODS[method].recipes
    row = catalogue.DATASETS.get(dataset)
    names = [dataset, "paper" if row is None else row.recipe]
    if row is not None and row.kind == "plane":
        names.append("plane")
    if row is not None and row.accelerated is not None and accelerator:
        names.insert(0, row.accelerated)
    candidates = [f"{name}{ending}" for name in names]
    if ending:
        candidates.append(ending.lstrip("_"))
    found = next(RECIPES[name] for name in (*candidates, "paper") if name in RECIPES)
    return found if found.method == method else dataclasses.replace(found, method=method)
