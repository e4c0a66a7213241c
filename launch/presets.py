"""Settings that are known to work, one row per data set.

`paper` is what Yu et al. (2020) used on CIFAR-10 and CelebA 32×32 and what the other rows change.
A flag given on the command line wins over its preset.
"""

PAPER = {
    "steps": 100_000,
    "batch_size": 128,
    "lr": 3e-4,
    "lr_final": 3e-4,
    "variational_lr_ratio": 1.0,
    "variational_steps": 1,
    "beta_1": 0.0,
    "num_steps": 60,
    "step_lr": 10.0,
    "proj_norm": 0.01,
    "noise_scale": 1.0,
    "l2_coeff": 1.0,
    "variational_l2_coeff": None,
    "shift_invariant": False,
    "data_noise": 0.0,
    "random_flip": False,
    "random_crop": 0,
    "average_decay": 0.999,
    "clip_gradients": True,
    "adam_epsilon": 1e-7,
    "network": "conv",
    "num_filters": 64,
    "buffer_size": 10_000,
    "log_interval": 50,
    "sample_interval": 500,
    "save_interval": 500,
    "final_steps": 300,
    # Of vector data alone; see VECTORS.
    "epsilon": 0.0,
    "confinement": 0.0,
    "frequency": 3.0,
}

# Found by trial. On 8×8 pixels a perceptron is as good as convolutions and ten times as fast. Noise
# on the data and strong Langevin noise keep the chains mixing; without them quality falls again
# late in training. A variational function that learns as fast as the energy may outrun it, after
# which the energy's gradient is faint: the Fréchet ratios of three seeds were 2.1, 2.3 and 6.1 at
# equal rates; 3.4, 1.9 and 2.1 at half; 2.2, 1.9 and 2.1 at a quarter.
DIGITS = {
    **PAPER,
    "steps": 14_000,
    "batch_size": 64,
    "lr": 1.5e-3,
    "lr_final": 1e-4,
    "variational_lr_ratio": 0.25,
    "num_steps": 40,
    "noise_scale": 10.0,
    "l2_coeff": 0.1,
    "data_noise": 0.05,
    "network": "mlp",
    "num_filters": 256,
    "log_interval": 100,
    "sample_interval": 1000,
    "save_interval": 1000,
    "final_steps": 20,
}

# Handwritten figures and clothes: in half an hour on one core the perceptron of the digits, made
# twice as wide, came further than convolutions.
MNIST = {**DIGITS, "steps": 6000, "num_filters": 512}

# Pictures of one's own: the same perceptron, so that a first look takes minutes anywhere. What the
# paper's network makes of a large folder on a GPU is --preset=celeba_paper.
FOLDER = {
    **DIGITS,
    "steps": 2000,
    "num_filters": 512,
    "log_interval": 50,
    "sample_interval": 500,
    "save_interval": 500,
}

# The original's lines for its CIFAR-10 and CelebA models; too large for a processor without a GPU.
RESNET = {**PAPER, "network": "resnet32", "num_filters": 128}

# Points in the plane. The l2 terms keep the energies of modes between which no chain moves at one
# level: on the 25 Gaussians contrastive divergence with 0.001 found all modes, and KL(data‖model)
# was 70 nats. Clipped gradients bound a step of the drift; without that, chains in wells that are
# too steep run away.
PLANE = {
    **PAPER,
    "steps": 4000,
    "batch_size": 128,
    "lr": 5e-4,
    "lr_final": 1e-5,
    "num_steps": 15,
    "epsilon": 1e-3,
    "proj_norm": 100.0,
    "l2_coeff": 0.02,
    "average_decay": 0.99,
    "network": "fourier_mlp",
    "num_filters": 128,
    "frequency": 5.0,
    "confinement": 0.1,
    "log_interval": 100,
    "sample_interval": 1000,
    "save_interval": 1000,
    # Chains from noise cross plateaus by diffusion: after 200 steps half of them were on their way.
    "final_steps": 3000,
}

# Narrow modes bound ε: the chain's variance at curvature c is 1/(c(1 − εc/4)), never below ε. That
# of the modes is 3.1e-4 and 2.0e-4.
GAUSSIANS_25 = {**PLANE, "epsilon": 2e-4, "proj_norm": 300.0}
GAUSSIANS_8 = {**PLANE, "epsilon": 1e-4, "proj_norm": 500.0}

# Vectors of any length. Noise on the data keeps the energy smooth where columns nearly determine
# one another, and few examples from becoming wells of their own. With the well of strength 1 the
# energy begins as a standard Gaussian, and the network learns what to change of it. The l2 terms
# would flatten the well: AUROC on breast_cancer, splits 100 to 102, 600 steps, was 0.87 with 0.001,
# 0.96 without, where the bare norm and a Gaussian fit have 0.96. Without them the constant of the
# energy must be held otherwise, by shift_invariant, or training runs away along it (0.39).
VECTORS = {
    **PLANE,
    "steps": 1000,
    "sample_interval": 250,
    "batch_size": 64,
    "lr": 1e-3,
    "lr_final": 1e-4,
    "num_steps": 20,
    "epsilon": 0.01,
    "proj_norm": 30.0,
    "l2_coeff": 0.0,
    "shift_invariant": True,
    "data_noise": 0.1,
    "network": "mlp",
    "confinement": 1.0,
}

# Of --method=bidirectional, with networks of this library: swish, no batch normalisation, images in
# [0, 1]; a bound's weight of the penalty, averaged weights, gradients that are bounded by earlier
# ones, and enough iterations for the smallest singular value. Of Geng et al. (2021) are batch size,
# rates, Adam's β and the number of latent variables; their settings are BOUNDS_PAPER. There are no
# chains: --num_steps and the like are those of the sampler that may refine samples.
BOUNDS = {
    **PAPER,
    "batch_size": 64,
    "lr": 2e-4,
    "lr_final": 2e-4,
    "generator_lr_ratio": 1.0,
    "l2_coeff": 0.0,
    "latent_dim": 128,
    "penalty": "latent",
    "penalty_weight": 1.0,
    "penalty_threshold": 0.0,
    "entropy": "auto",
    "entropy_weight": 1.0,
    "entropy_iterations": 10,
    "generator": "dcgan",
    "generator_batch_norm": False,
    "final_steps": 0,
}

# What the public code of Geng et al. does on CIFAR-10, as far as the method here is the same: two
# iterations for the smallest singular value (that start at the last step's vectors here, anew
# there), the whole gradient in the penalty (one random direction there), the generator in inference
# mode wherever it appears (in training mode for samples there), noise of 1/256 on images (none
# there). A state of that code of 2022 has rates of 5e-5 and β₂ = 0.999: --lr=5e-5 --beta_2=0.999.
BOUNDS_PAPER = {
    **BOUNDS,
    # 100 epochs.
    "steps": 78_100,
    "random_flip": True,
    "average_decay": 0.0,
    "clip_gradients": False,
    "adam_epsilon": 1e-6,
    "penalty_weight": 1e-3,
    "entropy": "smallest_singular_value",
    "entropy_iterations": 2,
    "network": "published_bounds",
    "generator": "published_bounds",
    "generator_batch_norm": True,
}
# The same on points. With two latent variables the smallest singular value is exact; there the
# penalty takes the whole determinant nevertheless, and its weight falls from 0.01 to 0.001.
BOUNDS_PAPER_PLANE = {
    **BOUNDS_PAPER,
    "steps": 150_000,
    "batch_size": 200,
    "random_flip": False,
    "num_filters": 100,
    "latent_dim": 2,
    **{
        name: PLANE[name]
        for name in ("epsilon", "proj_norm", "num_steps", "log_interval", "sample_interval")
    },
    "save_interval": 5000,
}

# Found by trial on seed 0: the Fréchet ratio after 3,000 steps was 8.9 with entropy weight 1,
# penalty 0.1 and 16 latent variables, next to the theory's weights; 4.9 with 0.1 and 0.01. An
# entropy weight of 0.1 with a penalty of 0.1 ended in numbers that are not finite.
DIGITS_BOUNDS = {
    **BOUNDS,
    "steps": 10_000,
    "lr": 1e-3,
    "lr_final": 1e-4,
    "penalty_weight": 0.01,
    "entropy_weight": 0.1,
    "data_noise": 0.05,
    "latent_dim": 10,
    "network": "mlp",
    "num_filters": 256,
    "generator": "mlp",
    "log_interval": 100,
    "sample_interval": 1000,
    "save_interval": 1000,
}

# Perceptrons, as convolutions on so many pixels take a GPU. The weights are those of the digits.
MNIST_BOUNDS = {
    **DIGITS_BOUNDS,
    "steps": 20_000,
    "latent_dim": 24,
    "entropy": "smallest_singular_value",
    "entropy_iterations": 3,
}
# With w = 0.1 the energy gap ran away, whatever the rates.
STACKED_MNIST_BOUNDS = {**MNIST_BOUNDS, "generator_lr_ratio": 3.0}

# Points in the plane. Of the generators the monotone one alone reaches modes far apart, and none
# that is smooth and folds goes with the penalty: ∇log det J has a pole at every fold, and the
# penalty of a perceptron was 3e5 after 1,000 steps. Energies of Fourier features, as for f-EBM.
# With a weight of 0.001 in the place of 0.1 moons ended beyond 1,000 nats, swiss roll at 1.5.
PLANE_BOUNDS = {
    **PLANE,
    **{name: BOUNDS[name] for name in BOUNDS.keys() - PAPER.keys()},
    "steps": 5000,
    "batch_size": 200,
    "lr": 1e-3,
    "lr_final": 1e-5,
    "generator_lr_ratio": 3.0,
    "l2_coeff": 0.0,
    "average_decay": 0.999,
    "latent_dim": 2,
    "penalty_weight": 0.1,
    "generator": "monotone",
    "final_steps": 0,
}

# Narrow modes far apart: the penalty, in units of the latent space, grows with the slopes between
# them. On seed 0 the share of samples within 4 standard deviations of a mode was 35 % with 0.1
# after 6,000 steps, 93 % with 0.003 and 96 % with 0.001 after 12,000. With an entropy weight
# below 1 fewer samples lie on the bridges: on seed 1, after 12,000 steps, 96.3 % with 0.9, 93.8 %
# with 1.
GAUSSIANS_25_BOUNDS = {
    **PLANE_BOUNDS,
    "steps": 20_000,
    "penalty_weight": 0.001,
    "entropy_weight": 0.9,
    # For chains that refine samples; see GAUSSIANS_25.
    "epsilon": 2e-4,
    "proj_norm": 300.0,
}

PRESETS = {
    "paper": PAPER,
    "cifar10_paper": RESNET,
    "celeba_paper": RESNET,
    "digits": DIGITS,
    "plane": PLANE,
    "25gaussians": GAUSSIANS_25,
    "8gaussians": GAUSSIANS_8,
    "vectors": VECTORS,
    "mnist": MNIST,
    "folder": FOLDER,
    "fashion_mnist": MNIST,
    "bidirectional": BOUNDS,
    "bounds_paper": BOUNDS_PAPER,
    "bounds_paper_plane": BOUNDS_PAPER_PLANE,
    "digits_bidirectional": DIGITS_BOUNDS,
    "mnist_bidirectional": MNIST_BOUNDS,
    "stacked_mnist_bidirectional": STACKED_MNIST_BOUNDS,
    "plane_bidirectional": PLANE_BOUNDS,
    "25gaussians_bidirectional": GAUSSIANS_25_BOUNDS,
}

# What a network has where it is not that of the preset and --num_filters is not given; of the
# resnets for 32×32 and resnet128, what the original builds.
FILTERS_OF = {
    "resnet32": 128,
    "resnet32_large": 128,
    "resnet32_larger": 128,
    "resnet32_wider": 256,
    "resnet128": 64,
    "mnist_net": 64,
    "conv": 64,
    "mlp": 256,
    "fourier_mlp": 128,
    "published_bounds": 64,
}

# Test beds in the plane.
PLANES = (
    *("25gaussians", "8gaussians", "swiss_roll", "moons", "checkerboard", "pinwheel", "rings"),
)

# Data sets that share one. A .npz may hold images or vectors; choose --preset=vectors for these.
PRESET_OF = {
    "cifar10": "cifar10_paper",
    "celeba": "celeba_paper",
    "csv": "vectors",
    "swiss_roll": "plane",
    "moons": "plane",
    "checkerboard": "plane",
    "pinwheel": "plane",
    "rings": "plane",
    # For the methods that have no preset for these alone.
    "25gaussians": "plane",
    "8gaussians": "plane",
}


def preset_for(name: str, dataset: str, method: str = "febm") -> tuple[str, dict]:
    """Return the name and the settings of a preset.

    Args:
        name: One of `PRESETS`, or "auto", the data set's own, if it has one for the method.
        dataset: The data set.
        method: The method.

    Raises:
        ValueError: If the preset is for another method.
    """
    if name == "auto":
        # The first that exists: the data set's own, the one it shares, the one for all.
        names = (dataset, PRESET_OF.get(dataset, "paper"))
        if method == "bidirectional":
            names = (*(f"{name}_{method}" for name in names), method)
        name = next(name for name in names if name in PRESETS)
    if "latent_dim" in PRESETS[name] and method != "bidirectional":
        raise ValueError(f"--preset={name} is for --method=bidirectional, not {method}.")
    if name in ("bounds_paper", "bounds_paper_plane"):
        name = "bounds_paper_plane" if dataset in PLANES else "bounds_paper"
    # Any other preset leaves what only this method has as the method's own.
    base = BOUNDS if method == "bidirectional" else {}
    return name, {**base, **PRESETS[name]}
