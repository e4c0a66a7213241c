"""Both bounds of a bidirectional model on its likelihood, by quadrature."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies, entropy
from tf_febm.partition import log_partition_on_grid

__all__ = ["PlaneBounds", "plane_bounds"]

BATCH = 8192


# A weight may be infinite.
@arguments.checking({"weight": None})
class PlaneBounds(NamedTuple):
    """Hold the likelihood of an energy in the plane, and what its bounds are made of.

    Attributes:
        likelihood: float, L = mean E(x) + log Z over the given points, the mean negative
            log-likelihood in nats.
        lower: float, ⌊L⌋.
        penalty: float, GP.
        entropy: float, H[p_g], as its Jacobian has it.
        curvature: float, the least eigenvalue of ∇²(−log ν) on the square, of any sign. ν is the
            model pulled back to the latent space; see `objectives.upper_bound`.
        oscillation: float, the range of log(p₀/ν) on the square.
        log_z_error: float, see `GridPartition.error`.
        edge_share: float, see `GridPartition.edge_share`; where it is not small L is too small.
    """

    likelihood: float
    lower: float
    penalty: float
    entropy: float
    curvature: float
    oscillation: float
    log_z_error: float
    edge_share: float

    @property
    def log_sobolev(self) -> float:
        """A log-Sobolev constant ρ of ν on the square, at least 0, where nothing is proven.

        The larger of two that are proven: `curvature` (Bakry and Émery), and e^(−oscillation)
        (Holley and Stroock, from ρ = 1 of p₀).
        """
        return max(self.curvature, float(np.exp(-self.oscillation)))

    @property
    def certified_weight(self) -> float:
        """1/ρ: with this weight ⌈L⌉ is a bound where the generator is one to one and onto.

        Infinite where ρ is 0, or so small that it cannot be told from it.
        """
        return 1.0 / self.log_sobolev if self.log_sobolev > 1e-12 else float("inf")

    @property
    def sufficient_weight(self) -> float:
        """(L − ⌊L⌋)/GP: the least weight with which ⌈L⌉ reaches L, which no proof knows of."""
        return (self.likelihood - self.lower) / max(self.penalty, 1e-12)

    def upper(self, weight: float) -> float:
        """Return ⌈L⌉ with a weight, at least 0, maybe infinite, and no threshold."""
        if weight == float("inf"):
            return weight
        return self.lower + arguments.number("weight", weight) * self.penalty


@arguments.checked
def plane_bounds(
    model: arguments.Model,
    x: arguments.Array,
    low: arguments.Numbers,
    high: arguments.Numbers,
    num_points: arguments.Whole = 800,
    *,
    reach: float = 4.5,
    num_latents: int = 121,
) -> PlaneBounds:
    """Compute the likelihood of an energy in the plane and its bounds, without sampling.

    log Z is a sum over the cells of a grid. Expectations over z ~ N(0, I₂) are sums over a grid on
    the square [−reach, reach]², weighted with the density and divided by the sum of weights, which
    misses 1.4e-5 of the mass for the default; ν is judged on the same square, and its constants
    belong to it and to the spacing of its points.

    Where the generator is one to one and onto, L − ⌊L⌋ = KL(p_g‖q) ≥ 0, and ⌈L⌉ ≥ L for
    `certified_weight`. Elsewhere either may fail: ⌊L⌋ where images of different z coincide, as the
    entropy is then overstated; ⌈L⌉ where parts of the plane are not reached. Batch normalisation is
    in inference mode.

    Args:
        model: A `BidirectionalEBM` of points in the plane with two latent variables.
        x: Points, real [n, 2]; means over the data are over them.
        low: Lower corner of the box of the grid, [2].
        high: Upper corner, [2].
        num_points: Cells along each axis; see `log_partition_on_grid`.
        reach: Half a side of the square of z, positive.
        num_latents: Points along each of its sides, at least 4.

    Returns:
        A PlaneBounds.

    Raises:
        ValueError: The model is of another dimension, or an argument is out of its range.
    """
    if model.latent_dim != 2 or model.sample_shape != (2,):
        raise ValueError(
            "model must be of points in the plane with 2 latent variables; received one from "
            f"{model.latent_dim} to shape {model.sample_shape}."
        )
    reach = arguments.number("reach", reach, above=True)
    num_latents = arguments.whole_number("num_latents", num_latents, 4)
    axis = np.linspace(-reach, reach, num_latents)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    # Eagerly: a program for one or two batches would take longer to trace than to run.
    parts = [
        _terms(model, tf.constant(z[i : i + BATCH], tf.float32)) for i in range(0, len(z), BATCH)
    ]
    energy, volume, gradient, curvature = (
        np.concatenate(values).astype(np.float64) for values in zip(*parts, strict=True)
    )
    weights = np.exp(-0.5 * np.square(z).sum(axis=1))
    weights /= weights.sum()
    # log(p₀/ν), up to a constant.
    log_ratio = -0.5 * np.square(z).sum(axis=1) - volume + energy

    partition = log_partition_on_grid(model.energy, low, high, num_points)
    of_data = _mean_energy(model.energy, np.asarray(x, np.float32))
    entropy_of_samples = entropy.normal_entropy(2) + weights @ volume
    return PlaneBounds(
        likelihood=of_data + partition.log_z,
        lower=float(of_data - weights @ energy + entropy_of_samples),
        penalty=float(0.5 * weights @ np.square(gradient).sum(axis=1)),
        entropy=float(entropy_of_samples),
        curvature=float(curvature.min()),
        oscillation=float(np.ptp(log_ratio)),
        log_z_error=partition.error,
        edge_share=partition.edge_share,
    )


def _terms(model, z) -> tuple:
    """Return E(G(z)), ½ log det JᵀJ, ∇ log(p₀/ν), and the least eigenvalue of ∇²(−log ν)."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as outer:
        outer.watch(z)
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(z)
            energy = energies.per_example(model.energy(model.generate(z)), z)
            volume = entropy.log_volume(model.generate, z)
            potential = energy - volume
        gradient = inner.gradient(potential, z)
        columns = [gradient[:, 0], gradient[:, 1]]
    hessian = tf.stack([outer.gradient(column, z) for column in columns], axis=1)
    return energy, volume, gradient - z, tf.linalg.eigvalsh(hessian)[:, 0]


def _mean_energy(energy_fn, x) -> float:
    values = [
        np.asarray(energy_fn(tf.constant(x[i : i + BATCH])), np.float64)
        for i in range(0, len(x), BATCH)
    ]
    return float(np.concatenate(values).mean())
