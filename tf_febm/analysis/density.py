"""One-dimensional tfp distributions as integrands: exact log density, support, whereabouts."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

__all__ = ["Density", "Features"]

# These quantiles only tell where to put panels; what they miss, the panels' refinement finds.
_LEVELS = np.array([0.005, 0.055, 0.165, 0.255, 0.5, 0.755, 0.845, 0.955, 0.995])
# Taken from so many samples where tfp has no quantile function.
_NUM_SAMPLES = 100
_SEED = (20, 6)


class Features(NamedTuple):
    """Hold where a density has its mass, one column for each of B members of a batch.

    Attributes:
        centre: float64 array [C, B], the median of each component.
        width: float64 array [C, B], its half-width, one standard deviation for a Gaussian.
        points: float64 array [Q, B], other quantiles.
        ends: float64 array [E, B], finite ends of the components' supports.
    """

    centre: np.ndarray
    width: np.ndarray
    points: np.ndarray
    ends: np.ndarray


class Density:
    """Wrap a one-dimensional tfp distribution for integration in float64.

    Parameters in lower precision are taken as they are and computed with in float64. Outside of its
    support, where tfp's log densities may be NaN or even finite, the log density is −inf; mixtures
    (`MixtureSameFamily`, `Mixture`) are summed here for that reason, and so that each component's
    place is known however small its weight.

    Args:
        distribution: A continuous tfp distribution of scalars, with any batch shape.
        name: What messages call it.

    Raises:
        TypeError: If it is no tfp distribution of floating scalars.
        ValueError: If it cannot be had in float64, or has no log_prob.
    """

    def __init__(self, distribution, name):
        from tensorflow_probability import distributions as tfd  # Slow to import.

        if not isinstance(distribution, tfd.Distribution):
            raise TypeError(f"{name} must be a tfp distribution; received {distribution!r}.")
        if distribution.event_shape != [] or not distribution.dtype.is_floating:
            raise TypeError(
                f"{name} must be a distribution of floating scalars; received event shape "
                f"{distribution.event_shape} and dtype {distribution.dtype}: {distribution!r}."
            )
        self.name = name
        self.description = repr(distribution)
        try:
            self._distribution = _in_float64(distribution)
            self.batch_shape = tuple(self._distribution.batch_shape)
            self._root = _node(self._distribution, self.batch_shape)
            probe = self._distribution.log_prob(tf.zeros((1, *self.batch_shape), tf.float64))
            if probe.dtype != tf.float64:
                raise TypeError(f"its log_prob is {probe.dtype.name}")
        except Exception as error:
            first_line = str(error).strip().split("\n")[0]
            raise ValueError(
                f"{name} cannot be integrated: {first_line[:200]}; a distribution built with "
                f"float64 parameters is needed, one with log_prob. Received "
                f"{self.description}."
            ) from error
        self.num_members = int(np.prod(self.batch_shape))

    def log_prob(self, points) -> tf.Tensor:
        """Return the log density, −inf outside of the support.

        Args:
            points: float64 array [N, B], B the number of members; any B if there is no batch.

        Returns:
            float64 tensor [N, B].
        """
        points = tf.convert_to_tensor(points, tf.float64)
        shaped = tf.reshape(points, (-1, *self.batch_shape)) if self.batch_shape else points
        return tf.reshape(self._root.log_prob(shaped), tf.shape(points))

    def features(self) -> Features:
        """Return where the mass is, as far as nine quantiles of each component tell.

        Raises:
            ValueError: If a component has no extent, or neither quantiles nor samples.
        """
        try:
            parts = [leaf.features(self.num_members) for leaf in self._root.leaves()]
        except NotImplementedError as error:
            raise ValueError(
                f"{self.name} cannot be integrated: it implements neither quantile nor sample, to "
                f"tell where its mass is. Received {self.description}."
            ) from error
        features = Features(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        places = np.concatenate([features.centre, features.points])
        positive = (self.log_prob(places).numpy() > -np.inf).any(axis=0)
        if not (np.isfinite(places).all() and (features.width > 0.0).all() and positive.all()):
            raise ValueError(
                f"{self.name} must be a continuous density with finite quantiles, different from "
                f"one another and of positive density; received {self.description}."
            )
        return features


class _Leaf:
    """Evaluate one distribution that is no mixture."""

    def __init__(self, distribution, shape):
        self.distribution, self.shape = distribution, shape
        low, high = _support(distribution)
        self.low, self.high = (tf.broadcast_to(end, shape) for end in (low, high))
        self.is_bounded = bool(np.isfinite(low).any() or np.isfinite(high).any())

    def log_prob(self, points):
        value = self.distribution.log_prob(points)
        if self.is_bounded:
            inside = (points >= self.low) & (points <= self.high)
            value = tf.where(inside, value, tf.constant(-np.inf, tf.float64))
        return tf.where(tf.math.is_nan(value), tf.constant(-np.inf, tf.float64), value)

    def leaves(self):
        yield self

    def features(self, num_members):
        quantiles = self._quantiles().reshape(len(_LEVELS), num_members, -1)
        low, middle, high = quantiles[[2, 4, 6]]
        ends = np.stack([self.low.numpy(), self.high.numpy()]).reshape(2, num_members, -1)
        if not self.is_bounded:
            ends = ends[:0]
        return Features(
            centre=middle.T,
            width=0.5 * (high - low).T,
            points=_rows(quantiles[[0, 1, 3, 5, 7, 8]]),
            ends=_rows(ends),
        )

    def _quantiles(self):
        """Return the quantiles at `_LEVELS`, [9, *shape], exact where tfp has them.

        Samples are the second choice, not for their noise alone: tfp draws from Gamma, and what
        comes from it (Student t, Beta, …), by a traced function, anew for every batch shape.
        """
        shape = (len(_LEVELS), *self.shape)
        levels = np.broadcast_to(_LEVELS.reshape(-1, *[1] * len(self.shape)), shape)
        try:
            quantiles = self.distribution.quantile(tf.constant(levels)).numpy()
        except Exception:  # Not implemented, or not for this bijector.
            quantiles = np.full(shape, np.nan)
        if quantiles.shape == shape and (np.diff(quantiles, axis=0) > 0.0).all():
            return quantiles
        samples = self.distribution.sample(_NUM_SAMPLES, seed=tf.constant(_SEED)).numpy()
        samples = np.sort(np.broadcast_to(samples, (_NUM_SAMPLES, *self.shape)), axis=0)
        return samples[(_LEVELS * _NUM_SAMPLES).astype(int)]


class _Mixture:
    """Sum the components of a mixture, each on its own support."""

    def __init__(self, log_weights, parts, stacked):
        self.log_weights, self.parts, self.stacked = log_weights, parts, stacked

    def log_prob(self, points):
        if self.stacked:
            components = self.parts[0].log_prob(points[..., tf.newaxis])
        else:
            components = tf.stack([part.log_prob(points) for part in self.parts], axis=-1)
        return tf.reduce_logsumexp(components + self.log_weights, axis=-1)

    def leaves(self):
        for part in self.parts:
            yield from part.leaves()


def _node(distribution, shape):
    """Return the tree of components; `shape` is the batch shape to which all of it broadcasts."""
    from tensorflow_probability import distributions as tfd

    if isinstance(distribution, tfd.MixtureSameFamily):
        log_weights = _log_weights(distribution.mixture_distribution)
        components = distribution.components_distribution
        part = _node(components, (*shape, int(components.batch_shape[-1])))
        return _Mixture(log_weights, [part], stacked=True)
    if isinstance(distribution, tfd.Mixture):
        parts = [_node(component, shape) for component in distribution.components]
        return _Mixture(_log_weights(distribution.cat), parts, stacked=False)
    return _Leaf(distribution, shape)


def _log_weights(categorical):
    return tf.math.log_softmax(tf.cast(categorical.logits_parameter(), tf.float64))


def _rows(array):
    """Bring [n, B, extra] into [n·extra, B]."""
    return np.moveaxis(array, 1, 2).reshape(-1, array.shape[1])


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
