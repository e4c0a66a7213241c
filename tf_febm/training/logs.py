"""Numbers in the logs of Keras, and which of them the model's own steps report."""

import numpy as np

from tf_febm import arguments

__all__ = ["numbers", "own_numbers"]


def numbers(logs: dict | None) -> dict[str, float]:
    """Return the entries of logs that are numbers; callbacks may add whatever they like."""
    found = {}
    for name, value in (logs or {}).items():
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "biuf":
            found[name] = float(array.reshape(()))
    return found


def own_numbers(model: arguments.Model, logs: dict | None) -> dict[str, float]:
    """Return the entries of logs that the steps of a model report, in training and validation.

    What a callback adds is none of the model's state: a figure that has not been measured yet is
    NaN in a training that is well.

    Args:
        model: An `EnergyModel`.
        logs: Those of an epoch.
    """
    names = {"loss", *model.METRICS, *model.CLASS_METRICS}
    return {
        name: value for name, value in numbers(logs).items() if name.removeprefix("val_") in names
    }
