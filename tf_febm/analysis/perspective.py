"""The integrand of an f-divergence, q·f(p/q), in log space and without overflow."""

import math

import numpy as np
import tensorflow as tf

__all__ = ["LogPerspective"]

# Below this |r| the generator's rounding outweighs its value and the parabola is the better one.
_NEAR = 1e-6
# Enough nodes for functions that change by less than 8 % per unit of r.
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(6)


class LogPerspective:
    """Evaluate log(q f₀(p/q)) from log p and log q, where f₀(u) = f(u) − f'(1)(u − 1) ≥ 0.

    f₀ has the same divergence as f, because p and q are both normalised, but its integrand is
    nowhere negative: nothing cancels, and an infinite integral can be told from a finite one.
    With r = log p/q,

        r ≥ 0:  log p + log(f₀(eʳ)/eʳ)            r < 0:  log q + log f₀(eʳ)

    so that a vanishing p or q leaves p·f₀'(∞) or q·f₀(0). Where f(eʳ) overflows in float64 these
    two functions of |r| are continued: in a straight line where they, or their exponentials, are
    one already (powers of u; u log u), and otherwise by the average over s ~ Exp(1) of f₀' (or of
    −f₀'s conjugate) at |r| − s, which is what they are by definition. Where that is not known
    either, for a generator without closed forms, the value is NaN.

    Args:
        divergence: A `Divergence`.
    """

    def __init__(self, divergence):
        self._divergence = divergence
        # f'(1), and f₀ ≈ r² (curvature + r·skew) near r = 0 from two values beside it.
        self._slope = float(divergence.derivative(tf.zeros([], tf.float64)))
        step = 1e-5
        below, above = (float(self._excess(tf.constant(r, tf.float64))) for r in (-step, step))
        self._curvature = (above + below) / (2.0 * step**2)
        self._skew = (above - below) / (2.0 * step**3)
        self._above = _Continuation(
            lambda r: tf.math.log(self._excess(r)) - r,
            lambda r: divergence.derivative(r) - self._slope,
        )
        self._below = _Continuation(
            lambda r: tf.math.log(self._excess(-r)),
            lambda r: self._slope - divergence.conjugate(-r),
        )

    def __call__(self, log_p, log_q) -> tf.Tensor:
        """Return log(q f₀(p/q)); its derivatives for log p and log q are finite where it is.

        Args:
            log_p: float64 tensor; −inf where p vanishes.
            log_q: float64 tensor of a shape that broadcasts with it; −inf where q vanishes.

        Returns:
            float64 tensor of the common shape: −inf where both vanish, +inf where the integrand is
            infinite, NaN where it is not known.
        """
        nowhere = tf.math.is_inf(log_p) & tf.math.is_inf(log_q)
        r = tf.where(nowhere, tf.zeros([], tf.float64), log_p - log_q)
        # The unused branch of a `where` still takes part in gradients: keep inputs harmless.
        small = tf.clip_by_value(r, -_NEAR, _NEAR)
        middle = tf.clip_by_value(r, -self._below.reach, self._above.reach)
        near = tf.abs(r) < _NEAR
        excess = self._excess(tf.where(near, 2.0 * _NEAR * tf.ones_like(r), middle))
        parabola = small * small * (self._curvature + self._skew * small)
        log_excess = tf.math.log(tf.maximum(tf.where(near, parabola, excess), 1e-300))
        value = tf.where(r >= 0.0, log_p - middle, log_q) + log_excess
        for continuation, distance, log_mass in (
            (self._above, r, log_p),
            (self._below, -r, log_q),
        ):
            far = distance > continuation.reach
            if tf.reduce_any(far):
                value = tf.where(far, log_mass + continuation(distance), value)
        return tf.where(r == 0.0, tf.constant(-np.inf, tf.float64), value)

    def _excess(self, r):
        return self._divergence.generator(r) - self._slope * tf.math.expm1(r)


class _Continuation:
    """Continue a function of |r| beyond the reach of float64.

    Args:
        function: |r| -> log(f₀/eʳ) above, log f₀ below.
        rate: |r| -> g with exp(function) = the mean of g(|r| − s) over s ~ Exp(1), from s = 0 to
            |r|, which is as good as infinity here.
    """

    def __init__(self, function, rate):
        grid = np.linspace(0.05, 705.0, 14100)
        value = function(tf.constant(grid)).numpy()
        trusted = np.isfinite(value)
        count = len(grid) if trusted.all() else int(np.argmin(trusted))
        # Keep away from the edge: the derivative overflows a little earlier.
        count = int(0.98 * count)
        if count < 5:
            raise ValueError("The divergence's generator is not finite on either side of u = 1.")
        self.reach = float(grid[count - 1])
        self._rate = rate
        self._last = float(value[count - 1])
        places = [count // 2, 3 * count // 4, count - 1]
        distance, value = grid[places], value[places]
        self._log_slope, self._is_power = _straight(distance, value)
        self._slope, self._is_linear = _straight(distance, np.exp(np.minimum(value, 600.0)))
        self._is_average = self._agrees_with_rate()

    def __call__(self, distance):
        beyond = tf.maximum(distance - self.reach, 0.0)
        if self._is_power and self._log_slope == 0.0:
            return tf.fill(tf.shape(distance), tf.constant(self._last, tf.float64))
        if self._is_power:
            return self._last + self._log_slope * beyond
        if self._is_linear:
            return tf.math.log(math.exp(self._last) + self._slope * beyond)
        if self._is_average:
            return self._average(self.reach + beyond)
        return tf.fill(tf.shape(distance), tf.constant(np.nan, tf.float64))

    def _agrees_with_rate(self):
        """Return whether the average is right at the reach, and its integrand smooth beyond.

        Derivatives that go through u = eʳ jump to their limits where u overflows or vanishes.
        """
        average = self._average(tf.constant(self.reach, tf.float64))
        rate = self._rate(tf.constant(np.arange(self.reach, 770.0))).numpy()
        with np.errstate(invalid="ignore"):
            bend = np.abs(np.diff(rate, 2))
            smooth = bend <= 10.0 * bend[:10].max() + 1e-12 * np.abs(rate[2:])
        return abs(float(average) - self._last) < 1e-9 and bool(smooth.all())

    def _average(self, distance):
        terms = [w * self._rate(distance - s) for s, w in zip(_NODES, _WEIGHTS, strict=True)]
        return tf.math.log(tf.add_n(terms))


def _straight(x, y):
    """Return the slope at the last of three points, and whether all lie on one line."""
    early, late = np.diff(y) / np.diff(x)
    # Without the noise of its last digits a slope of 0 stays 0 out to |r| = 1e300.
    return round(late, 10), bool(abs(late - early) <= 1e-9 * max(1.0, abs(late)))
