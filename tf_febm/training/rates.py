"""Learning rates, reduced in the middle of a training."""

from collections.abc import Callable
from typing import Any

import keras

from tf_febm import arguments
from tf_febm.models import players, updates

__all__ = ["ScaledFunction", "ScaledSchedule", "scale_rates"]


@keras.saving.register_keras_serializable(package="tf_febm")
class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply a schedule by a constant.

    Args:
        schedule: A Keras schedule.
        scale: The constant.
    """

    def __init__(self, schedule: Any, scale: float):
        super().__init__()
        self.schedule, self.scale = schedule, float(scale)

    def __call__(self, step: arguments.Whole) -> Any:
        """Return the rate at a step."""
        return self.schedule(step) * self.scale

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "scale": self.scale}

    @classmethod
    def from_config(cls, config: dict) -> "ScaledSchedule":
        """Make one from the result of `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["scale"])


@keras.saving.register_keras_serializable(package="tf_febm")
class ScaledFunction:
    """Multiply a function without arguments, which Keras takes for a rate too, by a constant.

    Args:
        function: () -> number.
        scale: The constant.
    """

    def __init__(self, function: Callable, scale: float):
        self.schedule, self.scale = function, float(scale)

    def __call__(self) -> Any:
        """Return the rate."""
        return self.schedule() * self.scale

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        return {"function": keras.saving.serialize_keras_object(self.schedule), "scale": self.scale}

    @classmethod
    def from_config(cls, config: dict) -> "ScaledFunction":
        """Make one from the result of `get_config`."""
        return cls(keras.saving.deserialize_keras_object(config["function"]), config["scale"])


def scale_rates(model: arguments.Model, scale: float, held: float = 1.0) -> None:
    """Multiply the learning rates of all optimizers of a model.

    Args:
        model: A compiled model.
        scale: The factor with respect to the beginning of training.
        held: The part of it that rates which are variables, and so in checkpoints, have already.
    """
    retrace = False
    for optimizer in map(updates.stepping, players.optimizers_of(model)):
        variable = players.rate_variable(optimizer)
        if variable is not None:
            if scale != held:
                variable.assign(variable * (scale / held))
            continue
        rate = optimizer._learning_rate
        scaled = isinstance(rate, (ScaledSchedule, ScaledFunction))
        present, whole = (rate.scale, rate.schedule) if scaled else (1.0, rate)
        if scale != present:
            timed = isinstance(whole, keras.optimizers.schedules.LearningRateSchedule)
            optimizer.learning_rate = (ScaledSchedule if timed else ScaledFunction)(whole, scale)
            retrace = True
    if retrace:
        # The compiled step holds the rate that it was traced with.
        model.make_train_function(force=True)
