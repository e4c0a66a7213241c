"""Stopping between two steps, on request from outside."""

import keras

from tf_febm import distribution

__all__ = ["GracefulStop"]


class GracefulStop(keras.callbacks.Callback):
    """End training after the step that is under way, once `request` was called.

    A signal handler may call `request`; the state then is whole, and a checkpoint can be saved.
    Of several workers all end together, after the epoch in which one was asked to.
    """

    def __init__(self):
        super().__init__()
        self.requested = False

    def request(self) -> None:
        """Ask training to end."""
        self.requested = True

    def on_train_batch_end(self, batch, logs=None):
        """Pass the request on."""
        if self.requested and not distribution.spans_workers(self.model.distribute_strategy):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        """Ask the other workers."""
        strategy = self.model.distribute_strategy
        if distribution.spans_workers(strategy):
            (asked,) = distribution.worker_mean(strategy, [float(self.requested)])
            self.requested = self.model.stop_training = asked > 0.0
