"""Levels of noise between data and a standard Gaussian: the forward process of recovery."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["NoiseLevels", "each"]

# Noise over signal at the first noisy level and at the last one, where nothing of the data is left.
FIRST_RATIO, LAST_RATIO = 0.3, 10.0


@arguments.checked
class NoiseLevels:
    """Hold the levels x₀ (the data), x₁, … x_T, each with more noise than the one before.

        x_{t+1} − c = √(1 − σ_t²) (x_t − c) + σ_t s ξ,   ξ ~ N(0, I)

    with c the centre and s the spread of the data. Where the standard deviation of the data is s,
    that of every level is, and x_T is close to N(c, s²I) if the σ_t are large enough:

        x_t − c = √ᾱ_t (x₀ − c) + √(1 − ᾱ_t) s ξ,   ᾱ_t = ∏_{u<t} (1 − σ_u²).

    Args:
        levels: T, at least 1, or the T numbers σ_t, each above 0 and below 1. With T alone the
            ratio of noise to signal, √(1/ᾱ_t − 1), grows by a constant factor from level to level,
            from 0.3 at the first to 10 at the last: this library's choice.
        center: c, a number or an array of the shape of an example.
        spread: s, positive, likewise.

    Raises:
        ValueError: A number is out of its range.
    """

    def __init__(
        self,
        levels: int | Sequence[float] = 6,
        center: arguments.Numbers = 0.0,
        spread: arguments.Numbers = 1.0,
    ):
        if isinstance(levels, int) or not np.ndim(levels):
            count = arguments.count_up_to("levels", levels, arguments.MOST_LEVELS)
            ratios = np.geomspace(FIRST_RATIO if count > 1 else LAST_RATIO, LAST_RATIO, count)
            kept = np.concatenate([[1.0], 1.0 / (1.0 + ratios**2)])
            found = np.sqrt(1.0 - kept[1:] / kept[:-1])
        else:
            found = np.asarray([arguments.number("levels", level) for level in levels])
            if not found.size or not ((found > 0.0) & (found < 1.0)).all():
                raise ValueError(
                    "levels must be a number of levels, at least 1, or their σ, each above 0 and "
                    f"below 1; received {arguments.shown(levels)}."
                )
        self.sigmas = tuple(float(sigma) for sigma in found)
        self.center = np.asarray(center, np.float32)
        self.spread = np.asarray(spread, np.float32)
        for name, values in (("center", self.center), ("spread", self.spread)):
            if not np.isfinite(values).all() or (name == "spread" and not (values > 0.0).all()):
                wanted = "finite" if name == "center" else "positive"
                raise ValueError(f"{name} must be {wanted}; received {arguments.shown(values)}.")
        self.shrinkage = np.sqrt(1.0 - np.square(self.sigmas))
        self.signal = np.concatenate([[1.0], np.cumprod(self.shrinkage)])

    @property
    def count(self) -> int:
        """T, the number of levels that have an energy, the data's first."""
        return len(self.sigmas)

    def noised(self, x: arguments.Array, rows: arguments.Tensor, seed: arguments.Seed) -> tf.Tensor:
        """Draw x_t given the data, [n, …].

        Args:
            x: Data x₀, float32 [n, …].
            rows: One-hot rows over the T levels, float32 [n, T], or with x_T, [n, T + 1].
            seed: Integer tensor [2].
        """
        signal = each(self.signal[: rows.shape[-1]], rows, x)
        noise = tf.sqrt(tf.maximum(1.0 - tf.square(signal), 0.0)) * self.spread
        return self.center + signal * (x - self.center) + noise * _normal_like(x, seed)

    def following(
        self, x: arguments.Array, rows: arguments.Tensor, seed: arguments.Seed
    ) -> tf.Tensor:
        """Draw x_{t+1} given x_t; the arguments are those of `noised`."""
        shrunk = each(self.shrinkage, rows, x) * (x - self.center)
        noise = each(np.asarray(self.sigmas), rows, x) * self.spread
        return self.center + shrunk + noise * _normal_like(x, seed)

    def before(
        self, noisier: arguments.Tensor, rows: arguments.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and deviation of x_t given x_{t+1}, where x_t is N(c, s²I).

            m = c + √(1 − σ_t²) (x_{t+1} − c),   d = s σ_t.

        Args:
            noisier: x_{t+1}, float32 [n, …].
            rows: One-hot rows over the T levels, float32 [n, T].

        Returns:
            m, [n, …], and d, of a shape that broadcasts to it.
        """
        mean = self.center + each(self.shrinkage, rows, noisier) * (noisier - self.center)
        return mean, each(np.asarray(self.sigmas), rows, noisier) * self.spread

    @property
    def noise(self) -> np.ndarray | None:
        """Deviation of the noise that x_t has on x₀, [T]; None if it differs by coordinate."""
        if np.ptp(self.spread):
            return None
        return self.spread.flat[0] * np.sqrt(1.0 / np.square(self.signal[:-1]) - 1.0)

    def of_noisy(
        self, noisy: arguments.Tensor, rows: arguments.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return x_t of data with its noise added, c + √ᾱ_t (x₀ + noise − c), and √ᾱ_t.

        Args:
            noisy: Float32 [n, …].
            rows: One-hot rows over the T levels, float32 [n, T].
        """
        signal = each(self.signal[:-1], rows, noisy)
        return self.center + signal * (noisy - self.center), signal

    def settings(self) -> dict:
        """Return what a model's configuration keeps: constructor's arguments by name."""
        of_data = {name: getattr(self, name).tolist() for name in ("center", "spread")}
        return {"levels": list(self.sigmas), **of_data}

    def seen(self, x: arguments.Array, rows: arguments.Tensor) -> tf.Tensor:
        """Return what networks see of x: x itself, which has one scale at all levels."""
        return x

    def gain(self, rows: arguments.Tensor) -> tf.Tensor:
        """Return what the energy network's output is multiplied with: 1."""
        return tf.ones(tf.shape(rows)[:1])

    def energy(self, x: arguments.Array, rows: arguments.Tensor | None = None) -> tf.Tensor:
        """Return ½‖(x − c)/s‖², the energy of N(c, s²I), [n], of x [n, …] of any level."""
        axes = list(range(1, x.shape.rank))
        return 0.5 * tf.reduce_sum(tf.square((x - self.center) / self.spread), axis=axes)

    def last(self, shape: arguments.Sizes, seed: arguments.Seed) -> tf.Tensor:
        """Draw x_T from N(c, s²I), float32 of a shape [n, …], which may be a tensor."""
        return self.center + self.spread * randomness.normal(shape, seed)

    def last_law(self) -> tuple:
        """Return the law of x_T as `before` returns that of x_t."""
        return self.center, self.spread


def each(table: arguments.Numbers, rows: arguments.Tensor, x: arguments.Tensor) -> tf.Tensor:
    """Return the entry of a table of T numbers for each row, of a shape that broadcasts to x."""
    values = tf.linalg.matvec(rows, tf.constant(np.asarray(table), tf.float32))
    return tf.reshape(values, [-1] + [1] * (x.shape.rank - 1))


def _normal_like(x, seed) -> tf.Tensor:
    return randomness.normal(tf.shape(x), seed)
