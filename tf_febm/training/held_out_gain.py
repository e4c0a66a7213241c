"""A callback that tells, while a model trains, how far it is ahead of its Gaussian reference."""

import math

from tf_febm.evaluation import gain_over_reference
from tf_febm.training.recorders import Recorder

__all__ = ["HeldOutGain"]


class HeldOutGain(Recorder):
    """Measure held-out examples under the model and its reference, for `EarlyStopping` to watch.

    Adds `held_out_gain` to the logs of every epoch's end: the `gain` of
    `evaluation.gain_over_reference` with the best weights, in nats an example. Put it first in the
    list, and after it, to end with the weights that did best,

        keras.callbacks.EarlyStopping("held_out_gain", mode="max", patience=5,
                                      restore_best_weights=True)

    Args:
        x: Examples that training does not see, [n, …], n ≥ 2.
        num_samples: Samples of the reference, at least 2.
        writer: A `tf.summary` writer, the folder for one, or None.
    """

    def __init__(self, x, num_samples: int = 20_000, writer=None):
        super().__init__(every=1, at_epoch_ends=True, writer=writer)
        self.x, self.num_samples = x, num_samples
        self.gain = math.nan

    def record(self, step, logs) -> None:
        """Measure, with the best weights there are."""
        with self.model.best_weights():
            found = gain_over_reference(self.model, self.x, num_samples=self.num_samples)
        self.gain = found.gain
        self._summarise(step, found.as_dict(), "held_out/")

    def on_epoch_end(self, epoch, logs=None) -> None:
        """Measure, and pass the figure on."""
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            logs["held_out_gain"] = self.gain
