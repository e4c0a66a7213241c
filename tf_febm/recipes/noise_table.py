"""Recipes of energies at levels of noise, each with a sentence of why."""

from tf_febm.recipes.table import PAPER, PLANE, derived

__all__: list[str] = []

_RECOVERY = {
    "method": "recovery",
    "sampler": "mala",
    "epsilon": 0.1,
    "num_steps": 15,
    "final_steps": 30,
    "grad_clip": None,
    "l2_coeff": 0.0,
    "data_noise": 0.0,
    "clip_gradients": False,
    "average_decay": 0.999,
    "shift_invariant": True,
    "slow_energy_decay": 0.8,
}
RECOVERY = derived(
    PAPER,
    "recovery",
    "Energies of six levels of noise: H follows E closely by a fast slow average, and MALA refuses "
    "the steps by which chains run away in steep energies.",
    **_RECOVERY,
    batch_size=64,
    learning_rate=5e-4,
    final_learning_rate=5e-5,
)
PLANE_RECOVERY = derived(
    PLANE,
    "plane_recovery",
    "In the plane: the settings of recovery; at twice the rate H falls behind E.",
    **_RECOVERY,
    steps=5000,
    frequency=3.0,
    confinement=0.0,
    final_learning_rate=2e-5,
)

_MULTISCALE = {
    "method": "multiscale",
    "reference": "spectral",
    "levels": 60,
    "sampler": "langevin",
    "epsilon": 20.0,
    "num_steps": 1,
    "final_steps": 1,
    "grad_clip": None,
    "l2_coeff": 0.0,
    "data_noise": 0.0,
    "clip_gradients": False,
    "beta_1": 0.9,
    "beta_2": 0.99,
    "average_decay": 0.999,
    "network": "noise_conditional",
    "width": 32,
    "batch_size": 64,
    "learning_rate": 1e-3,
    "final_learning_rate": 2e-5,
    "label_dropout": 0.1,
    "denoise_samples": True,
    "log_interval": 50,
    "sample_interval": 2000,
    "save_interval": 500,
    "num_samples": 1000,
}
MULTISCALE = derived(
    PAPER,
    "multiscale",
    "Energies at sixty levels of noise, each relative to the Gaussian fit of its level, learned "
    "without chains; samples walk down the levels, one exact step of the Gaussian part at each.",
    **_MULTISCALE,
    steps=10_000,
)
CELEBA_MULTISCALE = derived(
    MULTISCALE,
    "celeba_multiscale",
    "Faces in an hour on two cores: no chains in training, so that all of it goes into the "
    "network.",
    random_flip=True,
)
FOLDER_MULTISCALE = derived(
    MULTISCALE,
    "folder_multiscale",
    "A few hundred images of one's own in minutes: small batches, flips, and an end long before "
    "they could be learned by heart.",
    steps=1000,
    batch_size=32,
    random_flip=True,
    log_interval=20,
    sample_interval=250,
    save_interval=250,
    num_samples=500,
)
DIGITS_MULTISCALE = derived(
    MULTISCALE,
    "digits_multiscale",
    "The digits by levels of noise: 64 pixels, so that ten thousand steps take some minutes.",
    sample_interval=2500,
    log_interval=100,
)
CIFAR10_MULTISCALE = derived(
    MULTISCALE,
    "cifar10_multiscale",
    "CIFAR-10 with labels in an hour on two cores; guidance makes samples clearer members of their "
    "class.",
    random_flip=True,
    guidance=1.0,
)
MNIST_MULTISCALE = derived(
    MULTISCALE,
    "mnist_multiscale",
    "MNIST with labels: guidance makes whole digits of strokes in pieces.",
    guidance=1.0,
)
