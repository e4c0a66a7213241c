"""Adaptive Gauss–Legendre quadrature of f-divergences on the whole line, in log space."""

import itertools

import numpy as np
import tensorflow as tf

from tf_febm import arguments, divergences
from tf_febm.analysis.density import Density

__all__ = ["ERROR", "DivergenceIntegral"]

# Why not `scipy.integrate`: `tanhsinh` on the same pieces failed 15 tests of f_divergence: where a
# power decides that it is infinite it stopped at 1e28 and 1e153, where rounding does, it was sure.
# The estimated error must be below this share of max(1, D), for 1e-8 to hold with something over.
ERROR = 5e-9
# The share of max(1, D) by which a panel may differ from its halves.
_TOLERANCE = 1e-11
# How far from 1 p and q may integrate: missing mass counts several times in a divergence.
_MISSING = 2e-9
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)
# Farther out squares leave the range of float64.
_FARTHEST = 1e150
# Tails are cut where density · dx/dt is below this; the slopes that count as level are in log.
_LOG_CUT, _LEVEL, _SCAN = -45.0, 1e-6, 400
_MAX_ROUNDS, _MAX_OPEN, _BLOCK = 60, 3000, 2**20


class DivergenceIntegral:
    """Integrate one divergence from one p to any q.

    The line is cut at the ends of supports, and each interval once more in the middle. Each of the
    halves is a variable t ≥ 0 that starts there: x = middle ± s·sinh t towards infinity, which
    turns power laws into exponentials, and x = end ± s·e^(−t) towards an end, which does the same
    for poles. Panels begin at landmarks (quantiles of p, q and their components, and distances
    from medians that double), and are halved until each agrees with its halves.

    Args:
        divergence: A `Divergence` or its name.
        p: A continuous tfp distribution of scalars, without a batch.

    Raises:
        TypeError: p is no distribution of floating scalars.
        ValueError: p has a batch, or cannot be evaluated.
    """

    def __init__(self, divergence: arguments.DivergenceLike, p: arguments.Distribution):
        self.divergence = divergences.get(divergence)
        self.p = Density(p, "p")
        if self.p.batch_shape:
            raise ValueError(
                f"p must be one distribution; received batch shape {self.p.batch_shape}."
            )
        self.log_integrand = LogIntegrand(self.divergence)

    def solve(self, q: Density, *, strict: bool = True) -> tuple:
        """Return D_f(p‖q) for each member of q, and where it was integrated.

        Args:
            q: Its members share the panels.
            strict: Whether to raise for a member that is not exact; otherwise it is NaN.

        Returns:
            float64 array [B], +inf where infinite; nodes [N], log p and log weights there.

        Raises:
            ValueError: One of them is not exact, and `strict` is True.
        """
        halves = _Halves(self.p, q)
        which, start, stop, infinite, rest = self._tails(halves, q)
        hopeless = infinite | (rest[0] > 1.0)

        def integrate(which, start, stop):
            step = max(1, _BLOCK // (len(_NODES) * q.num_members))
            sums = [
                self._panels(halves, q, *(x[i : i + step] for x in (which, start, stop)))
                for i in range(0, len(which), step)
            ]
            sums = np.concatenate(sums, axis=1)
            sums[0, :, hopeless] = 0.0
            return sums

        total, error, closed = np.zeros_like(rest), rest, []
        whole = integrate(which, start, stop)
        for count in range(_MAX_ROUNDS):
            middle = 0.5 * (start + stop)
            halved = [np.concatenate(x) for x in ((which, which), (start, middle), (middle, stop))]
            parts = integrate(*halved)
            both = parts[:, : len(which)] + parts[:, len(which) :]
            with np.errstate(invalid="ignore"):
                gap = np.abs(both - whole)
                size = np.maximum(1.0, np.abs(total + both.sum(axis=1)))
                is_open = (gap > _TOLERANCE * size[:, None]).any(axis=(0, 2))
            if count == _MAX_ROUNDS - 1 or is_open.sum() > _MAX_OPEN:
                is_open[:] = False
            total = total + both[:, ~is_open].sum(axis=1)
            error = error + gap[:, ~is_open].sum(axis=1)
            twice = np.tile(is_open, 2)
            closed.append([x[~twice] for x in halved])
            if not is_open.any():
                break
            (which, start, stop), whole = (x[twice] for x in halved), parts[:, twice]

        infinite |= np.isposinf(total[0])
        missing = np.abs(total[1:] - 1.0)
        with np.errstate(invalid="ignore"):
            exact = (missing <= _MISSING).all(axis=0)
            exact &= error[0] <= ERROR * np.maximum(1.0, np.abs(total[0]))
        if strict and not (exact | infinite).all():
            self._raise(np.where(infinite, 0.0, missing), total, error[0], q)
        value = np.where(infinite, np.inf, np.where(exact, np.maximum(total[0], 0.0), np.nan))
        which, start, stop = (np.concatenate(x) for x in zip(*closed, strict=True))
        points, log_p, _, log_weights = self._nodes(halves, q, which, start, stop)
        return value, points.ravel(), log_p.numpy().ravel(), log_weights.ravel()

    def _nodes(self, halves, q, which, start, stop):
        """Return points [K, n], log p [K·n, 1], log q [K·n, B] and log weights [K, n]."""
        half = 0.5 * (stop - start)[:, None]
        t = 0.5 * (stop + start)[:, None] + half * _NODES
        which = np.repeat(which, len(_NODES)).reshape(t.shape)
        points, log_step = halves.place(which, t)
        logs = halves.logs(which.ravel(), t.ravel(), self.p, q)
        with np.errstate(divide="ignore"):
            return points, *logs, log_step + np.log(half * _WEIGHTS)

    def _panels(self, halves, q, which, start, stop):
        """Return the integrals of D's integrand, p and q over K panels, [3, K, B]."""
        _, log_p, log_q, log_weights = self._nodes(halves, q, which, start, stop)
        terms = self._terms(log_p, log_q) + log_weights.reshape(-1, 1)
        with np.errstate(over="ignore"):
            return np.exp(terms).reshape(3, len(which), len(_NODES), -1).sum(axis=2)

    def _terms(self, log_p, log_q):
        value = self.log_integrand(log_p, log_q)
        return tf.stack([value, tf.broadcast_to(log_p, value.shape), log_q]).numpy()

    def _tails(self, halves, q):
        """Return the first panels, where D is infinite [B], and errors beyond the cuts [3, B].

        Let L(t) = log(integrand · dx/dt). Towards an end a convergent integral has L falling for
        good; it diverges if L rises, or is level, in the last step that is more than rounding.
        """
        first = np.array([marks[-1] for marks in halves.marks])[:, None]
        t = first + np.maximum(halves.far[:, None] - first, 1.0) * np.linspace(0, 1, _SCAN) ** 2
        which = np.repeat(np.arange(len(t)), _SCAN)
        log_p, log_q = halves.logs(which, t.ravel(), self.p, q)
        terms = self._terms(log_p, log_q)
        pairs = (_shaken(log_p), log_q), (log_p, _shaken(log_q))
        with np.errstate(invalid="ignore"):
            noise = sum(np.abs(self.log_integrand(*pair).numpy() - terms[0]) for pair in pairs)
        level = terms + halves.place(which, t.ravel())[1][:, None]
        # Halves, steps, members; the terms come first.
        noise, level = (x.reshape(*x.shape[:-2], *t.shape, -1) for x in (noise, level))
        gap, index = np.diff(t, axis=1)[..., None], np.arange(_SCAN)[:, None]
        with np.errstate(invalid="ignore"):
            rise = np.diff(level, axis=2)
            known = ~np.isnan(rise) & (level[:, :, :-1] > -np.inf)
            doubt = noise[:, 1:] + noise[:, :-1]
            known[0] &= doubt <= np.maximum(1e-3 * gap, 0.1 * np.abs(rise[0]))
            rises = known & (rise >= -_LEVEL * gap)
            needed = np.pad(rises, ((0, 0), (0, 0), (1, 0), (0, 0))) | (level > _LOG_CUT)
        last = np.where(known, index[1:], 0).max(axis=2)
        beyond = index > last[:, :, None]
        cut = np.minimum(np.where(needed & ~beyond, index + 1, 0).max(axis=2), last)
        rising = (rises[0] & (index[1:] == last[0][:, None])).any(axis=1)
        by_rounding = (beyond[0] & np.isfinite(noise)).any(axis=1)
        infinite = (rising & ~by_rounding).any(axis=0)
        infinite |= (np.isposinf(level[0]) & ~np.isposinf(noise)).any(axis=(0, 1))
        # What lies beyond the last known step is small where L falls by a thousandth per unit of t.
        top = np.take_along_axis(level, cut[:, :, None], axis=2)[:, :, 0]
        rest = np.where(top > _LOG_CUT, 1e3 * np.exp(np.minimum(top, 100.0)), 0.0).sum(axis=1)
        rest[0] = np.where(rising.any(axis=0), np.inf, rest[0])
        cut[0, :, infinite | (rest[0] > 1.0)] = 0
        panels = []
        for i, marks in enumerate(halves.marks):
            stop = t[i, cut[:, i].max()]
            edges = np.unique([*marks, *np.arange(marks[-1] + 0.7, stop, 0.7), stop])
            panels.append((np.full(len(edges) - 1, i), edges[:-1], edges[1:]))
        which, start, stop = (np.concatenate(x) for x in zip(*panels, strict=True))
        return which, start, stop, infinite, rest

    def _raise(self, missing, total, error, q):
        for row, density in ((0, self.p), (1, q)):
            worst = np.argmax(missing[row])
            if not missing[row, worst] <= _MISSING:
                raise ValueError(
                    f"{density.name} integrates to {total[row + 1, worst]:.10g}, not to 1: its "
                    "log_prob is no exact density, or its mass is too far, too steep or too narrow "
                    f"to be found; received {density.description}."
                )
        raise ValueError(
            f"The divergence {self.divergence.name!r} could not be integrated to 1e-8; the error "
            f"may be {np.nanmax(error):.1g}. p is {self.p.description}, q {q.description}."
        )


class _Halves:
    """Hold H half intervals of the line and their variables t.

    Attributes:
        marks: H rising arrays of t from 0, where panels begin.
        far: float64 array [H], the largest t of use.
    """

    def __init__(self, p, q):
        landmarks = _landmarks(p, q)
        spread = np.ptp(landmarks)
        ends = np.union1d(p.ends, q.ends)
        fields, self.marks = [], []
        for low, high in itertools.pairwise([-np.inf, *ends, np.inf]):
            inside = landmarks[(landmarks > low) & (landmarks < high)]
            if np.isfinite(low) and np.isfinite(high):
                middle = 0.5 * (low + high)
            elif np.isfinite(low):
                middle = low + spread
            else:
                middle = high - spread if np.isfinite(high) else np.median(inside)
            for end, sign in ((low, -1.0), (high, 1.0)):
                between = inside[(inside > middle) == (sign > 0.0)]
                if np.isinf(end):
                    fields.append((middle, sign * spread, True))
                    marks = np.arcsinh(np.abs(between - middle) / spread)
                    far = np.arcsinh(_FARTHEST / spread)
                else:
                    fields.append((end, middle - end, False))
                    marks = np.log((middle - end) / (between - end))
                    far = min(700.0, np.log(abs(middle - end)) + 667.0)
                self.marks.append(np.unique([0.0, *marks[marks < far]]))
                fields[-1] += (far,)
        fields = [np.array(field) for field in zip(*fields, strict=True)]
        self.anchor, self.scale, self.is_infinite, self.far = fields
        # Nearer than this to an end the rounding of x would show in a density that has a pole.
        nearest = np.log(2.0**22 * np.spacing(np.abs(self.anchor)))
        near = np.log(np.abs(self.scale)) - nearest
        self._near = np.where(self.is_infinite, np.inf, np.maximum(near, 3.0))
        self._slopes = {}

    def place(self, which, t):
        """Return x and log |dx/dt|."""
        is_infinite = self.is_infinite[which]
        growth = np.where(is_infinite, np.sinh(np.minimum(t, 700.0)), np.exp(-t))
        speed = np.where(is_infinite, t + np.log1p(np.exp(-2.0 * t)) - np.log(2.0), -t)
        scale = self.scale[which]
        return self.anchor[which] + scale * growth, np.log(np.abs(scale)) + speed

    def logs(self, which, t, *densities):
        """Return the log densities [N, B] of each, continued as powers of x very near to ends."""
        near = self._near[which]
        beyond = np.maximum(t - near, 0.0)[:, None]
        points, _ = self.place(which, np.minimum(t, near))
        logs = [density.log_prob(points) for density in densities]
        if beyond.any():
            slopes = [self._slope(density)[which] for density in densities]
            logs = [x + slope * beyond for x, slope in zip(logs, slopes, strict=True)]
        return logs

    def _slope(self, density):
        if density.name not in self._slopes:
            which, step = np.arange(len(self.far)), 2.0
            t = np.where(self.is_infinite, 1.0, self._near)
            late, early = (
                density.log_prob(self.place(which, t - back)[0]).numpy() for back in (0.0, step)
            )
            with np.errstate(invalid="ignore"):
                self._slopes[density.name] = np.nan_to_num((late - early) / step)
        return self._slopes[density.name]


def _landmarks(*densities):
    """Return sorted points, close together where a density is narrow."""
    quantiles = [x.quantiles.reshape(len(x.quantiles), -1) for x in densities]
    every = np.concatenate([x.ravel() for x in quantiles])
    spread = 4.0 * np.ptp(every)
    points = []
    for x in quantiles:
        width = 0.5 * (x[3] - x[1])
        # Kinks are mostly at medians.
        points += [
            (point, 0.0 if x.shape[1] < 20 else w) for point, w in zip(x[2], width, strict=True)
        ]
        points += [(point, w) for row in x for point, w in zip(row, width, strict=True)]
        for power in range(int(np.ceil(np.log2(spread / width.min())))):
            step = width * 2.0**power
            for sign in (-1.0, 1.0):
                points += zip(x[2] + sign * step, step, strict=True)
    kept = []
    for point, width in sorted(points):
        is_near = abs(point - every.mean()) <= 2.0 * spread
        if is_near and (not kept or point - kept[-1] > 0.8 * width):
            kept.append(point)
    return np.array(kept)


def _shaken(log_density):
    """Return what the log density may be for its rounding; −inf where it has left the range."""
    return tf.where(
        log_density < -1e307, tf.constant(-np.inf, tf.float64), log_density * (1 + 1e-12)
    )


class LogIntegrand:
    """Evaluate log(q f₀(p/q)) from log p and log q.

    f₀(u) = f(u) − f'(1)(u − 1) ≥ 0 has the same divergence as f, because p and q are normalised,
    but its integrand is nowhere negative: nothing cancels, and an infinite integral can be told
    from a finite one. With r = log p/q,

        r ≥ 0:  log p + log(f₀(eʳ)/eʳ)            r < 0:  log q + log f₀(eʳ)

    so that a vanishing p or q leaves p·f₀'(∞) or q·f₀(0).

    Args:
        divergence: A `Divergence`.
    """

    def __init__(self, divergence):
        self._divergence = divergence
        self._slope = divergence.derivative(tf.zeros([], tf.float64))
        self._above = _Continuation(lambda r: self._excess(r) * tf.exp(-r))
        self._below = _Continuation(lambda r: self._excess(-r))

    def __call__(self, log_p, log_q) -> tf.Tensor:
        """Return log(q f₀(p/q)), float64 of the common shape; differentiable.

        −inf where both vanish, +inf where it is infinite, NaN where it is not known.
        """
        both_vanish = tf.math.is_inf(log_p) & tf.math.is_inf(log_q)
        r = tf.where(both_vanish, tf.zeros([], tf.float64), log_p - log_q)
        middle = tf.clip_by_value(r, -self._below.reach, self._above.reach)
        excess = tf.math.log(tf.maximum(self._excess(middle), 1e-300))
        value = tf.where(r >= 0.0, log_p - middle, log_q) + excess
        for continuation, distance, log_mass in (
            (self._above, r, log_p),
            (self._below, -r, log_q),
        ):
            far = distance > continuation.reach
            if tf.reduce_any(far):
                value = tf.where(far, log_mass + continuation(distance), value)
        return value

    def _excess(self, r):
        return self._divergence.generator(r) - self._slope * tf.math.expm1(r)


class _Continuation:
    """Continue h, a constant plus an exponential or a straight line, beyond the range of float64.

    These are f₀(eʳ)/eʳ and f₀(e⁻ʳ) for all powers u^α, u log u, log u, and those like them far out.

    Args:
        function: r -> h(r) ≥ 0 for r > 0.
    """

    def __init__(self, function):
        grid = np.linspace(0.5, 700.0, 1400)
        value = function(tf.constant(grid)).numpy()
        usable = np.isfinite(value) & (value > 0.0)
        count = len(grid) if usable.all() else int(np.argmin(usable))
        if count < 10:
            raise ValueError("The divergence's generator is not finite on either side of u = 1.")
        # Keep away from the edge: the derivative overflows a little earlier.
        self.reach = 0.95 * grid[count - 1]
        self._step = 0.25 * self.reach
        h = function(tf.constant(self._step * np.arange(1, 5))).numpy()
        first, second, third = np.diff(h)
        is_constant = abs(third) <= 1e-12 * h[3]
        self._last, self._rise, self._log_ratio = h[3], 0.0 if is_constant else third, 0.0
        if not is_constant:
            known = first != 0.0 and second / first > 0.0
            if not known or abs(second * (second / first) - third) > 1e-9 * h[3]:
                self._last = np.nan  # Another function.
            elif abs(third / second - 1.0) > 1e-9:
                self._log_ratio = np.log(third / second)

    def __call__(self, distance):
        steps = (distance - self.reach) / self._step
        if not self._rise:
            return tf.fill(tf.shape(distance), tf.math.log(tf.constant(self._last, tf.float64)))
        if not self._log_ratio:
            return tf.math.log(self._last + self._rise * tf.maximum(steps, 0.0))
        # h = constant + amplitude · e^(steps · log_ratio).
        amplitude = self._rise / -np.expm1(-self._log_ratio)
        constant = self._last - amplitude
        exponent = tf.maximum(steps, 0.0) * self._log_ratio
        if self._log_ratio > 0.0:
            return exponent + tf.math.log(amplitude + constant * tf.exp(-exponent))
        return tf.math.log(constant + amplitude * tf.exp(exponent))
