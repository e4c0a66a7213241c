"""One run from its first step, or its last checkpoint, to its summary."""

import contextlib
import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_febm import applications, evaluation, workers
from tf_febm.files import write_atomically, write_json
from tf_febm.training.checkpoints import Checkpoints, DivergedError
from tf_febm.training.guard import ADVICE, DivergenceGuard, last_good
from tf_febm.training.pictures import is_picture, picture_maker
from tf_febm.training.recorders import (
    EnergyHistograms,
    MetricsTable,
    Progress,
    Recorder,
    SampleGrids,
    Scalars,
    read_metrics,
)
from tf_febm.training.run_folder import RunFolder
from tf_febm.training.schedule import steps_in_epochs
from tf_febm.training.stop import GracefulStop

__all__ = ["draw_samples", "finish", "to_unit_scale", "train"]

# Chains that run at once when many samples are wanted; bounds memory.
CHUNK = 250

# Images in the final picture.
GRID = 100


class _Saver(Recorder):
    """Save checkpoints, of finite states only."""

    def __init__(self, checkpoints: Checkpoints, every: int):
        super().__init__(every=1)
        self._checkpoints, self._interval = checkpoints, every

    def record(self, step, logs):
        broken = [name for name, value in logs.items() if not math.isfinite(value)]
        if broken:
            raise DivergedError(
                f"Training diverged before step {step}: {', '.join(broken)} not finite. "
                f"{last_good(self._checkpoints)} {ADVICE}"
            )
        if step // self._interval > self.first_step // self._interval:
            self._checkpoints.save(logs)


def train(
    model,
    stream: Callable[[int], tf.data.Dataset],
    folder: RunFolder,
    checkpoints: Checkpoints,
    *,
    total_steps: int,
    log_interval: int,
    sample_interval: int,
    save_interval: int,
    probe=None,
    report: Callable[[str], None] = lambda line: None,
    stop: GracefulStop | None = None,
    guard: DivergenceGuard | None = None,
) -> bool:
    """Train a model inside a run folder, from the step at which it is.

    Args:
        model: A built and compiled model, fresh or restored.
        stream: step -> infinite dataset whose first batch is that of this step.
        folder: A prepared RunFolder.
        checkpoints: The Checkpoints of the model in that folder.
        total_steps: Steps of the whole run.
        log_interval: Steps between two rows of `metrics.csv`; metrics are means over them.
        sample_interval: Steps between two sample grids. They come, like checkpoints, with the first
            row of metrics after each multiple.
        save_interval: Steps between two checkpoints.
        probe: (x, labels), fixed examples whose energies are recorded, or None.
        report: Takes lines about progress.
        stop: Ends training early, with a checkpoint.
        guard: Goes back when training diverges, to data and metrics of the same step.

    Returns:
        Whether all steps are done.

    Raises:
        DivergedError: If a metric is not finite, or the guard gives up; no checkpoint is then
            written.
        ValueError: If the data ends; a checkpoint is written first.
        OSError: If a file cannot be written.
    """
    stop = GracefulStop() if stop is None else stop
    callbacks = [
        *([] if guard is None else [guard]),
        _EndOutOfStep(),
        _Saver(checkpoints, save_interval),
        stop,
    ]
    with contextlib.ExitStack() as stack:
        if workers.is_chief(model.distribute_strategy):
            writer = tf.summary.create_file_writer(str(folder.tensorboard))
            stack.callback(writer.close)
            callbacks += [MetricsTable(folder.metrics), Scalars(writer)]
            callbacks.append(Progress(total_steps, report))
            shown = None if probe is None or is_picture(model.sample_shape) else probe[0]
            if picture_maker(model, shown) is not None:
                callbacks.append(
                    SampleGrids(folder.samples, sample_interval, writer, shown, at_epoch_ends=True)
                )
            if probe is not None:
                x, labels = probe
                callbacks.append(
                    EnergyHistograms(
                        x, labels, sample_interval, writer, folder.samples, at_epoch_ends=True
                    )
                )
        while _step(model) < total_steps and not stop.agree(model.distribute_strategy):
            if not _fit(model, stream, callbacks, total_steps, log_interval, stop, guard):
                checkpoints.save()
                raise ValueError(
                    f"The data ended at step {_step(model)} of {total_steps}; the checkpoint there "
                    "is kept. Give a data set that repeats."
                )
    checkpoints.save()
    return _step(model) >= total_steps


class _EndOutOfStep(keras.callbacks.Callback):
    """End a fit whose data no longer is that of its steps: they were taken back, or it ended.

    Keras would begin a data set that ended again from its first batch.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self._due = _step(self.model) + self.params["steps"]

    def on_epoch_end(self, epoch, logs=None):
        # What was taken back is behind as well.
        if _step(self.model) < self._due:
            self.model.stop_training = True


def _fit(model, stream, callbacks, total_steps, log_interval, stop, guard) -> bool:
    """Train from the present step until all is done or something comes between.

    Returns:
        Whether there was data enough.
    """
    for steps_per_epoch, epochs in steps_in_epochs(_step(model), total_steps, log_interval):
        due = _step(model) + steps_per_epoch * epochs
        with _explaining_lost_workers(model.distribute_strategy):
            model.fit(
                stream(_step(model)),
                steps_per_epoch=steps_per_epoch,
                epochs=epochs,
                callbacks=callbacks,
                verbose=0,
            )
        if stop.ending or (guard is not None and guard.went_back):
            return True
        if _step(model) < due:
            return False
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


def _step(model) -> int:
    return int(model.optimizer.iterations.numpy())


def finish(
    model,
    folder: RunFolder,
    *,
    num_samples: int,
    num_steps: int,
    seed: int,
    measure: Callable[[np.ndarray], dict] | None = None,
    probe=None,
) -> dict:
    """Write what a finished run leaves: samples, their picture, the model and the summary.

    `samples/final.npz` holds the array `samples`, float32, in [0, 1] for images and in the units of
    the data for vectors, and `labels` for a conditional model; `samples/evolution.png` shows chains
    on their way from noise, of vectors by their energy. `model.keras` holds the model with its best
    weights. `summary.json` holds the number of steps, seconds, steps per second, the last metrics
    and the quality figures.

    Args:
        model: The trained model.
        folder: Its RunFolder.
        num_samples: How many samples.
        num_steps: Steps of each chain; see `draw_samples`.
        seed: Seed of the samples.
        measure: samples -> quality figures, or None; called while the model has its best weights.
        probe: (x, labels), examples shown beside samples in the plane, or None.

    Returns:
        The summary.
    """
    samples, labels = draw_samples(model, num_samples, num_steps, seed)
    arrays = {"samples": samples} if labels is None else {"samples": samples, "labels": labels}
    write_atomically(folder.samples / "final.npz", lambda file: np.savez(file, **arrays))
    with model.best_weights():
        if is_picture(samples.shape[1:]):
            # Scaled to [0, 1] already.
            evaluation.save_png(folder.samples / "final.png", evaluation.image_grid(samples[:GRID]))
        elif (draw := picture_maker(model, None if probe is None else probe[0])) is not None:
            evaluation.save_png(folder.samples / "final.png", draw(samples))
        _write_evolution(model, folder.samples / "evolution.png", num_steps, seed)
        _save_model(model, folder.model)
        quality = None if measure is None else measure(samples)
    rows = read_metrics(folder.metrics)
    last = rows[-1] if rows else {}
    steps, seconds = int(model.optimizer.iterations.numpy()), float(last.get("seconds", "nan"))
    metrics = {
        name: float(value)
        for name, value in last.items()
        if value and name not in ("step", "seconds", "steps_per_second")
    }
    summary = {
        "steps": steps,
        "seconds": seconds,
        "steps_per_second": steps / seconds if seconds else math.nan,
        "metrics": metrics,
        "quality": quality,
    }
    write_json(folder.summary, summary)
    return summary


def draw_samples(model, count: int, num_steps: int, seed: int):
    """Draw any number of samples in bounded memory, with the best weights.

    Args:
        model: A built model.
        count: How many.
        num_steps: Steps of each chain. Chains start at the generator if the model has one, else
            where those of training ended, or from noise if there is no buffer; then take as many
            steps as a training chain may have seen.
        seed: Seed of all of it.

    Returns:
        Samples, float32 [count, …] scaled to [0, 1] if the sampler has bounds, and their labels,
        int32 [count], or None.
    """
    samples, labels = [], []
    with model.best_weights():
        for start in range(0, count, CHUNK):
            batch = model.sample_batch(
                min(CHUNK, count - start),
                seed=(seed, start),
                initial=model.furthest_start,
                num_steps=num_steps,
            )
            samples.append(batch.samples.numpy())
            labels.append(None if batch.labels is None else batch.labels.numpy())
    together = to_unit_scale(model, np.concatenate(samples))
    return together, np.concatenate(labels) if model.conditional else None


def _write_evolution(model, path: Path, num_steps: int, seed: int) -> None:
    """Write the picture of some chains from noise on, if the sampler records their way.

    Images show themselves, vectors their energies.
    """
    # A sampler in other units passes on what the one inside it takes.
    inside = getattr(model.sampler, "sampler", model.sampler)
    if "return_trajectory" not in inspect.signature(inside).parameters or num_steps < 1:
        return
    if not is_picture(model.sample_shape):
        frames = min(50, num_steps + 1)
        evolution = applications.chain_evolution(model, 6, frames, seed=seed, num_steps=num_steps)
        states = evolution.frames.reshape(-1, *model.sample_shape)
        labels = None if evolution.labels is None else np.tile(evolution.labels, frames)
        energy = np.asarray(model.energy(states, labels)).reshape(frames, -1)
        if np.isfinite(energy).any():
            lines = {f"chain {k + 1}": (evolution.steps, energy[:, k]) for k in range(6)}
            chart = evaluation.line_chart(lines, "Energy of chains from noise", "Langevin step")
            evaluation.save_png(path, chart)
        return
    evolution = applications.chain_evolution(
        model, 6, min(10, num_steps + 1), seed=seed, num_steps=num_steps
    )
    bounds = (0.0, 1.0) if model.bounds is None else model.bounds
    evaluation.save_png(path, applications.evolution_picture(evolution, bounds))


def to_unit_scale(model, samples: np.ndarray) -> np.ndarray:
    """Return samples scaled from the model's bounds to [0, 1]; as they are if it has none."""
    if model.bounds is None:
        return samples
    low, high = model.bounds
    return np.clip((samples - low) / (high - low), 0.0, 1.0)


def _save_model(model, path: Path) -> None:
    """Write a `.keras` file atomically: Keras itself writes in place."""
    temporary = path.with_name(f".{path.stem}.tmp.keras")
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
