"""Recipes of bidirectional bounds that are known to work, each with a sentence of why."""

from tf_febm.recipes.table import NARROW, PAPER, PLANE, derived

__all__: list[str] = []

# Settings of the sampler are those of one that may refine samples.
BIDIRECTIONAL = derived(
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
BOUNDS_PAPER = derived(
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
BOUNDS_PAPER_PLANE = derived(
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
DIGITS_BIDIRECTIONAL = derived(
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
MNIST_BIDIRECTIONAL = derived(
    DIGITS_BIDIRECTIONAL,
    "mnist_bidirectional",
    "Perceptrons, as convolutions on so many pixels take a GPU; weights of the digits.",
    **_MNIST_BOUNDS,
)
STACKED_MNIST_BIDIRECTIONAL = derived(
    DIGITS_BIDIRECTIONAL,
    "stacked_mnist_bidirectional",
    "Three digits in one image: as mnist_bidirectional, with a generator that learns three times "
    "as fast as the energy, as the gap of energies runs away at equal rates.",
    generator_learning_rate_ratio=3.0,
    **_MNIST_BOUNDS,
)
PLANE_BIDIRECTIONAL = derived(
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
GAUSSIANS_25_BIDIRECTIONAL = derived(
    PLANE_BIDIRECTIONAL,
    "25gaussians_bidirectional",
    "Narrow modes far apart: a hundredth of the penalty, which grows with the slopes between them, "
    "and less entropy, which puts samples on the bridges.",
    steps=20_000,
    penalty_weight=0.001,
    entropy_weight=0.9,
    **NARROW,
)
