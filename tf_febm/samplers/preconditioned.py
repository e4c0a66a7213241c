"""Preconditioning: any sampler in the white coordinates of a Gaussian reference."""

from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.networks.reference import GaussianReference
from tf_febm.renamed import earlier_names
from tf_febm.samplers.chain import placed

__all__ = ["Preconditioned"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class Preconditioned:
    """Run another sampler on z = A⁻¹(x − μ), A Aᵀ = Σ, and return x.

    One step size cannot serve directions whose scales differ by orders of magnitude. For Langevin
    dynamics this is preconditioning by Σ: Eq. 5 becomes x ← x − (ε/2) Σ ∇E + √ε A ξ, which has the
    same limit q as ε → 0; MALA and HMC keep q exactly, as a linear map changes no acceptance. Step
    size, noise, gradient bounds and the sampler's own bounds, if any, are in units of z; energies
    and samples are in units of x. Fresh chains start at μ + spread·A ξ.

    Args:
        sampler: Callable (energy_fn, initial_state, seed, **options), such as a `Langevin`, whose
            results are states, or NamedTuples with the fields `samples` and `trajectory`.
        reference: `networks.GaussianReference`, fitted; with mean and standard deviations at hand,
            `GaussianReference.from_moments(mean, scale)`.
        spread: Standard deviation of the starts of fresh chains in units of z, positive. Starts
            wider than the data find the wells that an energy has where no data is.

    Raises:
        TypeError: The sampler is not callable, or the reference no `GaussianReference`.
        ValueError: The reference has no fit, or spread is not positive.
    """

    # Those of x: there are none.
    bounds = None

    def __init__(
        self, sampler: arguments.Sampler, reference: arguments.Reference | None, spread: float = 1.0
    ):
        if not callable(sampler):
            raise TypeError(
                f"sampler must be callable (energy_fn, initial_state, seed); received {sampler!r}."
            )
        if not isinstance(reference, GaussianReference):
            raise TypeError(
                "reference must be a networks.GaussianReference, such as GaussianReference."
                f"from_moments(mean, scale); received {reference!r}."
            )
        if not reference.adapted:
            raise ValueError("The reference has no fit yet: call reference.adapt(data) first.")
        self.sampler, self.reference = sampler, reference
        self.spread = arguments.number("spread", spread, above=True)

    @property
    def num_steps(self) -> int | None:
        """The number of steps of the sampler inside, if it has one."""
        return getattr(self.sampler, "num_steps", None)

    @property
    def dtype(self) -> str:
        """What networks multiply in, as the sampler inside has it."""
        return getattr(self.sampler, "dtype", "float32")

    @property
    def num_parallel(self) -> int:
        """Parts of the chains of a training step, as the sampler inside has them."""
        return getattr(self.sampler, "num_parallel", 1)

    def with_dtype(self, dtype: str) -> "Preconditioned":
        """Return the same, of the sampler inside with a dtype; see `Sampler.with_dtype`."""
        return Preconditioned(self.sampler.with_dtype(dtype), self.reference, self.spread)

    @property
    def takes_step_tensors(self) -> bool:
        """Whether the sampler inside takes a tensor as `num_steps`."""
        return getattr(self.sampler, "takes_step_tensors", False)

    def fresh(self, shape: arguments.Sizes, seed: arguments.Seed) -> tf.Tensor:
        """Return where new chains start: μ + spread·A ξ, float32 of a shape [n, …]."""
        noise = randomness.normal(shape, seed)
        self._check(noise, "A Preconditioned sampler runs chains")
        return self.reference.color(self.spread * noise)

    def __call__(
        self,
        energy_fn: arguments.Function,
        initial_state: arguments.Array,
        seed: arguments.Seed,
        **options: Any,
    ) -> Any:
        """Run chains of the shape of `initial_state`, [n, …], in raw units.

        Args:
            energy_fn: x -> E(x), [n] or [n, 1], of x in raw units.
            initial_state: Floating [n, …].
            seed: As the sampler inside takes it.
            **options: Passed on.

        Returns:
            What the sampler inside returns, its states in raw units; gradient norms, where asked
            for, are those with respect to z.

        Raises:
            ValueError: `initial_state` is not floating, or not of the reference's shape.
        """
        x = tf.convert_to_tensor(initial_state)
        if not x.dtype.is_floating:
            raise ValueError(f"initial_state must be floating; received dtype {x.dtype.name}.")
        self._check(x, "initial_state must be")
        energy = energies.in_white(energy_fn, self.reference)
        result = self.sampler(energy, self.reference.whiten(x), seed, **options)
        return placed(result, self._raw)

    def _raw(self, z) -> tf.Tensor:
        """Return x of states [n, …], or of a trajectory of them, [steps, n, …]."""
        flat = tf.reshape(z, [-1, *self.reference.sample_shape])
        return tf.ensure_shape(tf.reshape(self.reference.color(flat), tf.shape(z)), z.shape)

    def _check(self, x, what: str) -> None:
        shape = self.reference.sample_shape
        if not x.shape.is_compatible_with((None, *shape)):
            received = f"received shape {x.shape}."
            raise ValueError(f"{what} of shape {('n', *shape)}, as the reference; {received}")

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        return {
            "sampler": keras.saving.serialize_keras_object(self.sampler),
            "reference": keras.saving.serialize_keras_object(self.reference),
            "spread": self.spread,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Preconditioned":
        """Make a sampler from the result of `get_config`."""
        sampler = keras.saving.deserialize_keras_object(config["sampler"])
        if "reference" in config:
            reference = keras.saving.deserialize_keras_object(config["reference"])
        else:
            # Of version 0.1, as `Standardised`.
            reference = GaussianReference.from_moments(config["mean"], config["scale"])
        return cls(sampler, reference, config["spread"])

    def __repr__(self):
        return f"Preconditioned({self.sampler!r}, {self.reference!r}, spread={self.spread})"


# Files of models from before the class had this name.
keras.saving.get_custom_objects()["tf_febm>Standardised"] = Preconditioned


__getattr__ = earlier_names(
    __name__,
    {
        "Standardised": "tf_febm.samplers.preconditioned:Preconditioned",
    },
)
