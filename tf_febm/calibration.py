"""Decisions from energies: conformal p-values, thresholds, many tests at once, drift.

Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World (2005), for the p-values.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_febm import arguments

__all__ = ["Calibration", "discoveries"]


@arguments.checked
class Calibration:
    """Energies of examples that were not trained on, and what follows for other examples.

    Args:
        energies: Finite numbers [n], n ≥ 1; or a sequence of such, one for each class, where the
            energies of different classes are not to be compared.

    Raises:
        ValueError: There are none, of some class, or one is not finite.
    """

    def __init__(self, energies: Sequence | np.ndarray):
        self.by_class = len(energies) > 0 and np.ndim(energies[0]) > 0
        groups = energies if self.by_class else [energies]
        found = []
        for k, group in enumerate(groups):
            of_class = f"energies{f' of class {k}' if self.by_class else ''}"
            found.append(np.sort(_numbers(of_class, group)))
            if not np.isfinite(found[k]).all():
                raise ValueError(f"{of_class} must be finite; received some that are not.")
        self.energies = tuple(found)

    def p_value(self, energy: arguments.Array, classes: arguments.Array | None = None) -> tf.Tensor:
        """Return (1 + #{calibration energies ≥ E}) / (n + 1), the conformal p-value.

        Of an example that is exchangeable with those of the calibration, P(p ≤ α) ≤ α for every
        α. It is marginal: over the draw of the calibration examples as well. With one set of them
        for many examples these p-values are dependent.

        Args:
            energy: Floating [m]. One that is no number counts as the highest.
            classes: Integers [m], the class of each, where there are energies for each.

        Returns:
            Float64 [m], in [1/(n + 1), 1].

        Raises:
            ValueError: A shape or a class is wrong, or classes are missing.
        """
        energy = tf.cast(energy, tf.float32)
        if energy.shape.rank not in (None, 1):
            raise ValueError(f"energy must have shape [m]; received {energy.shape}.")
        if self.by_class:
            classes = self._classes(classes, energy)
        energy = tf.where(tf.math.is_nan(energy), np.float32(np.inf), energy)
        found = []
        for group in self.energies:
            above = len(group) - tf.searchsorted(group, energy, side="left")
            found.append((1.0 + tf.cast(above, tf.float64)) / (len(group) + 1.0))
        if not self.by_class:
            return found[0]
        return tf.gather(tf.stack(found, axis=1), classes, axis=1, batch_dims=1)

    def _classes(self, classes, energy) -> tf.Tensor:
        """Return the class of each energy, int32 [m]."""
        if classes is None:
            raise ValueError("classes must be given: there are energies for each class.")
        classes = tf.convert_to_tensor(classes)
        if not classes.dtype.is_integer or not classes.shape.is_compatible_with(energy.shape):
            raise ValueError(
                f"classes must be integers, as many as energies, {energy.shape}; received "
                f"{arguments.shown(classes)}."
            )
        # In a graph, as of an export, they have been looked at.
        known = tf.get_static_value(classes)
        most = len(self.energies) - 1
        if known is not None and not ((known >= 0) & (known <= most)).all():
            raise ValueError(f"classes must lie in 0 … {most}; received {arguments.shown(known)}.")
        return tf.cast(classes, tf.int32)

    def threshold(self, alpha: float) -> np.ndarray | np.float32:
        """Return the energy above which p ≤ α: the k-th highest, where k/(n + 1) ≤ α last holds.

        Args:
            alpha: In [1/(n + 1), 1).

        Returns:
            A number; [classes] where there are energies for each class.

        Raises:
            ValueError: alpha is out of its range: with n examples no p-value is so low.
        """
        alpha = arguments.number("alpha", alpha, above=True)
        found = []
        for group in self.energies:
            n = len(group)
            k = np.searchsorted(np.arange(1, n + 2) / (n + 1.0), alpha, side="right")
            if k < 1 or alpha >= 1.0:
                raise ValueError(
                    f"alpha must lie in [1/(n + 1), 1), n = {n} being the number of calibration "
                    f"examples{' of a class' if self.by_class else ''}; received {alpha}. A lower "
                    "one needs more of them."
                )
            found.append(group[n - k])
        return np.array(found) if self.by_class else found[0]

    def drift(self, energies: arguments.Array) -> float:
        """Return the p-value of the two-sample Kolmogorov–Smirnov test of equal laws of energies.

        Args:
            energies: Numbers [m], m ≥ 2, of later examples, of whatever class.

        Returns:
            A probability: low where they are not as those of the calibration. Exact for continuous
            energies where few, asymptotic where many (scipy.stats.ks_2samp).
        """
        from scipy import stats  # Slow to import.

        energies = _numbers("energies", energies, 2)
        if np.isnan(energies).any():
            raise ValueError("energies must be numbers; received NaN.")
        return float(stats.ks_2samp(np.concatenate(self.energies), energies).pvalue)


@arguments.checked
def discoveries(p_values: arguments.Array, level: float) -> np.ndarray:
    """Return which of many tests to believe (Benjamini and Hochberg, 1995).

    Of those returned the expected share of false ones is at most `level`. That holds for
    conformal p-values of one calibration too (Bates et al., Testing for outliers with conformal
    p-values, 2023).

    Args:
        p_values: In (0, 1], [m].
        level: In (0, 1).

    Returns:
        bool [m].

    Raises:
        ValueError: A value is out of its range.
    """
    from scipy import stats  # Slow to import.

    level, p_values = arguments.number("level", level, above=True), np.asarray(p_values, np.float64)
    if level >= 1.0:
        raise ValueError(f"level must lie in (0, 1); received {level}.")
    if p_values.ndim != 1 or not ((p_values > 0.0) & (p_values <= 1.0)).all():
        raise ValueError("p_values must be numbers [m] in (0, 1]; received others.")
    return stats.false_discovery_control(p_values) <= level if len(p_values) else p_values > 0.0


def _numbers(name: str, values, least: int = 1) -> np.ndarray:
    """Return real numbers as float32 [n]."""
    what = f"{name} must be numbers [n], n ≥ {least}; received "
    try:
        found = np.asarray(values)
    except ValueError:
        raise ValueError(f"{what}{arguments.shown(values)}.") from None
    if found.dtype.kind not in "fiu" or found.ndim != 1 or len(found) < least:
        raise ValueError(f"{what}{arguments.shown(found)}.")
    return found.astype(np.float32)
