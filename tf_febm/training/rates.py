"""Learning rates, reduced in the middle of a training."""

import keras

__all__ = ["ScaledSchedule", "scale_rates"]


@keras.saving.register_keras_serializable(package="tf_febm")
class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Multiply a schedule by a constant.

    Args:
        schedule: A Keras schedule.
        scale: The constant.
    """

    def __init__(self, schedule, scale: float):
        super().__init__()
        self.schedule, self.scale = schedule, float(scale)

    def __call__(self, step):
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


def scale_rates(model, scale: float, held: float = 1.0) -> None:
    """Multiply the learning rates of all optimizers of a model.

    Args:
        model: A compiled model.
        scale: The factor with respect to the beginning of training.
        held: The part of it that rates which are variables, and so in checkpoints, have already.
    """
    retrace = False
    for optimizer in _optimizers(model):
        rate = optimizer._learning_rate
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            schedule = rate.schedule if isinstance(rate, ScaledSchedule) else rate
            if scale != getattr(rate, "scale", 1.0):
                optimizer.learning_rate = ScaledSchedule(schedule, scale)
                retrace = True
        elif isinstance(rate, keras.Variable) and scale != held:
            rate.assign(rate * (scale / held))
    if retrace:
        # The compiled step holds the rate that it was traced with.
        model.make_train_function(force=True)


def _optimizers(model) -> list:
    found = {
        id(value): value
        for value in vars(model).values()
        if isinstance(value, keras.optimizers.Optimizer)
    }
    return list(found.values())
