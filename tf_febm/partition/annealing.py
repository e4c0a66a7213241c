"""Partition function of an energy in any dimension, by annealed importance sampling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies, randomness
from tf_febm.partition.bases import chosen_base, domain_of
from tf_febm.samplers.metropolis import reflect

__all__ = [
    "AnnealedPartition",
    "Annealer",
    "annealed_log_partition",
    "plain",
]

# The pilot run: its chains, the spread that one of its steps gives the log weights, the acceptance
# that its step sizes aim at, and the most steps that it may take.
PILOT_CHAINS, PILOT_SPREAD, TARGET_ACCEPTANCE, MAX_PILOT_STEPS = 64, 0.25, 0.8, 2_000
# Factor by which a step size changes after a transition that is accepted too often or too seldom.
ADAPTATION = 0.15


class AnnealedPartition(NamedTuple):
    """An estimate of log Z and its spread.

    Attributes:
        log_z: Log of the mean of the chains' weights. The mean itself is unbiased; its log is too
            low on average, by about half of the squared standard error.
        standard_error: Of `log_z`: the relative standard error of the mean weight. It is itself an
            estimate from the weights that were drawn: where few chains carry all weight, as
            `effective_sample_size` then says, both are too optimistic.
        effective_sample_size: From 1 to the number of chains, (Σw)²/Σw².
        log_weights: float64 [num_chains].
        acceptance: Mean acceptance of the transitions, in [0, 1].
        samples: float32 [num_chains, …], the ends of the chains: samples of q, to be weighted by
            `log_weights`.
    """

    log_z: float
    standard_error: float
    effective_sample_size: float
    log_weights: np.ndarray
    acceptance: float
    samples: np.ndarray


class _State(NamedTuple):
    """Points, and both log densities and gradients there: none depends on β."""

    x: tf.Tensor
    base: tf.Tensor
    base_gradient: tf.Tensor
    target: tf.Tensor
    target_gradient: tf.Tensor


@arguments.checking({"data": arguments.ANY_ARRAY | arguments.NONE})
def annealed_log_partition(
    energy_fn: Callable,
    base: arguments.Density | None = None,
    *,
    data: arguments.Data | None = None,
    bounds: tuple[float, float] | None = None,
    num_chains: int = 256,
    num_temperatures: int = 500,
    num_leapfrog_steps: int = 3,
    seed: arguments.Seed = 0,
) -> AnnealedPartition:
    """Estimate log Z = log ∫ e^(−E(x)) dx by annealed importance sampling.

    Chains start at samples of a normalised density b and go through the densities

        b(x)^(1−β) e^(−βE(x)),   0 = β₀ < β₁ < … < β_T = 1

    with one transition of Hamiltonian Monte Carlo, Metropolis-adjusted, at each. The weight of a
    chain is Π_t (e^(−E(x_t))/b(x_t))^(β_{t+1} − β_t), and its mean is an unbiased estimate of Z,
    however few steps are taken: they only narrow its spread. Temperatures and step sizes come from
    a pilot run of chains of its own, so that they do not depend on the chains that count: the β are
    spaced so that every step adds the same variance to the log weights.

    Where x is bounded, Z is the integral over the box: chains bounce off its walls, and b must be a
    density on just that box. A Gaussian has mass outside, which would be counted as if q had some
    there.

    Not guaranteed: an unbiased mean may hang on rare chains. Modes that b does not reach are missed
    without a sign of it; let b be as wide as the data, or wider. Halve or double
    `num_temperatures`: where log Z moves by more than the standard error, take more.

    Memory holds the chains once; the run is one compiled loop of T·num_leapfrog_steps gradients.

    Args:
        energy_fn: A built, unconditional model, or x, float32 [n, …] -> E(x), [n] or [n, 1],
            differentiable, such as `model.energy`.
        base: Normalised density b with `sample(n, seed=)` and `log_prob`, of the shape of x: a tfp
            distribution with float32 parameters. If None, the uniform density on the box where x is
            bounded, else a Gaussian of the mean and twice the covariance of `data`.
        data: Examples, real [n, …], n ≥ 2, to which a Gaussian base is fitted; or None.
        bounds: (low, high) of x for an energy_fn that is neither a model nor a method of one, which
            have their own; None for those, and where x is unbounded.
        num_chains: At least 2.
        num_temperatures: T, at least 1.
        num_leapfrog_steps: Gradients of a transition, at least 1.
        seed: An int or a pair of ints; equal seeds give equal results.

    Returns:
        An AnnealedPartition.

    Raises:
        ValueError: An argument is out of its range, base is too far from the energy for the
            pilot run to reach it, or no chain has a finite weight. If the model or `bounds` tell
            where x is, a base that has mass elsewhere, or none in a part of it, is too far as well.

    Source: Neal, "Annealed importance sampling", 2001; Duane et al. 1987 for the transition.
    `tfp.mcmc.sample_annealed_importance_chain` does the same with evenly spaced β and one step
    size, which fails where the target is much narrower than b.
    """
    num_chains = arguments.whole_number("num_chains", num_chains, 2)
    num_temperatures = arguments.whole_number("num_temperatures", num_temperatures, 1)
    num_leapfrog_steps = arguments.whole_number("num_leapfrog_steps", num_leapfrog_steps, 1)
    *seeds, base_seed = tf.unstack(randomness.split(randomness.sampling_seed(seed), 5))
    domain = domain_of(energy_fn, bounds)
    base = chosen_base(base, data, domain, base_seed)
    annealer = Annealer(plain(energy_fn), base, domain.bounds, num_leapfrog_steps)
    return annealer.forward(num_chains, num_temperatures, seeds)


class Annealer:
    """Runs between a base and an energy, each program of which is compiled once for all runs.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1]. It may read variables, which may change between runs.
        base: Normalised density, as of `annealed_log_partition`.
        bounds: (low, high) of x, or None.
        num_leapfrog_steps: Gradients of a transition, at least 1.
    """

    def __init__(self, energy_fn: Callable, base: Any, bounds: Any, num_leapfrog_steps: int):
        self._densities = _Densities(energy_fn, base, bounds)
        self._leapfrog = num_leapfrog_steps
        self._pilot, self._run = (tf.function(f, autograph=False) for f in (_pilot, _run))
        self._betas: Any = None
        self._sizes: Any = None

    def forward(self, num_chains: int, num_temperatures: int, seeds: Any) -> AnnealedPartition:
        """Anneal from samples of the base, by temperatures and step sizes of a pilot run.

        Args:
            num_chains: At least 2.
            num_temperatures: At least 1.
            seeds: Four integer tensors [2].
        """
        base = self._densities.base
        start = _start(base, PILOT_CHAINS, seeds[0])
        found = self._pilot(self._densities, start, self._leapfrog, seeds[2])
        betas, sizes = (v.numpy() for v in found)
        # Written so that NaN, from energies that are finite nowhere, fails too.
        if not betas[-1] >= 1.0:
            raise ValueError(
                f"The pilot run did not reach the energy in {MAX_PILOT_STEPS} steps: base is too "
                f"far from it, or energies are not finite (β = {betas[-1]:.3g} of 1). Give another "
                "base."
            )
        betas, sizes = _respaced(betas, sizes, num_temperatures)
        self._betas, self._sizes = tf.constant(betas), tf.constant(sizes)
        return self._annealed(_start(base, num_chains, seeds[1]), seeds[3])

    def backward(self, x: arguments.Array, seed: arguments.Seed) -> AnnealedPartition:
        """Anneal from samples of q, [n, …], back to the base, by the same steps.

        Returns:
            An estimate of log Z as −log of the mean of the chains' inverse weights: the mean itself
            is an unbiased estimate of 1/Z, and the estimate too high on average.
        """
        found = self._annealed(x, seed, back=True)
        return found._replace(log_z=-found.log_z, log_weights=-found.log_weights)

    def settle(self, x: arguments.Array, num_steps: int, seed: arguments.Seed) -> tf.Tensor:
        """Take steps at the energy itself, which leave q as it is, from x, [n, …].

        Args:
            x: Where to start.
            num_steps: At most the number of temperatures.
            seed: Integer tensor [2].
        """
        steady = tf.ones_like(self._betas), tf.fill(self._sizes.shape, self._sizes[-1])
        return self._moved(x, steady, num_steps, seed, False)[1]

    def _annealed(self, x, seed, back: bool = False) -> AnnealedPartition:
        way = self._betas, self._sizes
        found = self._moved(x, way, len(self._betas), seed, back)
        log_weights, x, acceptance = (v.numpy() for v in found)
        return _summary(-log_weights if back else log_weights, x, float(acceptance))

    def _moved(self, x, way, num_steps: int, seed, back: bool) -> tuple:
        count, back = tf.constant(num_steps), tf.constant(back)
        return self._run(self._densities, x, *way, count, self._leapfrog, seed, back)


def plain(energy_fn: Any) -> Callable:
    """Return a function of x from a model, or from its energy, as its chains have it."""
    model = getattr(energy_fn, "__self__", energy_fn)
    if getattr(model, "conditional", False) and energy_fn in (model, model.energy):
        raise ValueError(
            "A conditional model has a log Z for each label: give lambda x: model.energy(x, labels)"
            ", and its bounds."
        )
    # In 16 bits this one's gradients are scaled.
    given = getattr(model, "_energy_given", None)
    return given(None) if given is not None and energy_fn in (model, model.energy) else energy_fn


class _Densities:
    """Evaluate both log densities and their gradients."""

    def __init__(self, energy_fn, base, bounds):
        self.energy_fn, self.base, self.bounds = energy_fn, base, bounds

    def at(self, x: arguments.Array) -> _State:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            base = tf.cast(self.base.log_prob(x), tf.float32)
        energy, gradient = energies.value_and_gradient(self.energy_fn, x)
        # A uniform density does not depend on x.
        base_gradient = tape.gradient(base, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return _State(x, base, base_gradient, tf.cast(-energy, tf.float32), -gradient)


def _start(base, count, seed):
    x = tf.cast(base.sample(count, seed=seed), tf.float32)
    if x.shape.rank < 2 or x.shape[0] != count:
        raise ValueError(f"base must have samples of the shape of x, [n, …]; received {x.shape}.")
    return x


def _transition(densities, state, beta, size, num_leapfrog_steps, seed):
    """Take one step of Hamiltonian Monte Carlo at b^(1−β) e^(−βE).

    Returns:
        The next state, and the probability of acceptance of each chain.
    """
    momentum_seed, accept_seed = tf.unstack(randomness.split(seed, 2))
    axes = list(range(1, state.x.shape.rank))

    def log_density(s):
        return (1.0 - beta) * s.base + beta * s.target

    def gradient(s):
        return (1.0 - beta) * s.base_gradient + beta * s.target_gradient

    start = momentum = randomness.normal(tf.shape(state.x), momentum_seed)
    proposal = state
    momentum += 0.5 * size * gradient(proposal)
    for k in range(num_leapfrog_steps):
        x = proposal.x + size * momentum
        if densities.bounds is not None:
            x, momentum = reflect(x, momentum, densities.bounds)
        proposal = densities.at(x)
        last = k == num_leapfrog_steps - 1
        momentum += (0.5 if last else 1.0) * size * gradient(proposal)
    kinetic = 0.5 * (
        tf.reduce_sum(tf.square(start), axes) - tf.reduce_sum(tf.square(momentum), axes)
    )
    log_ratio = log_density(proposal) - log_density(state) + kinetic
    # Trajectories that leave the finite numbers are refused.
    log_ratio = tf.where(tf.math.is_finite(log_ratio), log_ratio, -np.inf)
    probability = tf.exp(tf.minimum(log_ratio, 0.0))
    accepted = randomness.uniform(tf.shape(probability), accept_seed) < probability

    def choose(new, old):
        mask = tf.reshape(accepted, [-1] + [1] * (new.shape.rank - 1))
        return tf.ensure_shape(tf.where(mask, new, old), old.shape)

    return _State(*map(choose, proposal, state)), probability


def _pilot(densities, x, num_leapfrog_steps, seed):
    """Anneal with steps of equal spread, adapting step sizes; return β and step size by step."""

    def body(i, beta, log_size, state, betas, sizes):
        # e^(Δβ·u) with u = −E − log b has a log of standard deviation Δβ·std(u).
        u = state.target - state.base
        u = tf.boolean_mask(u, tf.math.is_finite(u))
        following = tf.minimum(beta + PILOT_SPREAD / (tf.math.reduce_std(u) + 1e-6), 1.0)
        state, probability = _transition(
            densities,
            state,
            following,
            tf.exp(log_size),
            num_leapfrog_steps,
            tf.random.fold_in(seed, i),
        )
        log_size += ADAPTATION * (tf.reduce_mean(probability) - TARGET_ACCEPTANCE)
        betas = betas.write(i, following)
        return i + 1, following, log_size, state, betas, sizes.write(i, tf.exp(log_size))

    arrays = [tf.TensorArray(tf.float32, MAX_PILOT_STEPS, element_shape=[]) for _ in range(2)]
    dimension = int(np.prod(x.shape[1:]))
    log_size = tf.math.log(tf.math.reduce_std(x) * 0.5 / dimension**0.25)
    count, _, _, _, betas, sizes = tf.while_loop(
        lambda i, beta, *_: (beta < 1.0) & (i < MAX_PILOT_STEPS),
        body,
        (tf.constant(0), tf.constant(0.0), log_size, densities.at(x), *arrays),
        parallel_iterations=1,
    )
    return betas.stack()[:count], sizes.stack()[:count]


def _respaced(betas, sizes, count):
    """Interpolate a pilot's β and step sizes to `count` steps."""
    place = np.arange(len(betas) + 1) / len(betas)
    wanted = np.arange(1, count + 1) / count
    new = np.interp(wanted, place, np.append(0.0, betas.astype(np.float64)))
    return new, np.exp(np.interp(wanted, place[1:], np.log(sizes))).astype(np.float32)


def _run(densities, x, betas, sizes, count, num_leapfrog_steps, seed, back):
    """Anneal, or go the same way back; return log weights of the way there, ends, acceptance."""
    # Differences of β in float64: they are small, and many.
    steps = betas - tf.concat([tf.zeros([1], tf.float64), betas[:-1]], axis=0)

    def log_ratio(state):
        return tf.cast(state.target, tf.float64) - tf.cast(state.base, tf.float64)

    def body(i, state, log_weights, accepted):
        k = tf.where(back, count - 1 - i, i)
        before = log_ratio(state)
        state, probability = _transition(
            densities,
            state,
            tf.cast(betas[k], tf.float32),
            sizes[k],
            num_leapfrog_steps,
            tf.random.fold_in(seed, i),
        )
        log_weights += steps[k] * tf.where(back, log_ratio(state), before)
        return i + 1, state, log_weights, accepted + tf.reduce_mean(probability)

    first = (tf.constant(0), densities.at(x), tf.zeros(tf.shape(x)[:1], tf.float64), 0.0)
    _, state, log_weights, accepted = tf.while_loop(
        lambda i, *_: i < count, body, first, parallel_iterations=1, maximum_iterations=count
    )
    return log_weights, state.x, accepted / tf.cast(count, tf.float32)


def _summary(log_weights, samples, acceptance) -> AnnealedPartition:
    log_weights = np.where(np.isnan(log_weights), -np.inf, log_weights)
    top = log_weights.max()
    if not np.isfinite(top):
        raise ValueError("No chain has a finite weight: energies must be finite where base is.")
    weights = np.exp(log_weights - top)
    mean = weights.mean()
    return AnnealedPartition(
        float(top + np.log(mean)),
        float(weights.std(ddof=1) / mean / np.sqrt(len(weights))),
        float(weights.sum() ** 2 / np.square(weights).sum()),
        log_weights,
        acceptance,
        samples,
    )
