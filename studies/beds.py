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
# Points of the density at which energies are averaged where no grid reaches.
POINTS = 20_000
# Of annealing there and back.
CHAINS, TEMPERATURES = 128, 400


class Bed(NamedTuple):
    """A density, and how energies are fitted to data of it.

    Attributes:
        name: Key of `BEDS`.
        dimension: Of x.
        sample: (count, seed) -> float32 [count, dimension], of the density; of the digits, whose
            density nobody knows, those for training.
        log_prob: x -> float64 [n]; None where it is not known.
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
        width: Units of each of two layers.
    """

    name: str
    dimension: int
    sample: Callable[[int, int], np.ndarray]
    log_prob: Callable[[np.ndarray], np.ndarray] | None
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
    width: int = 64

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


def of_ten() -> tuple[np.ndarray, np.ndarray]:
    """Return means and deviations of the Gaussians of mixture10, each [4, 10]."""
    rng = np.random.default_rng(10)
    return 2.0 * rng.standard_normal((4, 10)) / np.sqrt(2.0), rng.uniform(0.6, 1.2, (4, 10))


def _ten() -> Bed:
    return _mixture("mixture10", *of_ten(), epsilon=2e-2, gamma=0.1, noise=(0.2, 0.5))


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


def _digits() -> Bed:
    return Bed(
        "digits",
        64,
        lambda count, seed: digits("train", count, seed),
        None,
        epsilon=2e-2,
        gamma=0.05,
        noise=(0.2, 0.5),
        rate=1e-3,
        second_rate=2e-3,
        l2_coeff=0.01,
        steps=1000,
        width=256,
    )


def digits(split: str, count: int, seed: int) -> np.ndarray:
    """Return digits as vectors in (0, 1), float32 [count, 64]: (levels + uniform noise)/17."""
    from tf_febm import data

    images = data.load("digits", split=split).images.reshape(-1, 64)
    rng = np.random.default_rng([seed, 4, split == "test"])
    levels = np.rint(images[rng.permutation(count) % len(images)] * (16.0 / 255.0))
    return ((levels + rng.random(levels.shape)) / 17.0).astype(np.float32)


BEDS: dict[str, Callable[[], Bed]] = {
    "moons": functools.partial(
        _toy, "moons", epsilon=2e-3, rate=1e-3, second_rate=1e-3, l2_coeff=0.02, steps=800
    ),
    "mixture10": _ten,
    "contaminated_5": functools.partial(_contaminated, 5),
    "contaminated_20": functools.partial(_contaminated, 20),
    "digits": _digits,
}


def get(name: str) -> Bed:
    """Return a bed by its name."""
    return BEDS[name]()


def figures(bed: Bed, seed: int, energy_fn: Callable, samples: np.ndarray) -> dict[str, Any]:
    """Return how far an energy and samples are from the density of a bed.

    Args:
        bed: A `Bed`.
        seed: Of points and of what samples are held against.
        energy_fn: x, float32 [n, dimension] -> energies, [n]; differentiable, but in the plane.
        samples: Of the model, [m, dimension].

    Returns:
        "kl", KL(density‖model) in nats, or of the digits the mean of −log q of held-out ones;
        "lower" and "upper", what the interval of log Z leaves of it: in the plane the distance from
        a grid twice as wide on both sides, else annealing there and back, in the white coordinates
        of the data; "distance", the energy distance of samples and as many points of the density
        in deviations of these, 0 where both are alike, or of digits the Fréchet ratio. None is what
        is not finite.
    """
    from tf_febm.models.sample_distance import sample_distance

    found = _of_grid(bed, energy_fn) if bed.box is not None else _bracketed(bed, seed, energy_fn)
    distance = None
    if np.isfinite(samples).all():
        if bed.log_prob is None:
            distance = _frechet_ratio(samples)
        else:
            truth = bed.sample(SAMPLES, seed + 2000)
            distance = float(sample_distance(truth, samples[:SAMPLES]).value)
    if not np.isfinite(found).all():
        found = (None, None, None)
    return {**dict(zip(("kl", "lower", "upper"), found, strict=True)), "distance": distance}


def _of_grid(bed: Bed, energy_fn: Callable) -> tuple[float, float, float]:
    """Return the KL and its ends by the cells of a grid."""
    from scipy.special import logsumexp

    axis = np.arange(bed.box[0] + bed.step / 2, bed.box[1], bed.step)
    both = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    points = both.reshape(-1, 2).astype(np.float32)
    energies, log_p = _energies(energy_fn, points), bed.log_prob(points)
    cell = 2 * np.log(bed.step)
    log_z = logsumexp(-energies) + cell
    coarse = -energies.reshape(len(axis), len(axis))[::2, ::2]
    error = abs(logsumexp(coarse) + cell + np.log(4.0) - log_z)
    p = np.exp(log_p + cell)
    seen = p > 0.0
    kl = float(np.sum(p[seen] * (log_p[seen] + energies[seen])) / p.sum() + log_z)
    return kl, kl - error, kl + error


def _bracketed(bed: Bed, seed: int, energy_fn: Callable) -> tuple:
    """Return the same with log Z by annealing there and back; None where it does not get there."""
    import tensorflow as tf
    from tensorflow_probability import distributions

    from tf_febm import evaluation

    data = bed.sample(POINTS, seed)
    mean, factor = white(data)
    scale, centre = tf.constant(factor.T, tf.float32), tf.constant(mean, tf.float32)
    points = digits("test", 360, seed) if bed.log_prob is None else bed.sample(POINTS, seed + 1000)
    own = np.mean(_energies(energy_fn, points))
    if bed.log_prob is not None:
        own += np.mean(bed.log_prob(points))
    base = distributions.MultivariateNormalDiag(
        tf.zeros(bed.dimension), tf.fill([bed.dimension], 2.0**0.5)
    )
    try:
        part = evaluation.bracketed_log_partition(
            lambda z: energy_fn(tf.matmul(z, scale) + centre),
            base,
            num_chains=CHAINS,
            num_temperatures=TEMPERATURES,
            seed=seed,
        )
    except ValueError:
        return (np.nan,) * 3
    volume = np.linalg.slogdet(factor)[1]
    return tuple(float(own + volume + end) for end in (part.log_z, part.lower, part.upper))


def white(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return μ and L of x = μ + L z with white z."""
    return x.mean(0), np.linalg.cholesky(np.cov(x.T, dtype=np.float64))


def _energies(energy_fn: Callable, points: np.ndarray) -> np.ndarray:
    parts = np.array_split(points, -(-len(points) // 50_000))
    return np.concatenate([np.asarray(energy_fn(part), np.float64).reshape(-1) for part in parts])


@functools.cache
def _features() -> tuple:
    """Return a classifier of the digits, its features of held-out ones, and their distance."""
    from tf_febm import data, evaluation

    train, held_out = (data.load("digits", split=split) for split in ("train", "test"))
    classifier = evaluation.train_classifier(train.images, train.labels, 10, name="digits")
    features = classifier.features(held_out.images)
    return (
        classifier,
        features,
        evaluation.frechet_distance(classifier.features(train.images), features),
    )


def _frechet_ratio(samples: np.ndarray) -> float:
    """Return how many times further samples are from held-out digits than those for training."""
    from tf_febm import evaluation

    classifier, features, unit = _features()
    levels = np.floor(np.clip(samples, 0.0, 1.0 - 1e-6) * 17.0) / 16.0
    own = classifier.features(levels.reshape(-1, 8, 8, 1).astype(np.float32))
    return evaluation.frechet_distance(own, features) / unit
