"""Recipes of recovery likelihood, each with a sentence of why."""

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
