"""Learning rates and averages of all optimizers, where Keras' callbacks know the first alone."""

import weakref
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from tf_febm import arguments, parallel
from tf_febm.models.updates import stepping

__all__ = [
    "RatesInStep",
    "for_all",
    "optimizers_of",
    "rate_of",
    "rate_variable",
]


def optimizers_of(model: arguments.Model) -> list:
    """Return the optimizers of a model as it holds them, that of the energy first."""
    return [optimizer for _, optimizer in model._players() if optimizer is not None]


def rate_variable(optimizer: arguments.Optimizer) -> keras.Variable | None:
    """Return the variable that holds a learning rate; None if it comes from a function."""
    rate = stepping(optimizer)._learning_rate
    return rate if isinstance(rate, keras.Variable) else None


# The last ratio of an optimizer's rate to that of the energy's: what a fit begins with where an
# earlier one has ended at a rate of zero, as schedules do.
_RATIOS: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


class RatesInStep(keras.callbacks.Callback):
    """Keep the ratios of a model's learning rates when somebody changes that of the energy alone.

    `keras.callbacks.LearningRateScheduler`, `ReduceLROnPlateau` and whoever else assigns
    `model.optimizer.learning_rate` mean all of training. So when the rate of the energy's optimizer
    has changed during a fit, and that of another one has not, the other is multiplied by as much.
    Whoever changes both is left alone, as are rates that come from a schedule or a function.

    Args:
        every_batch: Whether to look before every batch, not only at the ends of epochs: reading a
            rate waits for the device.
    """

    def __init__(self, every_batch: bool = True):
        super().__init__()
        self.every_batch = bool(every_batch)
        # Each optimizer but the first; the first's rate and its own when last seen; their ratio.
        self._seen: list[tuple[Any, float, float, float | None]] = []

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Take note of the rates as they are."""
        self._seen = []
        first, *others = optimizers_of(self.model)
        if rate_variable(first) is None:
            # Its changes are its own.
            return
        leading = rate_of(first)
        for other in others:
            if rate_variable(other) is not None:
                rate = rate_of(other)
                known = _RATIOS.get(other) if rate == 0.0 else None
                known = (1.0 if leading == rate else None) if known is None else known
                ratio = _ratio(leading, rate, known)
                self._seen.append((other, leading, rate, ratio))

    def on_train_batch_begin(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Look at the rates."""
        if self.every_batch or batch == 0:
            self._look()

    def _look(self, *_: Any) -> None:
        if not self._seen:
            return
        first = self.model.optimizer
        if rate_variable(first) is None:
            # It was given a schedule in the middle of the fit.
            self._seen = []
            return
        leading, seen = rate_of(first), []
        for other, leading_before, before, ratio in self._seen:
            if rate_variable(other) is None:
                continue
            rate = rate_of(other)
            if rate != before or ratio is None:
                ratio = _ratio(leading, rate, ratio)
            elif leading != leading_before:
                # NumPy's: TensorFlow keeps Python's numbers as long as the process lives.
                other.learning_rate = np.float32(ratio * leading)
                # As the variable rounds it.
                rate = rate_of(other)
            if ratio is not None:
                _RATIOS[other] = ratio
            seen.append((other, leading, rate, ratio))
        self._seen = seen

    on_epoch_begin = on_epoch_end = on_train_end = _look


def rate_of(optimizer: arguments.Optimizer) -> float:
    """Return the present learning rate of an optimizer, whatever it comes from."""
    variable = rate_variable(optimizer)
    if variable is None:
        return float(stepping(optimizer).learning_rate)
    # On several replicas it is spread over devices, and the same on each.
    return float(parallel.local(variable.value).numpy())


def _ratio(leading: float, rate: float, otherwise: float | None) -> float | None:
    """Return the ratio to keep; `otherwise` where the leading rate is zero and tells none."""
    return rate / leading if leading else otherwise


class _OtherAverages(keras.callbacks.SwapEMAWeights):
    """Do for one of the other optimizers what a `SwapEMAWeights` does for the first."""

    def __init__(self, optimizer, swap_on_epoch: bool):
        super().__init__(swap_on_epoch=swap_on_epoch)
        self._optimizer = optimizer

    def set_model(self, model):
        """Show the callback a model with that optimizer."""
        super().set_model(_Seen(self._optimizer))


class _Seen:
    """What `SwapEMAWeights` asks of a model."""

    def __init__(self, optimizer):
        self.optimizer = optimizer


def for_all(model: arguments.Model, callbacks: Any) -> Any:
    """Return callbacks and, beside them, what does the same for all optimizers of a model.

    Args:
        model: A compiled model.
        callbacks: As `fit` and `evaluate` take them.
    """
    others = optimizers_of(model)[1:]
    if not others:
        return callbacks
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        return _beside(keras.tree.flatten(callbacks) if callbacks else [], others)
    # Of a fit that has begun, or made by the caller, who has told it the model.
    given, known = callbacks.callbacks, {*map(id, callbacks.callbacks)}
    if not any(isinstance(callback, RatesInStep) for callback in given):
        callbacks.callbacks = _beside(given, others)
        for callback in callbacks.callbacks:
            if id(callback) not in known:
                callback.set_model(model)
                callback.set_params(callbacks.params)
    return callbacks


def _beside(given: list, others: list) -> list:
    found = []
    for callback in given:
        found.append(callback)
        if isinstance(callback, keras.callbacks.SwapEMAWeights):
            found += [
                _OtherAverages(other, callback.swap_on_epoch)
                for other in map(stepping, others)
                if other.use_ema
            ]
    return [*found, RatesInStep(every_batch=_act_on_batches(given))]


_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")


def _act_on_batches(callbacks: Iterable) -> bool:
    """Whether a callback of the user's own does something between two batches."""
    for callback in callbacks:
        package = type(callback).__module__.split(".")[0]
        if package in ("keras", "tf_febm") and not isinstance(
            callback, keras.callbacks.LambdaCallback
        ):
            continue
        for name in _BATCH_HOOKS:
            default = getattr(keras.callbacks.Callback, name)
            if getattr(getattr(callback, name), "__func__", None) is not default:
                return True
    return False
