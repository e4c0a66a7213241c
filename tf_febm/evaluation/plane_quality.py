"""All figures of a model of a toy dataset in the plane, whose density is known."""

import dataclasses

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.modes import mode_coverage
from tf_febm.partition import divergence_on_grid, held_out_log_likelihood
from tf_febm.renamed import earlier_arguments

__all__ = ["PlaneQuality", "plane_quality"]


@dataclasses.dataclass(frozen=True)
class PlaneQuality:
    """The figures of a model of a known density in the plane.

    Attributes:
        kl: KL(data‖model) by a grid, in nats: of the energy, whatever the sampler does.
        log_z: Log partition function of the energy, by the same grid.
        log_z_error: See `GridPartition.error`.
        edge_share: Share of the model's mass near the edge of the grid; where it is not small,
            log Z and `kl` are too small.
        held_out_log_likelihood: Mean log density of held-out points under the energy.
        true_log_likelihood: The same under the true density: what cannot be surpassed but by
            chance.
        gaussian_log_likelihood: The same under the Gaussian with the mean and the covariance of
            these points: what needs no network.
        modes_covered: See `mode_coverage`; None where the density has no such modes.
        modes: Their number, or None.
        share_near_modes: Share of samples within 4 standard deviations of a mode, or None.
        num_samples: int.
    """

    kl: float
    log_z: float
    log_z_error: float
    edge_share: float
    held_out_log_likelihood: float
    true_log_likelihood: float
    gaussian_log_likelihood: float
    modes_covered: int | None
    modes: int | None
    share_near_modes: float | None
    num_samples: int

    def as_dict(self) -> dict:
        """Convert to a dict of int, float and None, ready for `json.dumps`."""
        return dataclasses.asdict(self)


@earlier_arguments({"bed": "toy_dataset"})
@arguments.checked
def plane_quality(
    energy_fn: arguments.Function,
    samples: arguments.Array,
    toy_dataset: arguments.ToyDensity,
    held_out: arguments.Array,
) -> PlaneQuality:
    """Measure an energy and samples against a toy dataset.

    Args:
        energy_fn: x, float32 [n, 2] -> E(x), [n] or [n, 1], such as `model.energy`.
        samples: Real array [n, 2], those of the model.
        toy_dataset: A `tf_febm.data.toy_datasets.ToyDataset`.
        held_out: Real array [m, 2], points of the data that training has not seen.

    Returns:
        A PlaneQuality.

    Raises:
        ValueError: A shape does not fit, samples are not finite, or an energy is NaN or −∞.
    """
    low, high = toy_dataset.box
    num_points = round((high - low) / toy_dataset.step)
    found = divergence_on_grid(toy_dataset.log_prob, energy_fn, [low] * 2, [high] * 2, num_points)
    likelihood = held_out_log_likelihood(energy_fn, held_out, found.partition.log_z)
    coverage = None
    if toy_dataset.modes is not None:
        coverage = mode_coverage(samples, toy_dataset.modes, toy_dataset.mode_scale)
    return PlaneQuality(
        kl=found.kl,
        log_z=found.partition.log_z,
        log_z_error=found.partition.error,
        edge_share=found.partition.edge_share,
        held_out_log_likelihood=likelihood.mean,
        true_log_likelihood=float(toy_dataset.log_prob(np.asarray(held_out, np.float32)).mean()),
        gaussian_log_likelihood=_of_gaussian(np.asarray(held_out, np.float64)),
        modes_covered=None if coverage is None else coverage.covered,
        modes=None if coverage is None else coverage.total,
        share_near_modes=None if coverage is None else coverage.share_near,
        num_samples=len(samples),
    )


def _of_gaussian(points: np.ndarray) -> float:
    """Return the mean log density of points under the Gaussian that fits them best."""
    covariance = np.cov(points, rowvar=False, bias=True)
    dimension = points.shape[1]
    return -0.5 * float(dimension * np.log(2 * np.pi * np.e) + np.linalg.slogdet(covariance)[1])
