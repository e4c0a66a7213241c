"""Figures of chains: whether they have mixed, and how far they end from rest and from q."""

import contextlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.evaluation.stein import kernel_stein_discrepancy
from tf_febm.models import NoiseConditionalModel
from tf_febm.models.sample_distance import sample_distance

__all__ = ["ChainFigures", "chain_figures", "readings_of_chains"]

# Directions along which states are looked at, beside the energy.
DIRECTIONS = 16
# How to read each figure.
_READINGS = {
    "rhat": "R̂ between chains and within them, the worst of all directions: below 1.01 they have "
    "mixed; above 1.1 they have not, and each tells of the place where it began",
    "effective_sample_size": "independent samples that all states together are worth, along the "
    "worst direction; below the number of chains, each chain is still on its way",
    "acceptance": "share of proposals accepted: 0.57 suits mala and parallel_tempering, 0.65 hmc; "
    "near 0 the steps are too large, near 1 too small",
    "stein": "squared kernel Stein discrepancy of the ends from the energy's own law: 0 if they "
    "have it, whatever the data",
    "stein_p_value": "chance of as large a discrepancy if they had it: below 0.01 they have not; "
    "of samplers that reject nothing expect that",
    "distance": "energy distance of these ends from those of chains {long_factor} times as long: "
    "0 if the longer ones went nowhere else",
    "distance_at_start": "the same of where the chains began: what is left of it, they had to go",
}


class ChainFigures(NamedTuple):
    """Figures of the chains of a model.

    Attributes:
        rhat: Largest potential scale reduction R̂ of the energy and of directions in space, over the
            later half of the steps, each chain split in two. Near 1 if the chains have mixed. None
            of a model with levels of noise: each of its chains has a law of its own.
        effective_sample_size: The least number of independent samples that all those states
            together are worth; None likewise.
        acceptance: Mean probability of acceptance, of samplers that reject; else None.
        stein: U-statistic of the squared kernel Stein discrepancy of the ends from q ∝ e^(−E).
        stein_p_value: See `SteinDiscrepancy`.
        distance: Energy distance of the ends from those of longer chains, unbiased.
        distance_at_start: The same of where the chains began.
        num_chains: How many chains.
        num_steps: Steps of each, with levels of noise at each level.
        long_factor: How many times as long the longer ones are.
    """

    rhat: float | None
    effective_sample_size: float | None
    acceptance: float | None
    stein: float
    stein_p_value: float
    distance: float
    distance_at_start: float
    num_chains: int
    num_steps: int
    long_factor: int

    def as_dict(self) -> dict[str, Any]:
        """Convert to a dict of numbers."""
        return self._asdict()


@arguments.checked
def chain_figures(
    model: arguments.Model,
    *,
    num_chains: int = 64,
    num_steps: int | None = None,
    long_factor: int = 10,
    seed: int = 0,
) -> ChainFigures:
    """Measure chains of a model's sampler that start from noise.

    R̂ compares how far chains lie apart with how far each of them wanders; chains that start from
    noise, wide, and agree in the end have mixed, unless there is a mode that none of them found: no
    figure shows that. It is the root of `tfp.mcmc.potential_scale_reduction`, and the number of
    independent samples is `tfp.mcmc.effective_sample_size`, of the energy and of the coordinates,
    or of 16 random directions where there are more.

    A short-run sampler, as the published one, is not meant to reach q: the model is trained and
    sampled with the same chains, whose law need not be at rest. `distance` says how far from rest
    they are, and `stein` how far from q.

    A model with levels of noise, such as `Recovery`, samples by chains of x_t given x_{t+1}, down
    the levels: of its walk there are the figures of where it ends, and of where it began, at x_T.

    All states of the shorter chains are in memory for a while: num_steps · num_chains samples.

    Args:
        model: A built EnergyModel whose sampler records diagnostics and trajectory, as all of
            `samplers` do.
        num_chains: How many chains, from 4 to 1,024.
        num_steps: Steps of each, at least 8, or 1 with levels of noise; the sampler's own number if
            None.
        long_factor: How many times as long the longer ones are, at least 2.
        seed: Seed of them all.

    Returns:
        The figures; NaN where energies or states were not finite.

    Raises:
        ValueError: A number is out of its range.
    """
    num_chains = arguments.whole_number("num_chains", num_chains, 4, 1025)
    long_factor = arguments.whole_number("long_factor", long_factor, 2)
    steps = getattr(model.sampler, "num_steps", None) if num_steps is None else num_steps
    walks = isinstance(model, NoiseConditionalModel)
    steps = arguments.whole_number("num_steps", steps, 1 if walks else 8)

    def run(stream: int, count: int, **history):
        return model.sample_batch(
            num_chains, seed=(seed, stream), initial="noise", num_steps=count, **history
        )

    result, labels, *_ = run(0, steps, return_diagnostics=True, return_trajectory=True)
    beyond = run(1, steps * long_factor).samples
    states, energy = (tf.cast(p, tf.float32) for p in (result.trajectory, result.energy))
    # Of the later half: `energy` is that before each step.
    later, energy = states[steps // 2 : steps], energy[steps // 2 :]
    if walks:
        later = states
    ends, scores = states[-1], model.score(states[-1], labels)
    acceptance = getattr(result, "acceptance", None)
    figures: dict[str, Any] = dict.fromkeys(ChainFigures._fields, math.nan) | {
        "acceptance": None if acceptance is None else float(tf.reduce_mean(acceptance)),
        "num_chains": num_chains,
        "num_steps": steps,
        "long_factor": long_factor,
    }
    if all(np.isfinite(part.numpy()).all() for part in (later, energy, scores, beyond)):
        stein = kernel_stein_discrepancy(ends.numpy(), scores.numpy())
        rhat: float | None = None
        size: float | None = None
        if not walks:
            rhat, size = _mixing(tf.concat([energy[..., None], _directions(later)], axis=-1))
        figures |= {
            "rhat": rhat,
            "effective_sample_size": size,
            "stein": stein.u_statistic,
            "stein_p_value": stein.p_value,
            "distance": float(sample_distance(beyond, ends).value),
            "distance_at_start": float(sample_distance(beyond, states[0]).value),
        }
    return ChainFigures(**figures)


@arguments.checked
def readings_of_chains(figures: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """Return (name, value, how to read it) of figures, those of `ChainFigures.as_dict()`."""
    return [
        (name.replace("_", " "), figures[name], text.format(**figures))
        for name, text in _READINGS.items()
        if figures.get(name) is not None
    ]


def _directions(states) -> tf.Tensor:
    """Return the coordinates of states [t, n, …], or some directions, [t, n, k]."""
    flat = tf.reshape(states, [*states.shape[:2], -1])
    dimension = flat.shape[-1]
    if dimension <= DIRECTIONS:
        return flat
    drawn = np.random.default_rng(0).normal(size=(dimension, DIRECTIONS))
    return flat @ np.linalg.qr(drawn)[0].astype(np.float32)


def _mixing(values) -> tuple[float, float]:
    """Return the largest R̂ and the least effective sample size of values [t, n, k]."""
    from tensorflow_probability import mcmc  # Slow to import.

    # Of squares of differences, in which what is far from zero would drown.
    values = tf.cast(values, tf.float64)
    # The ratio of variances; R̂ as it is commonly judged is that of deviations.
    rhat = np.sqrt(mcmc.potential_scale_reduction(values, split_chains=True).numpy())
    with _without_warnings():
        sizes = mcmc.effective_sample_size(
            values, cross_chain_dims=1, filter_beyond_positive_pairs=True
        ).numpy()
    # A direction in which nothing moves, such as a black pixel, says nothing.
    moving = np.isfinite(rhat) & np.isfinite(sizes)
    if not moving.any():
        return math.nan, math.nan
    return float(np.max(rhat[moving])), float(np.min(sizes[moving]))


@contextlib.contextmanager
def _without_warnings():
    """Hold back TensorFlow's: autocorrelations are the real parts of Fourier transforms."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)
