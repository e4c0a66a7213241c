"""A callback that tells, while a model trains, how far it is ahead of its Gaussian reference."""

import math
from typing import Any

from tf_febm import arguments
from tf_febm.evaluation import gain_over_reference
from tf_febm.training.recorders import Recorder

__all__ = ["HeldOutGain"]


@arguments.checked
class HeldOutGain(Recorder):
    """Measure held-out examples under the model and its reference, and keep what did best.

    Adds `held_out_gain` to the logs of every epoch's end: the `gain` of
    `evaluation.gain_over_reference` with the best weights, in nats an example. Callbacks that come
    after this one can watch it, so that training ends once it gains no more:

        keras.callbacks.EarlyStopping("held_out_gain", mode="max", patience=5)

    Args:
        x: Examples that training does not see, [n, …], n ≥ 2.
        num_samples: Samples of the reference, at least 2.
        restore_best_weights: Whether the model ends with the weights of the best gain, those from
            before the first epoch among them: of a new model, whose energy is near the reference,
            so that on these examples it is hardly ever worse than the Gaussian fit.
        writer: A `tf.summary` writer, the folder for one, or None.
    """

    def __init__(
        self,
        x: arguments.Array,
        num_samples: int = 20_000,
        *,
        restore_best_weights: bool = False,
        writer: arguments.Writer | None = None,
    ):
        super().__init__(every=1, at_epoch_ends=True, writer=writer)
        self.x = x
        self.num_samples = arguments.whole_number("num_samples", num_samples, 2)
        self.restore_best_weights = arguments.switch("restore_best_weights", restore_best_weights)
        self.gain = self.best_gain = math.nan
        self._best: Any = None

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Measure the model as it is."""
        self._measure()
        self.best_gain = self.gain
        self._best = self.model.get_weights() if self.restore_best_weights else None

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
        """Measure, and keep the best weights."""
        self._summarise(step, self._measure(), "held_out/")
        if self.gain > self.best_gain:
            self.best_gain = self.gain
            if self.restore_best_weights:
                self._best = self.model.get_weights()

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Measure, and pass the figure on."""
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            logs["held_out_gain"] = self.gain

    def on_train_end(self, logs: arguments.Logs | None = None) -> None:
        """Put the best weights back."""
        if self._best is not None:
            self.model.set_weights(self._best)

    def _measure(self) -> dict:
        with self.model.best_weights():
            found = gain_over_reference(self.model, self.x, num_samples=self.num_samples)
        self.gain = found.gain
        return found.as_dict()
