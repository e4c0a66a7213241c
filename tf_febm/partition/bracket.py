"""Partition function of an energy between two bounds: annealing there and back."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from scipy.special import expit, ndtri

from tf_febm import arguments, randomness
from tf_febm.partition.annealing import AnnealedPartition, Annealer, plain
from tf_febm.partition.bases import chosen_base, domain_of

__all__ = ["BracketedPartition", "bracketed", "bracketed_log_partition"]

# Steps at the energy itself that take the ends of the way there apart from it, relative to those
# of the way.
SETTLING = 0.25
# Halvings of the interval in which the estimate lies.
HALVINGS = 60
_ARRAYS = arguments.ANY_ARRAY | arguments.NONE


class BracketedPartition(NamedTuple):
    """An estimate of log Z, and an interval for it.

    Attributes:
        log_z: The estimate, from the weights of both ways (Bennett's).
        lower: Lower end of the interval.
        upper: Upper end.
        forward: The way from the base to q, whose `log_z` is too low on average.
        reverse: The way from q to the base, whose `log_z` is too high on average if it starts at
            samples of q.
    """

    log_z: float
    lower: float
    upper: float
    forward: AnnealedPartition
    reverse: AnnealedPartition


@arguments.checking({"data": _ARRAYS, "samples": _ARRAYS})
def bracketed_log_partition(
    energy_fn: Callable,
    base: arguments.Density | None = None,
    *,
    data: arguments.Data | None = None,
    samples: arguments.Data | None = None,
    bounds: tuple[float, float] | None = None,
    num_chains: int = 256,
    num_temperatures: int = 500,
    num_leapfrog_steps: int = 3,
    confidence: float = 0.95,
    seed: arguments.Seed = 0,
) -> BracketedPartition:
    """Estimate log Z by annealing from a base to q, and from q back to the base.

    The way there gives an estimate F with E[e^F] = Z, the way back from samples of q one with
    E[e^(−R)] = 1/Z. So E[F] ≤ log Z ≤ E[R], and P(F > log Z + b) and P(R < log Z − b) are at most
    e^(−b), however few steps are taken. The interval is

        [F − z·(standard error of F), R + z·(standard error of R)]

    with the quantile z of a normal distribution: of the confidence where both ways have many chains
    that count; wider where they have not.

    Not guaranteed: unless `samples` are exact, the way back starts at the ends of the way there,
    drawn by their weights and moved on by further steps. Modes that the base does not reach are
    then missed on both ways, and R is no upper bound.

    Args:
        energy_fn: As of `annealed_log_partition`, as for the others that are not named here.
        base: The same.
        data: The same.
        samples: Exact samples of q, real [m, …], m ≥ 2, where there are such; or None.
        bounds: The same.
        num_chains: The same.
        num_temperatures: The same.
        num_leapfrog_steps: The same.
        confidence: Of the interval, in (0, 1).
        seed: The same.

    Returns:
        A BracketedPartition.

    Raises:
        ValueError: As `annealed_log_partition`.

    Source: Neal 2001; Grosse, Ghahramani and Adams, "Sandwiching the marginal likelihood using
    bidirectional Monte Carlo", 2015; Bennett 1976 for the estimate.
    """
    num_chains = arguments.whole_number("num_chains", num_chains, 2)
    num_temperatures = arguments.whole_number("num_temperatures", num_temperatures, 1)
    num_leapfrog_steps = arguments.whole_number("num_leapfrog_steps", num_leapfrog_steps, 1)
    domain = domain_of(energy_fn, bounds)
    base_seed, seed = tf.unstack(randomness.split(randomness.sampling_seed(seed), 2))
    base = chosen_base(base, data, domain, base_seed)
    annealer = Annealer(plain(energy_fn), base, domain.bounds, num_leapfrog_steps)
    return bracketed(annealer, num_chains, num_temperatures, confidence, seed, samples)


def bracketed(
    annealer: Annealer,
    num_chains: int,
    num_temperatures: int,
    confidence: float,
    seed: arguments.Seed,
    samples: Any = None,
) -> BracketedPartition:
    """Run an annealer there and back; the arguments are those of `bracketed_log_partition`.

    Args:
        annealer: Of the energy and its base.
        num_chains: At least 2.
        num_temperatures: At least 1.
        confidence: In (0, 1).
        seed: Integer tensor [2].
        samples: Exact ones, or None.
    """
    confidence = arguments.number("confidence", confidence, above=True)
    if confidence >= 1.0:
        raise ValueError(f"confidence must lie in (0, 1); received {confidence}.")
    *seeds, draw_seed, settle_seed, back_seed = tf.unstack(randomness.split(seed, 7))
    forward = annealer.forward(num_chains, num_temperatures, seeds)
    if samples is None:
        starts, different = _drawn(forward, draw_seed)
        steps = int(np.ceil(SETTLING * num_temperatures))
        start = annealer.settle(starts, steps, settle_seed)
    else:
        start = tf.cast(samples, tf.float32)
        different = len(start)
        if start.shape[1:] != forward.samples.shape[1:] or different < 2:
            raise ValueError(
                f"samples must be real, {('m', *forward.samples.shape[1:])}, with m ≥ 2; received "
                f"shape {tuple(start.shape)}."
            )
    reverse = annealer.backward(start, back_seed)
    # Chains that start at one point say less than as many of their own.
    error = reverse.standard_error * np.sqrt(len(reverse.log_weights) / different)
    reverse = reverse._replace(standard_error=float(error))
    z = ndtri(0.5 + 0.5 * confidence)
    ends = (forward.log_z - z * forward.standard_error, reverse.log_z + z * reverse.standard_error)
    lower, upper = min(ends), max(ends)
    log_z = _between(forward.log_weights, reverse.log_weights)
    return BracketedPartition(
        float(np.clip(log_z, lower, upper)), float(lower), float(upper), forward, reverse
    )


def _drawn(found: AnnealedPartition, seed) -> tuple[tf.Tensor, int]:
    """Return as many of the ends, drawn by their weights, and the number of different ones.

    Systematic resampling.
    """
    count = len(found.log_weights)
    weights = np.exp(found.log_weights - found.log_weights.max())
    edges = np.cumsum(weights) / weights.sum()
    places = (np.arange(count) + float(randomness.uniform([], seed))) / count
    chosen = np.minimum(np.searchsorted(edges, places, side="right"), count - 1)
    return tf.constant(found.samples[chosen]), len(np.unique(chosen))


def _between(there: np.ndarray, back: np.ndarray) -> float:
    """Return the log Z of both ways' log weights, w, by Bennett's acceptance ratio.

    For any h, E_there[eʷ h(w)] = Z·E_back[h(w)]; of the least variance is h = 1/(n + m eʷ/Z), for n
    chains there and m back.
    """
    finite = np.concatenate([there[np.isfinite(there)], back[np.isfinite(back)]])
    low, high = finite.min() - 1.0, finite.max() + 1.0
    shift = np.log(len(there) / len(back))
    # The left side falls with log Z, the right one grows.
    for _ in range(HALVINGS):
        log_z = 0.5 * (low + high)
        left = len(there) * expit(there - log_z - shift).mean()
        right = len(back) * expit(log_z - back + shift).mean()
        low, high = (log_z, high) if left > right else (low, log_z)
    return 0.5 * (low + high)
