"""A copy of the state before each long step, so that the step can be given up."""

import time
from collections.abc import Callable

import keras

from tf_febm import arguments
from tf_febm.training.checkpoints import Checkpoints
from tf_febm.training.schedule import steps_taken

__all__ = ["StateKeeper"]


class StateKeeper(keras.callbacks.Callback):
    """Keep a copy of the state where steps take long, and save it when a step is given up.

    Nothing ends a compiled step but its end. So another thread saves the state as it was before the
    step, as a checkpoint like any other, and the process then may end in the middle of it. The
    first step counts as long: it is compiled.

    Args:
        checkpoints: The `Checkpoints` of the model.
        skipped: () -> batches that a loss scale has skipped up to now.
        expected_seconds: What a step is expected to take.
    """

    # From so many seconds a step on there is a copy, which takes a small part of one.
    LONG = 4.0

    def __init__(
        self,
        checkpoints: Checkpoints,
        skipped: Callable[[], int] = int,
        expected_seconds: float = 0.0,
    ):
        super().__init__()
        self._checkpoints, self._skipped = checkpoints, skipped
        self._seconds = max(expected_seconds, self.LONG)
        self._kept: tuple | None = None
        self._began = 0.0
        self._closed = False

    def on_train_batch_begin(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Keep the state before the step."""
        self._keep()
        self._began = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Keep the state after it, for what other callbacks do."""
        self._seconds = time.monotonic() - self._began
        self._keep()

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Keep the state after a return to an earlier one."""
        self._keep()

    def close(self) -> None:
        """Take note that no step will be given up any more."""
        self._closed = True

    def leave(self) -> int | None:
        """Save the kept state, from another thread, and let the main thread save none after it.

        Returns:
            Its step; None if there is none, as steps are short, or if training has just ended.
        """
        # Never given back: the process is about to end. What is being saved is saved first.
        self._checkpoints.lock.acquire()
        kept = self._kept
        if self._closed or kept is None:
            self._checkpoints.lock.release()
            return None
        step, state, skipped = kept
        if step:
            self._checkpoints.save_copy(step, state, skipped)
        return step

    def _keep(self) -> None:
        if self._seconds < self.LONG:
            self._kept = None
            return
        state = self.model.state_variables()
        copy = {name: [variable.numpy() for variable in group] for name, group in state.items()}
        self._kept = steps_taken(self.model), copy, self._skipped()
