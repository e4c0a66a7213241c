"""Langevin dynamics: the published short-run kernel for images, and the paper's Eq. 5."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.samplers.chain import ChainResult, StepInfo, run_chain
from tf_febm.samplers.schedules import Scheduled, checked_schedule, factor

__all__ = ["Langevin"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class Langevin(Scheduled):
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
        schedule: What step_size is multiplied with at each step of a call, and noise_scale² too, as
            if ε of Eq. 5 were. "constant"; "linear", "cosine" and "geometric" fall from 1 at the
            first step to 0.01 at the last; or any function of the number of the step, an int32
            scalar from 0, to a scalar, such as those of keras.optimizers.schedules. Chains that go
            on in another call begin it again. None multiplies nothing.
        noise_schedule: What noise_scale is multiplied with, likewise, in the place of the root of
            `schedule`: noise that falls faster than the steps cools the chains down, which is
            annealing, and ends near the lowest energies rather than in q.
        dtype: What networks multiply in, "float32" or "bfloat16"; see `samplers.sampler.Sampler`.
        num_parallel: Parts of the chains of a training step; see there.

    A function is kept in files of models if it is registered with Keras.

    Raises:
        ValueError: A setting is out of its range.

    Source: Yu et al. 2020, Eq. 5 and Appendix G; Du & Mordatch 2019 for the published settings.
    """

    def __init__(
        self,
        step_size: float = 10.0,
        noise_scale: float = 0.005,
        num_steps: int = 60,
        grad_clip: float | None = 0.01,
        bounds: tuple[float, float] | None = (0.0, 1.0),
        grad_clip_norm: float | None = None,
        noise_first: bool = True,
        schedule: str | Callable | None = None,
        noise_schedule: str | Callable | None = None,
        dtype: str = "float32",
        num_parallel: int = 1,
    ):
        super().__init__(num_steps, bounds, dtype, num_parallel)
        self.step_size = arguments.number("step_size", step_size, above=True)
        self.noise_scale = arguments.number("noise_scale", noise_scale)
        if grad_clip is not None and grad_clip_norm is not None:
            raise ValueError(
                f"Give grad_clip or grad_clip_norm, not both; received {grad_clip} and "
                f"{grad_clip_norm}."
            )
        self.grad_clip, self.grad_clip_norm = (
            None if bound is None else arguments.number(name, bound, above=True)
            for name, bound in (("grad_clip", grad_clip), ("grad_clip_norm", grad_clip_norm))
        )
        self.noise_first = arguments.switch("noise_first", noise_first)
        self.schedule = checked_schedule("schedule", schedule)
        self.noise_schedule = checked_schedule("noise_schedule", noise_schedule)

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
        schedule: str | Callable | None = None,
        noise_schedule: str | Callable | None = None,
        dtype: str = "float32",
        num_parallel: int = 1,
    ) -> "Langevin":
        """Return the paper's Eq. 5: x ← x − (ε/2)∇E(x) + √ε ξ, without clipping or bounds.

        Args:
            epsilon: ε, positive. The stationary law tends to q as ε → 0 and num_steps → ∞.
            num_steps: Steps per call.
            grad_clip: See the constructor, as for all that follow.
            grad_clip_norm: See there.
            bounds: See there.
            noise_first: See there.
            schedule: See there.
            noise_schedule: See there.
            dtype: See there.
            num_parallel: See there.
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
            schedule=schedule,
            noise_schedule=noise_schedule,
            dtype=dtype,
            num_parallel=num_parallel,
        )

    @classmethod
    def exponential(
        cls,
        epsilon: float,
        num_steps: int,
        *,
        grad_clip: float | None = None,
        grad_clip_norm: float | None = None,
        schedule: str | Callable | None = None,
        noise_schedule: str | Callable | None = None,
        dtype: str = "float32",
        num_parallel: int = 1,
    ) -> "Langevin":
        """Return exponential Euler steps, for energies E(z) = ½‖z‖² + f(z).

            z ← e^(−ε/2) z − (1 − e^(−ε/2)) ∇f(z) + √(1 − e^(−ε)) ξ

        They solve the diffusion of which Eq. 5 is a step, over the time ε with ∇f held as it is. If
        f is linear N(−∇f, I) is their stationary law for any ε: what bounds ε is how much f bends,
        not the Gaussian. That is the energy of a model with a `reference`, in white coordinates.

        Args:
            epsilon: ε, positive; e^(−ε/2) of z is left after a step.
            num_steps: Steps per call.
            grad_clip: See the constructor, as for `grad_clip_norm`; with either the law is not
                exact, as it is z + ∇f that is clipped.
            grad_clip_norm: See there.
            schedule: See there; where it is not 1, variances of a linear f are (2 − δ)/(2 − sδ) for
                s of the schedule and δ = 1 − e^(−ε/2), not 1.
            noise_schedule: See there.
            dtype: See there.
            num_parallel: See there.

        Source: Certaine 1960 for the integrator; Cotter et al. 2013 for steps that leave a
            Gaussian reference as it is.
        """
        epsilon = arguments.number("epsilon", epsilon, above=True)
        # z − δ(z + ∇f) + σ ξ with δ = 1 − e^(−ε/2) is the same.
        return cls(
            -math.expm1(-epsilon / 2.0),
            math.sqrt(-math.expm1(-epsilon)),
            num_steps,
            grad_clip=grad_clip,
            grad_clip_norm=grad_clip_norm,
            bounds=None,
            noise_first=False,
            schedule=schedule,
            noise_schedule=noise_schedule,
            dtype=dtype,
            num_parallel=num_parallel,
        )

    def step(
        self,
        energy_fn: arguments.Function,
        x: tf.Tensor,
        seed: arguments.Seed,
        number: arguments.Whole = 0,
    ) -> tuple[tf.Tensor, StepInfo]:
        """Take one step of every chain.

        Args:
            energy_fn: x -> E(x), [n] or [n, 1].
            x: States, floating [n, …].
            seed: Integer tensor [2].
            number: Which of `num_steps` it is, from 0: schedules ask for that.

        Returns:
            The next states, and the StepInfo of this step.
        """
        x = tf.convert_to_tensor(x)
        if not x.dtype.is_floating:
            raise ValueError(f"x must be floating, [n, …]; received {arguments.shown(x)}.")
        return self._step(energy_fn, x, seed, number, self.num_steps)

    def _step(self, energy_fn, x, seed, number, num_steps) -> tuple[tf.Tensor, StepInfo]:
        """Take one step, of a chain of so many."""
        step_size, noise_scale = self._scales(number, num_steps, x.dtype)
        noise = noise_scale * randomness.normal(tf.shape(x), seed, x.dtype)
        if self.noise_first:
            x = x + noise
        energy, gradient = energies.value_and_gradient(energy_fn, x)
        clipped = self._clip(gradient)
        following = x - step_size * clipped
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

    def _scales(self, number, num_steps, dtype) -> tuple:
        """Return step size and noise scale of a step."""
        size, noise = self.step_size, self.noise_scale
        if self.schedule is not None:
            scheduled = factor(self.schedule, number, num_steps, dtype)
            size *= scheduled
            noise = noise if self.noise_schedule is not None else noise * tf.sqrt(scheduled)
        if self.noise_schedule is not None:
            noise *= factor(self.noise_schedule, number, num_steps, dtype)
        return size, noise

    def _clip(self, gradient: tf.Tensor) -> tf.Tensor:
        if self.grad_clip is not None:
            return tf.clip_by_value(gradient, -self.grad_clip, self.grad_clip)
        if self.grad_clip_norm is not None:
            axes = list(range(1, gradient.shape.rank))
            return tf.clip_by_norm(gradient, self.grad_clip_norm, axes=axes)
        return gradient

    smooth = True
    SCHEDULED = ("schedule", "noise_schedule")

    def _run(self, energy_fn, x: tf.Tensor, seed, num_steps, **history) -> ChainResult:
        def step(state, step_seed, number):
            return self._step(energy_fn, state, step_seed, number, num_steps)

        return run_chain(step, x, num_steps, seed, numbered=True, **history)
