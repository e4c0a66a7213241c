"""Sampling for evaluation, as published: a pool of long chains, a few restarted every round."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, compiled, randomness
from tf_febm.networks.cached_weights import cached_weights
from tf_febm.renamed import earlier_names
from tf_febm.samplers.chain import step_argument

__all__ = ["PooledSamples", "pooled_chains", "pooled_chains_by_pool"]


class PooledSamples(NamedTuple):
    """Samples on the host.

    Attributes:
        samples: Float32 array [n, …].
        labels: Their labels, int32 [n], or None if the model is unconditional.
    """

    samples: np.ndarray
    labels: np.ndarray | None


@arguments.checked
def pooled_chains(
    model: arguments.Model,
    num_samples: int,
    seed: arguments.Seed | None = None,
    *,
    pool_size: int = 1000,
    batch_size: int = 512,
    num_rounds: int = 200,
    restart_probability: float = 0.01,
    label_probability: float = 0.1,
    nomix: int = 10,
    num_steps: int | None = None,
    ensemble: Sequence[Sequence[np.ndarray]] | None = None,
    averaged: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> PooledSamples:
    """Draw any number of samples as the published evaluation does, in one array.

    Args:
        model: See `pooled_chains_by_pool`.
        num_samples: How many, at least 1.
        seed: An int or a pair of ints; the model's next one if None.
        pool_size: See there, as for all that follow; it says what is done and not guaranteed.
        batch_size: See there.
        num_rounds: See there.
        restart_probability: See there.
        label_probability: See there.
        nomix: See there.
        num_steps: See there.
        ensemble: See there.
        averaged: See there.
        report: See there.

    Returns:
        The samples. Beside them, memory is taken by one pool.
    """
    filled = 0
    pools = pooled_chains_by_pool(
        model,
        num_samples,
        seed,
        pool_size=pool_size,
        batch_size=batch_size,
        num_rounds=num_rounds,
        restart_probability=restart_probability,
        label_probability=label_probability,
        nomix=nomix,
        num_steps=num_steps,
        ensemble=ensemble,
        averaged=averaged,
        report=report,
    )
    for pool in pools:
        if not filled:
            samples = np.empty((num_samples, *pool.samples.shape[1:]), pool.samples.dtype)
            labels = None if pool.labels is None else np.empty(num_samples, pool.labels.dtype)
        part = slice(filled, filled + len(pool.samples))
        samples[part] = pool.samples
        if labels is not None:
            labels[part] = pool.labels
        filled = part.stop
    return PooledSamples(samples, labels)


@arguments.checked
def pooled_chains_by_pool(
    model: arguments.Model,
    num_samples: int,
    seed: arguments.Seed | None = None,
    *,
    pool_size: int = 1000,
    batch_size: int = 512,
    num_rounds: int = 200,
    restart_probability: float = 0.01,
    label_probability: float = 0.1,
    nomix: int = 10,
    num_steps: int | None = None,
    ensemble: Sequence[Sequence[np.ndarray]] | None = None,
    averaged: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> Iterator[PooledSamples]:
    """Draw samples as the published evaluation does, pool by pool.

    A pool of `pool_size` chains starts from noise, with uniformly random labels. A *round* takes
    `batch_size` of them, lets the model's sampler run each for `num_steps` steps, and puts them
    back. The first rounds take the chains in turn, so that all have run; later ones take a random
    subset. Of these, until the last `nomix` rounds, a share of `restart_probability` starts again
    from noise and, independently, a share of `label_probability` gets a new random label: chains
    that are stuck are let go, and those of one class visit the others. After `num_rounds` rounds
    the whole pool is the result, and the next pool starts from noise. On average a chain takes
    num_rounds · batch_size / pool_size · num_steps steps.

    With an `ensemble`, each round uses the next of its sets of weights in turn.

    Not guaranteed: chains are finite and not exact (see the sampler), and those of one pool share
    the weights' errors, but no state. A chain that restarts before the last `nomix` rounds is drawn
    again in them with probability 1 − (1 − batch_size/pool_size)^nomix, 0.9992 by default; those
    that are not stay young.

    Equal arguments and seeds give equal samples, and fewer samples are the first of more. The
    arguments are checked when the first pool is asked for. A round is one compiled program; memory
    is that of one pool and of one batch of chains. Between two pools the model has its own weights.

    Args:
        model: A built model: what is used is `fresh_batch`, `energy` and `sampler`, for conditional
            models `num_classes`, `energy_network` if it is there or an ensemble is given, and
            `averaged_weights` where asked for.
        num_samples: How many, at least 1. The last pool is cut.
        seed: An int or a pair of ints; the model's next one if None.
        pool_size: Chains of a pool, at least 1.
        batch_size: Chains of a round, at most `pool_size`.
        num_rounds: Rounds of a pool; enough that all its chains run.
        restart_probability: Chance, from 0 to 1, that a chain of a round starts again.
        label_probability: Chance, from 0 to 1, that it gets a new label.
        nomix: Last rounds, without both, from 0 to num_rounds.
        num_steps: Steps of a round; the sampler's own number if None.
        ensemble: Sets of weights of the energy network, each as `energy_network.get_weights()`
            returns them; `training.Checkpoints.energy_weights` reads them from checkpoints.
        averaged: Whether to sample with the model's averaged weights; not with an ensemble.
        report: Called as report(done, total) with the number of rounds, after each of them.

    Yields:
        PooledSamples of up to `pool_size` samples, in all num_samples.

    Raises:
        ValueError: An argument is out of its range, the model is not built or keeps no average,
            or a set of weights does not fit the energy network.

    Source: image_generation/test_inception_febm.py of the public code of Yu et al. 2020. There, 512
    chains of 1,000 are drawn with replacement, 20 steps a round, by the last ten checkpoints that
    are 300 steps apart.
    """
    num_samples = arguments.whole_number("num_samples", num_samples, 1)
    pool_size = arguments.whole_number("pool_size", pool_size, 1)
    batch_size = arguments.whole_number("batch_size", batch_size, 1)
    num_rounds = arguments.whole_number("num_rounds", num_rounds, 1)
    nomix = arguments.whole_number("nomix", nomix)
    fill_rounds = -(-pool_size // batch_size)
    if batch_size > pool_size:
        raise ValueError(
            f"batch_size must be at most pool_size={pool_size}; received {batch_size}."
        )
    if num_rounds < max(fill_rounds, nomix):
        raise ValueError(
            f"num_rounds must be at least nomix={nomix}, and the {fill_rounds} in which every "
            f"chain runs once; received {num_rounds}."
        )
    if model.sample_shape is None:
        raise ValueError("The model has no shape yet: fit it or call model.build first.")
    seed = model.next_seed() if seed is None else randomness.sampling_seed(seed)
    restart = tf.constant(_share("restart_probability", restart_probability), tf.float32)
    relabel = tf.constant(_share("label_probability", label_probability), tf.float32)
    steps = step_argument(model.sampler, num_steps)
    advance = compiled.program_of(
        model,
        ("pooled_chains", model.sampler, pool_size, batch_size),
        lambda: _compiled_round(model, pool_size, batch_size, fill_rounds),
    )
    weights = _Weights(model, ensemble, averaged)
    num_pools = -(-num_samples // pool_size)
    for number in range(num_pools):
        start_seed, rounds_seed = tf.unstack(randomness.split(tf.random.fold_in(seed, number), 2))
        pool = model.fresh_batch(pool_size, start_seed)
        samples, labels = pool.samples, pool.labels
        with weights.in_use():
            for k in range(num_rounds):
                weights.take(k)
                mixing = fill_rounds <= k < num_rounds - nomix
                samples, labels = advance(
                    samples,
                    labels,
                    rounds_seed,
                    tf.constant(k),
                    tf.constant(mixing),
                    restart,
                    relabel,
                    steps,
                )
                if report is not None:
                    report(number * num_rounds + k + 1, num_pools * num_rounds)
        count = min(pool_size, num_samples - number * pool_size)
        labels = None if labels is None else labels.numpy()[:count]
        yield PooledSamples(samples.numpy()[:count], labels)


def _compiled_round(model, pool_size, batch_size, fill_rounds):
    """Return a function from a pool and the numbers of a round to the pool after it."""
    # Whatever has the surface of a model may be sampled, with networks of Keras or without.
    networks = [model.energy_network] if hasattr(model, "energy_network") else []
    sampler = model.sampler

    def energy_given(labels):
        # As the model's own chains have it: no check of labels in every step.
        if hasattr(model, "_energy_given"):
            return model._energy_given(labels)
        return lambda x: model.energy(x, labels)

    @tf.function(autograph=False)
    def advance(samples, labels, seed, number, mixing, restart, relabel, num_steps):
        seeds = randomness.split(tf.random.fold_in(seed, number), 5)
        order_seed, fresh_seed, restart_seed, label_seed, chain_seed = tf.unstack(seeds)
        in_turn = (number * batch_size + tf.range(batch_size)) % pool_size
        # The places of the largest of as many uniform numbers: a random subset.
        subset = tf.math.top_k(randomness.uniform([pool_size], order_seed), batch_size).indices
        index = tf.where(number < fill_rounds, in_turn, subset)
        fresh = model.fresh_batch(batch_size, fresh_seed)

        def mix(stored, fresh, probability, seed):
            chosen = mixing & (randomness.uniform([batch_size], seed) < probability)
            chosen = tf.reshape(chosen, [-1] + [1] * (stored.shape.rank - 1))
            return tf.where(chosen, fresh, tf.gather(stored, index))

        start = mix(samples, fresh.samples, restart, restart_seed)
        own = None if labels is None else mix(labels, fresh.labels, relabel, label_seed)
        options = {} if num_steps is None else {"num_steps": num_steps}
        with cached_weights(*networks):
            ends = sampler(energy_given(own), start, chain_seed, **options)
        place = index[:, None]
        return (
            tf.tensor_scatter_nd_update(samples, place, ends),
            None if labels is None else tf.tensor_scatter_nd_update(labels, place, own),
        )

    return advance


class _Weights:
    """Put the weights that a round uses into the energy network, and the model's own back."""

    def __init__(self, model, ensemble, averaged):
        if averaged and ensemble is not None:
            raise ValueError("averaged=True goes without an ensemble, which may hold averages.")
        self._model, self._averaged = model, averaged
        self._ensemble = None if ensemble is None else list(ensemble)
        self._shown = None
        if self._ensemble is None:
            return
        shapes = [tuple(weight.shape) for weight in model.energy_network.weights]
        if not self._ensemble:
            raise ValueError("ensemble must hold at least one set of weights; received none.")
        for number, member in enumerate(self._ensemble):
            received = [np.shape(weight) for weight in member]
            if received != shapes:
                raise ValueError(
                    f"ensemble[{number}] must have the shapes of the energy network's weights, "
                    f"{shapes}; received {received}."
                )

    @contextlib.contextmanager
    def in_use(self):
        """Return a context after which the model has its own weights again."""
        if self._averaged:
            with self._model.averaged_weights():
                yield
            return
        own = None if self._ensemble is None else self._model.energy_network.get_weights()
        try:
            yield
        finally:
            if own is not None:
                self._model.energy_network.set_weights(own)
                self._shown = None

    def take(self, number: int) -> None:
        """Show the weights of a round."""
        if self._ensemble is None:
            return
        member = number % len(self._ensemble)
        if member != self._shown:
            self._model.energy_network.set_weights(self._ensemble[member])
            self._shown = member


def _share(name, value):
    value = arguments.number(name, value)
    if value > 1.0:
        raise ValueError(f"{name} must lie in [0, 1]; received {value}.")
    return value


__getattr__ = earlier_names(
    __name__,
    {
        "MixedSamples": "tf_febm.models.chain_pools:PooledSamples",
        "mixed_chain": "tf_febm.models.chain_pools:pooled_chains",
        "mixed_chain_pools": "tf_febm.models.chain_pools:pooled_chains_by_pool",
    },
)
