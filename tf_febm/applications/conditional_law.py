"""The unknown values of a Gaussian given the known ones, in white coordinates."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies

__all__ = ["ConditionalFit", "ConditionalLaw", "conditional_fit"]

# A matrix of 3 GB, and minutes.
MAX_UNKNOWN = 20_000
# Columns of Σ⁻¹ that are computed at once.
COLUMNS = 256


class ConditionalFit(NamedTuple):
    """N(m, B Bᵀ), the law of the unknown values u given the known ones under N(μ, Σ).

    Attributes:
        reference: N(μ, Σ), a `networks.GaussianReference`.
        unknown: Positions of u in a flattened example, int32 [d].
        factor: B, float32 [d²], row after row.
    """

    reference: object
    unknown: np.ndarray
    factor: np.ndarray

    def with_means(self, given: np.ndarray) -> np.ndarray:
        """Return examples [n, …] with m = μ_u − Λ_uu⁻¹ Λ_uk (known − μ_k) in unknown places."""
        flat = given.reshape(len(given), -1).astype(np.float64)
        flat[:, self.unknown] = _mean(self.reference).ravel()[self.unknown]
        # Σ⁻¹ (x − μ) where u is μ_u: the unknown part is Λ_uk (known − μ_k).
        pull = _precision_times(self.reference, flat)[:, self.unknown]
        factor = self.factor.reshape(len(self.unknown), -1).astype(np.float64)
        flat[:, self.unknown] -= pull @ factor @ factor.T
        return flat.reshape(given.shape).astype(np.float32)


class ConditionalLaw:
    """The map w -> x of a conditional law, which is the mean and B w in unknown places.

    It has of a `networks.GaussianReference` what `energies.WhiteEnergy` uses.

    Args:
        mean: Examples [n, …], m in unknown places.
        unknown: Their positions in a flattened example, int32 [d].
        factor: B, [d²], row after row.
    """

    def __init__(self, mean: tf.Tensor, unknown: tf.Tensor, factor: tf.Tensor):
        count, size = tf.size(unknown), int(np.prod(mean.shape[1:]))
        self._mean, self._unknown = mean, unknown
        self._factor = tf.reshape(factor, [count, count])
        # The number of each value among the unknown ones; known ones take the zero at the end.
        self._numbers = tf.tensor_scatter_nd_update(
            tf.fill([size], count), unknown[:, tf.newaxis], tf.range(count)
        )

    def color(self, w: tf.Tensor) -> tf.Tensor:
        """Return x, [n, …], of white w [n, d]."""
        change = tf.pad(tf.matmul(w, self._factor, transpose_b=True), [[0, 0], [0, 1]])
        return self._mean + tf.reshape(
            tf.gather(change, self._numbers, axis=1), tf.shape(self._mean)
        )

    def gradient(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return Bᵀ g_u, the gradient for w of what has the gradient g for x, [n, d]."""
        flat = tf.reshape(gradient, [tf.shape(gradient)[0], self._numbers.shape[0]])
        return tf.matmul(tf.gather(flat, self._unknown, axis=1), self._factor)

    @staticmethod
    def energy_of_white(w: tf.Tensor) -> tf.Tensor:
        """Return ½‖w‖², [n]."""
        return 0.5 * tf.reduce_sum(tf.square(w), axis=1)


def conditional_fit(reference: arguments.Reference, known: np.ndarray) -> ConditionalFit:
    """Return the law of the unknown values given the known ones.

    Args:
        reference: N(μ, Σ), a fitted `networks.GaussianReference`.
        known: Booleans of the shape of an example, at least one of them false.

    Raises:
        ValueError: More than 20,000 values are unknown.
    """
    unknown = np.flatnonzero(~known.ravel())
    count = len(unknown)
    if count > MAX_UNKNOWN:
        raise ValueError(
            f"At most {MAX_UNKNOWN} values of an image with a reference can be unknown, whose "
            f"covariance has their number squared; received {count}: fill in smaller images, or a "
            "part of the gap after the other."
        )
    # Row after row of Λ_uu, Λ = Σ⁻¹.
    precision = np.empty((count, count))
    mean = _mean(reference).ravel()
    for start in range(0, count, COLUMNS):
        places = unknown[start : start + COLUMNS]
        x = np.tile(mean, (len(places), 1))
        x[np.arange(len(places)), places] += 1.0
        precision[start : start + COLUMNS] = _precision_times(reference, x)[:, unknown]
    from scipy.linalg import solve_triangular  # Slow to import.

    lower = np.linalg.cholesky(0.5 * (precision + precision.T))
    # L Lᵀ = Λ_uu, so B = L⁻ᵀ.
    factor = solve_triangular(lower, np.eye(count), lower=True, trans="T", overwrite_b=True)
    return ConditionalFit(reference, unknown.astype(np.int32), factor.astype(np.float32).ravel())


def _mean(reference) -> np.ndarray:
    """Return μ, float64."""
    return reference.color(tf.zeros([1, *reference.sample_shape], tf.float64))[0].numpy()


def _precision_times(reference, x: np.ndarray) -> np.ndarray:
    """Return Σ⁻¹ (x − μ), the gradient of ½‖z(x)‖², of flattened examples, float64 [n, …]."""
    x = tf.constant(x.reshape(len(x), *reference.sample_shape))
    gradient = energies.value_and_gradient(reference.energy, x)[1]
    return gradient.numpy().reshape(len(x), -1)
