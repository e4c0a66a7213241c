"""Stopping between two steps, on request from outside."""

import keras

__all__ = ["GracefulStop"]


class GracefulStop(keras.callbacks.Callback):
    """End training after the step that is under way, once `request` was called.

    A signal handler may call `request`; the state then is whole, and a checkpoint can be saved.
    """

    def __init__(self):
        super().__init__()
        self.requested = False

    def request(self) -> None:
        """Ask training to end."""
        self.requested = True

    def on_train_batch_end(self, batch, logs=None):
        """Pass the request on."""
        if self.requested:
            self.model.stop_training = True
