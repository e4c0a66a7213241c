"""One-dimensional tfp distributions as integrands: log density in float64, landmarks, support."""

import numpy as np
import tensorflow as tf

from tf_febm import arguments

__all__ = ["Density"]

# These quantiles only tell where to put panels; what they miss, refinement finds or reports.
_LEVELS = np.array([0.005, 0.16, 0.5, 0.84, 0.995])
# Taken from so many samples where tfp has no quantile function.
_NUM_SAMPLES = 200


class Density:
    """Wrap a one-dimensional tfp distribution for integration in float64.

    Parameters in lower precision are taken as they are and computed with in float64. Mixtures
    (`MixtureSameFamily`, `Mixture`) are summed here, each component on its own support, so that the
    place of each is known however small its weight.

    Args:
        distribution: A continuous tfp distribution of scalars, with any batch shape of B members.
        name: What messages call it.

    Attributes:
        quantiles: float64 array [5, B, C], of each component.
        ends: float64 array of the distinct finite ends of supports.

    Raises:
        TypeError: It is no tfp distribution of floating scalars.
        ValueError: It cannot be had in float64, or has neither log_prob nor quantiles.
    """

    def __init__(self, distribution: arguments.Distribution, name: str):
        from tensorflow_probability import distributions as tfd  # Slow to import.

        if not isinstance(distribution, tfd.Distribution):
            raise TypeError(f"{name} must be a tfp distribution; received {distribution!r}.")
        if distribution.event_shape != [] or not distribution.dtype.is_floating:
            raise TypeError(
                f"{name} must be a distribution of floating scalars; received event shape "
                f"{distribution.event_shape} and dtype {distribution.dtype}: {distribution!r}."
            )
        self.name, self.description = name, repr(distribution)
        self.batch_shape = tuple(distribution.batch_shape)
        self.num_members = int(np.prod(self.batch_shape))
        try:
            distribution = _in_float64(distribution)
            self._log_density = _log_density(distribution)
            parts = list(_components(distribution, self.batch_shape))
            self.log_prob(np.zeros(1))
        except Exception as error:
            reason = str(error).strip().split("\n")[0][:200]
            if isinstance(error, NotImplementedError):
                reason += " (log_prob is needed, and quantile or sample)"
            raise ValueError(
                f"{name} cannot be integrated: {reason}; {self.description}."
            ) from error
        self.quantiles = np.concatenate(
            [quantiles.reshape(len(_LEVELS), self.num_members, -1) for quantiles, _ in parts],
            axis=2,
        )
        ends = np.concatenate([np.ravel(ends) for _, ends in parts])
        self.ends = np.unique(ends[np.isfinite(ends)])
        rising = (np.diff(self.quantiles, axis=0) > 0.0).all()
        if not (rising and np.isfinite(self.quantiles).all()):
            raise ValueError(
                f"{name} must be a continuous density with finite quantiles, different from one "
                f"another; received {self.description}."
            )

    def log_prob(self, points: np.ndarray) -> tf.Tensor:
        """Return the log density at points [N], [N, B]: −inf outside the support only."""
        points = tf.constant(points.reshape(-1, *[1] * len(self.batch_shape)), tf.float64)
        values = tf.broadcast_to(self._log_density(points), (len(points), *self.batch_shape))
        return tf.reshape(values, (-1, self.num_members))


def _log_density(distribution):
    """Return points -> log density, with supports found once."""
    from tensorflow_probability import distributions as tfd

    if isinstance(distribution, tfd.MixtureSameFamily):
        log_weights = tf.math.log_softmax(distribution.mixture_distribution.logits_parameter())
        inner = _log_density(distribution.components_distribution)
        return lambda x: tf.reduce_logsumexp(inner(x[..., tf.newaxis]) + log_weights, axis=-1)
    if isinstance(distribution, tfd.Mixture):
        log_weights = tf.math.log_softmax(distribution.cat.logits_parameter())
        parts = [_log_density(part) for part in distribution.components]
        return lambda x: tf.reduce_logsumexp(
            tf.stack([part(x) for part in parts], axis=-1) + log_weights, axis=-1
        )
    low, high = _support(distribution)

    def log_density(x):
        value = distribution.log_prob(x)
        # tfp's log densities may be NaN, or even finite, outside; and overflow inside.
        inside = (x >= low) & (x <= high) & ~tf.math.is_nan(value)
        return tf.where(inside, tf.maximum(value, -1e308), tf.constant(-np.inf, tf.float64))

    return log_density


def _components(distribution, shape):
    """Yield quantiles [5, *shape] and the two ends of the support of each component."""
    from tensorflow_probability import distributions as tfd

    if isinstance(distribution, tfd.MixtureSameFamily):
        part = distribution.components_distribution
        yield from _components(part, (*shape, int(part.batch_shape[-1])))
    elif isinstance(distribution, tfd.Mixture):
        for part in distribution.components:
            yield from _components(part, shape)
    else:
        yield _quantiles(distribution, (len(_LEVELS), *shape)), _support(distribution)


def _quantiles(distribution, shape):
    levels = np.broadcast_to(_LEVELS.reshape(-1, *[1] * (len(shape) - 1)), shape)
    try:
        quantiles = distribution.quantile(tf.constant(levels)).numpy()
    except Exception:  # Not implemented, or not for this bijector.
        quantiles = np.full(shape, np.nan)
    if quantiles.shape == shape and (np.diff(quantiles, axis=0) > 0.0).all():
        return quantiles
    samples = distribution.sample(_NUM_SAMPLES, seed=tf.constant((20, 6))).numpy()
    samples = np.sort(np.broadcast_to(samples, (_NUM_SAMPLES, *shape[1:])), axis=0)
    return samples[(_LEVELS * _NUM_SAMPLES).astype(int)]


def _support(distribution):
    """Return the two ends of the support, ±inf where there is none or it is not known."""
    try:
        bijector = distribution.experimental_default_event_space_bijector()
        ends = [bijector.forward(tf.constant(x, tf.float64)).numpy() for x in (-np.inf, np.inf)]
    except Exception:
        return np.float64(-np.inf), np.float64(np.inf)
    low, high = np.fmin(*ends), np.fmax(*ends)
    known = ~np.isnan(ends[0]) & ~np.isnan(ends[1]) & (low < high)
    return np.where(known, low, -np.inf), np.where(known, high, np.inf)


def _in_float64(thing):
    """Rebuild a distribution or bijector with float64 parameters and without its assertions."""
    from tensorflow_probability import bijectors as tfb
    from tensorflow_probability import distributions as tfd

    parts = tfd.Distribution | tfb.Bijector
    try:
        properties = type(thing).parameter_properties(dtype=tf.float64)
    except NotImplementedError:  # A user's own class.
        properties = {}
    numbers = {
        name for name, item in properties.items() if not getattr(item, "specifies_shape", False)
    }
    changed = {"validate_args": False} if "validate_args" in thing.parameters else {}
    for name, value in thing.parameters.items():
        if isinstance(value, parts):
            changed[name] = _in_float64(value)
        elif isinstance(value, list | tuple) and value and isinstance(value[0], parts):
            changed[name] = [_in_float64(item) for item in value]
        elif name in numbers and value is not None:
            # A Python number would pass through float32 if TensorFlow converted it.
            value = value if tf.is_tensor(value) else np.asarray(value, np.float64)
            changed[name] = tf.cast(value, tf.float64)
    return type(thing)(**{**thing.parameters, **changed})
