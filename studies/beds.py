"""Densities that are known, for studies of methods: their data, energies of one kind, and figures.

A bed has what all methods share: data, the network of the energy, the sampler, rates and steps. So
a row of a table differs from the next by the method alone.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["BEDS", "Bed", "figures", "get"]

# Samples that are drawn of a model, and points that they are held against.
SAMPLES = 1000
# Points at which log Z is estimated where no grid reaches, half of them of the density itself.
POINTS = 200_000


class Bed(NamedTuple):
    """A density, and how energies are fitted to data of it.

    Attributes:
        name: Key of `BEDS`.
        dimension: Of x.
        sample: (count, seed) -> float32 [count, dimension], of the density.
        log_prob: x -> float64 [n].
        box: (low, high) of a grid in the plane, or None.
        step: Spacing of the grid.
        outliers: Share of the training data that is of no interest.
        gaussian: Whether the energy is a diagonal Gaussian's, in the units of x; else a perceptron
            relative to the Gaussian of the data.
        epsilon: ε of the Langevin dynamics, in units of the chains.
        gamma: γ of the pseudo-spherical score.
        noise: Noise of denoising and of energy discrepancy, in units of the chains.
        rate: First learning rate of the energy.
        second_rate: That of a second network.
        l2_coeff: Weight of the mean squared outputs.
        steps: Of training.
    """

    name: str
    dimension: int
    sample: Callable[[int, int], np.ndarray]
    log_prob: Callable[[np.ndarray], np.ndarray]
    box: tuple[float, float] | None = None
    step: float = 0.05
    outliers: float = 0.0
    gaussian: bool = False
    epsilon: float = 5e-3
    gamma: float = 0.5
    noise: tuple[float, float] = (0.1, 0.5)
    rate: float = 2e-3
    second_rate: float = 4e-3
    l2_coeff: float = 0.0
    steps: int = 1500

    def train(self, count: int, seed: int) -> np.ndarray:
        """Return training data, float32 [count, dimension], outliers among them."""
        x = self.sample(count, seed)
        rng = np.random.default_rng([seed, 1])
        number = round(self.outliers * count)
        x[:number] = 6.0 + 0.3 * rng.standard_normal((number, self.dimension))
        return rng.permutation(x).astype(np.float32)


def _toy(name: str, **settings) -> Bed:
    from tf_febm import data

    known = data.toy_datasets.get(name)
    return Bed(name, 2, known.sample, known.log_prob, known.box, known.step, **settings)


def _mixture(name: str, means, scales, **settings) -> Bed:
    """Return a bed of a mixture of Gaussians of equal weight."""
    from scipy.special import logsumexp

    means, scales = (np.asarray(part, np.float64) for part in (means, scales))
    dimension = means.shape[1]

    def sample(count, seed):
        rng = np.random.default_rng([seed, 0])
        which = rng.integers(len(means), size=count)
        x = means[which] + scales[which] * rng.standard_normal((count, dimension))
        return x.astype(np.float32)

    def log_prob(x):
        z = (np.asarray(x, np.float64)[:, None] - means) / scales
        each = -0.5 * (z**2).sum(-1) - np.log(scales).sum(-1)
        return logsumexp(each, axis=1) - np.log(len(means)) - 0.5 * dimension * np.log(2 * np.pi)

    return Bed(name, dimension, sample, log_prob, **settings)


def _ten() -> Bed:
    rng = np.random.default_rng(10)
    means = 2.0 * rng.standard_normal((4, 10)) / np.sqrt(2.0)
    scales = rng.uniform(0.6, 1.2, (4, 10))
    return _mixture("mixture10", means, scales, epsilon=2e-2, gamma=0.1, noise=(0.2, 0.5))


def _contaminated(percent: int) -> Bed:
    return _mixture(
        f"contaminated_{percent}",
        [[0.0, 0.0]],
        [[1.0, 0.6]],
        box=(-14.0, 14.0),
        outliers=percent / 100.0,
        gaussian=True,
        epsilon=0.1,
        gamma=1.0,
        noise=(0.1, 1.0),
        rate=2e-2,
        steps=600,
    )


BEDS: dict[str, Callable[[], Bed]] = {
    "moons": functools.partial(
        _toy, "moons", epsilon=2e-3, rate=1e-3, second_rate=1e-3, l2_coeff=0.02, steps=800
    ),
    "mixture10": _ten,
    "contaminated_5": functools.partial(_contaminated, 5),
    "contaminated_20": functools.partial(_contaminated, 20),
}


def get(name: str) -> Bed:
    """Return a bed by its name."""
    return BEDS[name]()


def points_of(bed: Bed, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return where energies are asked for, and the log density that these points were drawn from.

    In the plane these are the cells of a grid, and there is no such density.
    """
    if bed.box is not None:
        axis = np.arange(bed.box[0] + bed.step / 2, bed.box[1], bed.step)
        both = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
        return both.reshape(-1, 2).astype(np.float32), None
    own = bed.sample(POINTS // 2, seed + 1000)
    centre, wide = own.mean(0), 1.5 * own.std(0)
    rng = np.random.default_rng([seed, 2])
    others = centre + wide * rng.standard_normal((POINTS // 2, bed.dimension))
    points = np.concatenate([own, others.astype(np.float32)])
    broad = -0.5 * (((points - centre) / wide) ** 2).sum(1) - np.log(wide).sum()
    broad -= 0.5 * bed.dimension * np.log(2 * np.pi)
    return points, np.logaddexp(bed.log_prob(points), broad) - np.log(2.0)


def figures(bed: Bed, seed: int, energy_fn: Callable, samples: np.ndarray) -> dict[str, Any]:
    """Return how far an energy and samples are from the density of a bed.

    Args:
        bed: A `Bed`.
        seed: Of points and of what samples are held against.
        energy_fn: x, float32 [n, dimension] -> energies, [n].
        samples: Of the model, [m, dimension].

    Returns:
        "kl", KL(density‖model) in nats; "kl_error", of log Z: the distance from a grid twice as
        wide, or two standard errors of importance sampling from half the density and half a broad
        Gaussian; "distance", the energy distance of samples and as many points of the density in
        deviations of these, 0 where both are alike.
    """
    from scipy.special import logsumexp

    from tf_febm.models.sample_distance import sample_distance

    points, drawn_from = points_of(bed, seed)
    energies = np.concatenate(
        [np.asarray(energy_fn(part), np.float64).reshape(-1) for part in _parts(points)]
    )
    log_p = bed.log_prob(points)
    if drawn_from is None:
        cell = 2 * np.log(bed.step)
        log_z = logsumexp(-energies) + cell
        side = round(len(points) ** 0.5)
        coarse = -energies.reshape(side, side)[::2, ::2]
        error = abs(logsumexp(coarse) + cell + np.log(4.0) - log_z)
        p = np.exp(log_p + cell)
        seen = p > 0.0
        kl = np.sum(p[seen] * (log_p[seen] + energies[seen])) / p.sum() + log_z
    else:
        log_weights = -energies - drawn_from
        log_z = logsumexp(log_weights) - np.log(len(points))
        weights = np.exp(log_weights - log_weights.max())
        error = 2.0 * weights.std() / weights.mean() / np.sqrt(len(points))
        own = slice(0, len(points) // 2)
        kl = np.mean(log_p[own] + energies[own]) + log_z
    truth = bed.sample(SAMPLES, seed + 2000)
    finite = np.isfinite(samples).all()
    distance = float(sample_distance(truth, samples[:SAMPLES]).value) if finite else None
    kl = float(kl) if np.isfinite(kl) else None
    return {"kl": kl, "kl_error": float(error) if kl is not None else None, "distance": distance}


def _parts(points: np.ndarray) -> list[np.ndarray]:
    return np.array_split(points, -(-len(points) // 50_000))
