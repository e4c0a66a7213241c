"""Adaptive Gauss–Kronrod quadrature of many integrands at once, each on its own panels."""

from typing import NamedTuple

import numpy as np

__all__ = ["Panels", "Totals", "integrate", "join", "nodes_and_weights"]

# Nodes and weights of Kronrod's 15-point rule and of Gauss' 7-point rule inside it, for z ≥ 0.
# Source: Piessens et al., QUADPACK (1983), routine QK15.
_NODES = [
    0.991455371120812639206854697526329,
    0.949107912342758524526189684047851,
    0.864864423359769072789712788640926,
    0.741531185599394439863864773280788,
    0.586087235467691130294144691693013,
    0.405845151377397166906606412076961,
    0.207784955007898467600689403773245,
    0.000000000000000000000000000000000,
]
_KRONROD = [
    0.022935322010529224963732008058970,
    0.063092092629978553290700663189204,
    0.104790010322250183839876322541518,
    0.140653259715525918745189590510238,
    0.169004726639267902826583426598550,
    0.190350578064785409913256402421014,
    0.204432940075298892414161999234649,
    0.209482141084727828012999174891714,
]
_GAUSS = [
    0.129484966168869693270611432679082,
    0.279705391489276667901467771423780,
    0.381830050505118944950369775488975,
    0.417959183673469387755102040816327,
]
Z = np.concatenate([-np.array(_NODES[:-1]), _NODES[::-1]])
KRONROD = np.concatenate([_KRONROD[:-1], _KRONROD[::-1]])
GAUSS = np.zeros(15)
GAUSS[1::2] = _GAUSS[:-1] + _GAUSS[::-1]

# A panel is done when its error is below this share of the integral or of 1.
_PANEL_TOLERANCE = 1e-12
# One bisection a round: enough to come down from any width to rounding.
_MAX_ROUNDS = 60
# Panels per integrand that may be open at a time; more means that refinement does not help.
_MAX_OPEN = 2000
# Points evaluated at a time.
_BLOCK = 2**17


class Panels(NamedTuple):
    """Hold K intervals for each of B integrands, as arrays [K, B]; those of no width are unused.

    A panel runs over t from `start` to `stop`. With direction 0 it is the interval itself, x = t;
    with direction ±1 it lies at distance eᵗ on that side of `anchor`, x = anchor ± eᵗ, which turns
    a power law towards the anchor or to infinity into an exponential.
    """

    start: np.ndarray
    stop: np.ndarray
    anchor: np.ndarray
    direction: np.ndarray


class Totals(NamedTuple):
    """Hold the integrals of F functions for each of B members.

    Attributes:
        value: float64 array [F, B].
        error: float64 array [F, B], an estimate that is rarely exceeded.
        panels: The panels of the last refinement.
    """

    value: np.ndarray
    error: np.ndarray
    panels: Panels


def nodes_and_weights(panels: Panels) -> tuple[np.ndarray, np.ndarray]:
    """Return the 15 nodes of each panel and their weights, arrays [K, 15, B]."""
    half = 0.5 * (panels.stop - panels.start)[:, None]
    t = 0.5 * (panels.stop + panels.start)[:, None] + half * Z[:, None]
    direction = panels.direction[:, None]
    distance = np.exp(np.where(direction == 0.0, 0.0, t))
    points = np.where(direction == 0.0, t, panels.anchor[:, None] + direction * distance)
    return points, half * KRONROD[:, None] * distance


def join(*parts: Panels) -> Panels:
    """Return all panels in one."""
    return Panels(*map(np.concatenate, zip(*parts, strict=True)))


def integrate(evaluate, panels: Panels, min_rounds: int = 0) -> Totals:
    """Integrate F functions over panels that are halved until each is good to 1e-12.

    Every member of the batch is refined where *it* needs it, and all of them are evaluated
    together. The error of a panel is QUADPACK's estimate from the difference of the two rules. A
    panel whose estimate is down to rounding, or that holds a value which is not finite, is left as
    it is.

    Args:
        evaluate: Points [N, B] -> values [F, N, B], float64.
        panels: Where to begin. Features far narrower than their panel may be missed.
        min_rounds: How often to halve every panel at least.

    Returns:
        `Totals`. A value is ±inf or NaN if one of its points is.
    """
    value = error = np.zeros(())
    finished = []
    panels = _keep(panels, panels.stop != panels.start)
    for count in range(_MAX_ROUNDS):
        estimate, estimate_error, floor = _rules(evaluate, panels)
        with np.errstate(invalid="ignore", over="ignore"):
            size = np.maximum(1.0, np.abs(value + estimate.sum(axis=1)))[:, None]
            good = estimate_error <= np.maximum(_PANEL_TOLERANCE * size, floor)
            hopeless = ~np.isfinite(estimate).all(axis=(0, 1))
        done = (good.all(axis=0) & (count >= min_rounds)) | (panels.stop == panels.start)
        if count == _MAX_ROUNDS - 1 or (~done).sum(axis=0).max() > _MAX_OPEN:
            done[:] = True
        done |= hopeless
        value = value + np.where(done, estimate, 0.0).sum(axis=1)
        error = error + np.where(done, estimate_error, 0.0).sum(axis=1)
        finished.append(_keep(panels, done))
        if done.all():
            break
        panels = _halve(_keep(panels, ~done))
    return Totals(value, error, join(*finished))


def _rules(evaluate, panels):
    """Return Kronrod's estimates, their errors and what rounding makes of them, each [F, K, B]."""
    members = panels.start.shape[1]
    step = max(1, _BLOCK // (15 * members))
    results = []
    for first in range(0, len(panels.start), step):
        part = Panels(*(field[first : first + step] for field in panels))
        points, weights = nodes_and_weights(part)
        values = evaluate(points.reshape(-1, members))
        values = values.reshape(len(values), *points.shape)
        used = weights[:, 7] != 0.0
        values = np.where(used[:, None], values, 0.0)
        # With the Jacobian and half the width, but without the rule's own weights.
        with np.errstate(invalid="ignore", over="ignore"):
            values = values * (weights / KRONROD[:, None])
            kronrod = np.einsum("j,fkjb->fkb", KRONROD, values)
            difference = np.abs(kronrod - np.einsum("j,fkjb->fkb", GAUSS, values))
            deviation = np.abs(values - 0.5 * kronrod[:, :, None])
            spread = np.einsum("j,fkjb->fkb", KRONROD, deviation)
            ratio = difference / np.where(spread > 0.0, spread, 1.0)
            error = spread * np.minimum(1.0, (200.0 * ratio) ** 1.5)
            # Nodes are rounded to within eps·|x|, which matters where the integrand is steep.
            width = np.abs(points[:, -1] - points[:, 0])
            shift = 4.0 * np.finfo(float).eps * np.abs(points).max(axis=1)
            steep = spread * shift / np.where(width > 0.0, width, 1.0)
            floor = np.maximum(1e-13 * np.abs(kronrod), steep)
        results.append((kronrod, error, floor))
    return [np.concatenate(parts, axis=1) for parts in zip(*results, strict=True)]


def _keep(panels, mask):
    """Move the panels under the mask to the front, use up no others, and cut off the rest."""
    count = int(mask.sum(axis=0).max())
    order = np.argsort(~mask, axis=0, kind="stable")[:count]
    kept = Panels(*(np.take_along_axis(field, order, axis=0) for field in panels))
    unused = ~np.take_along_axis(mask, order, axis=0)
    return kept._replace(stop=np.where(unused, kept.start, kept.stop))


def _halve(panels):
    middle = 0.5 * (panels.start + panels.stop)
    return join(panels._replace(stop=middle), panels._replace(start=middle))
