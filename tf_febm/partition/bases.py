"""Base densities of annealing: uniform on a box, or a Gaussian fitted to data."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["Domain", "chosen_base", "domain_of"]

# Samples of a base, and points of the box, at which a base that was given is tried.
TRIALS = 1000
# The covariance of a fit, relative to that of the data: a base must be as wide as they are.
WIDENING = 2.0


class Domain(NamedTuple):
    """What is known of the x on which an energy is defined.

    Attributes:
        known: Whether anything is: of a plain function nothing is.
        bounds: (low, high) of each coordinate, or None for all of space.
        shape: Of one x, or None.
    """

    known: bool
    bounds: tuple[float, float] | None
    shape: tuple[int, ...] | None


def domain_of(energy_fn: arguments.Function, bounds: arguments.Bounds | None = None) -> Domain:
    """Return the domain of an energy: that of the model which it is, or is a method of.

    Args:
        energy_fn: A model, a method of one, or any function.
        bounds: The box of x where nothing else tells it, or None.

    Raises:
        ValueError: The bounds are no interval, or others than the model's.
    """
    bounds = None if bounds is None else arguments.interval("bounds", bounds)
    model: Any = getattr(energy_fn, "__self__", energy_fn)
    if not (hasattr(model, "sampler") and hasattr(model, "bounds")):
        return Domain(bounds is not None, bounds, None)
    if bounds is not None and bounds != model.bounds:
        raise ValueError(f"The model has the bounds {model.bounds}; received bounds={bounds}.")
    return Domain(True, model.bounds, model.sample_shape)


def chosen_base(
    base: arguments.Distribution, data: arguments.Data, domain: Domain, seed: arguments.Seed
) -> Any:
    """Return the base that was given, if it can be right, or the one that fits the domain.

    Args:
        base: What the user gave, or None.
        data: Real [n, …], or None.
        domain: Of the energy.
        seed: Integer tensor [2].

    Raises:
        ValueError: None can be chosen, or that which was given leaves the box, misses a part of
            it, or has bounds where the energy has none.
    """
    if base is not None:
        if domain.known:
            _check(base, domain, seed)
        return base
    shape = domain.shape
    if data is not None:
        data = np.asarray(data)
        if data.ndim < 2 or len(data) < 2 or data.dtype.kind not in "fiu":
            raise ValueError(
                f"data must be real, [n, …] with n ≥ 2; received shape {data.shape}, dtype "
                f"{data.dtype}."
            )
        if shape is not None and data.shape[1:] != tuple(shape):
            raise ValueError(
                f"data must have shape {('n', *shape)}, as the model's; received {data.shape}."
            )
        if not np.isfinite(data).all():
            raise ValueError("data must be finite; some are NaN or infinite.")
        shape = data.shape[1:]
    if domain.bounds is None:
        if data is None:
            raise ValueError(
                "Without bounds a base is fitted to data: give data, examples [n, …], or a base."
            )
        return _gaussian_fit(data)
    if shape is None:
        raise ValueError(
            "The shape of x is not known: give the model as energy_fn, data, or a base."
        )
    from tensorflow_probability import distributions as tfd  # Slow to import.

    low, high = (tf.fill(shape, bound) for bound in domain.bounds)
    return tfd.Independent(tfd.Uniform(low, high), len(shape))


def _gaussian_fit(data: np.ndarray):
    """Return the Gaussian of the mean of data [n, …] and `WIDENING` times their covariance."""
    from tensorflow_probability import bijectors, distributions  # Slow to import.

    rows = data.reshape(len(data), -1).astype(np.float64)
    size = rows.shape[1]
    covariance = WIDENING * np.cov(rows, rowvar=False).reshape(size, size)
    # Directions in which the data have no width get a little of the mean one.
    covariance += 1e-4 * max(np.trace(covariance) / size, 1e-12) * np.eye(size)
    flat = distributions.MultivariateNormalTriL(
        tf.constant(rows.mean(axis=0), tf.float32),
        tf.constant(np.linalg.cholesky(covariance), tf.float32),
    )
    return bijectors.Reshape(data.shape[1:], [size])(flat)


def _check(base, domain: Domain, seed) -> None:
    seeds = tf.unstack(randomness.split(seed, 2))
    x = tf.cast(base.sample(TRIALS, seed=seeds[0]), tf.float32)
    if domain.bounds is None:
        # Ten times as far out as its samples are.
        centre = tf.reduce_mean(x, axis=0, keepdims=True)
        if not np.isfinite(base.log_prob(centre + 10.0 * (x - centre)).numpy()).all():
            raise ValueError(
                "base must have a density everywhere, as the model has no bounds; far from its "
                "samples it has none. Give data for a Gaussian fit, or another base."
            )
        return
    low, high = domain.bounds
    outside = np.any(((x < low) | (x > high)).numpy().reshape(TRIALS, -1), axis=1).mean()
    if outside:
        raise ValueError(
            f"base must lie inside the model's bounds [{low:g}, {high:g}], where alone q is; "
            f"{outside:.1%} of its samples do not. Leave base out for the uniform density there."
        )
    points = randomness.uniform(tf.shape(x), seeds[1], low, high)
    if not np.isfinite(base.log_prob(points).numpy()).all():
        raise ValueError(
            f"base must have a density in all of the model's bounds [{low:g}, {high:g}]; in a part "
            "of them it has none. Leave base out for the uniform density there."
        )
