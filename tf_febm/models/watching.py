"""Numbers of a model that Keras' callbacks show and watch."""

import warnings
from typing import Any

import keras

from tf_febm import arguments

__all__ = ["prepared", "with_short_line"]

# Which way a number goes as a model gets better; Keras knows that of losses.
DIRECTIONS = {"sample_distance": "min", "held_out_gain": "max"}
_WATCHING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)


class ShortLine(keras.callbacks.ProgbarLogger):
    """Show a few of a model's numbers in the line of a fit, and all that other callbacks add."""

    # It waits for nothing, so that Keras need not wait for it.
    async_safe = True

    def _shown(self, logs) -> dict:
        monitor = (self.model.monitor or "").removeprefix("val_")
        hidden = set(self.model.METRICS) - {monitor}
        return {
            name: value
            for name, value in (logs or {}).items()
            if name in self.model.SHOWN or name.removeprefix("val_") not in hidden
        }

    def on_train_batch_end(self, batch, logs=None) -> None:
        """Show what a step did."""
        super().on_train_batch_end(batch, self._shown(logs))

    def on_test_batch_end(self, batch, logs=None) -> None:
        """Show what a batch of `evaluate` has."""
        super().on_test_batch_end(batch, self._shown(logs))

    def on_epoch_end(self, epoch, logs=None) -> None:
        """End the line."""
        super().on_epoch_end(epoch, self._shown(logs))

    def on_test_end(self, logs=None) -> None:
        """End the line of `evaluate`."""
        super().on_test_end(self._shown(logs))


def with_short_line(callbacks: Any, verbose: int | str) -> list:
    """Return callbacks with what shows the line of a fit, unless the caller has one or wants none.

    Args:
        callbacks: As `fit` and `evaluate` take them, but no `CallbackList`.
        verbose: Likewise.
    """
    found = keras.tree.flatten(callbacks) if callbacks else []
    own = any(isinstance(callback, keras.callbacks.ProgbarLogger) for callback in found)
    # Behind the others, to show what they add.
    return found if own or verbose in (0, False) else [*found, ShortLine()]


def prepared(model: arguments.Model, callbacks: Any) -> Any:
    """Tell Keras' callbacks which way a number goes; warn of those that watch one that goes no way.

    Args:
        model: An `EnergyModel`.
        callbacks: As `fit` takes them.

    Returns:
        The callbacks.
    """
    for callback in keras.tree.flatten(callbacks) if callbacks else ():
        if not isinstance(callback, _WATCHING) or getattr(callback, "mode", None) != "auto":
            continue
        if not getattr(callback, "save_best_only", True):
            continue
        name = callback.monitor.removeprefix("val_")
        if name in DIRECTIONS:
            callback.mode = DIRECTIONS[name]
        elif name == "loss" and (model.monitor or "").removeprefix("val_") != name:
            better = "a figure of training.QualityMetrics"
            if model.monitor is not None:
                better = f"{model.monitor!r}, with validation_data,"
            warnings.warn(
                f"{type(callback).__name__} watches {callback.monitor}, which of a "
                f"{type(model).__name__} is the value of a game and says nothing of how good it "
                f"is: let it watch {better} instead, or give mode='min' if this is meant.",
                stacklevel=3,
            )
    return callbacks
