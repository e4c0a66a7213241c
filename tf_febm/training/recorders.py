"""Callbacks that write down how a run goes; each needs the folder it may write to.

They count in training steps, see `schedule.steps_taken`, so that a continued run counts on.
"""

import csv
import io
import re
import shutil
import time
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, evaluation, extras, randomness
from tf_febm.files import append, write_table
from tf_febm.training.logs import numbers
from tf_febm.training.pictures import for_showing, picture_maker
from tf_febm.training.schedule import steps_taken
from tf_febm.untrusted_files import RefusedError, read_bytes
from tf_febm.untrusted_files.records import CHECKSUM

__all__ = ["EnergyHistograms", "MetricsTable", "SampleGrids", "Scalars"]

SAMPLES_PER_GRID = 64
# Points in the plane say little one by one.
POINTS_PER_PICTURE = 1000


@arguments.checked
class Recorder(keras.callbacks.Callback):
    """Base: the step, and whether the moment has come.

    Args:
        every: Records whenever a multiple of so many steps is reached: after that step (after the
            last one of an execution, if `steps_per_execution` is above 1), or
        at_epoch_ends: at the end of the Keras epoch in which it is reached.
        writer: A `tf.summary` writer, or the folder for one, or None.
    """

    def __init__(self, every: int, at_epoch_ends: bool = True, writer=None):
        super().__init__()
        every = arguments.whole_number("every", every, 1, 2**31)
        self.every, self.at_epoch_ends = every, at_epoch_ends
        if writer is not None:
            extras.needs("tensorboard")
        if isinstance(writer, (str, Path)):
            writer = tf.summary.create_file_writer(str(writer))
        self._writer = writer

    @property
    def step(self) -> int:
        return steps_taken(self.model)

    def on_epoch_begin(self, epoch, logs=None):
        self.first_step, self.began = self.step, time.perf_counter()
        self._last = self.first_step

    def on_train_batch_end(self, batch, logs=None):
        # Counted here: asking the optimizer at every step would wait for the device.
        step = self.first_step + batch + 1
        if not self.at_epoch_ends and step // self.every > self._last // self.every:
            self._last = step
            self.record(self.step, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        if not self.at_epoch_ends:
            return
        step = self.step
        if step // self.every > self.first_step // self.every:
            self.record(step, logs or {})

    def steps_and_seconds(self) -> tuple[int, float]:
        """Return how many steps the epoch under way has taken, and how long."""
        return self.step - self.first_step, time.perf_counter() - self.began

    def record(self, step: int, logs: dict) -> None:
        raise NotImplementedError

    def _summarise(self, step: int, values: dict, prefix: str = "", kind: str = "scalar") -> None:
        """Write name -> value to TensorBoard, if there is a writer."""
        if self._writer is not None:
            with _at(self._writer, step):
                for name, value in values.items():
                    # Not Python's numbers, see `_at`; TensorBoard has float32 in any case.
                    getattr(tf.summary, kind)(prefix + name, np.asarray(value, np.float32))


@arguments.checked
class MetricsTable(Recorder):
    """Keep `metrics.csv`: step, seconds, steps per second and all metrics, one row an epoch.

    Seconds count training time over all parts of a run. Rows past the step at which training
    begins are dropped, so that a run continued from an older checkpoint reads as one. A row is
    appended, at the same cost whatever the length of the run; one that was cut short is dropped by
    `read_metrics`. The column `checksum` is of the names and values of its row: a row that has
    changed is left out with a warning, and the file that has it kept beside, as
    `metrics.damaged.csv`.

    Args:
        path: The file.
    """

    def __init__(self, path: arguments.Path):
        super().__init__(every=1)
        self.path = Path(path)
        # Seconds of training so far, and the columns of the file; none yet if empty.
        self.seconds = 0.0
        self._columns: list[str] = []

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Take up the rows of an earlier part; drop those of steps that were taken back."""
        found, damaged = _rows_of(self.path)
        if damaged:
            aside = self.path.with_suffix(f".damaged{self.path.suffix}")
            shutil.copyfile(self.path, aside)
            warnings.warn(
                f"{self.path}: {damaged} rows are not what was written; they are left out, and "
                f"kept in {aside.name}.",
                stacklevel=2,
            )
        rows = [row for row in found if int(row["step"]) <= self.step]
        self.seconds = float(rows[-1]["seconds"]) if rows else 0.0
        self._columns = list(rows[-1]) if rows else []
        if self.path.exists():
            self._write(rows)

    def _write(self, rows: list[dict]) -> None:
        columns = [*self._columns, CHECKSUM] if self._columns else []
        # Those that lack a column have it empty.
        whole = ({name: row.get(name, "") for name in self._columns} for row in rows)
        write_table(self.path, map(_signed, whole), columns)

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
        """Add a row."""
        steps, elapsed = self.steps_and_seconds()
        self.seconds += elapsed
        row = {
            "step": step,
            "seconds": f"{self.seconds:.2f}",
            "steps_per_second": f"{steps / elapsed:.3f}",
            **{name: f"{value:.7g}" for name, value in numbers(logs).items()},
        }
        # Somebody may have removed it meanwhile.
        if list(row) != self._columns or not self.path.exists():
            self._columns = list(row)
            self._write([*read_metrics(self.path), row])
            return
        line = io.StringIO()
        csv.DictWriter(line, [*self._columns, CHECKSUM]).writerow(_signed(row))
        append(self.path, line.getvalue().encode())


def read_metrics(path) -> list[dict]:
    """Return the rows of a `metrics.csv`, as text; none of a missing file, no damaged ones.

    Raises:
        OSError: It is no regular file, or cannot be read.
    """
    return _rows_of(Path(path))[0]


def _rows_of(path: Path) -> tuple[list[dict], int]:
    """Return the rows that are what was written, and how many others there are."""
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return [], 0
    except RefusedError as error:
        raise OSError(f"{path}: {error}.") from None
    rows: list[dict] = []
    damaged = 0
    # What comes after the last end of a line was cut short.
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return rows, damaged
        except csv.Error:
            damaged += 1
            continue
        # Earlier versions wrote no checksums. The word for them may be what is damaged.
        last = list(row.values())[-1] if row else None
        signed = CHECKSUM in row or (isinstance(last, str) and _IS_CHECKSUM.fullmatch(last))
        stored = row.pop(CHECKSUM, None)
        if _is_whole(row) and (not signed or stored == _signed(row)[CHECKSUM]):
            rows.append(row)
        else:
            damaged += 1


# No metric is written so: a number of eight digits has a point, or is a step, which comes first.
_IS_CHECKSUM = re.compile("[0-9a-f]{8}")


def _signed(row: dict) -> dict:
    """Return a row with its checksum."""
    spelled = "\n".join(f"{name}={'' if value is None else value}" for name, value in row.items())
    return {**row, CHECKSUM: f"{zlib.crc32(spelled.encode()):08x}"}


def _is_whole(row: dict) -> bool:
    try:
        numbers = int(row["step"]) >= 0 and float(row["seconds"]) >= 0.0
        return numbers and None not in (*row, *row.values())
    except (KeyError, TypeError, ValueError):
        return False


@arguments.checking({"writer": arguments.WRITER})
class Scalars(Recorder):
    """Write all metrics to TensorBoard, in groups, and what the run was set to.

    Args:
        writer: A `tf.summary` writer.
        settings: Hyper-parameters, name -> value, for the board of this name; or None.
    """

    def __init__(self, writer: arguments.Writer | None, settings: Mapping[str, Any] | None = None):
        super().__init__(every=1, writer=writer)
        self._settings = dict(settings or {})

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Write the settings, once."""
        if self._settings:
            from tensorboard.plugins.hparams import api

            plain = (bool, int, float, str)
            shown = {k: v if isinstance(v, plain) else str(v) for k, v in self._settings.items()}
            with self._writer.as_default():
                api.hparams(shown)
            self._settings = {}

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
        """Write one point of every curve."""
        self._summarise(step, {_grouped(name): value for name, value in numbers(logs).items()})
        self._writer.flush()


def _grouped(name: str) -> str:
    """Return the tag of a metric, with what TensorBoard takes as its group before a slash."""
    split, bare = ("held_out_", name[4:]) if name.startswith("val_") else ("", name)
    if bare.endswith("_gradient_norm"):
        return f"{split}gradient_norm/{bare.removesuffix('_gradient_norm')}"
    # The tags "energy/…" are those of histograms.
    for prefix, group in (("energy_", "mean_energy"), ("log_ratio_", "log_ratio")):
        if bare.startswith(prefix):
            return f"{split}{group}/{bare.removeprefix(prefix)}"
    return f"{split}training/{bare}"


@arguments.checking({"data": arguments.ARRAY})
class SampleGrids(Recorder):
    """Write pictures of samples, as PNG and to TensorBoard: grids, or points in the plane.

    The samples are those of the model's generator if it has one, else the ends of the training
    chains, continued; with the averaged weights if the model keeps an average. A fixed seed is
    used, so that looking does not change the run.

    Args:
        folder: Where `step_<number>.png` goes, or None.
        every: Steps between two pictures.
        writer: A `tf.summary` writer, the folder for one, or None.
        data: Examples [m, 2] to show beside samples in the plane, or None; see `picture_maker`.
        at_epoch_ends: Whether to wait for the end of the epoch.
        noise_removed: Standard deviation of the data's noise, at least 0, which `model.denoise`
            takes off what is shown.
    """

    def __init__(
        self,
        folder: arguments.Path,
        every: int,
        writer: arguments.Writer | None = None,
        data: arguments.Data | None = None,
        *,
        at_epoch_ends: bool = False,
        noise_removed: float = 0.0,
    ):
        super().__init__(every, at_epoch_ends, writer)
        self.folder, self._data = None if folder is None else Path(folder), data
        self.noise_removed = arguments.number("noise_removed", noise_removed)

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Refuse models whose samples make no pictures."""
        if picture_maker(self.model, self._data) is None:
            raise ValueError(
                "SampleGrids needs images of 1 or 3 channels and a sampler with bounds, or points "
                f"of the plane; the model has samples of shape {self.model.sample_shape}, bounds "
                f"{self.model.bounds}."
            )

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
        """Draw samples and write their picture."""
        initial = self.model.evaluation_start
        count = SAMPLES_PER_GRID if self._data is None else POINTS_PER_PICTURE
        with self.model.best_weights():
            batch = self.model.sample_batch(count, seed=0, initial=initial)
            samples = for_showing(self.model, batch, 0, self.noise_removed).numpy()
            grid = picture_maker(self.model, self._data)(samples)
        write_picture(grid, "samples", step, self.folder, self._writer, name=f"step_{step:07d}.png")


@arguments.checking({"data": arguments.ARRAY})
class EnergyHistograms(Recorder):
    """Write histograms of the energies of data and of samples, to TensorBoard and as PNG.

    Two clouds that part company are the first sign of a run that diverges.

    Args:
        data: Floating array [n, …], a fixed set of examples.
        labels: Their labels, for a conditional model, or None.
        every: Steps between two histograms.
        writer: A `tf.summary` writer, the folder for one, or None.
        folder: Where `energies_<number>.png` goes, or None.
        at_epoch_ends: Whether to wait for the end of the epoch.
    """

    def __init__(
        self,
        data: arguments.Data,
        labels: arguments.Labels | None,
        every: int,
        writer: arguments.Writer | None = None,
        folder: arguments.Path | None = None,
        *,
        at_epoch_ends: bool = False,
    ):
        super().__init__(every, at_epoch_ends, writer)
        self._data, self._labels = data, labels
        self.folder = None if folder is None else Path(folder)

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
        """Evaluate the energies and write both histograms."""
        # Samples of the same labels, as in a training step.
        labels = {} if self._labels is None else {"labels": self._labels}
        seed = randomness.sampling_seed((0, 1))
        model = self.model.negative_batch(len(self._data), seed=seed, remember=False, **labels)
        energies = {
            "data": self.model.energy(self._data, self._labels).numpy(),
            "samples": self.model.energy(model.samples, model.labels).numpy(),
        }
        self._summarise(step, energies, "energy/", "histogram")
        if self.folder is not None and any(np.isfinite(e).any() for e in energies.values()):
            picture = evaluation.histogram_chart(energies, f"Energies at step {step}")
            write_picture(picture, "energies", step, self.folder)


def write_picture(picture, tag: str, step: int, folder=None, writer=None, name=None) -> None:
    """Write a uint8 picture [height, width, channels] as PNG, to TensorBoard, or both."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        evaluation.save_png(folder / (name or f"{tag}_{step:07d}.png"), picture)
    if writer is not None:
        with _at(writer, step):
            tf.summary.image(tag, picture[None])


def _at(writer, step: int):
    """Let what is summarised go to a writer, as of a step, in a `with` block.

    TensorFlow keeps each number of Python's that it has made a tensor of, in half a kilobyte, as
    long as the process lives. NumPy's it does not keep.
    """
    return writer.as_default(step=np.int64(step))
