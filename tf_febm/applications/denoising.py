"""Denoising: the mean of the posterior that the energy and a known noise level define."""

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, compiled, energies, networks, randomness
from tf_febm.applications.energy_of import (
    checked_images,
    checked_labels,
    energy_of,
    in_batches,
)
from tf_febm.applications.level_chains import energy_at
from tf_febm.models.noise_conditional import NoiseConditionalModel

__all__ = ["Denoised", "denoise"]

# Length of a Langevin step, as a share of the way that the data term alone would go. On MNIST at
# s = 0.3, steps twice as long lost 0.9 dB, and half as long needed twice as many for the same.
_STRIDE = 0.1
# First part of a chain that does not count.
_BURN_IN = 0.2
# The weights of the energy that are tried, as powers of 2 of the weight at which energy and data
# term pull alike, and how many images choose among them.
_CANDIDATES = range(-3, 7)
_CALIBRATION = 64
# Step of the finite difference, as a share of the noise level.
_DIFFERENCE = 0.03
_FLAT = "The energy is flat, or not finite, at these images: give energy_weight."


class Denoised(NamedTuple):
    """Denoised images.

    Attributes:
        images: Float32 array [n, …], inside the model's bounds.
        energy_weight: The weight w of the energy, given or chosen.
    """

    images: np.ndarray
    energy_weight: float


@arguments.checked
def denoise(
    model: arguments.Model,
    images: arguments.Array,
    noise_level: float,
    labels: arguments.Labels | None = None,
    seed: arguments.Seed | None = None,
    *,
    energy_weight: float | None = None,
    num_steps: int = 200,
    batch_size: int = 256,
) -> Denoised:
    """Remove Gaussian noise of known level: y = x + s·ξ, ξ ~ N(0, I).

    The result is the mean over a Langevin chain (the paper's Eq. 5, inside the model's bounds),
    started at y, of the posterior

        π(x | y) ∝ exp(−w E(x) − |x − y|²/(2s²))

    The posterior mean has the least squared error of all estimates if exp(−wE)/Z is the law of x.
    (On digits it was 0.5 dB better than the most likely x, which gradient descent finds.)

    The weight w is needed because energies of these models have a scale of their own: they are
    trained with chains far colder than exp(−E), and only the product of step and gradient counts
    there. If it is not given, the one is taken, out of ten a factor of 2 apart, with the least
    error by Stein's unbiased risk estimate on 64 of the images; x is not needed for that:

        E|x̂(y) − x|² = E[|x̂(y) − y|² + 2s² div x̂(y)] − d·s²

    with the divergence by one random finite difference.

    Models of levels of noise, `Recovery` and `MultiscaleScoreMatching`, have the energy of noisy
    data, and need no chain: the posterior mean is one step, of weight 1 where that energy is right,

        x̂(y) = y − w r(y),   r = s² ∇E_s(y),

    r between those of the two levels whose noise is nearest to s, and w by the same estimate, which
    is least at w = s² E[div r] / E|r|². Levels whose noise differs by coordinate,
    those of a reference with covariance="full", are of no use here: a chain runs at level 0.

    Not guaranteed: the estimate is unbiased for noise that is Gaussian and of that level; for noisy
    images that were clipped or rounded give a weight, found on others. The model's present weights
    are used; see `EnergyModel.averaged_weights`.

    Args:
        model: A built EnergyModel.
        images: The noisy ones, floating [n, …], n ≥ 1, not clipped to the bounds.
        noise_level: s, positive, in the units of the images.
        labels: Labels of a conditional model, integers [n] or one-hot rows; the label is summed out
            if None.
        seed: An int or a pair of ints; the model's next one if None.
        energy_weight: w, at least 0, or None to choose it.
        num_steps: Steps of the chain, if there is one, at least 2. The first fifth does not count.
        batch_size: How many images at once, at least 1.

    Returns:
        The images and the weight, to be given for further images of the same noise level.

    Raises:
        TypeError: The images are not floating.
        ValueError: An argument is out of its range, shapes or labels do not fit, or an image is
            not finite.

    Source: Ramani, Blu, Unser, "Monte-Carlo SURE", 2008, for the choice of the weight.
    """
    images = checked_images(model, images)
    if not np.isfinite(images).all():
        raise ValueError("images must be finite; some pixels are NaN or infinite.")
    noise_level = arguments.number("noise_level", noise_level, above=True)
    num_steps = arguments.whole_number("num_steps", num_steps, 2)
    labels = checked_labels(model, labels, len(images))
    seed = model.next_seed() if seed is None else randomness.sampling_seed(seed)
    chain_seed, risk_seed = tf.unstack(randomness.split(seed, 2))
    if isinstance(model, NoiseConditionalModel) and model.levels.noise is not None:
        return _by_level(model, images, noise_level, labels, energy_weight, risk_seed, batch_size)
    bounds = model.bounds
    program = compiled.program_of(
        model, ("denoise", bounds), lambda: _compiled_estimate(model, bounds)
    )
    level, steps = tf.constant(noise_level, tf.float32), tf.constant(num_steps)

    def estimate(y, own, weight, seed):
        weight = tf.constant(weight, tf.float32)
        return compiled.run_on_batches(program, (y, own), level, steps, weight, seed)

    if energy_weight is None:
        # Fewer images are judged several times, in other random directions.
        rows = np.linspace(0, len(images) - 1, _CALIBRATION).astype(int)
        own = None if labels is None else labels[rows]
        energy_weight = _least_risk(
            model, estimate, images[rows], own, noise_level, risk_seed, batch_size
        )
    weight = arguments.number("energy_weight", energy_weight)
    results = in_batches(
        lambda start, y, own: estimate(
            tf.constant(y), own, weight, tf.random.fold_in(chain_seed, start)
        ).numpy(),
        images,
        labels,
        batch_size,
    )
    return Denoised(np.concatenate(results), weight)


def _by_level(model, images, noise_level, labels, weight, seed, batch_size) -> Denoised:
    """Denoise by one gradient of the energy of data with this noise."""
    program = compiled.program_of(model, "denoise by level", lambda: _compiled_way(model))
    noise = model.levels.noise
    place = float(np.interp(noise_level, noise, np.arange(len(noise))))
    at = (tf.constant(int(place)), tf.constant(place % 1.0, tf.float32))

    def way(y, own):
        return compiled.run_on_batches(program, (y, own), *at)

    def moments(start, y, own):
        """Return Σ div r and Σ|r|²."""
        direction = randomness.normal(y.shape, tf.random.fold_in(seed, start))
        step = _DIFFERENCE * noise_level
        found, beside = way(tf.constant(y), own), way(y + step * direction, own)
        divergence = tf.reduce_sum(direction * (beside - found)) / step
        return float(divergence), float(tf.reduce_sum(tf.square(found)))

    if weight is None:
        divergence, square = np.sum(in_batches(moments, images, labels, batch_size), axis=0)
        if not (square > 0.0 and np.isfinite(divergence)):
            raise ValueError(_FLAT)
        weight = max(noise_level**2 * divergence / square, 0.0)
    weight = arguments.number("energy_weight", weight)
    ways = in_batches(lambda _, y, own: way(y, own).numpy(), images, labels, batch_size)
    found = images - np.float32(weight) * np.concatenate(ways)
    if model.bounds is not None:
        found = np.clip(found, *model.bounds)
    return Denoised(found.astype(np.float32), weight)


def _compiled_way(model):
    """Return (y, labels, level, share) -> s²∇E_s(y), [n, …], between a level and the next."""
    squares = tf.constant(np.square(model.levels.noise), tf.float32)

    @tf.function(autograph=False)
    def way(y, labels, level, share):
        levels, count = model.levels, tf.shape(y)[0]

        def at(level):
            x, scale = levels.of_noisy(y, tf.one_hot(tf.fill([count], level), levels.count))
            energy = energy_at(model, level, labels, count)
            return squares[level] * scale * energies.value_and_gradient(energy, x)[1]

        following = tf.minimum(level + 1, levels.count - 1)
        with networks.cached_weights(model.energy_network):
            return (1.0 - share) * at(level) + share * at(following)

    return way


def _compiled_estimate(model, bounds):
    """Return (y, labels, noise_level, num_steps, weight, seed) -> the posterior mean, [n, …]."""

    def inside(x):
        return x if bounds is None else tf.clip_by_value(x, *bounds)

    @tf.function(autograph=False)
    def estimate(y, labels, noise_level, num_steps, weight, seed):
        energy_fn = energy_of(model, labels)
        axes = list(range(1, y.shape.rank))
        variance = tf.square(noise_level)
        epsilon = 2.0 * _STRIDE * variance
        burn_in = tf.cast(_BURN_IN * tf.cast(num_steps, tf.float64), tf.int32)

        def posterior(x):
            distance = tf.reduce_sum(tf.square(x - y), axes) / (2.0 * variance)
            return weight * energy_fn(x) + distance

        def body(i, x, total):
            # `Langevin.from_epsilon`, whose settings are no tensors.
            noise = tf.sqrt(epsilon) * randomness.normal(tf.shape(x), tf.random.fold_in(seed, i))
            _, gradient = energies.value_and_gradient(posterior, x)
            x = tf.ensure_shape(inside(x - 0.5 * epsilon * gradient + noise), y.shape)
            return i + 1, x, total + tf.where(i >= burn_in, x, 0.0)

        start = inside(y)
        with networks.cached_weights(model.energy_network):
            _, _, total = tf.while_loop(
                lambda i, *_: i < num_steps,
                body,
                (tf.constant(0), start, tf.zeros_like(y)),
                parallel_iterations=1,
            )
        return total / tf.cast(num_steps - burn_in, total.dtype)

    return estimate


def _least_risk(model, estimate, images, labels, noise_level, seed, batch_size):
    """Return the weight of the energy with the least estimated squared error."""
    program = compiled.program_of(model, "gradient_square", lambda: _compiled_square(model))

    def gradient_square(_, y, own):
        inside = y if model.bounds is None else np.clip(y, *model.bounds)
        return float(compiled.run_on_batches(program, (tf.constant(inside), own)))

    total = sum(in_batches(gradient_square, images, labels, batch_size))
    if not total > 0.0:
        raise ValueError(_FLAT)
    # Where w∇E and (x − y)/s² have equal root mean squares, the latter being 1/s.
    unit = np.sqrt(images.size / total) / noise_level

    def risk(weight):
        def of_batch(start, y, own):
            draw_seed, chain_seed = tf.unstack(randomness.split(tf.random.fold_in(seed, start), 2))
            direction = randomness.normal(y.shape, draw_seed)
            step = _DIFFERENCE * noise_level
            at, beside = (
                estimate(point, own, weight, chain_seed)
                for point in (tf.constant(y), y + step * direction)
            )
            divergence = tf.reduce_sum(direction * (beside - at)) / step
            change = tf.reduce_sum(tf.square(at - y))
            return float(change + 2 * noise_level**2 * divergence)

        return sum(in_batches(of_batch, images, labels, batch_size))

    risks: dict[int, float] = {}

    def at(power):
        if power not in risks:
            found = risk(float(unit * 2.0**power)) if power in _CANDIDATES else math.inf
            risks[power] = found if math.isfinite(found) else math.inf
        return risks[power]

    # Downhill from the middle: risks are of the same noise, and have one valley.
    best = _CANDIDATES[len(_CANDIDATES) // 2 - 1]
    while math.isinf(at(best)) and best > _CANDIDATES[0]:
        # Chains run away under weights that are too large.
        best -= 1
    while (lower := min((best - 1, best + 1), key=at)) in _CANDIDATES and at(lower) < at(best):
        best = lower
    return float(unit * 2.0**best)


def _compiled_square(model):
    """Return (x, labels) -> Σ|∇E(x)|², a scalar."""

    @tf.function(autograph=False)
    def square(x, labels):
        return tf.reduce_sum(tf.square(energies.value_and_gradient(energy_of(model, labels), x)[1]))

    return square
