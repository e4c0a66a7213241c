"""Parallel tempering: chains at several temperatures that exchange their states."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.samplers.chain import ChainResult
from tf_febm.samplers.hamiltonian import MALA
from tf_febm.samplers.metropolis import Proposal

__all__ = ["ParallelTempering", "ladder", "swap_probability"]


def ladder(num_temperatures: int, smallest: float) -> tuple[float, ...]:
    """Return inverse temperatures from 1 to the smallest, each the same part of the one before."""
    steps = num_temperatures - 1
    return tuple(smallest ** (k / steps) for k in range(num_temperatures))


def swap_probability(energy: tf.Tensor, inverse_temperatures: Sequence) -> tf.Tensor:
    """Return the probabilities with which neighbouring replicas exchange their states.

        min(1, e^((βᵢ − βⱼ)(E(xᵢ) − E(xⱼ)))),  j = i + 1

    so that the product of the laws ∝ e^(−βᵢE) stays as it is. It is 1 where xᵢ has no finite
    energy and xⱼ has, and 0 where neither has.

    Args:
        energy: E(xᵢ), floating [..., replicas, n].
        inverse_temperatures: βᵢ, [replicas].

    Returns:
        Floating [..., replicas − 1, n].
    """
    beta = tf.constant(inverse_temperatures, energy.dtype)[:, None]
    log_ratio = (beta[:-1] - beta[1:]) * (energy[..., :-1, :] - energy[..., 1:, :])
    probability = tf.exp(tf.minimum(log_ratio, 0.0))
    # NaN compares as false.
    return tf.where(probability >= 0.0, probability, 0.0)


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class ParallelTempering(MALA):
    """Run `MALA` chains at several temperatures that exchange states: for modes that lie apart.

    Of each chain there is a replica for every inverse temperature β, whose law is ∝ e^(−βE). Hot
    replicas, of small β, cross the hills between modes. After each step neighbours exchange their
    states with probability min(1, e^((βᵢ − βⱼ)(E(xᵢ) − E(xⱼ)))), the even pairs and the odd ones by
    turns; so every law stays as it is, and what is returned are the replicas at β = 1, whose law is
    q, for chains long enough. How long is long, nothing tells: that modes are visited in the right
    shares takes states that have gone up to the hottest replica and come down again, several times.

    A step costs as many gradients as there are temperatures, and as much memory. All replicas start
    where the chain does, in every call, and the hot ones are forgotten at its end: calls of few
    steps exchange little.

    Steps of a replica are step_size/β, noise to match, for its hills are lower by β. With
    diagnostics a `ChainResult` tells of the replicas at β = 1, and `swap_acceptance` for each pair
    of neighbours: below some 0.2 the temperatures lie too far apart, and one more helps.

    Args:
        step_size: Factor of the gradient at β = 1, positive.
        num_steps: Steps per call, at least 0, burn-in included.
        inverse_temperatures: β of the replicas: from 1, falling, at least two, all above 0.
        burn_in: See `MALA`; one step size for all replicas adapts, in units of step_size/β.
        target_acceptance: See `MALA`, as for `bounds`.
        bounds: See there. With none, the law ∝ e^(−βE) must have a finite mass for every β.
        schedule: See `MALA`; it is that of all replicas.
        dtype: See there.
        num_parallel: See there.

    Raises:
        ValueError: A setting is out of its range.

    Source: Swendsen & Wang 1986; Geyer 1991; the alternation of pairs after Okabe et al. 2001.
    """

    def __init__(
        self,
        step_size: float = 0.1,
        num_steps: int = 100,
        inverse_temperatures: Sequence = ladder(4, 0.1),
        burn_in: int = 0,
        target_acceptance: float = 0.574,
        bounds: tuple[float, float] | None = None,
        schedule: str | Callable | None = None,
        dtype: str = "float32",
        num_parallel: int = 1,
    ):
        settings = step_size, num_steps, burn_in, target_acceptance, bounds, schedule, dtype
        super().__init__(*settings, num_parallel)
        betas = tuple(
            arguments.number("Each of inverse_temperatures", beta, above=True)
            for beta in inverse_temperatures
        )
        falls = all(a > b for a, b in zip(betas, betas[1:], strict=False))
        if len(betas) < 2 or betas[0] != 1.0 or not falls:
            raise ValueError(
                "inverse_temperatures must be at least two numbers, from 1 and falling, such as "
                f"(1.0, 0.5, 0.25); received {inverse_temperatures!r}."
            )
        self.inverse_temperatures = betas

    def _run(
        self, energy_fn, x: tf.Tensor, seed, num_steps, *, diagnostics: bool, trajectory: bool
    ) -> ChainResult:
        betas = self.inverse_temperatures
        tempered = energies.TemperedEnergy(energy_fn, betas)
        chain_seed, swap_seed = tf.unstack(randomness.split(randomness.as_seed(seed), 2))
        bounds = self.bounds
        if bounds is not None:
            x = tf.clip_by_value(x, *bounds)
            # The box of each replica, in its units.
            column = tf.ones([tf.shape(x)[0]] + [1] * (x.shape.rank - 1), x.dtype)
            bounds = tuple(tempered.scaled([side * column] * len(betas)) for side in bounds)
        result = self._metropolis(
            tempered,
            tempered.scaled([x] * len(betas)),
            chain_seed,
            num_steps,
            bounds,
            diagnostics=diagnostics,
            trajectory=trajectory,
            exchange=lambda step, here: exchanged(here, step, swap_seed, betas, self.bounds),
        )
        return self._coldest(result, x)

    def _coldest(self, result: ChainResult, x: tf.Tensor) -> ChainResult:
        """Return what is of the replicas at β = 1, and how often neighbours are exchanged."""
        betas, count = self.inverse_temperatures, tf.shape(x)[0]
        found = {"samples": tf.ensure_shape(result.samples[:count], x.shape)}
        if result.trajectory is not None:
            states = result.trajectory[:, :count]
            found["trajectory"] = tf.ensure_shape(states, [result.trajectory.shape[0], *x.shape])
        if result.energy is not None:
            of_each = tf.reshape(result.energy, [-1, len(betas), count])
            plain = of_each / tf.constant(betas, x.dtype)[:, None]
            found["swap_acceptance"] = swap_probability(plain, betas)
        for name in ("energy", "gradient_norm", "acceptance"):
            values = getattr(result, name)
            found[name] = None if values is None else values[:, :count]
        return result._replace(**found)


def exchanged(
    here: Proposal,
    step: tf.Tensor,
    seed: arguments.Seed,
    betas: tuple[float, ...],
    bounds: arguments.Bounds | None = None,
) -> Proposal:
    """Return the replicas after the exchanges of a step.

    Args:
        here: Where they stand, in the units of `TemperedEnergy`, [replicas · n, …].
        step: Number of the step: of an even one the pairs (0, 1), (2, 3) … may be exchanged, of an
            odd one the others.
        seed: Integer tensor [2].
        betas: Inverse temperatures.
        bounds: (low, high) of x, which rounding must not leave, or None.
    """
    count = len(betas)
    energy = tf.reshape(here.energy, [count, -1]) / tf.constant(betas, here.energy.dtype)[:, None]
    probability = swap_probability(energy, betas)
    seed = tf.random.fold_in(seed, step)
    drawn = randomness.uniform(tf.shape(probability), seed, dtype=probability.dtype)
    turn = tf.equal((tf.range(count - 1) - step) % 2, 0)[:, None]
    swapped = (drawn < probability) & turn
    nowhere = tf.zeros_like(swapped[:1])
    # Who gets the state of the next replica, and who that of the one before.
    up, down = (tf.concat(pair, 0) for pair in ((swapped, nowhere), (nowhere, swapped)))

    def moved(values, power, box=None):
        """Return what goes with the states, which is βᵖ times that of x."""
        ones = [1] * (values.shape.rank - 1)
        factor = tf.reshape(tf.constant(betas, values.dtype) ** power, [count, 1, *ones])
        of_x = tf.reshape(values, tf.concat([[count, -1], tf.shape(values)[1:]], 0)) / factor
        from_next, from_last = tf.roll(of_x, -1, 0), tf.roll(of_x, 1, 0)
        up_here, down_here = (tf.reshape(flag, [count, -1, *ones]) for flag in (up, down))
        of_x = tf.where(up_here, from_next, tf.where(down_here, from_last, of_x))
        if box is not None:
            of_x = tf.clip_by_value(of_x, *box)
        return tf.reshape(of_x * factor, tf.shape(values))

    return Proposal(
        moved(here.state, 0.5, bounds), moved(here.energy, 1.0), moved(here.gradient, 0.5)
    )
