"""D_f(p‖q) for one p and a batch of q, with its error known."""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import divergences
from tf_febm.analysis.density import Density, Features
from tf_febm.analysis.mesh import Poles, examine_ends, first_panels, tail_panels
from tf_febm.analysis.perspective import LogPerspective
from tf_febm.analysis.quadrature import Panels, integrate, join, nodes_and_weights

__all__ = ["ERROR", "DivergenceIntegral", "Solution"]

# The estimated errors must be below this share of max(1, D), for 1e-8 to hold with something over.
ERROR = 5e-9
# How far from 1 p and q may integrate: missing mass counts several times in a divergence.
_MISSING = 2e-9
# If mass is missing, panels are halved so often at first; but never into more nodes than these.
_MIN_ROUNDS, _MAX_NODES = (0, 3, 6), 1e8


class Solution(NamedTuple):
    """Hold D for each of B members, and where it was integrated.

    Attributes:
        value: float64 array [B]; +inf where infinite, NaN where not exact.
        panels: The last panels; None if all values are infinite.
        poles: Nodes beyond them.
    """

    value: np.ndarray
    panels: Panels | None = None
    poles: Poles | None = None


class DivergenceIntegral:
    """Integrate one divergence from one p to any q.

    Args:
        divergence: A `Divergence` or its name.
        p: A continuous tfp distribution of scalars, without a batch.

    Raises:
        TypeError: If p is no distribution of floating scalars.
        ValueError: If p has a batch, or cannot be evaluated.
    """

    def __init__(self, divergence, p):
        self.divergence = divergences.get(divergence)
        self.p = Density(p, "p")
        if self.p.batch_shape:
            raise ValueError(
                f"p must be one distribution; received batch shape {self.p.batch_shape}."
            )
        self.perspective = LogPerspective(self.divergence)
        self.p_features = self.p.features()

    def solve(self, q: Density, strict: bool = True) -> Solution:
        """Return D_f(p‖q) for each member of q.

        Raises:
            ValueError: If `strict` and one of them is not exact.
        """

        def logs(points):
            log_p, log_q = self.p.log_prob(points), q.log_prob(points)
            return self.perspective(log_p, log_q), log_p, log_q

        def densities(points):
            return tf.exp(tf.stack(logs(points))).numpy()

        pairs = zip(self.p_features, q.features(), strict=True)
        features = Features(
            *(np.concatenate([np.tile(mine, (1, q.num_members)), theirs]) for mine, theirs in pairs)
        )
        panels, ends = first_panels(features)
        tails = self._tails(ends, logs)
        infinite = tails.diverges[0]
        if infinite.all():
            return Solution(np.full(q.num_members, np.inf))
        panels = join(panels, tail_panels(ends, tails.cut))
        # What is known to be infinite needs no panels.
        panels = panels._replace(stop=np.where(infinite, panels.start, panels.stop))
        for min_rounds in _MIN_ROUNDS:
            if min_rounds and 15 * panels.start.size * 2.0**min_rounds > _MAX_NODES:
                break
            totals = integrate(densities, panels, min_rounds)
            value, error = totals.value + tails.rest, totals.error + tails.error
            infinite |= np.isposinf(value[0])
            whole = (np.abs(value[1:] - 1.0) <= _MISSING).all(axis=0)
            if (infinite | whole).all() or (whole.any() and not strict):
                break
        if strict:
            self._check(value[:, ~infinite], error[:, ~infinite], q)
        with np.errstate(invalid="ignore"):
            exact = whole & (error[0] <= ERROR * np.maximum(1.0, value[0]))
        result = np.where(infinite, np.inf, np.where(exact, value[0], np.nan))
        return Solution(result, totals.panels, tails.poles)

    def nodes(self, solution: Solution) -> list[np.ndarray]:
        """Return points, log p and log weights [N, 1] whose sum is D, for a lone member."""
        points, weights = (part.reshape(-1, 1) for part in nodes_and_weights(solution.panels))
        log_p = self.p.log_prob(points).numpy()
        with np.errstate(divide="ignore"):
            pairs = zip((points, log_p, np.log(weights)), solution.poles, strict=True)
        return [np.concatenate(pair) for pair in pairs]

    def _tails(self, ends, logs):
        points = ends.points()
        shape = points.shape
        log_value, log_p, log_q = logs(points.reshape(-1, shape[-1]))
        wobble = 1.0 + 1e-12
        noise = tf.abs(self.perspective(log_p * wobble, log_q) - log_value) + tf.abs(
            self.perspective(log_p, log_q * wobble) - log_value
        )
        values = tf.stack([log_value, log_p, log_q]).numpy().reshape(3, *shape)
        return examine_ends(ends, values, noise.numpy().reshape(shape), self.perspective)

    def _check(self, value, error, q):
        """Raise unless both densities are found whole and the divergence is exact enough."""
        if not value.size:
            return
        for row, density in ((1, self.p), (2, q)):
            mass = value[row][np.argmax(np.abs(value[row] - 1.0))]
            if not abs(mass - 1.0) <= _MISSING:
                raise ValueError(
                    f"{density.name} integrates to {mass:.10g}, not to 1: its log_prob is no exact "
                    f"density, or its mass was not found; received {density.description}."
                )
        doubt = (error[0] / np.maximum(1.0, value[0])).max()
        if not doubt <= ERROR:
            advice = "" if np.isfinite(doubt) else "; closed forms of f' and f*(f') may help"
            raise ValueError(
                f"The divergence {self.divergence.name!r} could not be integrated to 1e-8; the "
                f"error may be {doubt:.1g}{advice}. p is {self.p.description}, q {q.description}."
            )
