"""Rejection sampling of a model's samples by the learned density ratio."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.applications.importance import check_has_ratio, check_labels, log_ratios

__all__ = ["RejectionResult", "rejection_filter", "rejection_sample"]


class RejectionResult(NamedTuple):
    """The accepted samples, and how the run went.

    Attributes:
        samples: Array [n, …] of the accepted samples.
        labels: Their labels, an array, or None if the model is unconditional.
        acceptance_rate: Share of the proposals that were accepted, from 0 to 1. It estimates
            E_q[min(exp(r − log_bound), 1)], which is 1/bound where r = log p/q keeps below it.
        log_bound: The log b of the run. Given to a later one, it saves the pilot.
        num_proposed: How many proposals were decided on; those of the pilot do not count.
        exceeded: Share of the proposals with r > log_bound, from 0 to 1.
        excess_mass: Σ (exp(r) − b)₊ / Σ exp(r) over the proposals, from 0 to 1: an estimate of the
            most that the bound may cost, since the total variation distance between p and the law
            of the accepted samples is at most E_q[(exp(r) − b)₊]/E_q[exp(r)], r being exact.
    """

    samples: np.ndarray
    labels: np.ndarray | None
    acceptance_rate: float
    log_bound: float
    num_proposed: int
    exceeded: float
    excess_mass: float


@arguments.checking({"model": None, "samples": arguments.NUMBERS})
def rejection_filter(
    model: arguments.Model,
    samples: arguments.Tensor,
    labels: arguments.Labels | None = None,
    seed: arguments.Seed | None = None,
    *,
    log_bound: float | None = None,
    batch_size: int = 512,
) -> RejectionResult:
    """Keep some of given samples of a model, so that those kept follow the data's law.

    x is kept with probability min(exp(r(x) − log b), 1), each on its own. The result has no fixed
    size and may be empty. See `rejection_sample` for what the bound means and what is not
    guaranteed.

    Args:
        model: A model with `log_density_ratio`, such as FEBM.
        samples: Samples of the model, floating [n, …], n ≥ 1.
        labels: Their labels, [n] or one-hot rows, for a conditional model.
        seed: An int or a pair of ints; the model's next one if None.
        log_bound: log b. If None, the largest r of these samples, which is then surely kept; that
            bias falls as 1/n.
        batch_size: How many samples the networks see at once, at least 1.

    Returns:
        A RejectionResult; samples and labels are in their old order.

    Raises:
        TypeError: The model has no log density ratio.
        ValueError: An argument is out of its range, shapes or labels do not fit, or a ratio is
            not finite.

    Source: Azadi et al., "Discriminator rejection sampling", ICLR 2019; Yu et al. 2020,
    Section 6.1.
    """
    values = log_ratios(model, samples, labels, batch_size)
    tally = _Tally(values.max() if log_bound is None else _checked_bound(log_bound))
    seed = model.next_seed() if seed is None else randomness.sampling_seed(seed)
    accepted = tally.decide(values, seed)
    labels = None if labels is None else np.asarray(labels)[accepted]
    return tally.result(np.asarray(samples)[accepted], labels)


@arguments.checking({"model": None, "samples": arguments.NUMBERS, "propose": None})
def rejection_sample(
    model: arguments.Model,
    num_accepted: int,
    labels: arguments.Labels | None = None,
    seed: arguments.Seed | None = None,
    *,
    propose: Callable | None = None,
    initial: str | None = None,
    num_steps: int | None = None,
    log_bound: float | None = None,
    num_pilot: int = 10_000,
    max_proposals: int | None = None,
    batch_size: int = 512,
) -> RejectionResult:
    """Draw an exact number of samples of the data's law by rejection from the model's.

    A proposal x ~ q is accepted with probability min(exp(r(x) − log b), 1), where
    r = model.log_density_ratio ≈ log p/q. If r is exact, accepted samples follow

        q(x) min(exp(r(x)), b), normalised: p itself if r ≤ log b everywhere.

    The bound is fixed before the first decision: given, or the largest r of a pilot. A later
    proposal above it is accepted for certain and counted (`exceeded`, `excess_mass`); raising the
    bound in the middle, as Azadi et al. do, would leave the samples accepted before under another
    law than those after. A bound below the largest ratio is a fair choice where few proposals would
    be accepted, as in many dimensions: it buys rate with `excess_mass`.

    Not guaranteed: r is as good as the model was trained, the proposals are ends of short chains,
    neither exactly q nor, from a buffer, wholly independent, and the largest r of a pilot lies
    below the true one: a further proposal exceeds it with probability 1/(num_pilot + 1).

    For a conditional model without `labels`, pairs of sample and label follow their joint law. With
    `labels`, sample i follows the law of x given label i, under one bound for all.

    Memory is bounded by batch_size and the result; there are no more proposals in a batch than the
    rate so far lets expect to be needed. Equal arguments and seeds give equal samples.

    Args:
        model: A model with `log_density_ratio` and, unless `propose` is given, `sample_batch`.
        num_accepted: How many samples to return, at least 1.
        labels: Labels of a conditional model, integers [num_accepted] or one-hot rows; the
            proposals' own if None.
        seed: An int or a pair of ints; the model's next one if None.
        propose: Draws from q in the model's stead: (count, seed) -> samples [count, …], or a tuple
            of samples and labels; seed is a pair of ints in [0, 2³¹).
        initial: Where the model's chains start, "buffer" or "noise". If None, in the buffer if
            that holds samples and no labels are given; an f-EBM's ratio was learned against those.
        num_steps: Steps of the model's chains; the sampler's own number if None.
        log_bound: log b, or None to estimate it.
        num_pilot: Proposals of the pilot, at least 1. They serve for nothing else: accepted by a
            bound that they set themselves, they would be biased.
        max_proposals: When to give up; if None, after 1,000 proposals for each sample, and at least
            100 batches.
        batch_size: Most proposals that are drawn and evaluated at once, at least 1.

    Returns:
        A RejectionResult with num_accepted samples.

    Raises:
        TypeError: The model has no log density ratio.
        ValueError: An argument is out of its range, shapes or labels do not fit, or a ratio is
            not finite.
        RuntimeError: max_proposals were not enough.

    Source: Azadi et al., "Discriminator rejection sampling", ICLR 2019; Yu et al. 2020,
    Section 6.1.
    """
    check_has_ratio(model)
    num_accepted = arguments.whole_number("num_accepted", num_accepted, 1)
    num_pilot = arguments.whole_number("num_pilot", num_pilot, 1)
    batch_size = arguments.whole_number("batch_size", batch_size, 1)
    if max_proposals is None:
        max_proposals = max(1_000 * num_accepted, 100 * batch_size)
    max_proposals = arguments.whole_number("max_proposals", max_proposals, 1)
    draw = _drawer(model, check_labels(labels, num_accepted), propose, initial, num_steps)
    seed = model.next_seed() if seed is None else randomness.sampling_seed(seed)
    pilot_seed, seed = tf.unstack(randomness.split(seed, 2))
    if log_bound is None:
        # Evenly over the places of the result: each label has its share in the pilot.
        places = np.arange(num_pilot) * num_accepted // num_pilot
        log_bound = _largest_ratio(model, draw, places, pilot_seed, batch_size)
    tally = _Tally(_checked_bound(log_bound))

    # Places of the result that have no sample yet, and what was put where.
    open_places = np.arange(num_accepted)
    filled, samples, sample_labels = [], [], []
    while open_places.size:
        count = min(
            batch_size, max_proposals - tally.num_proposed, tally.expected_need(open_places.size)
        )
        if not count:
            raise RuntimeError(
                f"Only {num_accepted - open_places.size} of {num_accepted} samples after "
                f"{tally.num_proposed} proposals, of which a share of {tally.rate:.2g} was "
                f"accepted at log_bound={tally.log_bound:.4g}: give a larger max_proposals, or a "
                "lower log_bound, which accepts more and caps the ratio."
            )
        seed, draw_seed, accept_seed = tf.unstack(randomness.split(seed, 3))
        places = np.resize(open_places, count)
        x, y = draw(places, draw_seed)
        rows = tally.decide(log_ratios(model, x, y, batch_size), accept_seed)
        if labels is None:
            rows = rows[: open_places.size]
            places = open_places[: rows.size]
        else:
            # A place takes the first proposal with its label that was accepted.
            places, first = np.unique(places[rows], return_index=True)
            rows = rows[first]
        filled.append(places)
        samples.append(x[rows])
        sample_labels.append(None if y is None else y[rows])
        open_places = np.setdiff1d(open_places, places, assume_unique=True)

    order = np.argsort(np.concatenate(filled))
    y = None if sample_labels[0] is None else np.concatenate(sample_labels)[order]
    return tally.result(np.concatenate(samples)[order], y)


class _Tally:
    """Decide on proposals under one bound, and keep count."""

    def __init__(self, log_bound: float):
        self.log_bound = float(log_bound)
        self.num_proposed = self.num_accepted = self.num_exceeded = 0
        # log Σ exp(r) and log Σ (exp(r) − b)₊.
        self.log_mass = self.log_excess = -np.inf

    def decide(self, values: np.ndarray, seed) -> np.ndarray:
        """Return the indices, ascending, of the accepted ones of proposals with ratios `values`."""
        uniform = randomness.uniform([values.size], seed, dtype=tf.float64).numpy()
        accepted = np.flatnonzero(uniform < np.exp(np.minimum(values - self.log_bound, 0.0)))
        above = values[values > self.log_bound]
        excess = above + np.log(-np.expm1(self.log_bound - above))
        self.num_proposed += values.size
        self.num_accepted += accepted.size
        self.num_exceeded += above.size
        self.log_mass = np.logaddexp(self.log_mass, np.logaddexp.reduce(values))
        self.log_excess = np.logaddexp(self.log_excess, np.logaddexp.reduce(excess))
        return accepted

    @property
    def rate(self) -> float:
        """The share of the proposals that were accepted."""
        return self.num_accepted / self.num_proposed

    def expected_need(self, num_open: int) -> int:
        """Return how many more proposals should yield `num_open` samples, at least as many."""
        # As if one proposal had been accepted beforehand: the first batch takes all for good.
        return -(-num_open * (self.num_proposed + 1) // (self.num_accepted + 1))

    def result(self, samples: np.ndarray, labels: np.ndarray | None) -> RejectionResult:
        """Return samples with the counts."""
        return RejectionResult(
            samples=samples,
            labels=labels,
            acceptance_rate=self.rate,
            log_bound=self.log_bound,
            num_proposed=self.num_proposed,
            exceeded=self.num_exceeded / self.num_proposed,
            excess_mass=float(np.exp(self.log_excess - self.log_mass)),
        )


def _drawer(model, labels, propose, initial, num_steps) -> Callable:
    """Return (places, seed) -> samples and labels, one for each of the places of the result."""
    if propose is not None:
        if not callable(propose):
            raise ValueError(f"propose must be callable (count, seed); received {propose!r}.")
        for name, value in (("labels", labels), ("initial", initial), ("num_steps", num_steps)):
            if value is not None:
                raise ValueError(f"{name} is for the model's own chains: leave it to propose.")
    elif initial is None:
        buffer = getattr(model, "buffer", None)
        holds_samples = buffer is not None and buffer.built and int(buffer.written) > 0
        initial = "buffer" if holds_samples and labels is None else "noise"

    def draw(places, seed):
        seed = tuple(int(word) & 0x7FFFFFFF for word in seed.numpy())
        if propose is None:
            drawn = model.sample_batch(
                places.size,
                None if labels is None else labels[places],
                seed,
                initial=initial,
                num_steps=num_steps,
            )
        else:
            drawn = propose(places.size, seed)
        x, y = drawn[:2] if isinstance(drawn, tuple) else (drawn, None)
        x = np.asarray(x)
        if x.shape[:1] != places.shape:
            raise ValueError(
                f"Asked for {places.size} proposals; received samples of shape {x.shape}."
            )
        return x, check_labels(y, places.size)

    return draw


def _largest_ratio(model, draw, places, seed, batch_size) -> float:
    """Return the largest log ratio of one proposal for each of `places`."""
    largest = -np.inf
    for start in range(0, places.size, batch_size):
        seed, draw_seed = tf.unstack(randomness.split(seed, 2))
        x, y = draw(places[start : start + batch_size], draw_seed)
        largest = max(largest, log_ratios(model, x, y, batch_size).max())
    return largest


def _checked_bound(log_bound) -> float:
    return arguments.number("log_bound", log_bound, minimum=-np.inf)
