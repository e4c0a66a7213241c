"""Stopping of training between two steps, on request from outside."""

import keras

from tf_febm import arguments, workers
from tf_febm.training.keeping import StateKeeper

__all__ = ["GracefulStop"]


@arguments.checked
class GracefulStop(keras.callbacks.Callback):
    """End training after the step that is under way, once `request` was called.

    A signal handler may call `request`; the state then is whole, and a checkpoint can be saved.
    Of several workers all end together when one was asked to, at most `ASK_EVERY` steps later.

    Attributes:
        requested: Whether `request` was called, here. It may change at any moment.
        ending: Whether training ends, which is known to all workers at the same step.
        keeper: What keeps the state before a long step; `train` sets it, or leaves it None.
    """

    # Steps after which workers ask one another: each question costs a message to all.
    ASK_EVERY = 10

    def __init__(self):
        super().__init__()
        self.requested = self.ending = False
        self.keeper: StateKeeper | None = None

    def request(self) -> None:
        """Ask training to end."""
        self.requested = True

    def leave(self) -> int | None:
        """Give up the step under way: save the state before it, from another thread.

        The process has to end then, and may do so in the middle of the step. One of several workers
        gives up none, as others wait for it.

        Returns:
            The step that was saved, 0 if none was taken yet; None where nothing was given up, as
            steps take seconds, or as training ends by itself.
        """
        return None if self.keeper is None else self.keeper.leave()

    def agree(self, strategy: arguments.Strategy | None) -> bool:
        """Return whether training ends; all workers have to ask at the same step.

        Args:
            strategy: As `parallel.make_strategy` returned it.
        """
        # Never assigned from what was read before: a request may come in between.
        if workers.any_worker(strategy, self.requested):
            self.ending = True
        return self.ending

    def on_train_batch_end(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Pass the request on."""
        strategy = self.model.distribute_strategy
        # Counted from the first step of the epoch, the same for all workers.
        if not workers.spans_workers(strategy) or (batch + 1) % self.ASK_EVERY == 0:
            self._pass_on(strategy)

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Ask the other workers."""
        self._pass_on(self.model.distribute_strategy)

    def _pass_on(self, strategy) -> None:
        if self.agree(strategy):
            self.model.stop_training = True
