"""Where an integral over the line begins: panels around the mass, ends of supports, and tails."""

from typing import NamedTuple

import numpy as np

from tf_febm.analysis.density import Features
from tf_febm.analysis.quadrature import Panels, join, nodes_and_weights

__all__ = ["Ends", "Poles", "Tails", "examine_ends", "first_panels", "tail_panels"]

# Steps in t = log(distance) away from the mass. They widen, because tails are smooth in t.
_STEPS = np.array(
    [0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 700]
)
# Panels in log distance from the last point before a finite end towards it.
_BEYOND = np.array([0.0, *(2.0 ** np.arange(14))])
_LAST_STEPS = np.array([8, 4, 2, 1, 0])
# The square of anything nearer to infinity would overflow.
_FARTHEST = np.log(1e150)
# A tail is cut off where less than e^−40 of the integral, or of 1, is left at each scale.
_CUT = -40.0
# A tail that falls more slowly than e^(−slope·t) is taken for one that does not fall.
_FLAT = 1e-6


class Ends(NamedTuple):
    """Hold E places where the line, or a support, comes to an end, for each of B members.

    Attributes:
        anchor: float64 array [E, B]; x = anchor + direction·eᵗ.
        direction: float64 array [E], ±1.
        times: float64 array [E, S, B], values of t from the mass towards the end.
        used: bool array [E, B].
        at_infinity: bool array [E].
    """

    anchor: np.ndarray
    direction: np.ndarray
    times: np.ndarray
    used: np.ndarray
    at_infinity: np.ndarray

    def points(self) -> np.ndarray:
        """Return the positions x, array [E, S, B]."""
        return self.anchor[:, None] + self.direction[:, None, None] * np.exp(self.times)


class Poles(NamedTuple):
    """Hold M nodes nearer to finite ends than floating numbers are, for each of B members.

    Attributes:
        points: float64 array [M, B], the ends themselves.
        log_p: float64 array [M, B], log p at the nodes, as a power of the distance.
        log_weights: float64 array [M, B], log of the weights of an integral over x.
    """

    points: np.ndarray
    log_p: np.ndarray
    log_weights: np.ndarray


class Tails(NamedTuple):
    """Hold what is known of F positive integrands towards E ends, for each of B members.

    Attributes:
        cut: int array [E, B], the index of `Ends.times` up to which to integrate.
        rest: float64 array [F, B], the integrals beyond the cuts, continued in log–log scale.
        error: float64 array [F, B], how far they are uncertain; +inf if nothing is known.
        diverges: bool array [F, B], whether the integral towards some end is infinite.
        poles: Nodes beyond the cuts at finite ends; none if what is there is negligible.
    """

    cut: np.ndarray
    rest: np.ndarray
    error: np.ndarray
    diverges: np.ndarray
    poles: Poles


def first_panels(features: Features) -> tuple[Panels, Ends]:
    """Lay panels where the mass is, finer near each component, up to near the ends.

    The line is cut at every finite end of a support. Around each median there are breakpoints at
    1, 2, 4, … half-widths, out to the distance of the farthest landmark.

    Args:
        features: Of all densities that take part, each array with B columns.

    Returns:
        Panels [K, B], and the ends that they leave out.
    """
    landmarks, spread = _landmarks(features)
    edges = [None, *_edges(features), None]
    panels, ends = [], []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        if low is None and high is None:
            panels.append(_linear(landmarks))
            ends.append(_tail(landmarks[0], -1.0, spread))
            ends.append(_tail(landmarks[-1], 1.0, spread))
        elif high is None:
            top = np.maximum(landmarks[-1], low + spread)
            panels, ends = _add_half(panels, ends, landmarks, low, 1.0, top - low)
            ends.append(_tail(top, 1.0, spread))
        elif low is None:
            bottom = np.minimum(landmarks[0], high - spread)
            panels, ends = _add_half(panels, ends, landmarks, high, -1.0, high - bottom)
            ends.append(_tail(bottom, -1.0, spread))
        else:
            half = 0.5 * (high - low)
            panels, ends = _add_half(panels, ends, landmarks, low, 1.0, half)
            panels, ends = _add_half(panels, ends, landmarks, high, -1.0, half)
    return join(*panels), Ends(*map(np.stack, zip(*ends, strict=True)))


def tail_panels(ends: Ends, cut: np.ndarray) -> Panels:
    """Return panels from the mass to the cut of every end, [E·(S − 1), B]."""
    steps = np.arange(ends.times.shape[1] - 1)[:, None]
    kept = (steps < cut[:, None]) & ends.used[:, None]
    near, far = ends.times[:, :-1], np.where(kept, ends.times[:, 1:], ends.times[:, :-1])
    shape = near.shape
    fields = (
        np.minimum(near, far),
        np.maximum(near, far),
        np.broadcast_to(ends.anchor[:, None], shape),
        np.broadcast_to(ends.direction[:, None, None], shape),
    )
    return Panels(*(field.reshape(-1, shape[-1]) for field in fields))


def examine_ends(ends: Ends, logs: np.ndarray, noise: np.ndarray, combine) -> Tails:
    """Find where the integrands may be cut off, what lies beyond, and whether that is finite.

    Let L(t) = log(integrand·dx/dt). Towards an end a convergent integral has L falling for good;
    it diverges if L is still rising, or level, at the last two points whose difference is more
    than noise. Where L is not negligible at the last point, it is continued: at infinity as a
    parabola in t, which is exact for powers of the distance and nearly so for powers times
    logarithms; at a finite end, which floating numbers cannot approach, from p and q as powers of
    the distance.

    Args:
        ends: The E ends with S points each.
        logs: float64 array [F, E, S, B], log of the integrands at `ends.points()`: the divergence's
            own first, then p and q.
        noise: float64 array [E, S, B], how far rounding may put the first one off; NaN if unknown.
        combine: (log p, log q) -> log of the divergence's integrand.

    Returns:
        `Tails`.
    """
    level = np.where(ends.used[:, None], logs + ends.times, -np.inf)
    # Infinite only because a log density left the range of float64: not known. A finite value is
    # the right one there, since then the other density decides alone.
    unknown = np.isposinf(level[0]) & _overflows(ends, logs[1:])
    level[0] = np.where(unknown, np.nan, level[0])
    known, rising = _trend(level, ends.times, noise)
    index = np.arange(level.shape[2])[:, None]
    last = np.where(known, index[1:], 0).max(axis=2)
    at_last = np.take_along_axis(rising, np.maximum(last - 1, 0)[:, :, None], axis=2)[:, :, 0]
    diverges = (at_last & (last > 0)) | np.isposinf(level).any(axis=2)

    # Beyond the last known point the highest level may be nothing but rounding.
    beyond = index > last[:, :, None]
    top = np.where(np.isnan(level) | beyond, -np.inf, level).max(axis=(1, 2))
    cutoff = _CUT + np.maximum(0.0, top)[:, None, None]
    needed = level > cutoff
    needed[:, :, 1:] |= rising
    last_needed = np.where(needed & ~beyond, index, -1).max(axis=2)
    cut = np.minimum(last_needed + 1, last).max(axis=0)

    at_cut = np.broadcast_to(cut, level.shape[:1] + cut.shape)
    negligible = np.take_along_axis(level, at_cut[:, :, None], axis=2) <= cutoff
    rest, error = _beyond_infinite(level, ends.times, at_cut)
    error = np.where(last < cut, np.inf, error)
    finite = ~ends.at_infinity
    poles = Poles(*(np.zeros((0, level.shape[3])) for _ in range(3)))
    if finite.any() and not negligible[:, finite].all():
        near = ends.times[finite]
        rest[:, finite], error[:, finite], rises, poles = _beyond_finite(
            logs[1:, finite], near, combine, ends.anchor[finite]
        )
        diverges[:, finite] = rises | np.isposinf(level[:, finite]).any(axis=2)
        error[:, finite] = np.where(cut[finite] < len(index) - 1, np.inf, error[:, finite])
    rest, error = (np.where(negligible[:, :, 0], 0.0, part).sum(axis=1) for part in (rest, error))
    return Tails(cut, rest, error, diverges.any(axis=1), poles)


def _overflows(ends, logs):
    """Return [E, S, B], from where on a tail's log p or log q is −inf for being out of range.

    It is, where the last finite value before was so low already; at an end of a support it is not.
    """
    gone = np.zeros(logs.shape, bool)
    gone[:, :, 1:] = np.isneginf(logs[:, :, 1:]) & (logs[:, :, :-1] < -1e3)
    gone[:, :, 1:] &= np.isfinite(logs[:, :, :-1])
    return np.maximum.accumulate(gone, axis=2).any(axis=0) & ends.at_infinity[:, None, None]


def _trend(level, times, noise):
    """Return which steps of L are more than noise, and which of these rise; [F, E, S − 1, B]."""
    gap = np.abs(np.diff(times, axis=1))
    doubt = np.zeros(level.shape[:2] + gap.shape[1:])
    with np.errstate(invalid="ignore"):
        rise = np.diff(level, axis=2)
        rise = np.where(np.isneginf(level[:, :, 1:]), -np.inf, rise)
        doubt[0] = noise[:, 1:] + noise[:, :-1]
        known = (gap > 0.0) & (doubt <= np.maximum(1e-3 * gap, 0.1 * np.abs(rise)))
        return known, known & (rise >= -_FLAT * gap)


def _beyond_infinite(level, times, cut):
    """Integrate exp(L) beyond the cut, and tell the error from two parabolas."""
    rest = _parabola(level, times, cut, (0, 1, 2))
    other = _parabola(level, times, cut, (0, 2, 3))
    with np.errstate(invalid="ignore"):
        unknown = (cut < 3) | ~np.isfinite(rest) | ~np.isfinite(other)
        error = np.abs(rest - other) + 1e-9 * rest
    return np.where(unknown, 0.0, rest), np.where(unknown, np.inf, error)


def _parabola(level, times, cut, back):
    """Integrate exp(L) beyond the cut, L the parabola through the points so far back from it."""
    index = np.maximum(cut[:, :, None] - np.array(back)[:, None], 0)
    height = np.take_along_axis(level, index, axis=2)
    time = np.take_along_axis(np.broadcast_to(times, level.shape), index, axis=2)
    with np.errstate(all="ignore"):
        near, far = np.moveaxis(np.abs(np.diff(time, axis=2)), 2, 0)
        rise_near, rise_far = np.moveaxis(-np.diff(height, axis=2), 2, 0)
        # These two slopes are those halfway between the points.
        bend = 2.0 * (rise_near / near - rise_far / far) / (near + far)
        fall = -(rise_near / near + 0.5 * bend * near)
        # ∫ exp(−fall·y + bend·y²/2) dy, to second order in bend/fall².
        share = bend / fall**2
        rest = np.exp(height[:, :, 0]) / fall * (1.0 + share + 3.0 * share**2)
        return np.where(fall > 0.0, rest, np.nan)


def _beyond_finite(logs, times, combine, anchor):
    """Integrate all F functions from the last points to the end, p and q being powers there.

    Args:
        logs: float64 array [2, E, S, B], log p and log q.
        times: float64 array [E, S, B], falling.
        combine: As in `examine_ends`.
        anchor: float64 array [E, B], the ends.

    Returns:
        The integrals, their errors and whether they diverge, [F, E, B], and the nodes used.
    """
    zero = np.zeros((len(_BEYOND) - 1, 1))
    panels = Panels(_BEYOND[:-1, None], _BEYOND[1:, None], zero, zero)
    depth, weights = (part.reshape(-1, 1) for part in nodes_and_weights(panels))
    results = []
    for back in (4, 2):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            slope = (logs[:, :, -1] - logs[:, :, -back]) / (times[:, -1] - times[:, -back])
            slope = np.where(np.isneginf(logs[:, :, -1]), 0.0, slope)
            log_p, log_q = logs[:, :, -1:] - slope[:, :, None] * depth
            stacked = np.stack([np.asarray(combine(log_p, log_q)), log_p, log_q])
            level = stacked + times[:, -1:] - depth
            results.append((np.exp(level) * weights).sum(axis=2))
    with np.errstate(invalid="ignore", over="ignore"):
        left = np.exp(level[:, :, -1]) * depth[-1]
        error = np.abs(results[1] - results[0]) + 1e-9 * results[1] + left
        rises = level[:, :, -1] - level[:, :, -2] >= -_FLAT * (depth[-1] - depth[-2])
    log_weights = np.log(weights) + times[:, -1:] - depth
    points = np.broadcast_to(anchor[:, None], log_weights.shape)
    poles = Poles(*(part.reshape(-1, anchor.shape[1]) for part in (points, log_p, log_weights)))
    return results[1], np.where(np.isfinite(error), error, np.inf), rises, poles


def _landmarks(features):
    """Return the sorted breakpoints [J, B] and their extent [B]."""
    points = np.concatenate([features.points, features.centre])
    spread = np.ptp(points, axis=0)
    count = np.ceil(np.log2(2.0 * (spread / features.width).max())) + 1.0
    steps = 2.0 ** np.arange(np.clip(count, 3, 100))[:, None, None]
    steps = np.minimum(steps * features.width, np.maximum(2.0 * spread, features.width))
    steps = steps.reshape(-1, len(spread))
    centre = np.tile(features.centre, (len(steps) // len(features.centre), 1))
    points = np.concatenate([points, centre - steps, centre + steps])
    # How fine a mesh each breakpoint is there for.
    scale = np.concatenate([np.zeros((len(points) - 2 * len(steps), len(spread))), steps, steps])
    order = np.argsort(points, axis=0)
    points, scale = (np.take_along_axis(part, order, axis=0) for part in (points, scale))
    for i in range(1, len(points)):
        near = points[i] - points[i - 1] < 0.3 * scale[i]
        points[i] = np.where(near, points[i - 1], points[i])
    return points, np.ptp(points, axis=0)


def _edges(features):
    """Return the distinct finite ends, sorted, a list of arrays [B]."""
    ends = features.ends[np.isfinite(features.ends).any(axis=1)]
    # Where only some members have an end, the others get a breakpoint that does no harm.
    ends = np.sort(np.where(np.isfinite(ends), ends, features.centre[:1]), axis=0)
    return [end for i, end in enumerate(ends) if i == 0 or (end != ends[i - 1]).any()]


def _linear(points):
    zero = np.zeros_like(points[1:])
    return Panels(points[:-1], points[1:], zero, zero)


def _tail(anchor, direction, spread):
    """Return the fields of an end at infinity."""
    times = _steps(np.log(spread), np.full(spread.shape, _FARTHEST))
    return anchor - direction * spread, direction, times, np.ones(spread.shape, bool), True


def _steps(start, limit):
    """Return times [S, B] from `start` to `limit`, wider and wider, but close near the limit."""
    sign = np.where(limit < start, -1.0, 1.0)
    length = np.abs(limit - start)
    last = np.maximum(length - _LAST_STEPS[:, None], 0.0)
    steps = np.concatenate([np.minimum(_STEPS[:, None], last[0]), last[1:]])
    return start + sign * np.sort(steps, axis=0)


def _add_half(panels, ends, landmarks, end, direction, length):
    """Add panels in log distance from a finite end up to `length`, and the end itself."""
    used = length > 0.0
    stop = np.log(np.where(used, length, 1.0))
    # Nearer than this the rounding of x would show in a density that has a pole there.
    nearest = np.log(np.maximum(2.0**22 * np.spacing(np.abs(end)), 1e-290))
    distance = direction * (landmarks - end)
    inside = (distance > 0.0) & (distance < length)
    times = np.where(inside, np.log(np.where(inside, distance, 1.0)), stop)
    start = np.minimum(np.maximum(times.min(axis=0), nearest + 12.0), stop)
    times = np.sort(np.concatenate([np.maximum(times, start), start[None], stop[None]]), axis=0)
    upper = np.where(used, times[1:], times[:-1])
    anchor = np.broadcast_to(end, upper.shape)
    panel = Panels(times[:-1], upper, anchor, np.full(upper.shape, direction))
    scan = _steps(start, np.minimum(nearest, start))
    # The distances that these positions really have, once rounded.
    scan = np.log(np.maximum(np.abs(end + direction * np.exp(scan) - end), 1e-300))
    return [*panels, panel], [*ends, (end, direction, scan, used, False)]
