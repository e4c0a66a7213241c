"""Finite variance of gradients by samples, and the share of them beyond the data."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, divergences

__all__ = ["Reach", "reach"]

# Points of the trapezoidal rule, which converges faster than any power here, and how many standard
# deviations of the widest Gaussian it reaches.
_POINTS, _WIDTHS = 100_001, 30.0
_DIFFERENCE = 1e-4
# Where a divergence's functions are as they are for ever, for slopes of their logarithms.
_FAR = 30.0


class Reach(NamedTuple):
    """Hold what `reach` finds at one Gaussian q = N(μ, σ²), for the weights (μ, log σ).

    Attributes:
        gradient: ∇D_f(p‖q), float64 [2]; 0 at the optimum.
        hessian: Its derivative, [2, 2].
        deviation: Standard deviations of one sample's share of the gradient by the covariance term
            of Theorem 3 alone, E_q[(F − E_q F) ∇E], which is all of it where H is at its optimum;
            [2], infinite where they are.
        covariance_is_finite: Whether that term has finite variance.
        theorem_3_is_finite: Whether all three terms of Theorem 3 have, each by itself.
        unseen: How far apart in μ or σ, to first order, are the best Gaussians of p and of a target
            that agrees with it between its quantiles `share` and 1 − share, and beyond has the
            log p/q that is there. Who has seen no more of p misses one by half of it at least.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    deviation: np.ndarray
    covariance_is_finite: bool
    theorem_3_is_finite: bool
    unseen: float


@arguments.checking(
    {"p": arguments.having("a mixture, as of gaussian_mixture", "components_distribution")}
)
def reach(
    divergence: arguments.DivergenceLike,
    p: arguments.Distribution,
    mean: float,
    scale: float,
    share: float = 1e-6,
) -> Reach:
    """Find what keeps estimates by samples from the Gaussian of least divergence from a mixture.

    With r = log p/q, F = f*(f'(eʳ)) and s = f''(eʳ) eʳ, Theorem 3's terms at the optimal H are

        E_p[s ∇E] − E_q[F' ∇E] + E_q[(F − E_q F) ∇E],

    of which the first two cancel. Far out log p falls as x²/2v, v being the largest variance of a
    component, and log q as x²/2σ², so that each second moment is a Gaussian integral there: it is
    finite where its exponent is negative. For α < ½, σ² < (2 − 2α)/(1 − 2α) v makes the first
    term's finite, and for α < 0, σ² < (1 − 2α)/(−2α) v the last one's.

    Args:
        divergence: A `Divergence` or its name.
        p: A mixture, as `gaussian_mixture` returns it.
        mean: μ of q.
        scale: σ of q.
        share: Mass of p in either tail of which nothing is known, in (0, ½); one over the number of
            examples that are seen in all.

    Returns:
        A `Reach`; its numbers are NaN or infinite where the divergence is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _reach(divergences.get(divergence), p, mean, scale, _checked_share(share))


def _checked_share(share) -> float:
    arguments.number("share", share, above=True)
    if not share < 0.5:
        raise ValueError(f"share must be below 0.5; received {share}.")
    return share


def _reach(divergence, p, mean: float, scale: float, share: float) -> Reach:
    parts = p.components_distribution
    means, widths = parts.mean().numpy(), parts.stddev().numpy()
    widest = max(widths.max(), scale)
    x = np.linspace(
        min(means.min(), mean) - _WIDTHS * widest,
        max(means.max(), mean) + _WIDTHS * widest,
        _POINTS,
    )
    cell = x[1] - x[0]
    log_p = p.log_prob(x).numpy()

    def conjugate(r):
        return divergence.conjugate(tf.constant(r)).numpy()

    def log_q(place):
        return -0.5 * ((x - place[0]) * np.exp(-place[1])) ** 2 - place[1] - 0.5 * np.log(2 * np.pi)

    def terms(place, ratio=None):
        """Return the covariance term at each point, and q there."""
        logs = log_q(place)
        q, z = np.exp(logs), (x - place[0]) * np.exp(-place[1])
        slopes = np.stack([-z * np.exp(-place[1]), -np.square(z)])
        value = np.where(q > 0.0, conjugate(log_p - logs if ratio is None else ratio), 0.0)
        centred = value - cell * (q * value).sum()
        return centred * (slopes - cell * (q * slopes).sum(1, keepdims=True)), q

    def gradient(place, ratio=None):
        value, q = terms(place, ratio)
        return cell * (q * value).sum(axis=1)

    here = np.array([mean, np.log(scale)])
    steps = _DIFFERENCE * np.eye(2)
    hessian = np.stack(
        [(gradient(here + s) - gradient(here - s)) / (2.0 * _DIFFERENCE) for s in steps], axis=1
    )
    finite = _finite(divergence, float(widths.max()) ** 2, scale**2)
    value, q = terms(here)
    deviation = np.full(2, np.inf)
    if finite["covariance"]:
        deviation = np.sqrt(cell * (q * np.square(value)).sum(axis=1))

    cumulated = p.cdf(x).numpy()
    seen = np.flatnonzero((cumulated > share) & (1.0 - cumulated > share))
    ratio = log_p - log_q(here)
    ratio[: seen[0]], ratio[seen[-1] :] = ratio[seen[0]], ratio[seen[-1]]
    shift = np.linalg.solve(hessian, gradient(here, ratio) - gradient(here))
    return Reach(
        gradient=gradient(here),
        hessian=hessian,
        deviation=deviation,
        covariance_is_finite=finite["covariance"],
        theorem_3_is_finite=all(finite.values()),
        unseen=float(np.abs(shift * [1.0, scale]).max()),
    )


def _finite(divergence, p_variance: float, q_variance: float) -> dict[str, Any]:
    """Return of which terms the second moments are finite, by their exponents far out."""
    side = np.sign(1.0 / q_variance - 1.0 / p_variance)
    far = tf.constant(_FAR * side * np.array([1.0, 1.1]), tf.float64)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(far)
        values = {"data": divergence.derivative(far), "model": divergence.conjugate(far)}
    # log |f'(eʳ)'|, log |F'| and log |F − F(∞)| have the slopes of powers of eʳ.
    found = {}
    for name, value in values.items():
        logs = np.log(np.abs(tape.gradient(value, far).numpy()))
        power = (logs[1] - logs[0]) / (0.1 * _FAR * side)
        base = p_variance if name == "data" else q_variance
        exponent = 2.0 * power * 0.5 * (1.0 / q_variance - 1.0 / p_variance) - 0.5 / base
        found[name] = bool(exponent < 0.0)
    # F grows where its slope does, and is otherwise bounded or linear.
    return {**found, "covariance": found["model"]}
