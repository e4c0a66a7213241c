"""Levels of white noise over data that have a Gaussian reference."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.models.noise_levels import each
from tf_febm.networks import GaussianReference

__all__ = ["ReferenceLevels"]

# σ of the data's own level and of the last one, in the units of the reference.
NOISE_RANGE = (0.02, 3.0)


@arguments.checked
class ReferenceLevels:
    """Hold levels x_t = x + σ_t u ξ, ξ ~ N(0, I), of data with a Gaussian reference N(μ, Σ).

    Where the data are the reference, level t is N(μ, Σ + σ_t²U²), U = diag(u): what an energy of
    the level is relative to,

        E(x, t) = f(x, t) + ½‖y(x)/√(v + σ_t²)‖²,

    with y the principal coordinates of the reference, in which Σ is diag(v); see
    `GaussianReference.principal`. The last level, T, has no energy of its own: it is taken for
    N(μ, Σ + σ_T²U²), and the more noise it has the better that holds.

    All levels see their data in one scale, c_t(x − μ) with c_t = 1/√(σ_t² + v̄), and f is κ_t
    times what the network says of that, with κ_t = d_t/(σ_t² c_t), where d_t² is the mean variance
    of x given x_t under the reference: σ_t²∇f then is what the posterior mean of x lacks, and of
    order d_t where the network's gradient is of order 1. Preconditioning of this kind is that of
    Karras et al., "Elucidating the design space of diffusion-based generative models", 2022, with
    a Gaussian of full covariance in the place of their isotropic one.

    Args:
        reference: A fitted reference; its shared factors, if it has some, are left out.
        levels: T, at least 1, or the T + 1 numbers σ_0 … σ_T, positive and increasing. With T alone
            they grow by a constant factor from 0.02 to 3, in the units u: of x, or of the standard
            deviation of each coordinate with covariance="full".

    Raises:
        TypeError: The reference is none.
        ValueError: It has no fit, or a number is out of its range.
    """

    def __init__(self, reference: GaussianReference, levels: int | Sequence[float] = 60):
        self.reference = reference.without_factors()
        if isinstance(levels, int) or not np.ndim(levels):
            count = arguments.count_up_to("levels", levels, arguments.MOST_LEVELS)
            found = np.geomspace(*NOISE_RANGE, count + 1)
        else:
            found = np.asarray([arguments.number("levels", level) for level in levels])
            if len(found) < 2 or found[0] <= 0.0 or not (np.diff(found) > 0.0).all():
                raise ValueError(
                    "levels must be a number of levels, at least 1, or at least two σ, positive "
                    f"and increasing, one more than levels; received {arguments.shown(levels)}."
                )
        self.sigmas = tuple(float(sigma) for sigma in found)
        own, variances = np.asarray(self.sigmas[:-1]), self.reference.variances
        axes = (-1, *(1 for _ in variances.shape))
        squares = np.square(own).reshape(axes)
        lacking = np.sqrt(
            (variances * squares / (variances + squares)).reshape(len(own), -1).mean(1)
        )
        self._scale = 1.0 / np.sqrt(own**2 + variances.mean())
        self._gain = lacking / (own**2 * self._scale)
        self._lacking = lacking
        self._steps = np.sqrt(np.diff(np.square(self.sigmas)))

    @property
    def count(self) -> int:
        """T, the number of levels that have an energy, the data's first."""
        return len(self.sigmas) - 1

    @property
    def noise(self) -> np.ndarray | None:
        """Deviation of the noise of each level, [T]; None if it differs by coordinate."""
        units = np.asarray(self.reference.units)
        return None if np.ptp(units) else units.flat[0] * np.asarray(self.sigmas[:-1])

    def of_noisy(self, noisy: arguments.Tensor, rows: arguments.Tensor) -> tuple[tf.Tensor, float]:
        """Return x_t of data with its noise added, which is these, and what they are scaled by."""
        return noisy, 1.0

    def settings(self) -> dict:
        """Return what a model's configuration keeps: constructor's arguments by name."""
        return {"levels": list(self.sigmas)}

    def noised(self, x: arguments.Array, rows: arguments.Tensor, seed: arguments.Seed) -> tf.Tensor:
        """Draw x_t given the data, [n, …].

        Args:
            x: Data, float32 [n, …].
            rows: One-hot rows over the T levels, float32 [n, T], or with x_T, [n, T + 1].
            seed: Integer tensor [2].
        """
        return x + each(self.sigmas[: rows.shape[-1]], rows, x) * self._white(x, seed)

    def following(
        self, x: arguments.Array, rows: arguments.Tensor, seed: arguments.Seed
    ) -> tf.Tensor:
        """Draw x_{t+1} given x_t; the arguments are those of `noised`."""
        return x + each(self._steps, rows, x) * self._white(x, seed)

    def before(self, noisier: arguments.Tensor, rows: arguments.Tensor) -> tuple:
        """Return the law of x_t given x_{t+1} where x_t is N(μ, Σ + σ_t²U²): see `placed`.

        Args:
            noisier: x_{t+1}, float32 [n, …].
            rows: One-hot rows over the T levels, float32 [n, T].

        Returns:
            Mean and standard deviations in principal coordinates, each [n, …], and the functions
            from and to these, of points and of gradients.
        """
        own = 1.0 / self._variance(rows, noisier)
        between = 1.0 / tf.square(each(self._steps, rows, noisier))
        variance = 1.0 / (own + between)
        mean = variance * between * self.reference.principal(noisier)
        return mean, tf.sqrt(variance), self.reference.from_principal, self._gradient

    def missing(
        self, noise: arguments.Tensor, gradient: arguments.Tensor, rows: arguments.Tensor
    ) -> tf.Tensor:
        """Return (σ_t²u²∇E − (x_t − x))/(u d_t), [n, …]: the error of the posterior mean, in d_t.

        Args:
            noise: x_t − x, float32 [n, …].
            gradient: ∇E(x_t, t), of the same shape.
            rows: One-hot rows over the T levels, float32 [n, T].
        """
        units = self._units(noise)
        error = each(np.square(self.sigmas[:-1]), rows, noise) * units * gradient - noise / units
        return error / each(self._lacking, rows, noise)

    def energy(self, x: arguments.Array, rows: arguments.Tensor) -> tf.Tensor:
        """Return ½‖y/√(v + σ_t²)‖², the energy of N(μ, Σ + σ_t²U²), [n], of x [n, …]."""
        squares = tf.square(self.reference.principal(x)) / self._variance(rows, x)
        return 0.5 * tf.reduce_sum(squares, axis=list(range(1, x.shape.rank)))

    def seen(self, x: arguments.Array, rows: arguments.Tensor) -> tf.Tensor:
        """Return what networks see of x: c_t(x − μ)/u, of images about ½ and a quarter of it."""
        centred = (x - tf.constant(self.reference._array("mean"), x.dtype)) / self._units(x)
        found = tf.cast(each(self._scale, rows, x), x.dtype) * centred
        return 0.5 + 0.25 * found if x.shape.rank == 4 else found

    def gain(self, rows: arguments.Tensor) -> tf.Tensor:
        """Return κ_t, what the energy network's output is multiplied with, [n]."""
        return tf.linalg.matvec(rows, tf.constant(self._gain, tf.float32))

    def last(self, shape: arguments.Sizes, seed: arguments.Seed) -> tf.Tensor:
        """Draw x_T from N(μ, Σ + σ_T²U²), float32 of a shape [n, …], which may be a tensor."""
        _, deviation, compose, _ = self.last_law()
        return compose(deviation * randomness.normal(shape, seed))

    def last_law(self) -> tuple:
        """Return the law of x_T as `before` returns that of x_t."""
        variances = self.reference.variances + self.sigmas[-1] ** 2
        deviation = tf.constant(np.sqrt(variances), tf.float32)
        return 0.0, deviation, self.reference.from_principal, self._gradient

    def _variance(self, rows, x) -> tf.Tensor:
        """Return v + σ_t², [n, …]."""
        squares = each(np.square(self.sigmas[:-1]), rows, x)
        return tf.constant(self.reference.variances, tf.float32) + squares

    def _gradient(self, gradient) -> tf.Tensor:
        """Return the gradient for y of what has the gradient for x."""
        return self.reference._components(gradient * self._units(gradient))

    def _units(self, x) -> tf.Tensor:
        return tf.constant(self.reference.units, x.dtype)

    def _white(self, x, seed) -> Any:
        return self._units(x) * randomness.normal(tf.shape(x), seed)
