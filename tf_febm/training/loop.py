"""One run from its first step, or its last checkpoint, to its last step."""

import contextlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, workers
from tf_febm.training import numerical_checks as checks
from tf_febm.training.checkpoints import Checkpoints, DivergedError
from tf_febm.training.guard import ADVICE, DivergenceGuard, last_good
from tf_febm.training.held_out_gain import HeldOutGain
from tf_febm.training.keeping import StateKeeper
from tf_febm.training.logs import own_numbers
from tf_febm.training.pictures import is_picture, picture_maker
from tf_febm.training.progress import Progress
from tf_febm.training.recorders import (
    EnergyHistograms,
    MetricsTable,
    Recorder,
    SampleGrids,
    Scalars,
)
from tf_febm.training.run_folder import RunFolder
from tf_febm.training.schedule import steps_in_epochs, steps_taken
from tf_febm.training.stop import GracefulStop

__all__ = ["train"]


class _Finite(Recorder):
    """End training before anything that is not finite is recorded."""

    def __init__(self, checkpoints: Checkpoints, limits: checks.Limits):
        super().__init__(every=1)
        self._checkpoints, self._limits = checkpoints, limits

    def on_epoch_end(self, epoch, logs=None):
        """Raise a DivergedError if no step will be taken any more, for there is none to record."""
        problem = checks.examine(checks.scale_figures(self.model), [], {}, self._limits)
        if problem is not None:
            raise DivergedError(
                f"Training diverged at step {self.step}: {problem.text}. "
                f"{last_good(self._checkpoints)} {ADVICE}"
            )
        super().on_epoch_end(epoch, logs)

    def record(self, step, logs):
        figures = own_numbers(self.model, logs)
        broken = [name for name, value in figures.items() if not math.isfinite(value)]
        if broken:
            raise DivergedError(
                f"Training diverged before step {step}: {', '.join(broken)} not finite. "
                f"{last_good(self._checkpoints)} {ADVICE}"
            )


class _Saver(Recorder):
    """Save checkpoints, after what came before them has been written.

    A run that is killed in between goes on from the checkpoint before, and writes it once more; of
    a step that is saved nothing is missing.
    """

    def __init__(self, checkpoints: Checkpoints, every: int, writer):
        super().__init__(every=1, writer=writer)
        self._checkpoints, self._interval = checkpoints, every

    def record(self, step, logs):
        if step // self._interval > self.first_step // self._interval:
            if self._writer is not None:
                self._writer.flush()
            self._checkpoints.save(logs)


@arguments.checked
def train(
    model: arguments.Model,
    stream: Callable[[int], tf.data.Dataset],
    folder: RunFolder,
    checkpoints: Checkpoints,
    *,
    total_steps: int,
    log_interval: int,
    sample_interval: int,
    save_interval: int,
    probe: arguments.Tensor | None = None,
    watched: arguments.Tensor | None = None,
    noise_removed: float = 0.0,
    report: Callable[[str], None] = lambda line: None,
    stop: GracefulStop | None = None,
    guard: DivergenceGuard | None = None,
    gain: HeldOutGain | None = None,
    expected_seconds: float = 0.0,
    settings: Mapping[str, Any] | None = None,
) -> bool:
    """Train a model inside a run folder, from the step at which it is.

    Args:
        model: A built and compiled model, fresh or restored.
        stream: number -> infinite dataset that begins with the batch of this number, from 0. It is
            the step, and more by as many batches as a loss scale has skipped.
        folder: A prepared RunFolder.
        checkpoints: The Checkpoints of the model in that folder.
        total_steps: Steps of the whole run, each on a batch, whether it changes weights or, where
            gradients are accumulated, adds to them.
        log_interval: Steps between two rows of `metrics.csv`; metrics are means over them.
        sample_interval: Steps between two sample grids. They come, like checkpoints, with the first
            row of metrics after each multiple.
        save_interval: Steps between two checkpoints.
        probe: (x, labels), fixed examples that pictures of vectors show beside samples, or None.
        watched: Likewise, those whose energies are recorded; with noise, if training data have any.
        noise_removed: Standard deviation of noise that `model.denoise` takes off what is shown.
        report: Takes lines about progress.
        stop: Ends training early, with a checkpoint.
        guard: Goes back when training diverges, to data and metrics of the same step.
        gain: Measures examples that are kept aside, before rows of metrics and checkpoints are
            written, which then have its figure.
        expected_seconds: What a step is expected to take, if that is known: `stop` can give up a
            long one from the first on, and the time to go is known before it.
        settings: Hyper-parameters for TensorBoard, name -> value, or None.

    Optimizers with `use_ema` move the raw weights through all of the run, checkpoints included, and
    put the averages in their place when all steps are done, not at the end of each Keras fit.

    Returns:
        Whether all steps are done.

    Raises:
        DivergedError: A metric is not finite, or the guard gives up; no checkpoint is then
            written.
        ValueError: The data ends; a checkpoint is written first.
        OSError: A file cannot be written.
    """
    stop = GracefulStop() if stop is None else stop
    count = _Count(checkpoints, guard)
    callbacks = [
        *([] if guard is None else [guard]),
        count,
        _Finite(checkpoints, checks.Limits() if guard is None else guard.limits),
        stop,
        *([] if gain is None else [gain]),
    ]
    if not workers.spans_workers(model.distribute_strategy):
        stop.keeper = StateKeeper(checkpoints, count.skipped, expected_seconds)
        callbacks.insert(callbacks.index(count) + 1, stop.keeper)
    writer = None
    with contextlib.ExitStack() as stack:
        stack.enter_context(_raw_weights(model))
        if workers.is_chief(model.distribute_strategy):
            writer = tf.summary.create_file_writer(str(folder.tensorboard))
            stack.callback(writer.close)
            callbacks += [MetricsTable(folder.metrics), Scalars(writer, settings)]
            progress = Progress(total_steps, report, expected_seconds=expected_seconds)
            stack.enter_context(progress.ticking())
            callbacks.append(progress)
            shown = None if probe is None or is_picture(model.sample_shape) else probe[0]
            if picture_maker(model, shown) is not None:
                callbacks.append(
                    SampleGrids(
                        folder.samples,
                        sample_interval,
                        writer,
                        shown,
                        at_epoch_ends=True,
                        noise_removed=noise_removed,
                    )
                )
            if watched is not None:
                x, labels = watched
                callbacks.append(
                    EnergyHistograms(
                        x, labels, sample_interval, writer, folder.samples, at_epoch_ends=True
                    )
                )
        # After the recorders, whose rows and pictures a continued run does not write again.
        callbacks.append(_Saver(checkpoints, save_interval, writer))
        while steps_taken(model) < total_steps and not stop.agree(model.distribute_strategy):
            if not _fit(model, stream, callbacks, total_steps, log_interval, stop, count):
                checkpoints.save()
                raise ValueError(
                    f"The data ended at step {steps_taken(model)} of {total_steps}; the checkpoint "
                    "there is kept. Give a data set that repeats."
                )
        if stop.keeper is not None:
            stop.keeper.close()
    checkpoints.save()
    done = steps_taken(model) >= total_steps
    if done:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    return done


@contextlib.contextmanager
def _raw_weights(model):
    """Keep Keras from replacing the weights at the end of a fit: a run is of any number of them."""
    finalise = model.optimizer.finalize_variable_values
    model.optimizer.finalize_variable_values = lambda variables: None
    try:
        yield
    finally:
        # The model's own, for all of its optimizers.
        model.optimizer.finalize_variable_values = finalise


class _Count(keras.callbacks.Callback):
    """Count what a loss scale skips, and end a fit whose data no longer is that of its steps.

    They were taken back, or some skipped; or the data ended: Keras would begin it again from its
    first batch.

    Attributes:
        checkpoints: Have the number of skipped steps.
        out_of_step: Whether the last epoch ended so.
        data_ended: Whether that was for want of data.
    """

    def __init__(self, checkpoints: Checkpoints, guard: DivergenceGuard | None):
        super().__init__()
        self.checkpoints, self._guard = checkpoints, guard
        self.out_of_step = self.data_ended = False

    def skipped(self) -> int:
        """Return the number of skipped steps up to now."""
        return self.checkpoints.skipped + self._batches - (steps_taken(self.model) - self._first)

    def on_epoch_begin(self, epoch, logs=None):
        self._first, self._batches = steps_taken(self.model), 0
        if epoch:
            # Of this fit, whose metrics are in a file: it would grow as long as training lasts.
            self.model.history.epoch.clear()
            self.model.history.history.clear()

    def on_train_batch_end(self, batch, logs=None):
        self._batches = batch + 1

    def on_epoch_end(self, epoch, logs=None):
        if self._guard is not None and self._guard.went_back:
            # What was skipped until then came back with the checkpoint.
            self.out_of_step, self.data_ended = True, False
        else:
            taken = steps_taken(self.model) - self._first
            self.checkpoints.skipped += self._batches - taken
            self.out_of_step = taken < self.params["steps"]
            self.data_ended = self._batches < self.params["steps"]
        self._first, self._batches = steps_taken(self.model), 0
        if self.out_of_step:
            self.model.stop_training = True


def _fit(model, stream, callbacks, total_steps, log_interval, stop, count) -> bool:
    """Train from the present step until all is done or something comes between.

    Returns:
        Whether there was data enough.
    """
    for steps_per_epoch, epochs in steps_in_epochs(steps_taken(model), total_steps, log_interval):
        with _explaining_lost_workers(model.distribute_strategy):
            model.fit(
                stream(steps_taken(model) + count.checkpoints.skipped),
                steps_per_epoch=steps_per_epoch,
                epochs=epochs,
                callbacks=callbacks,
                verbose=0,
            )
        if stop.ending:
            return True
        if count.out_of_step:
            return not count.data_ended
    return True


@contextlib.contextmanager
def _explaining_lost_workers(strategy):
    """Turn what TensorFlow raises when a worker is gone into an error that says so."""
    try:
        yield
    except workers.LOST as error:
        if not workers.spans_workers(strategy):
            raise
        raise workers.lost(error) from error
