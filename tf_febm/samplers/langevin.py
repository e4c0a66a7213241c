"""Langevin dynamics: the published short-run kernel for images, and the paper's Eq. 5."""

import math
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.samplers.chain import ChainResult, StepInfo, run_chain

__all__ = ["Langevin"]


@keras.saving.register_keras_serializable(package="tf_febm")
class Langevin:
    """Run unadjusted Langevin chains.

    One step, in the order of the published image code (`noise_first=True`):

        y = x + noise_scale·ξ,  ξ ~ N(0, I)
        x' = clip(y − step_size·clip(∇E(y), ±grad_clip), bounds)

    With `noise_first=False` the gradient is taken at x and the noise is added last, which is the
    paper's Eq. 5; `from_epsilon` makes it. No kernel here is Metropolis-adjusted, so none has
    q ∝ e^(−E) as its stationary law. Eq. 5 approaches q as ε → 0: for a unit Gaussian its variance
    is 1/(1 − ε/4). With other settings, such as the defaults, where step_size is far above
    noise_scale²/2, or with clipping or bounds, chains settle on a colder or otherwise different
    law; f-EBMs are trained and sampled with one and the same kernel for that reason.

    Args:
        step_size: Factor of the gradient, positive.
        noise_scale: Standard deviation of the noise of a step, at least 0.
        num_steps: Steps per call, at least 0.
        grad_clip: Bound on each coordinate of the gradient, positive, or None.
        grad_clip_norm: Bound on the L2 norm of each chain's gradient, positive, or None. At most
            one of the two bounds may be given.
        bounds: (low, high) to which states are clipped after each step, or None.
        noise_first: Whether the noise precedes the gradient.

    Raises:
        ValueError: A setting is out of its range.

    Source: Yu et al. 2020, Eq. 5 and Appendix G; Du & Mordatch 2019 for the published settings.
    """

    # `num_steps` of a call may be a tensor, for which nothing is traced anew.
    takes_step_tensors = True

    def __init__(
        self,
        step_size: float = 10.0,
        noise_scale: float = 0.005,
        num_steps: int = 60,
        grad_clip: float | None = 0.01,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        grad_clip_norm: float | None = None,
        noise_first: bool = True,
    ):
        self.step_size = arguments.number("step_size", step_size, above=True)
        self.noise_scale = arguments.number("noise_scale", noise_scale)
        self.num_steps = arguments.whole_number("num_steps", num_steps)
        if grad_clip is not None and grad_clip_norm is not None:
            raise ValueError(
                f"Give grad_clip or grad_clip_norm, not both; received {grad_clip} and "
                f"{grad_clip_norm}."
            )
        self.grad_clip, self.grad_clip_norm = (
            None if bound is None else arguments.number(name, bound, above=True)
            for name, bound in (("grad_clip", grad_clip), ("grad_clip_norm", grad_clip_norm))
        )
        self.bounds = None if bounds is None else arguments.interval("bounds", bounds)
        self.noise_first = arguments.switch("noise_first", noise_first)

    @classmethod
    def from_epsilon(
        cls,
        epsilon: float,
        num_steps: int,
        *,
        grad_clip: float | None = None,
        grad_clip_norm: float | None = None,
        bounds: tuple[float, float] | None = None,
        noise_first: bool = False,
    ) -> "Langevin":
        """Return the paper's Eq. 5: x ← x − (ε/2)∇E(x) + √ε ξ, without clipping or bounds.

        Args:
            epsilon: ε, positive. The stationary law tends to q as ε → 0 and num_steps → ∞.
            num_steps: Steps per call.
            grad_clip: See the constructor, as for all that follow.
            grad_clip_norm: See there.
            bounds: See there.
            noise_first: See there.
        """
        epsilon = arguments.number("epsilon", epsilon, above=True)
        return cls(
            epsilon / 2.0,
            math.sqrt(epsilon),
            num_steps,
            grad_clip=grad_clip,
            grad_clip_norm=grad_clip_norm,
            bounds=bounds,
            noise_first=noise_first,
        )

    def step(self, energy_fn, x: tf.Tensor, seed) -> tuple[tf.Tensor, StepInfo]:
        """Take one step of every chain.

        Args:
            energy_fn: x -> E(x), [n] or [n, 1].
            x: States, floating [n, …].
            seed: Integer tensor [2].

        Returns:
            The next states, and the StepInfo of this step.
        """
        noise = self.noise_scale * randomness.normal(tf.shape(x), seed, x.dtype)
        if self.noise_first:
            x = x + noise
        energy, gradient = energies.value_and_gradient(energy_fn, x)
        clipped = self._clip(gradient)
        following = x - self.step_size * clipped
        if not self.noise_first:
            following = following + noise
        if self.bounds is not None:
            following = tf.clip_by_value(following, *self.bounds)
        axes = list(range(1, x.shape.rank))
        info = StepInfo(
            energy=tf.cast(energy, x.dtype),
            gradient_norm=tf.sqrt(tf.reduce_sum(tf.square(gradient), axes)),
            clipped_fraction=tf.reduce_mean(tf.cast(clipped != gradient, x.dtype), axes),
        )
        return following, info

    def _clip(self, gradient: tf.Tensor) -> tf.Tensor:
        if self.grad_clip is not None:
            return tf.clip_by_value(gradient, -self.grad_clip, self.grad_clip)
        if self.grad_clip_norm is not None:
            axes = list(range(1, gradient.shape.rank))
            return tf.clip_by_norm(gradient, self.grad_clip_norm, axes=axes)
        return gradient

    def __call__(
        self,
        energy_fn,
        initial_state,
        seed,
        *,
        num_steps=None,
        return_diagnostics: bool = False,
        return_trajectory: bool = False,
    ) -> Any:
        """Run chains of the shape of `initial_state`.

        Works eagerly and inside a `tf.function`, where it becomes one compiled loop; wrap it in
        one when a chain is long. Equal seeds give equal chains, eagerly and compiled; under XLA
        (jit_compile) TensorFlow draws other numbers.

        Args:
            energy_fn: Any callable x -> E(x), [n] or [n, 1], differentiable in x.
            initial_state: Where the chains start, floating [n, …]; NumPy arrays as well.
            seed: An int, a pair of ints, or an integer tensor [2].
            num_steps: Overrides the sampler's own number of steps, an int or a scalar tensor; for
                another value of a tensor, a compiled program is not traced again.
            return_diagnostics: Whether to record energy, gradient norm and clipped share.
            return_trajectory: Whether to record every state.

        Returns:
            The final states, of the shape and dtype of `initial_state`; or, if a history was asked
            for, a ChainResult, whose first field is `samples`.

        Raises:
            ValueError: `initial_state` is not floating or has no batch axis, or the energy does
                not return one value per chain.
        """
        x = tf.convert_to_tensor(initial_state)
        if not x.dtype.is_floating or not x.shape.rank:
            raise ValueError(
                f"initial_state must be a floating tensor [n, …]; received shape {x.shape}, "
                f"dtype {x.dtype.name}."
            )
        result: ChainResult = run_chain(
            lambda state, step_seed: self.step(energy_fn, state, step_seed),
            x,
            self.num_steps if num_steps is None else num_steps,
            seed,
            diagnostics=return_diagnostics,
            trajectory=return_trajectory,
        )
        return result if return_diagnostics or return_trajectory else result.samples

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {
            "step_size": self.step_size,
            "noise_scale": self.noise_scale,
            "num_steps": self.num_steps,
            "grad_clip": self.grad_clip,
            "bounds": self.bounds,
            "grad_clip_norm": self.grad_clip_norm,
            "noise_first": self.noise_first,
        }

    @classmethod
    def from_config(cls, config: dict) -> "Langevin":
        """Make a sampler from the result of `get_config`."""
        return cls(**config)

    def __repr__(self):
        return f"Langevin({', '.join(f'{k}={v}' for k, v in self.get_config().items())})"
