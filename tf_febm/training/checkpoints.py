"""Checkpoints of everything that training changes."""

import re
from pathlib import Path

import numpy as np
import tensorflow as tf

__all__ = ["Checkpoints", "DivergedError"]

_INDEX = re.compile(r"step-(\d+)\.index")


class DivergedError(ArithmeticError):
    """Training left the finite numbers."""


class Checkpoints:
    """Save and restore the whole state of a model, numbered by training step.

    A checkpoint holds the networks, both optimizers with their step counts, the averaged weights,
    the replay buffer and the random state: with the data's position, which is the step, training
    goes on exactly where it stopped. The newest are kept; an older one goes only once a newer one
    is complete. What is there is read from the folder itself, file by file.

    Args:
        folder: Where the checkpoints are; made on the first save.
        model: A built and compiled model of this library.
        max_to_keep: How many, at least 1.
    """

    def __init__(self, folder, model, max_to_keep: int = 3):
        self.folder = Path(folder)
        self._model, self._max_to_keep = model, max_to_keep
        groups = {name: list(variables) for name, variables in model.state_variables().items()}
        self._checkpoint = tf.train.Checkpoint(**groups)
        # The step whose file holds the state of this very run.
        self._written: int | None = None

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, oldest first."""
        if not self.folder.is_dir():
            return []
        # TensorFlow writes the index last: without it a checkpoint is not complete.
        found = (_INDEX.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(int(match.group(1)) for match in found if match)

    def save(self) -> int:
        """Save the present state under the optimizer's step, which is returned.

        Checkpoints of later steps, left by a run that was abandoned for an earlier checkpoint, are
        removed.

        Raises:
            DivergedError: If a weight is not finite; nothing is then written.
            OSError: If the checkpoint cannot be written; those that were there remain.
        """
        step = int(self._model.optimizer.iterations)
        if step == self._written:
            return step
        for network in self._model.networks:
            for variable in network.trainable_variables:
                if not bool(tf.reduce_all(tf.math.is_finite(variable))):
                    raise DivergedError(f"Training diverged at step {step}: {variable.path}.")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._checkpoint.write(str(self.folder / f"step-{step}"))
        except (tf.errors.OpError, OSError) as error:
            reason = str(error).splitlines()[0]
            raise OSError(f"Cannot write checkpoint {step} to {self.folder}: {reason}") from None
        self._written = step
        present = [other for other in self.steps if other <= step]
        for other in {*self.steps} - {*present[-self._max_to_keep :]}:
            self._remove(other)
        return step

    def _remove(self, step: int) -> None:
        # The index first: without it the rest counts for nothing.
        (self.folder / f"step-{step}.index").unlink(missing_ok=True)
        for path in self.folder.glob(f"step-{step}.data-*"):
            path.unlink(missing_ok=True)

    def path_of(self, step: int) -> str:
        """Return the path prefix of a checkpoint.

        Raises:
            ValueError: If there is none of that step.
        """
        steps = self.steps
        if step not in steps:
            have = ", ".join(map(str, steps)) or "none"
            raise ValueError(
                f"There is no checkpoint of step {step} in {self.folder}; have {have}."
            )
        return str(self.folder / f"step-{step}")

    def restore(self, step: int | None = None) -> int:
        """Restore a checkpoint into the model.

        Args:
            step: Which one; the newest if None.

        Returns:
            The restored step, or 0 if there is no checkpoint and none was asked for.

        Raises:
            ValueError: If there is none of that step, or it is of another model.
            OSError: If it is damaged.
        """
        steps = self.steps
        if step is None and not steps:
            return 0
        step = steps[-1] if step is None else step
        path = self.path_of(step)
        try:
            self._compare(path)
            self._checkpoint.read(path).assert_consumed()
        except (tf.errors.OpError, RuntimeError, AssertionError, IndexError) as error:
            reason = str(error).splitlines()[0]
            others = ", ".join(str(other) for other in steps if other != step) or "none"
            raise OSError(
                f"Checkpoint {path} cannot be read: {reason}. Remove it, or resume from another; "
                f"there are: {others}."
            ) from None
        self._written = step
        return step

    def energy_weights(self, step: int, *, averaged: bool = False) -> list[np.ndarray]:
        """Read the energy network's weights at a checkpoint; the model stays as it is.

        Args:
            step: Which one.
            averaged: Whether to read the running average in place of the trainable weights.

        Returns:
            The arrays that `energy_network.get_weights()` would return there, for example for the
            `ensemble` of `samplers.mixed_chain`.

        Raises:
            ValueError: If there is no checkpoint of that step, it is of another model, or the model
                keeps no average.
            OSError: If it is damaged.
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
            pairs = zip(network.trainable_variables, average.averages, strict=True)
            places |= {id(weight): names[id(mean)] for weight, mean in pairs}
        try:
            self._compare(path)
            reader = tf.train.load_checkpoint(path)
            return [
                reader.get_tensor(f"{places[id(weight)]}/.ATTRIBUTES/VARIABLE_VALUE")
                for weight in network.weights
            ]
        except (tf.errors.OpError, RuntimeError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise OSError(f"Checkpoint {path} cannot be read: {reason}.") from None

    def _compare(self, path: str) -> None:
        """Raise a ValueError that names the first variables whose shapes differ."""
        stored = {
            name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): list(shape)
            for name, shape in tf.train.list_variables(path)
            if name.endswith("/.ATTRIBUTES/VARIABLE_VALUE")
        }
        stored.pop("save_counter", None)
        ours = {
            f"{group}/{i}": variable.shape.as_list()
            for group, variables in self._model.state_variables().items()
            for i, variable in enumerate(variables)
        }
        differing = sorted(
            name for name in stored.keys() | ours.keys() if stored.get(name) != ours.get(name)
        )
        if differing:
            first = differing[0]
            raise ValueError(
                f"Checkpoint {path} is of another model: {len(differing)} of {len(ours)} variables "
                f"differ, first {first} with shape {stored.get(first)} there and {ours.get(first)} "
                "here."
            )
