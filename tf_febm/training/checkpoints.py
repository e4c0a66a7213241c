"""Checkpoints of everything that training changes."""

import re
from pathlib import Path

import tensorflow as tf

__all__ = ["Checkpoints"]


class Checkpoints:
    """Save and restore the whole state of a model, numbered by training step.

    A checkpoint holds the networks, both optimizers with their step counts, the averaged weights,
    the replay buffer and the random state: with the data's position, which is the step, training
    goes on exactly where it stopped. The newest are kept; an older one goes only once a newer one
    is complete.

    Args:
        folder: Where the checkpoints are; made on the first save.
        model: A built and compiled model of this library.
        max_to_keep: How many, at least 1.
    """

    def __init__(self, folder, model, max_to_keep: int = 3):
        self.folder = Path(folder)
        self._model = model
        groups = {name: list(variables) for name, variables in model.state_variables().items()}
        self._checkpoint = tf.train.Checkpoint(**groups)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(self.folder), max_to_keep, checkpoint_name="step"
        )

    @property
    def steps(self) -> list[int]:
        """The steps of the checkpoints that are there, oldest first."""
        return [_step_of(path) for path in self._manager.checkpoints]

    def save(self) -> int:
        """Save the present state under the optimizer's step, which is returned.

        Raises:
            OSError: If the checkpoint cannot be written; those that were there remain.
        """
        step = int(self._model.optimizer.iterations)
        if step in self.steps:
            return step
        try:
            self._manager.save(checkpoint_number=step)
        except tf.errors.OpError as error:
            reason = str(error).splitlines()[0]
            raise OSError(f"Cannot write checkpoint {step} to {self.folder}: {reason}") from None
        return step

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
        return self._manager.checkpoints[steps.index(step)]

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
            self._checkpoint.restore(path).assert_consumed()
        except (tf.errors.OpError, RuntimeError, AssertionError, IndexError) as error:
            reason = str(error).splitlines()[0]
            raise OSError(
                f"Checkpoint {path} cannot be read: {reason}. Remove it, or choose another of "
                f"{', '.join(map(str, steps))}."
            ) from None
        return step

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


def _step_of(path: str) -> int:
    return int(re.search(r"-(\d+)$", path).group(1))
