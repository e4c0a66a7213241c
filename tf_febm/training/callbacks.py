"""Callbacks for any `model.fit`, beside `SampleGrids` and `EnergyHistograms`."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, evaluation
from tf_febm.files import replacing
from tf_febm.models import players, updates
from tf_febm.models.averaging import WeightAverage, averaged_variables, check_decay
from tf_febm.training.recorders import Recorder, write_picture

__all__ = ["AveragedWeights", "ChainDiagnostics", "QualityMetrics", "VariationalRate"]


@arguments.checked
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
        convergence: Whether to measure as well how well chains mix and how far from rest they end,
            by `evaluation.chain_figures`, which takes chains of eleven times the steps. The figures
            go to the writer as `chain/rhat` and so on, and the newest, `chain_rhat` and so on, into
            the logs of Keras at every epoch's end, for callbacks that come after this one.

    The model's sampler must take return_diagnostics, as `Langevin`, `MALA` and `HMC` do.
    """

    def __init__(
        self,
        every: int,
        writer: arguments.Writer | None = None,
        folder: arguments.Path | None = None,
        *,
        num_chains: int = 32,
        num_steps: int | None = None,
        at_epoch_ends: bool = False,
        convergence: bool = False,
    ):
        super().__init__(every, at_epoch_ends, writer)
        self.folder = None if folder is None else Path(folder)
        self.convergence = arguments.switch("convergence", convergence)
        least = 4 if self.convergence else 1
        self.num_chains = arguments.whole_number("num_chains", num_chains, least)
        self.num_steps = num_steps
        self.figures: dict[str, float] = {}

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
        """Run the chains and write what they did."""
        result = self.model.sample(
            self.num_chains,
            seed=0,
            initial="noise",
            num_steps=self.num_steps,
            return_diagnostics=True,
        )
        energy = tf.reduce_mean(result.energy, axis=1).numpy()
        if len(energy):
            values = {"energy_first": energy[0], "energy_last": energy[-1]}
            for name in ("gradient_norm", "clipped_fraction", "acceptance", "step_size"):
                value = getattr(result, name, None)
                if value is not None:
                    values[name] = tf.reduce_mean(value)
            if self.convergence:
                settings = {"num_chains": self.num_chains, "num_steps": self.num_steps}
                found = evaluation.chain_figures(self.model, **settings).as_dict()
                found = {n: float(v) for n, v in found.items() if isinstance(v, float)}
                self.figures = {f"chain_{name}": value for name, value in found.items()}
                values |= found
            self._summarise(step, values, "chain/")
        if self.folder is not None and np.isfinite(energy).any():
            series = {"mean energy": (np.arange(len(energy)), energy)}
            picture = evaluation.line_chart(series, f"Chains at step {step}", "Langevin step")
            write_picture(picture, "chain", step, self.folder)

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Write, if it is time, and pass the newest figures on."""
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            logs.update(self.figures)


@arguments.checked
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
        measure: Any,
        every: int,
        *,
        num_samples: int = 1000,
        num_steps: int | None = None,
        initial: str | None = None,
        writer: arguments.Writer | None = None,
        names: Any = (),
        prefix: str = "",
        at_epoch_ends: bool = False,
    ):
        super().__init__(every, at_epoch_ends, writer)
        if not callable(measure):
            raise TypeError(f"measure must be a function of samples; received {measure!r}.")
        self.measure, self.prefix = measure, prefix
        self.num_samples = arguments.whole_number("num_samples", num_samples, 1)
        arguments.choice("initial", initial, (None, "noise", "buffer", "generator"))
        self._options = {"num_steps": num_steps, "initial": initial}
        self.figures = {prefix + name: math.nan for name in names}

    def record(self, step: arguments.Whole, logs: arguments.Logs) -> None:
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
        self._summarise(step, self.figures)

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Measure, if it is time, and pass the newest figures on."""
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            logs.update(self.figures)


@arguments.checked
class AveragedWeights(keras.callbacks.Callback):
    """Keep a running average of the energy's weights during a fit, and use it at its end.

    A generator, which makes a model's samples, is averaged as well, its moving statistics included.
    The average takes the weights in whenever the network's optimizer has changed them: not while it
    adds up gradients, nor where a loss scale skips a step. Weights of frozen layers are among them:
    they may be trained later. After a `DivergenceGuard` went back the average begins anew at the
    weights that it went back to.

    For models without `average_decay`; of one that has it, the model's own average is used.

    Args:
        decay: See `EnergyModel`'s average_decay.
        path: A `.keras` file that gets the model with the averaged weights at every epoch's end,
            or None.
        swap_at_end: Whether the model has the averaged weights after the fit.
    """

    def __init__(
        self, decay: float = 0.999, path: arguments.Path | None = None, *, swap_at_end: bool = True
    ):
        super().__init__()
        self.decay = check_decay("decay", decay)
        self.path = None if path is None else Path(path)
        if self.path is not None and self.path.suffix != ".keras":
            raise ValueError(f"path must end in .keras; received {path}.")
        self.swap_at_end = bool(swap_at_end)
        self._averages: list[_UpdatedAverage] = []
        self._own = False

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Start the average at the present weights, or go on with that of an earlier fit.

        Raises:
            ValueError: The model takes several steps in one execution.
        """
        self._own = self.model.average is None
        if not self._own:
            return
        if self.model.steps_per_execution > 1:
            raise ValueError(
                f"AveragedWeights sees the weights of one in {self.model.steps_per_execution} "
                "steps: give the model average_decay, or compile it with steps_per_execution=1."
            )
        self._take_up()

    def on_epoch_begin(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Take up what is trained from now on."""
        if self._own:
            self._take_up()

    def on_train_batch_end(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Take the weights into the average, if they were changed."""
        if self._own:
            for average in self._averages:
                average.update()

    def on_epoch_end(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Save the averaged model."""
        if self._own:
            self._take_up()
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.path, ".keras") as temporary, self.applied():
                self.model.save(temporary)

    def on_train_end(self, logs: arguments.Logs | None = None) -> None:
        """Put the average in the place of the weights."""
        if self.swap_at_end:
            weights = [w for network in self.model.networks for w in network.weights]
            with self.applied():
                averaged = [weight.numpy() for weight in weights]
            for weight, average in zip(weights, averaged, strict=True):
                weight.assign(average)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Return a context in which the model has the averaged weights."""
        with contextlib.ExitStack() as stack:
            if not self._own and self.model is not None:
                stack.enter_context(self.model.averaged_weights())
            for average in self._averages if self._own else ():
                stack.enter_context(average.applied())
            yield

    def _take_up(self) -> None:
        """Begin the averages that are missing; end those of other networks and of steps undone."""
        # The networks that samples and energies come from.
        generator = getattr(self.model, "generator_network", None)
        groups = [
            (optimizer, averaged_variables(network))
            for network, optimizer in self.model._players()
            if network is self.model.energy_network or network is generator
        ]
        known, self._averages = [a for a in self._averages if not a.went_back()], []
        for optimizer, weights in groups:
            found = [average for average in known if average.continues(optimizer, weights)]
            self._averages += found or [_UpdatedAverage(optimizer, weights, self.decay)]


class _UpdatedAverage:
    """An average of weights that is brought up to date when an optimizer has changed them."""

    def __init__(self, optimizer, weights: list, decay: float):
        self._weights = weights
        self._average = WeightAverage(weights, decay)
        self._seen = tf.Variable(0, trainable=False, dtype=tf.int64)
        self.applied = self._average.applied
        self._watch(optimizer)

    def _watch(self, optimizer) -> None:
        self._optimizer = optimizer
        self._seen.assign(self._changes())
        self._compiled = tf.function(self._update, autograph=False)

    def _changes(self):
        # Where gradients are accumulated it counts changes of weights; a skipped step is none.
        return tf.cast(tf.convert_to_tensor(self._optimizer.iterations), tf.int64)

    def update(self) -> None:
        """Take the weights in, if the optimizer has changed them since the last time."""
        self._compiled()

    def _update(self) -> None:
        changes = self._changes()

        def take():
            self._average.update()
            return self._seen.assign(changes)

        tf.cond(changes > self._seen, take, self._seen.value)

    def went_back(self) -> bool:
        """Whether the optimizer is at an earlier step than it was."""
        return int(self._changes()) < int(self._seen)

    def continues(self, optimizer, weights: list) -> bool:
        """Whether the weights are these; if so, go on with their optimizer, maybe another one."""
        if {*map(id, weights)} != {*map(id, self._weights)}:
            return False
        if optimizer is not self._optimizer:
            self._watch(optimizer)
        return True


@arguments.checked
class VariationalRate(keras.callbacks.Callback):
    """Let the second optimizer's learning rate follow that of the energy, at a ratio of your own.

    At the beginning of every epoch, after all other callbacks, it sets

        rate of the second optimizer = ratio · rate of the energy's

    The second optimizer is that of the variational network or of the generator. Its rate must be a
    number; that of the energy's may come from a schedule, whose value at the step is taken. Without
    this callback a fit keeps the ratio that it began with.

    Args:
        ratio: Positive.
    """

    def __init__(self, ratio: float = 1.0):
        super().__init__()
        self.ratio = arguments.number("ratio", ratio, above=True)

    def on_train_begin(self, logs: arguments.Logs | None = None) -> None:
        """Look for the second optimizer.

        Raises:
            ValueError: The model has none, or its rate is no number.
        """
        others = players.optimizers_of(self.model)[1:]
        if not others:
            raise ValueError(
                f"{type(self.model).__name__} has one optimizer: leave VariationalRate out."
            )
        (self._optimizer,) = others
        if players.rate_variable(self._optimizer) is None:
            rate = type(updates.stepping(self._optimizer)._learning_rate).__name__
            raise ValueError(
                f"VariationalRate sets the learning rate of the second optimizer, which follows a "
                f"{rate}: give that optimizer a number, or leave VariationalRate out."
            )

    def on_epoch_begin(self, epoch: int, logs: arguments.Logs | None = None) -> None:
        """Set the rate."""
        rate = self.ratio * players.rate_of(self.model.optimizer)
        # NumPy's: TensorFlow keeps Python's numbers as long as the process lives.
        self._optimizer.learning_rate = np.float32(rate)

    def on_train_batch_begin(self, batch: int, logs: arguments.Logs | None = None) -> None:
        """Set the rate again, once those that come later in the list have begun the epoch."""
        if batch == 0:
            self.on_epoch_begin(0)
