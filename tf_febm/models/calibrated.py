"""The part of a model that tells usual examples from others: conformal p-values of energies."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.calibration import Calibration
from tf_febm.models.labels import class_numbers

__all__ = ["Calibrated"]

_IN_FILES = "calibration"


@arguments.checked
class Calibrated:
    """The part of a model that keeps energies of examples it was not trained on.

    Expects of it: `energy`, `energy_network`, `num_classes`.
    """

    energy: Callable[..., tf.Tensor]
    energy_network: Any
    num_classes: int | None
    calibration: Calibration | None = None
    _calibrated_at: int | None = None

    def calibrate(
        self, x: arguments.Array, labels: arguments.Labels | None = None, batch_size: int = 512
    ) -> None:
        """Keep the energies of examples that were not trained on, for `p_value` and `threshold`.

        They are saved with the model and exported, and hold for the weights of now: after further
        training, and inside or outside of `averaged_weights()`, calibrate again.

        Args:
            x: Floating [n, …], n ≥ 1, drawn as the examples to judge are, and not trained on.
            labels: Labels of a conditional model, at least one of each class: p-values then are
                those within the class.
            batch_size: Examples at a time.

        Raises:
            ValueError: As `energy`; or there are none, of some class, or an energy is not finite.
        """
        size = arguments.whole_number("batch_size", batch_size, 1)
        count = len(x)
        if not count:
            raise ValueError("x must hold an example at least; received none.")
        parts = [slice(start, start + size) for start in range(0, count, size)]
        own = [None if labels is None else labels[part] for part in parts]
        found = [self.energy(x[part], y).numpy() for part, y in zip(parts, own, strict=True)]
        energies = np.concatenate(found)
        if self.num_classes is None:
            calibration = Calibration(energies)
        else:
            classes = np.concatenate([class_numbers(y).numpy() for y in own])
            calibration = Calibration([energies[classes == k] for k in range(self.num_classes)])
        self.calibration, self._calibrated_at = calibration, self._digest()

    def p_value(self, x: arguments.Array, labels: arguments.Labels | None = None) -> tf.Tensor:
        """Return the conformal p-value of each example: how usual its energy is, not how likely.

            p = (1 + #{calibration energies ≥ E(x)}) / (n + 1)

        so that P(p ≤ α) ≤ α for examples that are exchangeable with those of `calibrate`; of a
        conditional model, with those of their class.

        Args:
            x: As `energy` takes it.
            labels: The same.

        Returns:
            Float64 [m], in [1/(n + 1), 1].

        Raises:
            ValueError: As `energy`; or the model is not calibrated, or its weights have changed.
        """
        calibration = self._current_calibration()
        classes = None if self.num_classes is None else class_numbers(labels)
        return calibration.p_value(self.energy(x, labels), classes)

    def threshold(self, alpha: float) -> np.ndarray | np.float32:
        """Return the energy above which p ≤ α: calling those examples odd is wrong α of the time.

        Args:
            alpha: The rate of false alarms, in [1/(n + 1), 1).

        Returns:
            float32; [num_classes] of a conditional model.

        Raises:
            ValueError: alpha is out of its range; or as `p_value`.
        """
        return self._current_calibration().threshold(alpha)

    @property
    def is_calibrated(self) -> bool:
        """Whether the model has been calibrated with the weights that it has now."""
        return self.calibration is not None and self._calibrated_at == self._digest()

    def _current_calibration(self) -> Calibration:
        if self.calibration is None:
            raise ValueError(
                "The model is not calibrated: call calibrate(x) with examples that were not "
                "trained on."
            )
        if not self.is_calibrated:
            raise ValueError(
                "The weights have changed since the model was calibrated: call calibrate(x) again."
            )
        return self.calibration

    def _digest(self) -> int:
        """Return a checksum of what energies are made of."""
        found = 0
        # As it is now, whatever is being traced.
        with tf.init_scope():
            for variable in self.energy_network.variables:
                found = zlib.crc32(np.ascontiguousarray(variable.numpy()).tobytes(), found)
        return found

    def _calibration_state(self) -> dict:
        """Return what files keep: name -> array."""
        if self.calibration is None:
            return {}
        arrays = dict(enumerate(self.calibration.energies))
        state = {f"{_IN_FILES}_energies_{k}": array for k, array in arrays.items()}
        return {**state, f"{_IN_FILES}_digest": np.array(self._calibrated_at, np.int64)}

    def _load_calibration(self, store) -> None:
        """Take over what `_calibration_state` returned, or nothing."""
        self.calibration = self._calibrated_at = None
        stored = set(store.keys())
        if f"{_IN_FILES}_digest" in stored:
            count = sum(name.startswith(f"{_IN_FILES}_energies_") for name in stored)
            groups = [store[f"{_IN_FILES}_energies_{k}"][()] for k in range(count)]
            self.calibration = Calibration(groups if self.num_classes is not None else groups[0])
            self._calibrated_at = int(store[f"{_IN_FILES}_digest"][()])
