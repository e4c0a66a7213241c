"""Reading of stored checkpoints, without a change to them or to the model."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_febm import arguments, workers
from tf_febm.models.averaging import averaged_variables
from tf_febm.training import checkpoint_files, stored_variables
from tf_febm.training.checkpoint_files import DamagedError

__all__ = ["StoredCheckpoints"]


@arguments.checked
class StoredCheckpoints:
    """The part of `Checkpoints` that looks at what is there.

    Args:
        folder: Where the checkpoints are.
        model: A built and compiled model of this library.
        best_metric: Name of a metric that tells the best, or None.
        mode: Whether the best is the "min" or the "max" of that metric.
    """

    def __init__(
        self, folder: arguments.Path, model: arguments.Model, best_metric: str | None, mode: str
    ):
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max'; received {mode!r}.")
        self.folder = Path(folder)
        self._model, self._strategy = model, model.distribute_strategy
        self._best_metric, self._mode = best_metric, mode

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, oldest first."""
        return checkpoint_files.steps_in(self.folder)

    @property
    def best(self) -> int | None:
        """The step of the checkpoint with the best value of `best_metric`, the newest of equals."""
        values = {step: self.facts(step).get("metrics", {}) for step in self.steps}
        values = {
            step: metrics[self._best_metric]
            for step, metrics in values.items()
            if metrics.get(self._best_metric) is not None
        }
        if not values:
            return None
        choose = {"min": min, "max": max}[self._mode]
        return max(step for step in values if values[step] == choose(values.values()))

    def facts(self, step: int) -> dict:
        """Return what was written down with a checkpoint: `metrics`, `notes`, `history`, if any."""
        try:
            return checkpoint_files.read_manifest(self.folder, step) or {}
        except checkpoint_files.DamagedError:
            return {}

    def path_of(self, step: int) -> str:
        """Return the path prefix of a checkpoint.

        Raises:
            ValueError: There is none of that step.
        """
        steps = self.steps
        if step not in steps:
            have = ", ".join(map(str, steps)) or "none"
            raise ValueError(
                f"There is no checkpoint of step {step} in {self.folder}; have {have}."
            )
        return str(self.folder / f"step-{step}")

    def _examine(self, step: int) -> DamagedError | None:
        """Return what is damaged of a checkpoint, or None if it may be read into the model."""
        path = self.path_of(step)
        try:
            checkpoint_files.verify(self.folder, step)
        except DamagedError as damage:
            return damage
        except OSError as error:
            raise OSError(f"Checkpoint {path} cannot be read at the moment: {error}.") from None
        stored_variables.compare(
            path, self._model.state_variables(), workers.is_chief(self._strategy)
        )
        return None

    def energy_weights(self, step: int, *, averaged: bool = False) -> list[np.ndarray]:
        """Read the energy network's weights at a checkpoint; the model stays as it is.

        Args:
            step: Which one.
            averaged: Whether to read the running average in place of the trainable weights.

        Returns:
            The arrays that `energy_network.get_weights()` would return there, for example for the
            `ensemble` of `models.pooled_chains`.

        Raises:
            ValueError: There is no checkpoint of that step, it is of another model, or the model
                keeps no average.
            OSError: It is damaged.
        """
        path = self.path_of(step)
        network, average = self._model.energy_network, self._model.average
        if averaged and average is None:
            raise ValueError("The model keeps no average of its weights.")
        state = self._model.state_variables()
        names = {id(variable): f"energy/{i}" for i, variable in enumerate(state["energy"])}
        places = {id(weight): names[id(weight.value)] for weight in network.weights}
        if averaged:
            names = {id(variable): f"average/{i}" for i, variable in enumerate(state["average"])}
            pairs = zip(averaged_variables(network), average.averages, strict=True)
            places |= {id(weight): names[id(mean)] for weight, mean in pairs}
        damage = self._examine(step)
        if damage is not None:
            raise DamagedError(f"Checkpoint {path} cannot be read: {damage}.")
        reader = tf.train.load_checkpoint(path)
        return [
            reader.get_tensor(f"{places[id(weight)]}{stored_variables.VALUE}")
            for weight in network.weights
        ]
