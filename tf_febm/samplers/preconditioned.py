"""Diagonal preconditioning: any sampler, in units of the coordinates' standard deviations."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.networks.units import checked_units

__all__ = ["Preconditioned"]


@keras.saving.register_keras_serializable(package="tf_febm")
class Preconditioned:
    """Run another sampler on z = (x − mean)/scale, and return x.

    One step size cannot serve coordinates whose units differ by orders of magnitude. For Langevin
    dynamics this is preconditioning by scale²: Eq. 5 becomes x ← x − (ε/2) scale² ∇E + √ε scale ξ,
    which has the same limit q as ε → 0. Step size, noise, gradient bounds and the sampler's own
    bounds, if any, are in units of z; energies and samples are in units of x. Fresh chains start at
    mean + spread·scale·ξ.

    Args:
        sampler: Callable (energy_fn, initial_state, seed, **options), such as a `Langevin`, whose
            results are states, or NamedTuples with the fields `samples` and `trajectory`.
        mean: Real [d].
        scale: Positive [d].
        spread: Standard deviation of the starts of fresh chains in units of z, positive. Starts
            wider than the data find the wells that an energy has where no data is.

    Raises:
        ValueError: If mean and scale are not vectors of one length, finite, with positive scale, or
            spread is not positive.
        TypeError: If the sampler is not callable.
    """

    # Those of x: there are none.
    bounds = None

    def __init__(self, sampler, mean, scale, spread: float = 1.0):
        if not callable(sampler):
            raise TypeError(
                f"sampler must be callable (energy_fn, initial_state, seed); received {sampler!r}."
            )
        self.sampler = sampler
        self.mean, self.scale = checked_units(mean, scale)
        self.spread = arguments.number("spread", spread, above=True)

    @property
    def num_steps(self) -> int | None:
        """The number of steps of the sampler inside, if it has one."""
        return getattr(self.sampler, "num_steps", None)

    @property
    def takes_step_tensors(self) -> bool:
        """Whether the sampler inside takes a tensor as `num_steps`."""
        return getattr(self.sampler, "takes_step_tensors", False)

    def fresh(self, shape, seed) -> tf.Tensor:
        """Return where new chains start: mean + spread·scale·ξ, float32 of a shape [n, d]."""
        noise = randomness.normal(shape, seed)
        if not noise.shape.is_compatible_with((None, len(self.mean))):
            raise ValueError(
                f"A Preconditioned sampler of {len(self.mean)} coordinates runs chains of shape "
                f"[n, {len(self.mean)}]; received {noise.shape}."
            )
        return self._raw(self.spread * noise)

    def __call__(self, energy_fn, initial_state, seed, **options) -> Any:
        """Run chains of the shape of `initial_state`, [n, d], in raw units.

        Args:
            energy_fn: x -> E(x), [n] or [n, 1], of x in raw units.
            initial_state: Floating [n, d].
            seed: As the sampler inside takes it.
            **options: Passed on.

        Returns:
            What the sampler inside returns, its states in raw units; gradient norms, where asked
            for, are those with respect to z.

        Raises:
            ValueError: If `initial_state` is not floating, or not of the width of mean and scale.
        """
        x = tf.convert_to_tensor(initial_state)
        if not x.dtype.is_floating or not x.shape.is_compatible_with((None, len(self.mean))):
            raise ValueError(
                f"initial_state must be a floating tensor [n, {len(self.mean)}], as wide as mean "
                f"and scale; received shape {x.shape}, dtype {x.dtype.name}."
            )
        mean, scale = self._units(x.dtype)
        result = self.sampler(
            lambda z: energy_fn(self._raw(z)), (x - mean) / scale, seed, **options
        )
        if not hasattr(result, "samples"):
            return self._raw(result)
        changed = {"samples": self._raw(result.samples)}
        if getattr(result, "trajectory", None) is not None:
            changed["trajectory"] = self._raw(result.trajectory)
        return result._replace(**changed)

    def _units(self, dtype):
        return tf.constant(self.mean, dtype), tf.constant(self.scale, dtype)

    def _raw(self, z):
        mean, scale = self._units(z.dtype)
        return mean + scale * z

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        return {
            "sampler": keras.saving.serialize_keras_object(self.sampler),
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
            "spread": self.spread,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Preconditioned":
        """Make a sampler from the result of `get_config`."""
        sampler = keras.saving.deserialize_keras_object(config["sampler"])
        return cls(**{**config, "sampler": sampler})

    def __repr__(self):
        return (
            f"Preconditioned({self.sampler!r}, mean={self.mean}, scale={self.scale}, "
            f"spread={self.spread})"
        )


# Files of models from before the class had this name.
keras.saving.get_custom_objects()["tf_febm>Standardised"] = Preconditioned
