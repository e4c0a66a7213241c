"""Calibrated samplers, whose stationary law is q ∝ e^(−E) itself: MALA and HMC."""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.samplers.chain import ChainResult
from tf_febm.samplers.metropolis import run_metropolis
from tf_febm.samplers.schedules import Scheduled, checked_schedule, factor

__all__ = ["HMC", "MALA"]


@arguments.checked
class _Hamiltonian(Scheduled):
    """What the two share. A subclass has `num_leapfrog_steps` and `_leapfrog_size`."""

    num_leapfrog_steps: int
    # The power of a step size that h of the leapfrog rule is proportional to.
    POWER = 1.0

    def __init__(self, step_size, burn_in, target_acceptance, schedule, *common):
        super().__init__(*common)
        self.step_size = arguments.number("step_size", step_size, above=True)
        self.burn_in = arguments.whole_number("burn_in", burn_in)
        self.target_acceptance = arguments.number(
            "target_acceptance", target_acceptance, above=True
        )
        if self.target_acceptance >= 1.0:
            raise ValueError(
                f"target_acceptance must lie in (0, 1); received {target_acceptance!r}."
            )
        self.schedule = checked_schedule("schedule", schedule)

    def _run(
        self, energy_fn, x: tf.Tensor, seed, num_steps, *, diagnostics: bool, trajectory: bool
    ) -> ChainResult:
        if self.bounds is not None:
            x = tf.clip_by_value(x, *self.bounds)
        history = {"diagnostics": diagnostics, "trajectory": trajectory}
        return self._metropolis(
            energy_fn, x, randomness.as_seed(seed), num_steps, self.bounds, **history
        )

    def _metropolis(self, energy_fn, x, seed, num_steps, bounds, **options) -> ChainResult:
        """Return the chains of `run_metropolis` with these settings, in this sampler's units."""
        result = run_metropolis(
            energy_fn,
            x,
            seed,
            num_steps=num_steps,
            leapfrog_steps=self.num_leapfrog_steps,
            step_size=self._leapfrog_size(),
            burn_in=self.burn_in,
            target_acceptance=self.target_acceptance,
            bounds=bounds,
            scale=None if self.schedule is None else self._scale,
            **options,
        )
        return self._in_own_units(result)

    def _scale(self, number, num_steps, dtype) -> tf.Tensor:
        """Return what h is multiplied with in a step after those in which it adapts, of so many."""
        return tf.pow(factor(self.schedule, number, num_steps, dtype), self.POWER)

    def _leapfrog_size(self) -> float:
        """Return h of the leapfrog rule."""
        return self.step_size

    def _in_own_units(self, result: ChainResult) -> ChainResult:
        """Return a result with the step size as the constructor takes it."""
        return result


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class MALA(_Hamiltonian):
    """Run Metropolis-adjusted Langevin chains, whose stationary law is q ∝ e^(−E).

    A step proposes what `Langevin` does without clipping and with noise_scale² = 2·step_size,

        x' = x − step_size·∇E(x) + √(2·step_size)·ξ,  ξ ~ N(0, I)

    and accepts it with probability min(1, q(x') k(x | x') / (q(x) k(x' | x))), k being the density
    of the proposal; a chain that rejects stays. With ε = 2·step_size it is the paper's Eq. 5, made
    exact. That is one leapfrog step of `HMC` with h = √(2·step_size).

    With bounds, q is confined to the box, exactly: proposals that leave it bounce off its walls
    (see `metropolis.reflect`). States are not drawn onto the walls, as clipping does.

    The law is q for chains long enough, whatever the step size; how long is long, nothing tells.
    Energies must be smooth on the scale of a step, and their differences must not drown in
    rounding: with float32, |E| up to some thousands.

    Args:
        step_size: Factor of the gradient, positive.
        num_steps: Steps per call, at least 0, burn-in included.
        burn_in: During so many steps, from the first, the step size adapts by dual averaging until
            `target_acceptance` is met on average over all chains; from there on it is fixed. Each
            call starts from `step_size` again. 0 never adapts. Where it reaches the number of
            steps, adaptation never ends, and the law of the states is near q, not q.
        target_acceptance: In (0, 1). 0.574 is best for many independent coordinates (Roberts &
            Rosenthal 1998).
        bounds: (low, high) of each coordinate, or None.
        schedule: What step_size is multiplied with at each step of a call, the noise to match: see
            `Langevin`. Whatever it is, each step leaves q as it is. It begins when the steps of
            `burn_in` are over, with its step 0, and multiplies the size that they found. There is
            no schedule of the noise alone: noise that does not match the step has another law than
            q, that of a temperature, as `compose.temper` and `ParallelTempering` have it.
        dtype: What networks multiply in, "float32" or "bfloat16"; see `samplers.sampler.Sampler`.
            The law is then ∝ e^(−E) of the energy as it is rounded, which is a function of x like
            any other, and so are the gradients that propose.
        num_parallel: Parts of the chains of a training step; see there.

    Raises:
        ValueError: A setting is out of its range.

    Source: Roberts & Tweedie 1996; the step size after Hoffman & Gelman 2014.
    """

    num_leapfrog_steps = 1
    POWER = 0.5

    def __init__(
        self,
        step_size: float = 0.1,
        num_steps: int = 100,
        burn_in: int = 0,
        target_acceptance: float = 0.574,
        bounds: tuple[float, float] | None = None,
        schedule: str | Callable | None = None,
        dtype: str = "float32",
        num_parallel: int = 1,
    ):
        common = num_steps, bounds, dtype, num_parallel
        super().__init__(step_size, burn_in, target_acceptance, schedule, *common)

    def _leapfrog_size(self) -> float:
        return math.sqrt(2.0 * self.step_size)

    def _in_own_units(self, result: ChainResult) -> ChainResult:
        if result.step_size is None:
            return result
        return result._replace(step_size=0.5 * tf.square(result.step_size))


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class HMC(_Hamiltonian):
    """Run Hamiltonian Monte Carlo chains, whose stationary law is q ∝ e^(−E).

    A step draws a momentum p ~ N(0, I), follows the dynamics of H = E(x) + ‖p‖²/2 for
    `num_leapfrog_steps` leapfrog steps of length `step_size`, and accepts the end with probability
    min(1, e^(H − H')). It costs as many gradients, and moves that much farther than `MALA`.

    Bounds and guarantees are those of `MALA`.

    Args:
        step_size: h, positive.
        num_leapfrog_steps: Gradients per step, at least 1.
        num_steps: Steps per call, at least 0, burn-in included.
        burn_in: See `MALA`.
        target_acceptance: In (0, 1). 0.651 is best for many independent coordinates (Beskos et al.
            2013).
        bounds: (low, high) of each coordinate, or None.
        schedule: See `MALA`; it multiplies h.
        dtype: See `MALA`.
        num_parallel: See there.

    Raises:
        ValueError: A setting is out of its range.

    Source: Duane, Kennedy, Pendleton, Roweth 1987; Neal 2011.
    """

    def __init__(
        self,
        step_size: float = 0.1,
        num_leapfrog_steps: int = 10,
        num_steps: int = 100,
        burn_in: int = 0,
        target_acceptance: float = 0.651,
        bounds: tuple[float, float] | None = None,
        schedule: str | Callable | None = None,
        dtype: str = "float32",
        num_parallel: int = 1,
    ):
        common = num_steps, bounds, dtype, num_parallel
        super().__init__(step_size, burn_in, target_acceptance, schedule, *common)
        self.num_leapfrog_steps = arguments.whole_number(
            "num_leapfrog_steps", num_leapfrog_steps, 1
        )
