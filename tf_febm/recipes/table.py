"""Recipes of f-EBM and its kin that are known to work, each with a sentence of why.

The evidence stands in docs/concepts/recipes.md.
"""

import dataclasses

from tf_febm.recipes.recipe import Recipe

__all__ = ["NARROW", "PAPER", "PLANE"]


def derived(base: Recipe, name: str, why: str, **settings) -> Recipe:
    """Return another recipe with some settings of its own."""
    return dataclasses.replace(base, name=name, why=why, **settings)


PAPER = Recipe(width=64)
# The original's command lines for CIFAR-10 and CelebA.
_RESNET = {"network": "resnet32", "width": 128}
CIFAR10_PAPER = derived(
    PAPER,
    "cifar10_paper",
    "The published settings for CIFAR-10; too large for a machine without a GPU.",
    **_RESNET,
)
CELEBA_PAPER = derived(
    PAPER,
    "celeba_paper",
    "The published settings for CelebA; too large for a machine without a GPU.",
    **_RESNET,
)
CELEBA = derived(
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
DIGITS = derived(
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
DIGITS_QUICK = derived(
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
MNIST = derived(
    DIGITS,
    "mnist",
    "In half an hour on one core the perceptron of the digits, twice as wide, came further than "
    "convolutions.",
    **_MNIST,
)
FASHION_MNIST = derived(
    DIGITS,
    "fashion_mnist",
    "Images of the size and number of MNIST's, and its settings, untouched.",
    **_MNIST,
)
FOLDER = derived(
    CELEBA,
    "folder",
    "The faces' recipe in a third of their steps, so that a first look at images of one's own "
    "takes minutes anywhere; celeba_paper is what the paper makes of a large folder on a GPU.",
    steps=1000,
    sample_interval=250,
    save_interval=250,
)
CIFAR10 = derived(
    CELEBA,
    "cifar10",
    "The faces' recipe: for machines without an accelerator, where the published settings take "
    "years.",
)
PLANE = derived(
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
NARROW = {"epsilon": 2e-4, "grad_clip": 300.0}
GAUSSIANS_25 = derived(
    PLANE,
    "25gaussians",
    "Narrow modes bound ε: at curvature c the chains' variance is 1/(c(1 − εc/4)), never below ε.",
    **NARROW,
)
GAUSSIANS_8 = derived(
    PLANE,
    "8gaussians",
    "Modes narrower still than those of 25gaussians, so a smaller ε and steeper wells.",
    epsilon=1e-4,
    grad_clip=500.0,
)
VECTORS = derived(
    PLANE,
    "vectors",
    "Vectors of any length: the energy is relative to the Gaussian of their covariance, begins as "
    "it, and its chains move in units of it; rows that are kept aside choose the weights, as few "
    "rows are soon learned by heart; l2 terms would flatten it, so the constant of the energy is "
    "held by shift_invariant instead.",
    steps=1000,
    log_interval=50,
    sample_interval=250,
    save_interval=50,
    best_metric="held_out_gain",
    best_mode="max",
    batch_size=64,
    learning_rate=1e-3,
    final_learning_rate=1e-4,
    num_steps=20,
    epsilon=0.05,
    grad_clip=None,
    final_steps=500,
    l2_coeff=0.0,
    shift_invariant=True,
    reference="auto",
    network="mlp",
    confinement=0.0,
)

NOISE_CONTRASTIVE = derived(
    VECTORS,
    "noise_contrastive",
    "Rows of a table against the Gaussian of their covariance, which is the noise and the "
    "reference: no chains, seconds of training; Fourier features find what is no hill. Few "
    "rows are soon learned by heart: rows that are kept aside choose the weights.",
    method="noise_contrastive",
    steps=600,
    sample_interval=200,
    learning_rate=5e-4,
    final_learning_rate=2e-5,
    reference="full",
    network="fourier_mlp",
    frequency=None,
    shift_invariant=False,
)
PLANE_NOISE_CONTRASTIVE = derived(
    NOISE_CONTRASTIVE,
    "plane_noise_contrastive",
    "In the plane the Gaussian of the data is everywhere that data are, so that they are learned "
    "against it in seconds; higher frequencies for narrow shapes, and short steps of MALA, which "
    "stay inside these.",
    steps=3000,
    log_interval=100,
    sample_interval=1000,
    save_interval=1000,
    best_metric=None,
    best_mode="min",
    batch_size=256,
    learning_rate=2e-3,
    final_learning_rate=1e-5,
    frequency=3.0,
    sampler="mala",
    epsilon=1e-3,
    final_steps=2000,
)
