"""Callbacks for any `model.fit`, beside `SampleGrids` and `EnergyHistograms`."""

import contextlib
import math
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, evaluation
from tf_febm.models.averaging import WeightAverage, check_decay
from tf_febm.training.recorders import Recorder, write_picture

__all__ = ["AveragedWeights", "ChainDiagnostics", "QualityMetrics", "VariationalRate"]


class ChainDiagnostics(Recorder):
    """Write how chains behave that start from noise: energy, gradient norm, what the sampler tells.

    Energies that still fall at the last step say that the chains are too short; a clipped share
    near 1 says that the clipping, not the energy, sets the pace. A fixed seed is used. Also with a
    generator, chains are those of the sampler, from noise.

    Args:
        every: Steps between two records.
        writer: A `tf.summary` writer, the folder for one, or None. The scalars are the means over
            the chains: `chain/energy_first`, `chain/energy_last`, and of what else the sampler
            tells, such as `chain/gradient_norm`, `chain/clipped_fraction`, `chain/acceptance`.
        folder: Where `chain_<number>.png` goes, the mean energy along the chain; or None.
        num_chains: How many chains, at least 1.
        num_steps: Their steps; the sampler's own number if None.
        at_epoch_ends: Whether to wait for the end of the epoch.

    The model's sampler must take return_diagnostics, as `Langevin`, `MALA` and `HMC` do.
    """

    def __init__(
        self,
        every: int,
        writer=None,
        folder=None,
        *,
        num_chains: int = 32,
        num_steps: int | None = None,
        at_epoch_ends: bool = False,
    ):
        super().__init__(every, at_epoch_ends, writer)
        self.folder = None if folder is None else Path(folder)
        self.num_chains = arguments.whole_number("num_chains", num_chains, 1)
        self.num_steps = num_steps

    def record(self, step, logs):
        """Run the chains and write what they did."""
        result = self.model.sample(
            self.num_chains,
            seed=0,
            initial="noise",
            num_steps=self.num_steps,
            return_diagnostics=True,
        )
        energy = tf.reduce_mean(result.energy, axis=1).numpy()
        if self._writer is not None and len(energy):
            values = {"energy_first": energy[0], "energy_last": energy[-1]}
            for name in ("gradient_norm", "clipped_fraction", "acceptance", "step_size"):
                value = getattr(result, name, None)
                if value is not None:
                    values[name] = tf.reduce_mean(value)
            with self._writer.as_default(step=step):
                for name, value in values.items():
                    tf.summary.scalar(f"chain/{name}", value)
        if self.folder is not None and np.isfinite(energy).any():
            series = {"mean energy": (np.arange(len(energy)), energy)}
            picture = evaluation.line_chart(series, f"Chains at step {step}", "Langevin step")
            write_picture(picture, "chain", step, self.folder)


class QualityMetrics(Recorder):
    """Measure samples every so many steps, and add the figures to the logs of Keras.

    Callbacks that come after this one in the list see the newest figures at every epoch's end:
    `CSVLogger` writes them, `EarlyStopping` and `ModelCheckpoint` can watch them. Before the first
    measurement they are NaN if `names` are given, and missing otherwise.

    Args:
        measure: Samples, float32 [num_samples, …] in the units of the data, to a dict of numbers,
            or an object with `as_dict()`, as `evaluation.evaluate_samples` and
            `evaluation.sample_quality` return. Entries that are no numbers are left out.
        every: Steps between two measurements.
        num_samples: How many samples.
        num_steps: Steps of their chains; the sampler's own number if None.
        initial: Where the chains start, "noise" or "buffer"; the buffer if None and there is one.
        writer: A `tf.summary` writer, the folder for one, or None.
        names: The names of the figures, if other callbacks need them from the first epoch.
        prefix: Put before each name.
        at_epoch_ends: Whether to wait for the end of the epoch.
    """

    def __init__(
        self,
        measure,
        every: int,
        *,
        num_samples: int = 1000,
        num_steps: int | None = None,
        initial: str | None = None,
        writer=None,
        names=(),
        prefix: str = "",
        at_epoch_ends: bool = False,
    ):
        super().__init__(every, at_epoch_ends, writer)
        if not callable(measure):
            raise TypeError(f"measure must be a function of samples; received {measure!r}.")
        self.measure, self.prefix = measure, prefix
        self.num_samples = arguments.whole_number("num_samples", num_samples, 1)
        self._options = {"num_steps": num_steps, "initial": initial}
        self.figures = {prefix + name: math.nan for name in names}

    def record(self, step, logs):
        """Draw samples with the best weights and measure them."""
        options = dict(self._options)
        if options["initial"] is None:
            options["initial"] = "noise" if self.model.buffer is None else "buffer"
        with self.model.best_weights():
            samples = self.model.sample(self.num_samples, seed=0, **options).numpy()
        figures = self.measure(samples)
        figures = figures.as_dict() if hasattr(figures, "as_dict") else figures
        self.figures |= {
            self.prefix + name: float(value)
            for name, value in figures.items()
            if isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        }
        if self._writer is not None:
            with self._writer.as_default(step=step):
                for name, value in self.figures.items():
                    tf.summary.scalar(name, value)

    def on_epoch_end(self, epoch, logs=None):
        """Measure, if it is time, and pass the newest figures on."""
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            logs.update(self.figures)


class AveragedWeights(keras.callbacks.Callback):
    """Keep a running average of the energy's weights during a fit, and use it at its end.

    For models without `average_decay`; of one that has it, the model's own average is used.

    Args:
        decay: See `EnergyModel`'s average_decay.
        path: A `.keras` file that gets the model with the averaged weights at every epoch's end,
            or None.
        swap_at_end: Whether the model has the averaged weights after the fit.
    """

    def __init__(self, decay: float = 0.999, path=None, *, swap_at_end: bool = True):
        super().__init__()
        self.decay = check_decay(decay)
        self.path = None if path is None else Path(path)
        if self.path is not None and self.path.suffix != ".keras":
            raise ValueError(f"path must end in .keras; received {path}.")
        self.swap_at_end = bool(swap_at_end)
        self.average = None
        self._own = False

    def on_train_begin(self, logs=None):
        """Start the average at the present weights, or go on with that of an earlier fit."""
        self._own = self.model.average is None
        if not self._own:
            self.average = self.model.average
        elif self.average is None:
            self.average = WeightAverage(self.model.energy_network.trainable_variables, self.decay)
            self._update = tf.function(self.average.update)

    def on_train_batch_end(self, batch, logs=None):
        """Take the weights into the average."""
        if self._own:
            self._update()

    def on_epoch_end(self, epoch, logs=None):
        """Save the averaged model."""
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_name(f".{self.path.stem}.{os.getpid()}.tmp.keras")
            try:
                with self.applied():
                    self.model.save(temporary)
                os.replace(temporary, self.path)
            finally:
                temporary.unlink(missing_ok=True)

    def on_train_end(self, logs=None):
        """Put the average in the place of the weights."""
        if self.swap_at_end:
            weights = self.model.energy_network.trainable_variables
            for weight, average in zip(weights, self.average.averages, strict=True):
                weight.assign(average)

    def applied(self):
        """Return a context in which the model has the averaged weights."""
        return contextlib.nullcontext() if self.average is None else self.average.applied()


class VariationalRate(keras.callbacks.Callback):
    """Let the variational optimizer's learning rate follow that of the energy.

    Keras' callbacks, `LearningRateScheduler` and `ReduceLROnPlateau` among them, know one optimizer
    of a model. Put this one after them. At the beginning of every epoch it sets

        rate of the variational optimizer = ratio · rate of the energy's

    Args:
        ratio: Positive.
    """

    def __init__(self, ratio: float = 1.0):
        super().__init__()
        self.ratio = arguments.number("ratio", ratio, above=True)

    def on_epoch_begin(self, epoch, logs=None):
        """Set the rate."""
        optimizer = getattr(self.model, "variational_optimizer", None)
        if optimizer is None:
            raise ValueError(f"{type(self.model).__name__} has no variational optimizer.")
        optimizer.learning_rate = self.ratio * float(self.model.optimizer.learning_rate)
