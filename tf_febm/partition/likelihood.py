"""Mean log density of held-out examples."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies

__all__ = ["HeldOutLogLikelihood", "held_out_log_likelihood"]


class HeldOutLogLikelihood(NamedTuple):
    """Mean log density of examples.

    Attributes:
        mean: −mean E(x) − log Z, in nats per example.
        standard_error: Of the mean over the examples; that of log Z comes on top.
    """

    mean: float
    standard_error: float


@arguments.checked
def held_out_log_likelihood(
    energy_fn: Callable, x: arguments.Array, log_z: float, batch_size: int = 8192
) -> HeldOutLogLikelihood:
    """Compute the mean log density of examples under q = e^(−E)/Z.

    Args:
        energy_fn: x, float32 [n, …] -> E(x), [n] or [n, 1].
        x: Examples, real [n, …], n ≥ 2, that training has not seen.
        log_z: Log partition function, from `log_partition_on_grid` or `annealed_log_partition`.
        batch_size: How many at once, at least 1.

    Returns:
        A HeldOutLogLikelihood.

    Raises:
        ValueError: There are fewer than 2 examples.
    """
    x = np.asarray(x, np.float32)
    if len(x) < 2:
        raise ValueError(f"x must hold at least 2 examples; received {len(x)}.")
    parts = [tf.constant(x[i : i + batch_size]) for i in range(0, len(x), batch_size)]
    energy = np.concatenate([energies.per_example(energy_fn(part), part) for part in parts])
    log_density = -energy.astype(np.float64) - log_z
    error = log_density.std(ddof=1) / np.sqrt(len(x))
    return HeldOutLogLikelihood(float(log_density.mean()), float(error))
