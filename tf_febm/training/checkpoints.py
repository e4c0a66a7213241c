"""Checkpoints of everything that training changes."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_febm import arguments, distribution
from tf_febm.files import write_atomically
from tf_febm.training import checkpoint_files
from tf_febm.training.buffers import deal

__all__ = ["Checkpoints", "DivergedError"]


# Groups of variables that each replica has for itself, and what people call them.
_OWN = re.compile(r"(buffer|directions)(?:_(\d+))?")
_OWN_NAMES = {"buffer": "replay buffers", "directions": "singular vectors"}
_FRAME = re.compile(r"\{\{.*?\}\} ?| ?\[Op:\w+\]")

# What TensorFlow raises, in one place or another, for a file that is not as it should be.
_UNREADABLE = (tf.errors.OpError, RuntimeError, AssertionError, IndexError, OSError)


class DivergedError(ArithmeticError):
    """Training left the finite numbers."""


class Checkpoints:
    """Save and restore the whole state of a model, numbered by training step.

    A checkpoint holds the networks, both optimizers with their step counts, the averaged weights,
    the replay buffer and the random state: with the data's position, which is the step, training
    goes on exactly where it stopped.

    A checkpoint is there whole or not at all, whatever ends the process, and a manifest keeps the
    SHA-256 of each of its files: one that was cut short or has changed by a bit is noticed. The
    newest are kept, and the best; an older one goes only once a newer one is on the disk. What is
    there is read from the folder itself, file by file, and by step, whatever the clock says.

    Args:
        folder: Where the checkpoints are; made on the first save.
        model: A built and compiled model of this library.
        max_to_keep: How many of the newest, at least 1.
        best_metric: Name of a metric whose best checkpoint is kept besides, or None.
        mode: Whether the best is the "min" or the "max" of that metric.
        report: Takes lines about checkpoints that cannot be used.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        folder,
        model,
        max_to_keep: int = 3,
        *,
        best_metric: str | None = None,
        mode: str = "min",
        report: Callable[[str], None] = lambda line: None,
    ):
        self.folder = Path(folder)
        self._model = model
        self._max_to_keep = arguments.whole_number("max_to_keep", max_to_keep, 1)
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max'; received {mode!r}.")
        self._best_metric, self._mode, self._report = best_metric, mode, report
        self._strategy = model.distribute_strategy
        # One component of what is the same on all replicas: the file does not tell how many.
        groups = {
            name: [distribution.local(variable) for variable in variables]
            for name, variables in model.state_variables().items()
        }
        self._own = {n: group for n, group in groups.items() if _OWN.fullmatch(n)}
        self._checkpoint = tf.train.Checkpoint(**groups)
        shared = {name: group for name, group in groups.items() if name not in self._own}
        self._shared = tf.train.Checkpoint(**shared)
        # JSON values that go into every checkpoint and come back with it.
        self.notes: dict = {}
        # The step whose file holds the state of this very run.
        self._written: int | None = None
        self._damaged: set[int] = set()

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
        """Return what was written down with a checkpoint: its `metrics` and `notes`, if any."""
        try:
            return checkpoint_files.read_manifest(self.folder, step) or {}
        except checkpoint_files.DamagedError:
            return {}

    def save(self, metrics: dict | None = None) -> int:
        """Save the present state under the optimizer's step, which is returned.

        Checkpoints of later steps, left by a run that was abandoned for an earlier checkpoint, are
        removed.

        Args:
            metrics: name -> number, of this step; kept in the manifest.

        Raises:
            DivergedError: If a weight is not finite; nothing is then written.
            ValueError: If `best_metric` is not among the metrics.
            OSError: If the checkpoint cannot be written; those that were there remain.
        """
        step = int(self._model.optimizer.iterations.numpy())
        if step == self._written:
            return step
        for network in self._model.networks:
            for variable in network.trainable_variables:
                if not bool(tf.reduce_all(tf.math.is_finite(variable))):
                    raise DivergedError(f"Training diverged at step {step}: {variable.path}.")
        metrics = {name: float(value) for name, value in (metrics or {}).items()}
        if self._best_metric is not None and metrics and self._best_metric not in metrics:
            raise ValueError(
                f"best_metric must be one of {', '.join(sorted(metrics))}; received "
                f"{self._best_metric!r}."
            )
        facts = {
            "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
            "notes": self.notes,
            "replicas": self._strategy.num_replicas_in_sync,
        }
        try:
            self._write(step, facts)
        except (tf.errors.OpError, OSError) as error:
            # TensorFlow frames a message with the names of its operations.
            reason = _FRAME.sub("", str(error).splitlines()[0])
            raise OSError(f"Cannot write checkpoint {step} to {self.folder}: {reason}") from None
        self._written = step
        self._damaged.discard(step)
        if distribution.is_chief(self._strategy):
            self._remove_what_is_superseded(step)
        return step

    def abandon(self) -> None:
        """Take note that the present state is none of those in the folder, whatever its step.

        What is there of later steps stays until the next one is saved.
        """
        self._written, self.notes = None, {}

    def _write(self, step: int, facts: dict) -> None:
        """Write the files: the first worker all that is the same everywhere, each its own."""
        if not distribution.is_chief(self._strategy):
            number = distribution.worker_number(self._strategy)
            arrays = {
                f"{name}/{i}": variable.numpy()
                for name, group in self._own.items()
                for i, variable in enumerate(group)
            }
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"step-{step}.worker-{number}.npz"
            write_atomically(path, lambda file: np.savez(file, **arrays))
            # The first waits for the files of all, and all for its index.
            distribution.barrier(self._strategy)
            distribution.barrier(self._strategy)
            return
        with checkpoint_files.working_folder(self.folder) as working:
            self._checkpoint.write(str(working / f"step-{step}"))
            distribution.barrier(self._strategy)
            others = sorted(self.folder.glob(f"step-{step}.worker-*.npz"))
            if not distribution.spans_workers(self._strategy):
                others = []
            checkpoint_files.place(working, self.folder, step, facts, others)
            distribution.barrier(self._strategy)

    def _remove_what_is_superseded(self, step: int) -> None:
        for other in self.steps:
            if other > step or other in self._damaged:
                checkpoint_files.remove(self.folder, other)
        kept = {*self.steps[-self._max_to_keep :], self.best}
        for other in {*self.steps} - kept:
            checkpoint_files.remove(self.folder, other)

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

    def restore(self, step: int | None = None, *, before: int | None = None) -> int:
        """Restore a checkpoint into the model.

        Args:
            step: Which one. If None it is the newest that can be used: a damaged one is reported,
                left where it is until the next is saved, and the one before it taken.
            before: Consider none from this step on.

        Returns:
            The restored step, or 0 if there is no checkpoint and none was asked for.

        Raises:
            ValueError: If there is none of that step, or it is of another model.
            OSError: If it is damaged; or all are, and none was asked for.
        """
        if step is not None:
            self._read(self.path_of(step), step)
            return step
        steps = [step for step in self.steps if before is None or step < before]
        for newest in reversed(steps):
            try:
                self._read(self.path_of(newest), newest)
            except OSError as error:
                self._damaged.add(newest)
                if newest == steps[0]:
                    raise
                self._report(f"{error} Going back to the one before it.")
            else:
                return newest
        return 0

    def _read(self, path: str, step: int) -> None:
        try:
            checkpoint_files.verify(self.folder, step)
            self._compare(path)
            self._assign(path, step)
        except _UNREADABLE as error:
            reason = str(error).splitlines()[0]
            others = ", ".join(str(other) for other in self.steps if other != step) or "none"
            raise OSError(
                f"Checkpoint {path} cannot be read: {reason}. Remove it, or resume from another; "
                f"there are: {others}."
            ) from None
        self._written = step
        self.notes = self.facts(step).get("notes", {})

    def _assign(self, path: str, step: int) -> None:
        stored = self.facts(step).get("replicas", 1)
        present = self._strategy.num_replicas_in_sync
        same = stored == present or not self._own
        if same and not distribution.spans_workers(self._strategy):
            self._checkpoint.read(path).assert_consumed()
        else:
            self._shared.read(path).expect_partial()
            self._assign_own(self._stored_own(path, step), present)
        for group in self._model.state_variables().values():
            for variable in group:
                distribution.copy_first(variable)
        if not same:
            kinds = sorted({_OWN_NAMES[_kind_and_number(name)[0]] for name in self._own})
            what = " and ".join(kinds)
            self._report(f"The {what} of {stored} replicas were dealt to {present}.")

    def _stored_own(self, path: str, step: int) -> dict[str, list[list[np.ndarray]]]:
        """Return what replicas have for themselves: kind -> their variables, in order."""
        reader = tf.train.load_checkpoint(path)
        found: dict[str, dict[int, np.ndarray]] = {}
        for key in reader.get_variable_to_shape_map():
            group, _, rest = key.partition("/")
            if _OWN.fullmatch(group) and rest.endswith("VARIABLE_VALUE"):
                found.setdefault(group, {})[int(rest.split("/")[0])] = reader.get_tensor(key)
        for name in (checkpoint_files.read_manifest(self.folder, step) or {}).get("files", {}):
            if name.endswith(".npz"):
                with np.load(self.folder / name) as arrays:
                    for key in arrays.files:
                        group, _, number = key.partition("/")
                        found.setdefault(group, {})[int(number)] = arrays[key]
        parts: dict[str, list] = {}
        for group in sorted(found, key=_kind_and_number):
            arrays = [found[group][i] for i in sorted(found[group])]
            parts.setdefault(_kind_and_number(group)[0], []).append(arrays)
        return parts

    def _assign_own(self, stored: dict[str, list[list[np.ndarray]]], present: int) -> None:
        for name, group in self._own.items():
            kind, number = _kind_and_number(name)
            if kind == "buffer" and len(stored[kind]) != present:
                stored[kind] = deal(stored[kind], present, group[-2].shape[0])
            # Starts of an iteration fit any replica.
            values = stored[kind][number % len(stored[kind])]
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)

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
            checkpoint_files.verify(self.folder, step)
            self._compare(path)
            reader = tf.train.load_checkpoint(path)
            return [
                reader.get_tensor(f"{places[id(weight)]}/.ATTRIBUTES/VARIABLE_VALUE")
                for weight in network.weights
            ]
        except _UNREADABLE as error:
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
        # Of what replicas have for themselves the first stands for all: their number may differ.
        stored = {name: shape for name, shape in stored.items() if not _of_another_replica(name)}
        ours = {
            f"{group}/{i}": variable.shape.as_list()
            for group, variables in self._model.state_variables().items()
            for i, variable in enumerate(variables)
        }
        ours = {name: shape for name, shape in ours.items() if not _of_another_replica(name)}
        if not distribution.is_chief(self._strategy):
            stored = {name: shape for name, shape in stored.items() if name in ours}
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


def _kind_and_number(group: str) -> tuple[str, int]:
    """Return what a group of a replica's own variables is, and the number of the replica."""
    kind, number = _OWN.fullmatch(group).groups()
    return kind, int(number or 0)


def _of_another_replica(name: str) -> bool:
    """Whether a variable, <group>/<number>, belongs to another replica than the first."""
    group = name.partition("/")[0]
    return _OWN.fullmatch(group) is not None and _kind_and_number(group)[1] > 0
