"""Filling in by energies at levels of noise: walks down the levels with known values held."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies, networks, randomness
from tf_febm.applications.energy_of import for_all_labels
from tf_febm.models.chains import Batch
from tf_febm.samplers.chain import placed

__all__ = ["energy_at", "held_law", "level_chains"]

# Conjugate gradients end where the squared residual is this part of the first, or after so many.
TOLERANCE, MOST_ITERATIONS = 1e-12, 200


def level_chains(model: arguments.Model, sampler: arguments.Sampler) -> Callable:
    """Return (given, labels, mask, seed, num_steps) -> filled in examples, compiled.

    From the last level down, at each in turn: x_t given x_{t+1} and the known values with the noise
    of the level, then x_{t+1} given x_t anew, and so on: Gibbs sampling of the law of x_t given its
    known values. There are num_steps // T such rounds at each level, at least one, of the sampler's
    own number of steps; one round if num_steps is None.
    """

    @tf.function(autograph=False)
    def run(given, labels, mask, seed, num_steps):
        levels, count = model.levels, tf.shape(given)[0]
        start_seed, known_seed, chain_seed = tf.unstack(randomness.split(seed, 3))
        rounds = 1 if num_steps is None else tf.maximum(num_steps // levels.count, 1)
        seeds = randomness.split(chain_seed, 2 * rounds * levels.count)

        def known(level):
            rows = tf.one_hot(tf.fill([count], level), levels.count + 1)
            # The same noise at all levels: what is known of one level is of the next one, too.
            return tf.where(level > 0, levels.noised(given, rows, known_seed), given)

        def recovered(index, x):
            level = levels.count - 1 - index // rounds
            of_level = tf.one_hot(tf.fill([count], level), levels.count)
            again = levels.following(x, of_level, seeds[2 * index])
            noisier = tf.where(index % rounds > 0, again, x)
            law = held_law(levels.before(noisier, of_level), levels, mask, known(level))
            energy = energies.RecoveryEnergy(energy_at(model, level, labels, count).energy_fn, *law)
            start = tf.zeros_like(noisier)
            x = placed(sampler(energy, start, seeds[2 * index + 1]), energy.place)
            return index + 1, tf.ensure_shape(getattr(x, "samples", x), given.shape)

        law = held_law(levels.last_law(), levels, mask, known(levels.count))
        start = energies.RecoveryEnergy(None, *law).place(
            randomness.normal(tf.shape(given), start_seed)
        )
        with networks.cached_weights(model.energy_network):
            return tf.while_loop(
                lambda index, _: index < rounds * levels.count,
                recovered,
                (tf.constant(0), tf.ensure_shape(start, given.shape)),
            )[1]

    return run


def held_law(law: tuple, levels: Any, mask: arguments.Tensor, known: arguments.Tensor) -> tuple:
    """Return a law of x as `before` returns it, given the values of x where the mask is true.

    Of x = P(m + d w), whose covariance is C, it is the map

        w -> x + C_{·k} C_kk⁻¹ (known − x_k),

    Matheron's rule: where w ~ N(0, I) its images follow the conditional law, and where w has a
    density relative to that, so do they. What C_kk⁻¹ is applied to is found by conjugate gradients,
    whose number of iterations grows with √(largest/smallest eigenvalue of C in units u); of one
    level given the next this is near 1.

    Args:
        law: m and d, and with them P and its transpose for gradients.
        levels: Whose units u are those of P.
        mask: Booleans [n, …].
        known: Values where the mask is true, float32 [n, …].
    """
    mean, deviation, *maps = law
    mean = mean + tf.zeros_like(known)
    if not maps:
        # Coordinates are independent.
        return (
            mean,
            deviation,
            lambda x: tf.where(mask, known, x),
            lambda gradient: tf.where(mask, 0.0, gradient),
        )
    compose, transposed = maps
    units = tf.constant(np.broadcast_to(levels.reference.units, known.shape[1:]), tf.float32)
    held = tf.cast(mask, tf.float32)
    origin = compose(tf.zeros_like(known))

    def spread(v):
        """Return U⁻¹ C U⁻¹ v."""
        return (compose(tf.square(deviation) * transposed(v / units)) - origin) / units

    def solved(residual):
        """Return a, 0 where nothing is known, with U⁻¹ C U⁻¹ a the residual where it is."""
        return _conjugate_gradients(lambda v: held * spread(v), held * residual)

    def conditioned(y):
        x = compose(y)
        moved = x + units * spread(solved((known - x) / units))
        return tf.where(mask, known, moved)

    def gradient_of(gradient):
        scaled = units * gradient
        return transposed((scaled - solved(spread(scaled))) / units)

    return mean, deviation, conditioned, gradient_of


def _conjugate_gradients(apply: Callable, wanted: tf.Tensor) -> tf.Tensor:
    """Solve A x = b for each example, A symmetric and positive; b = 0 has x = 0."""
    axes = list(range(1, wanted.shape.rank))

    def dot(a, b):
        return tf.reduce_sum(a * b, axis=axes, keepdims=True)

    limit = TOLERANCE * dot(wanted, wanted)

    def step(x, residual, direction, square):
        image = apply(direction)
        length = tf.math.divide_no_nan(square, dot(direction, image))
        x, residual = x + length * direction, residual - length * image
        following = dot(residual, residual)
        direction = residual + tf.math.divide_no_nan(following, square) * direction
        return x, residual, direction, following

    return tf.while_loop(
        lambda x, residual, direction, square: tf.reduce_any(square > limit),
        step,
        (tf.zeros_like(wanted), wanted, wanted, dot(wanted, wanted)),
        maximum_iterations=MOST_ITERATIONS,
    )[0]


def energy_at(
    model: arguments.Model,
    level: arguments.Tensor,
    labels: arguments.Labels | None,
    count: arguments.Tensor,
) -> Any:
    """Return x -> E(x, t), [n]: of the labels, or with the label summed out.

    Args:
        model: A model of levels of noise.
        level: t, a number.
        labels: One-hot rows [n, num_classes], or None.
        count: n.
    """
    levels = tf.fill([count], level)
    if labels is not None or not model.conditional:
        return model._energy_given(model._rows(levels, labels))

    def relative(x):
        def of_label(x, label):
            repeated = tf.repeat(levels, model.num_classes)
            return model._evaluate(model.energy_network, Batch(x, model._rows(repeated, label)))

        found = for_all_labels(model, of_label, x)
        return -tf.reduce_logsumexp(model._present_log_prior() - found, axis=1)

    # Of no class, which what the energy is relative to does not ask for.
    return model._differentiable(relative, tf.one_hot(levels, model._row_width))
