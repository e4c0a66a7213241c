"""Schedules of the steps of a chain: factors by name, or by any function of the step."""

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.samplers.sampler import Sampler, serialised_part

__all__ = ["SCHEDULES", "Scheduled", "checked_schedule", "factor"]

# What is left of the factor at the last step.
LAST = 0.01

# Name -> the factor as a function of u, the share of the way: 0 at the first step, 1 at the last.
SCHEDULES: dict[str, Callable] = {
    "constant": tf.ones_like,
    "linear": lambda u: 1.0 - (1.0 - LAST) * u,
    "cosine": lambda u: LAST + (1.0 - LAST) * 0.5 * (1.0 + tf.cos(math.pi * u)),
    "geometric": lambda u: tf.exp(math.log(LAST) * u),
}


def checked_schedule(name: str, schedule: Any) -> Any:
    """Return a schedule that is a known name, a function of the step, or None.

    Raises:
        ValueError: It is anything else.
    """
    if schedule is None or callable(schedule) or schedule in SCHEDULES:
        return schedule
    raise ValueError(
        f"{name} must be one of {', '.join(SCHEDULES)}, a function of the step, or None; received "
        f"{arguments.shown(schedule)}."
    )


def factor(
    schedule: str | Callable, step: arguments.Whole, num_steps: arguments.Whole, dtype: tf.DType
) -> tf.Tensor:
    """Return the factor of a step, a scalar.

    Args:
        schedule: A name, or a function of the number of the step, an int32 scalar tensor.
        step: The number of the step, from 0.
        num_steps: Steps of the whole chain.
        dtype: That of the states.
    """
    if callable(schedule):
        return tf.reshape(tf.cast(schedule(step), dtype), [])
    last = tf.cast(tf.maximum(num_steps - 1, 1), dtype)
    return SCHEDULES[schedule](tf.cast(step, dtype) / last)


class Scheduled(Sampler):
    """Base of the samplers with arguments that may be schedules."""

    SCHEDULED: tuple[str, ...] = ("schedule",)

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised.

        Raises:
            TypeError: A schedule is a function that is not registered with Keras.
        """
        config = super().get_config()
        for name in self.SCHEDULED:
            if callable(config[name]):
                config[name] = serialised_part(name, config[name])
        return config

    @classmethod
    def from_config(cls, config: dict) -> Any:
        """Make a sampler from the result of `get_config`."""
        functions = {n: v for n, v in config.items() if n in cls.SCHEDULED and isinstance(v, dict)}
        made = {n: keras.saving.deserialize_keras_object(v) for n, v in functions.items()}
        return cls(**{**config, **made})
