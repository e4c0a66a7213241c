"""Checkpoints of everything that training changes."""

import math
import re
import threading
from collections.abc import Callable

import tensorflow as tf

from tf_febm import arguments, parallel, workers
from tf_febm.training import checkpoint_files, replica_state, stored_variables
from tf_febm.training.checkpoint_files import DamagedError
from tf_febm.training.logs import numbers
from tf_febm.training.schedule import steps_taken
from tf_febm.training.stored_checkpoints import StoredCheckpoints

__all__ = ["Checkpoints", "DivergedError"]


_FRAME = re.compile(r"\{\{.*?\}\} ?| ?\[Op:\w+\]")


class DivergedError(ArithmeticError):
    """Training left the finite numbers."""


@arguments.checked
class Checkpoints(StoredCheckpoints):
    """Save and restore the whole state of a model, numbered by training step.

    A checkpoint holds the networks, both optimizers with their step counts, the averaged weights,
    the replay buffer and the random state: with the data's position, which is the step, training
    goes on exactly where it stopped.

    A checkpoint is there whole or not at all, whatever ends the process, and a manifest keeps the
    SHA-256 of each of its files: one that was cut short or has changed by a bit is noticed. The
    newest are kept, and the best; an older one goes only once a newer one is on the disk. What is
    there is read from the folder itself, file by file, and by step, whatever the clock says.

    Several workers choose one checkpoint together, and each has to call what the others call. A
    file that cannot be read at the moment, for want of rights or handles, is not taken for damaged:
    that is an error, and nothing is passed over.

    Args:
        folder: Where the checkpoints are; made on the first save.
        model: A built and compiled model of this library.
        max_to_keep: How many of the newest, at least 1.
        best_metric: Name of a metric whose best checkpoint is kept besides, or None.
        mode: Whether the best is the "min" or the "max" of that metric.
        report: Takes lines about checkpoints that cannot be used.

    Raises:
        ValueError: An argument is out of its range.
    """

    def __init__(
        self,
        folder: arguments.Path,
        model: arguments.Model,
        max_to_keep: int = 3,
        *,
        best_metric: str | None = None,
        mode: str = "min",
        report: Callable[[str], None] = lambda line: None,
    ):
        super().__init__(folder, model, best_metric, mode)
        self._max_to_keep = arguments.whole_number("max_to_keep", max_to_keep, 1)
        self._report = report
        # One component of what is the same on all replicas: the file does not tell how many.
        groups = {
            name: [parallel.local(variable) for variable in variables]
            for name, variables in model.state_variables().items()
        }
        self._own = {n: group for n, group in groups.items() if stored_variables.is_own(n)}
        self._checkpoint = tf.train.Checkpoint(**groups)
        shared = {name: group for name, group in groups.items() if name not in self._own}
        self._shared = tf.train.Checkpoint(**shared)
        # JSON values that go into every checkpoint and come back with it.
        self.notes: dict = {}
        # Those of the checkpoint that was restored last, which those of a return supersede.
        self.restored_notes: dict = {}
        # Batches that a loss scale skipped: what the data is ahead of the steps taken.
        self.skipped = 0
        # What the present state was trained with: rows of `from`, a step, and the options since.
        self.history: list[dict] = []
        # The options of training that goes on here, see `begin`, and the history at its beginning.
        self._options: dict | None = None
        self._begun: list[dict] = []
        # How often training went back; tells whether a checkpoint was saved after a return.
        self._returns = 0
        # The step whose file holds the state of this very run.
        self._written: int | None = None
        self._damaged: set[int] = set()
        # Held while a checkpoint is written: by one thread at a time.
        self.lock = threading.RLock()

    def begin(self, options: dict, earlier: dict | None = None) -> None:
        """Take note that training goes on here, from the present step, with these options.

        Args:
            options: Name -> JSON value; every later checkpoint has them in its `history`.
            earlier: Those of the steps so far, if the checkpoints do not say it.
        """
        if steps_taken(self._model) and not self.history and earlier is not None:
            self.history = [{"from": 0, **earlier}]
        self._options = options
        self._extend_history()
        self._begun = self.history

    def _extend_history(self) -> None:
        if self._options is None:
            return
        step = steps_taken(self._model)
        past = [row for row in self.history if row["from"] < step]
        if not past or {**past[-1], "from": None} != {**self._options, "from": None}:
            past.append({"from": step, **self._options})
        self.history = past

    def save(self, metrics: dict | None = None) -> int:
        """Save the present state under the number of steps taken, which is returned.

        Checkpoints of later steps, left by a run that was abandoned for an earlier checkpoint, are
        removed; the best of all is moved to the folder `abandoned` instead, and reported.

        Args:
            metrics: name -> number, of this step, kept in the manifest; what is no number is not.

        Raises:
            DivergedError: A weight is not finite; nothing is then written.
            ValueError: `best_metric` is not among the metrics.
            OSError: The checkpoint cannot be written; those that were there remain.
        """
        with self.lock:
            step = steps_taken(self._model)
            if step == self._written:
                return step
            for network in self._model.networks:
                for variable in network.trainable_variables:
                    if not bool(tf.reduce_all(tf.math.is_finite(variable))):
                        raise DivergedError(f"Training diverged at step {step}: {variable.path}.")
            metrics = numbers(metrics)
            if self._best_metric is not None and metrics and self._best_metric not in metrics:
                raise ValueError(
                    f"best_metric must be one of {', '.join(sorted(metrics))}; received "
                    f"{self._best_metric!r}."
                )
            self._save(step, metrics, self.skipped, self._checkpoint)
            return step

    def save_copy(self, step: int, state: dict[str, list], skipped: int) -> None:
        """Save a state that was copied, while the model has gone on to another one.

        Args:
            step: Steps that were taken then.
            state: The values of the model's `state_variables`.
            skipped: What `skipped` was.

        Raises:
            OSError: The checkpoint cannot be written.
        """
        with self.lock:
            if step != self._written:
                groups = {name: [tf.Variable(v) for v in group] for name, group in state.items()}
                self._save(step, {}, skipped, tf.train.Checkpoint(**groups))

    def _save(self, step: int, metrics: dict, skipped: int, checkpoint) -> None:
        """Write a checkpoint, and remove what it supersedes."""
        facts = {
            "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
            "notes": self.notes,
            "history": self.history,
            "replicas": self._strategy.num_replicas_in_sync,
            "returns": self._returns,
            "skipped": skipped,
        }
        try:
            self._write(step, facts, checkpoint)
        except workers.OtherWorkerError:
            raise
        except (tf.errors.OpError, OSError) as error:
            # TensorFlow frames a message with the names of its operations.
            reason = _FRAME.sub("", str(error).splitlines()[0])
            raise OSError(f"Cannot write checkpoint {step} to {self.folder}: {reason}") from None
        self._written = step
        self._damaged.discard(step)
        if workers.is_chief(self._strategy):
            # First, as it would send a run back to a checkpoint that may be removed next.
            checkpoint_files.forget_return(self.folder)
            self._remove_what_is_superseded(step)

    def note_return(self, step: int) -> None:
        """Write down that training went back, with the present `notes` and random state.

        A run that ends before the next checkpoint goes on from there, not from a later checkpoint
        that was given up, nor with the random numbers of before.

        Args:
            step: Of the checkpoint that was restored; 0 for the beginning of training.

        Raises:
            OSError: It cannot be written.
        """
        earlier = (self.facts(other).get("returns", 0) for other in self.steps)
        self._returns = 1 + max([self._returns, *earlier])
        if workers.is_chief(self._strategy):
            seed = [int(part) for part in self._model.seed_generator.state.numpy()]
            facts = {"step": step, "notes": self.notes, "seed": seed, "returns": self._returns}
            checkpoint_files.write_return(self.folder, facts)

    def abandon(self) -> None:
        """Take note that the present state is none of those in the folder, whatever its step.

        What is there of later steps stays until the next one is saved.
        """
        self._written, self.notes, self.restored_notes = None, {}, {}
        self.history = self._begun

    def _write(self, step: int, facts: dict, checkpoint) -> None:
        """Write the files: the first worker all that is the same everywhere, each its own."""
        number = workers.worker_number(self._strategy)
        if number:
            path = self.folder / replica_state.worker_file(step, number)
            # The first waits for the files of all, and all for its index.
            workers.run_on_all(self._strategy, lambda: replica_state.write(path, self._own))
            workers.run_on_all(self._strategy, lambda: None)
            return
        with checkpoint_files.working_folder(self.folder) as working:
            prefix = str(working / f"step-{step}")
            workers.run_on_all(self._strategy, lambda: checkpoint.write(prefix))
            count = workers.worker_count(self._strategy)
            others = [self.folder / replica_state.worker_file(step, i) for i in range(1, count)]
            others = others if self._own else []
            workers.run_on_all(
                self._strategy,
                lambda: checkpoint_files.place(working, self.folder, step, facts, others),
            )

    def _remove_what_is_superseded(self, step: int) -> None:
        best = self.best
        for other in self.steps:
            if other in self._damaged or (other > step and other != best):
                checkpoint_files.remove(self.folder, other)
            elif other > step:
                aside = checkpoint_files.set_aside(self.folder, other)
                self._report(
                    f"Checkpoint {other}, the best so far by {self._best_metric}, is of steps that "
                    f"were taken back: it is in {aside} now."
                )
        kept = {*self.steps[-self._max_to_keep :], self.best}
        for other in {*self.steps} - kept:
            checkpoint_files.remove(self.folder, other)
        checkpoint_files.remove_leftovers(self.folder)

    def restore(self, step: int | None = None, *, before: int | None = None) -> int:
        """Restore a checkpoint into the model.

        Args:
            step: Which one. If None it is the newest that can be used, or the one that training
                last went back to: a damaged one is reported, left where it is until the next is
                saved, and the one before it taken.
            before: Consider none from this step on.

        Returns:
            The restored step, or 0 if there is no checkpoint and none was asked for.

        Raises:
            ValueError: There is none of that step, or it is of another model.
            OSError: It is damaged, or cannot be read; or all are, and none was asked for.
            OtherWorkerError: That is so on another worker.
        """
        if step is not None:
            self._read(step)
            return step
        returned = self._return() if before is None else None
        if returned is None:
            return self._restore_newest(before)
        # The beginning of training is in no checkpoint: it is where the model is.
        restored = self._restore_newest(returned["step"] + 1) if returned["step"] else 0
        self.notes, self._returns = returned["notes"], returned["returns"]
        self._model.seed_generator.state.assign(returned["seed"])
        return restored

    def take_best(self) -> int:
        """Put the networks and averages of the best checkpoint into the model, and save it again.

        Optimizers, buffer, random state and the number of steps stay as they are.

        Returns:
            The step whose weights the model has; its own where no checkpoint is the best.

        Raises:
            OSError: The best is damaged, or a file cannot be read or written.
        """
        step, best = steps_taken(self._model), self.best
        taken = self.notes.get("weights_of", {})
        if best in (None, step):
            return taken["step"] if taken.get("at") == step else step
        path, facts = self.path_of(best), self.facts(best)
        if damage := self._examine(best):
            raise DamagedError(f"Checkpoint {path} cannot be read: {damage}.")
        weights = {
            name: group
            for name, group in self._model.state_variables().items()
            if not re.search("optimizer|random|buffer|directions|mean_weight", name)
        }
        tf.train.Checkpoint(**weights).read(path).expect_partial()
        # Written anew, with the value of the best, so that it is the best itself from now on.
        self._written = None
        self.notes = {**self.notes, "weights_of": {"at": step, "step": best}}
        self.save(facts["metrics"])
        return best

    def _return(self) -> dict | None:
        """Return what was written down of the last return to a checkpoint, if nothing followed."""
        found = workers.run_on_all(
            self._strategy, lambda: checkpoint_files.read_return(self.folder)
        )
        # A checkpoint of after it is there if the process ended while saving was being completed.
        late = found is not None and any(
            self.facts(step).get("returns", 0) >= found["returns"] for step in self.steps
        )
        if workers.from_first(self._strategy, int(found is not None and not late)):
            return found
        return None

    def _restore_newest(self, before: int | None) -> int:
        error = None
        newest = max(self.steps, default=-1)
        for step in [] if before is not None else checkpoint_files.unfinished(self.folder, newest):
            self._report(
                f"Checkpoint {self.folder}/step-{step} has no index: it was being saved when its "
                "run ended, or the index was deleted. It is not used."
            )
        while True:
            steps = [step for step in self.steps if before is None or step < before]
            # One more than the step: 0 says that there is none.
            found = workers.from_first(self._strategy, steps[-1] + 1 if steps else 0)
            if not found and error is None:
                return 0
            if not found:
                raise error
            before = newest = found - 1
            if error is not None:
                self._report(f"{error} Going back to the one before it.")
            try:
                self._read(newest)
            except DamagedError as damaged:
                self._damaged.add(newest)
                error = damaged
            else:
                return newest

    def _read(self, step: int) -> None:
        path = f"{self.folder}/step-{step}"
        damage = workers.run_on_all(self._strategy, lambda: self._examine(step))
        if workers.any_worker(self._strategy, damage is not None):
            others = ", ".join(str(other) for other in self.steps if other != step) or "none"
            reason = "another worker finds it damaged" if damage is None else damage
            raise DamagedError(
                f"Checkpoint {path} cannot be read: {reason}. Remove it, or resume from another; "
                f"there are: {others}."
            )
        workers.run_on_all(self._strategy, lambda: self._assign(path, step))
        self._written = step
        facts = self.facts(step)
        self.notes = self.restored_notes = facts.get("notes", {})
        self._returns = facts.get("returns", 0)
        self.skipped = facts.get("skipped", 0)
        self.history = facts.get("history", [])
        self._extend_history()

    def _assign(self, path: str, step: int) -> None:
        try:
            told = self._assign_all(path, step)
        except stored_variables.UNREADABLE as error:
            reason = _FRAME.sub("", str(error).splitlines()[0])
            raise OSError(f"Checkpoint {path} cannot be read at the moment: {reason}.") from None
        for group in self._model.state_variables().values():
            for variable in group:
                parallel.copy_first(variable)
        if told is not None:
            self._report(told)

    def _assign_all(self, path: str, step: int) -> str | None:
        """Assign what a checkpoint holds; return what there is to say of it."""
        files = checkpoint_files.read_manifest(self.folder, step)["files"]
        here = not workers.spans_workers(self._strategy)
        if here and replica_state.groups_in(path, files) == {*self._own}:
            # All is there: `_examine` has compared it.
            self._checkpoint.read(path).expect_partial()
            return None
        self._shared.read(path).expect_partial()
        stored = replica_state.read(path, self.folder, files)
        return replica_state.assign(self._own, stored, self._strategy.num_replicas_in_sync)
