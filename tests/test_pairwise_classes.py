"""Class means of conditional models with every way to start chains, and shares that differ."""

import keras
import numpy as np
import pytest

import tf_febm
from tf_febm import networks, optimizers, samplers

MEANS, SCALE, SHARES = np.array([-1.0, 1.0]), 0.7, np.array([0.9, 0.1])
# The mean of 2,000 independent draws of N(m, 0.7²) has a deviation of 0.016; the rest of this is
# for short training, and a sixth of what tells the classes apart.
TOLERANCE = 0.33
BATCH, STEPS, CHAINS = 128, 300, 2000

BUFFERS = {
    "none": lambda: None,
    "replay": lambda: tf_febm.ReplayBuffer(2000),
    "persistent": lambda: tf_febm.PersistentChains(1024),
}


def train(method, buffer, rows=False):
    """Return a conditional model of two classes, one of them rare."""
    rng = np.random.default_rng(0)
    labels = rng.choice(2, BATCH * STEPS, p=SHARES).astype(np.int32)
    x = MEANS[labels, None] + SCALE * rng.standard_normal((BATCH * STEPS, 1))
    x = x.astype(np.float32)
    keras.utils.set_random_seed(0)
    settings = {
        "sampler": samplers.Langevin.from_epsilon(0.2, 20), "buffer": BUFFERS[buffer](),
        "l2_coeff": 0.0, "seed": 1,
    }  # fmt: skip
    energy = networks.with_confinement(networks.mlp(1, (16,), "swish", num_classes=2), 0.2)
    rates = (0.01,) if method == "contrastive_divergence" else (0.005, 0.02)
    if method == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(energy, initial="noise", **settings)
    else:
        # The variational function is the faster player, and nothing runs away along a constant.
        variational = networks.mlp(1, (16,), "swish", num_classes=2)
        model = tf_febm.FEBM(energy, variational, method, shift_invariant=True, **settings)
    made = [optimizers.FusedAdam(rate, beta_1=0.5) for rate in rates]
    model.compile(*made)
    y = np.eye(2, dtype=np.float32)[labels] if rows else labels
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "buffer", "rows"),
    [
        ("contrastive_divergence", "none", False),
        ("contrastive_divergence", "persistent", True),
        ("kl", "replay", False),
    ],
)
def test_class_means(method, buffer, rows):
    """By quadrature of e^(−E): what the energies say, whatever chains make of it."""
    model = train(method, buffer, rows)
    grid = np.linspace(-7.0, 7.0, 1401, dtype=np.float32)[:, None]
    for label, mean in enumerate(MEANS):
        energy = model.energy(grid, np.full(len(grid), label)).numpy().astype(np.float64)
        density = np.exp(energy.min() - energy)
        density /= density.sum()
        found = (density * grid[:, 0]).sum()
        print(f"{method} {buffer}, class {label}: mean {found:.3f} by its energy")
        assert abs(found - mean) < TOLERANCE
        chains = model.sample(CHAINS, np.full(CHAINS, label), seed=2, num_steps=100).numpy()
        print(f"    {chains.mean():.3f} of its samples")
        assert abs(chains.mean() - mean) < TOLERANCE
