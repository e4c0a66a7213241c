"""Base class of energies at several levels of noise, which share one network."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, energies, networks, randomness
from tf_febm.models.base import EnergyModel
from tf_febm.models.chains import Batch
from tf_febm.models.labels import as_rows, one_hot
from tf_febm.models.noise_levels import NoiseLevels
from tf_febm.models.reference_levels import ReferenceLevels
from tf_febm.networks import GaussianReference
from tf_febm.networks.precision import computes_in_half
from tf_febm.samplers.chain import ChainResult, placed
from tf_febm.samplers.sampler import serialised_part

__all__ = ["NoiseConditionalModel"]


@arguments.checked
class NoiseConditionalModel(EnergyModel):
    """Base of `Recovery` and `MultiscaleScoreMatching`: E(x, t) for levels t = 0 … T − 1 of noise.

    One network f(x, t) makes the energies of all levels, relative to a Gaussian of each. What is
    built on a model's energy, such as `score`, `denoise` or export, is of level 0, the data.
    Samples are drawn from the last level down, by chains of x_t given x_{t+1}; their trajectory,
    where it is asked for, is where the chains of each level ended, from x_T to x_0.

    A subclass calls `_set_levels` before the constructor of its base, which builds.
    """

    INITIAL: tuple[str, ...] = ("noise",)
    _levels: NoiseLevels | ReferenceLevels
    _classes: int | None

    def _set_levels(self, levels: NoiseLevels | ReferenceLevels, num_classes: int | None) -> None:
        """Take the levels, and the classes behind them in the rows that networks take."""
        self._levels = levels
        self._classes = None
        if num_classes is not None:
            self._classes = arguments.class_count("num_classes", num_classes)

    def _data_level(self) -> GaussianReference | None:
        """Return the Gaussian that the energy of level 0 is relative to, with a reference."""
        levels = self._levels
        if isinstance(levels, NoiseLevels):
            return None
        return levels.reference.with_noise(levels.sigmas[0])

    def _build_if_known(self) -> None:
        width = self.num_classes
        if width is not None and width != self._row_width:
            raise ValueError(
                f"Networks of {self._row_width} levels and classes are needed, {self.levels.count} "
                f"levels and {self._classes or 0} classes; received an energy network whose second "
                f"input has {width}: build it with num_classes={self._row_width}, or give levels."
            )
        # What the base took for classes are the rows over levels and classes.
        self.num_classes = self._classes
        super()._build_if_known()

    @property
    def levels(self) -> NoiseLevels | ReferenceLevels:
        """The levels of noise; they are settled with the model."""
        return self._levels

    @property
    def _row_width(self) -> int:
        return self._levels.count + (self._classes or 0)

    def _fitting_sampler(self, sampler) -> Callable:
        if getattr(sampler, "bounds", None) is not None or hasattr(sampler, "reference"):
            raise ValueError(
                f"The chains of {type(self).__name__} move in units of the noise: give a sampler "
                "without bounds and without a reference, such as MALA(0.05, 20); received "
                f"{sampler!r}."
            )
        return sampler

    # --- levels ---------------------------------------------------------------------------------

    def _rows(self, levels, labels) -> tf.Tensor:
        """Return what the networks take beside x: one-hot rows over levels, and classes behind."""
        rows = tf.one_hot(levels, self.levels.count)
        if not self.conditional:
            return rows
        labels = as_rows(tf.convert_to_tensor(labels), self.num_classes)
        return tf.concat([rows, labels], axis=1)

    def _rows_of(self, labels, x) -> tf.Tensor:
        """Return `labels` if they are rows over levels; else those of level 0 and these classes."""
        if self._are_rows(labels):
            return labels
        return self._rows(tf.zeros(tf.shape(x)[:1], tf.int32), labels)

    def _are_rows(self, labels) -> bool:
        return labels is not None and labels.shape.rank == 2 and labels.shape[-1] == self._row_width

    def _level_of(self, labels, x) -> tf.Tensor:
        """Return rows over the levels alone, of labels that may be rows; of level 0 without."""
        if self._are_rows(labels):
            return labels[:, : self.levels.count]
        return tf.one_hot(tf.zeros(tf.shape(x)[:1], tf.int32), self.levels.count)

    def _evaluate(self, network, batch: Batch, training=False) -> tf.Tensor:
        """Run the energy network on examples, of level 0 unless the labels are rows."""
        x, rows = batch.samples, self._rows_of(batch.labels, batch.samples)
        level = self._level_of(rows, x)
        # A row is a distribution over the levels and one over the classes.
        value = network((self.levels.seen(x, level), rows), training=training)
        value = energies.per_example(value, x, network.name)
        return tf.cast(value, tf.float32) * self.levels.gain(level)

    def _whole(self, relative, batch: Batch) -> tf.Tensor:
        """Return E, [n], from what the energy network says of examples."""
        x = tf.cast(batch.samples, tf.float32)
        return relative + self.levels.energy(x, self._level_of(batch.labels, x))

    def _differentiable(self, relative, labels=None) -> Any:
        """Return x -> E(x) from what the energy network says, of level 0 unless labels are rows."""
        if computes_in_half(self.energy_network):
            relative = energies.HalfPrecisionEnergy(relative)
        return energies.RelativeEnergy(relative, _AtLevel(self, labels))

    def _energy_given(self, labels, training=False) -> Any:
        """Return x -> E(x), of level 0 unless the labels are rows."""

        def relative(x):
            return self._evaluate(self.energy_network, Batch(x, labels), training)

        return self._differentiable(relative, labels)

    def energy(
        self, x: arguments.Array, labels: arguments.Labels | None = None, *, level: int = 0
    ) -> tf.Tensor:
        """Return E(x, t); lower is more likely.

        Args:
            x: Floating [n, …].
            labels: Integers [n] or one-hot rows [n, num_classes], for a conditional model.
            level: t, from 0, the data, to T − 1.

        Returns:
            Float32 [n]. Energies have no zero of their own: only differences at one level mean
            anything.

        Raises:
            ValueError: The level or a shape is wrong, or labels are missing, superfluous or out of
                range.
            TypeError: x is not floating.
        """
        return self._energy(self._at(self._as_batch(x, labels), level))

    def score(
        self, x: arguments.Array, labels: arguments.Labels | None = None, *, level: int = 0
    ) -> tf.Tensor:
        """Return −∇ₓE(x, t), of the shape of x; arguments and errors are those of `energy`."""
        batch = self._at(self._as_batch(x, labels), level)
        return -energies.value_and_gradient(self._energy_given(batch.labels), batch.samples)[1]

    def _at(self, batch: Batch, level) -> Batch:
        """Return a batch with the rows of a level."""
        level = arguments.whole_number("level", level, 0, self.levels.count)
        return batch._replace(labels=self._rows(tf.fill(tf.shape(batch.samples)[:1], level),
                                                batch.labels))  # fmt: skip

    # --- sampling -------------------------------------------------------------------------------

    def _walked(self, rows) -> Any:
        """Return the energy that chains follow at a level, x -> E(x)."""
        return self._energy_given(rows)

    def _recover(self, noisier, rows, seed, **options) -> Any:
        """Run the chains of x_t given x_{t+1}, and return what the sampler does, for x_t."""
        law = self.levels.before(noisier, self._level_of(rows, noisier))
        energy = energies.RecoveryEnergy(self._walked(rows).energy_fn, *law)
        result = self.sampler(energy, tf.zeros_like(noisier), seed, **options)
        return placed(result, energy.place)

    def _chain(self, labels, count, seed, num_steps, initial, sampler_options) -> Batch:
        start_seed, label_seed, chain_seed = tf.unstack(randomness.split(seed, 3))
        if self.conditional and labels is None:
            labels = randomness.uniform([count], label_seed, 0, self.num_classes, tf.int32)
        x = self.levels.last(tf.concat([[count], self.sample_shape], axis=0), start_seed)
        x = tf.ensure_shape(x, (None, *self.sample_shape))
        steps = {} if num_steps is None else {"num_steps": num_steps}
        seeds = randomness.split(chain_seed, self.levels.count)

        options = dict(sampler_options)
        recorded = bool(options.pop("return_trajectory", False))
        states = tf.TensorArray(tf.float32, self.levels.count + 1 if recorded else 0)

        def recovered(level, x, states, **options):
            states = states.write(self.levels.count - 1 - level, x) if recorded else states
            rows = self._rows(tf.fill([count], level), labels)
            return self._recover(x, rows, seeds[level], **options, **steps), states

        with networks.cached_weights(self.energy_network):
            # One trace of the network for all levels but that of the data, whose chain alone has
            # diagnostics.
            _, x, states = tf.while_loop(
                lambda level, *_: level > 0,
                lambda level, *state: (level - 1, *recovered(level, *state)),
                (tf.constant(self.levels.count - 1), x, states),
            )
            x, states = recovered(0, x, states, **options)
        if recorded:
            result = x if isinstance(x, ChainResult) else ChainResult(x)
            states = states.write(self.levels.count, result.samples)
            x = result._replace(trajectory=states.stack())
        return Batch(x, labels)

    def negative_batch(
        self,
        count: int,
        labels: arguments.Labels | None = None,
        seed: arguments.Seed | None = None,
        *,
        fresh: arguments.Array | None = None,
        remember: bool = True,
    ) -> Batch:
        """Return samples of the model, walked down the levels, constants to any gradient.

        Args:
            count: How many.
            labels: Labels of a conditional model; drawn uniformly if None.
            seed: Integer tensor [2], or None to take the model's next one.
            fresh: Samples to take instead, [count, …].
            remember: Without meaning here: there is no buffer.
        """
        if fresh is not None:
            return Batch(tf.stop_gradient(fresh), labels)
        seed = self.next_seed() if seed is None else seed
        if labels is not None:
            labels = one_hot(labels, self.num_classes, None)
        batch = self._chain(labels, count, seed, None, "noise", ())
        return batch._replace(samples=tf.stop_gradient(batch.samples))

    # --- saving ---------------------------------------------------------------------------------

    def _sampler_config(self) -> dict:
        return serialised_part("sampler", self.sampler)

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        config = super().get_config()
        config.pop("buffer", None)
        reference = getattr(self.levels, "reference", None)
        if reference is not None:
            reference = keras.saving.serialize_keras_object(reference)
        config["reference"] = reference
        return {**config, **self.levels.settings()}


class _AtLevel:
    """The Gaussian that energies of a level are relative to: of labels that are rows, or 0."""

    def __init__(self, model: NoiseConditionalModel, labels):
        self._model, self._labels = model, labels

    def energy(self, x: tf.Tensor) -> tf.Tensor:
        """Return ½‖·‖² of x, [n]."""
        level = self._model._level_of(self._labels, x)
        return self._model.levels.energy(tf.cast(x, tf.float32), level)
