"""Base class of f-EBM and its dual form: two networks that play for an f-divergence."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, divergences, objectives, optimizers, parallel
from tf_febm.models import updates
from tf_febm.models.base import EnergyModel
from tf_febm.models.chains import Batch
from tf_febm.models.parts import check_network, classes_of
from tf_febm.models.weights import WeightedBatches, of_batches, outputs_penalty
from tf_febm.networks import GaussianReference
from tf_febm.samplers import ReplayBuffer

__all__ = ["VariationalModel"]


@arguments.checked
class VariationalModel(EnergyModel):
    """Base of the models with an energy network (parameters θ) and a variational network (ω).

    A step draws a batch of the model, lets ω ascend the bound of the divergence, evaluates the
    variational network again, unless the updates are simultaneous, and lets θ descend. A subclass
    says how the log ratio r ≈ log p/q comes from the two networks (`_log_ratio`) and where θ
    descends (`_energy_surrogate`).

    The arguments are those of `FEBM`, which describes them.
    """

    SECOND_PLAYER = "variational"
    METRICS = (
        "loss",
        "bound",
        "energy_data",
        "energy_model",
        "energy_gap",
        "log_ratio_mean",
        "log_ratio_std",
        "buffer_fill",
        "sample_distance",
        "energy_gradient_norm",
        "variational_gradient_norm",
    )
    SETTINGS = {
        **dict.fromkeys(("simultaneous", "leave_one_out"), arguments.switch),
        **dict.fromkeys(
            ("l2_coeff", "variational_l2_coeff", "class_weight_coeff"), arguments.number
        ),
        "variational_steps": functools.partial(arguments.whole_number, minimum=1),
        "warmup_steps": arguments.whole_number,
    }

    def __init__(
        self,
        energy: keras.layers.Layer,
        variational: keras.layers.Layer,
        divergence: str | divergences.Divergence = "js",
        *,
        sampler: Callable | None = None,
        buffer: ReplayBuffer | None = None,
        reference: GaussianReference | None = None,
        l2_coeff: float = 1.0,
        variational_l2_coeff: float | None = None,
        class_weight_coeff: float = 0.0,
        warmup_steps: int = 10,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
        # Switches for research.
        variational_divergence: str | divergences.Divergence | None = None,
        simultaneous: bool = False,
        variational_steps: int = 1,
        leave_one_out: bool = True,
        log_ratio_clip: float | None = None,
    ):
        super().__init__(
            energy,
            sampler=sampler,
            buffer=buffer,
            num_classes=num_classes,
            class_names=class_names,
            reference=reference,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        if variational is energy:
            raise ValueError("energy and variational must be two networks; received one twice.")
        self.variational_network = check_network("variational", variational, energy)
        if hasattr(variational, "input_shape") and classes_of(variational) != classes_of(energy):
            raise ValueError(
                f"energy and variational must take the same inputs; received networks of "
                f"{classes_of(energy)} and {classes_of(variational)} classes."
            )
        self.divergence = divergences.get(divergence, log_ratio_clip)
        self.variational_divergence = (
            self.divergence
            if variational_divergence is None
            else self._named_divergence(variational_divergence, log_ratio_clip)
        )
        self.simultaneous = simultaneous
        self.variational_steps = variational_steps
        other_l2 = l2_coeff if variational_l2_coeff is None else variational_l2_coeff
        self.l2_coeff, self.variational_l2_coeff = l2_coeff, other_l2
        self.class_weight_coeff = class_weight_coeff
        self.leave_one_out = leave_one_out
        self.warmup_steps = warmup_steps
        self._check_settings()
        self._add_networks()
        self.variational_optimizer: keras.optimizers.Optimizer | None = None
        self._build_if_known()

    @staticmethod
    def _named_divergence(divergence, log_ratio_clip) -> divergences.Divergence:
        try:
            return divergences.get(divergence, log_ratio_clip)
        except (TypeError, ValueError) as error:
            raise type(error)(f"variational_divergence: {error}") from None

    @property
    def divergence(self) -> divergences.Divergence:
        """The divergence; another one, or its name, may be assigned.

        The bound that ω ascends goes with it, if it was that of the same divergence. A name keeps
        `log_ratio_clip`.
        """
        return self._divergence

    @divergence.setter
    def divergence(self, divergence) -> None:
        present = getattr(self, "_divergence", None)
        clip = present.log_ratio_clip if present and isinstance(divergence, str) else None
        divergence = divergences.get(divergence, clip)
        if getattr(self, "variational_divergence", None) is getattr(self, "_divergence", self):
            self.variational_divergence = divergence
        self._divergence = divergence

    @property
    def log_ratio_clip(self) -> float | None:
        """Where exponentials are clipped, or None; another bound may be assigned."""
        return self.divergence.log_ratio_clip

    @log_ratio_clip.setter
    def log_ratio_clip(self, clip) -> None:
        own = self.variational_divergence is self.divergence
        other = divergences.get(self.variational_divergence.unclipped, clip)
        self._divergence = divergences.get(self.divergence.unclipped, clip)
        self.variational_divergence = self._divergence if own else other

    @property
    def networks(self) -> tuple:
        """The energy and the variational network."""
        return (self.energy_network, self.variational_network)

    def compile(
        self,
        optimizer: arguments.Optimizer | None = None,
        variational_optimizer: arguments.Optimizer | None = None,
        *,
        jit_compile: bool = False,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        auto_scale_loss: bool = True,
        loss: arguments.Tensor | None = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Set the two optimizers; each is the paper's, `optimizers.default()`, if None.

        All other arguments are those of `EnergyModel.compile`, for both optimizers.
        """
        super().compile(
            optimizer,
            jit_compile=jit_compile,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=auto_scale_loss,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
        )
        with self.distribute_strategy.scope():
            if variational_optimizer is None:
                variational_optimizer = optimizers.default()
        self._set_second_optimizer(variational_optimizer, auto_scale_loss)

    def _train_on(self, data: Batch) -> dict:
        """Take one step of both networks."""
        # 1. A batch of the data, and as many samples of the model.
        model = self._negatives_of(data)
        weights = of_batches(data.weights, model.weights)
        theta = self.energy_network.trainable_variables
        active = self._objective_weight()
        before = self._iterations()

        # Energies do not change before the θ step: record them once, for it.
        energy_tape = tf.GradientTape(watch_accessed_variables=False)
        with energy_tape:
            energy_tape.watch([variable.value for variable in theta])
            energy_data = self._evaluate(self.energy_network, data, training=True)
            own = updates.losses_of(self.energy_network)
            energy_model = self._evaluate(self.energy_network, model, training=True)
            class_term, classes = self._class_term(data, weights, training=True)
        slow_data, slow_model = self._slow_energies(data, model)

        # 2. ω ascends the bound; energies are constants to it.
        energies = (
            tf.stop_gradient(energy_data - slow_data),
            tf.stop_gradient(energy_model - slow_model),
        )
        for _ in range(self.variational_steps):
            outputs, bound, variational_norm = self._ascend(data, model, weights, energies, active)
        h_data, h_model = outputs

        # 3. The variational function again, with the new ω; its output is a constant to θ.
        if not self.simultaneous:
            h_data, h_model = self._variational(data, model)

        # 4. θ descends.
        with energy_tape:
            log_ratio_data = self._log_ratio(h_data, energy_data - slow_data)
            log_ratio_model = self._log_ratio(h_model, energy_model - slow_model)
            surrogate = self._energy_surrogate(
                log_ratio_data, log_ratio_model, energy_data, energy_model, weights.arguments
            )
            penalty = outputs_penalty(self.l2_coeff, energy_data, energy_model, weights)
            penalty += active * class_term
            energy_loss = weights.scale * (active * surrogate + penalty) + own
        energy_norm = updates.take_step(
            energy_tape, energy_loss, self.energy_network, self.optimizer, self._fresh
        )
        self._update_averages(before)

        values = (
            *(self._whole(energy_data, data), self._whole(energy_model, model)),
            *(log_ratio_data, log_ratio_model),
        )
        loss = weights.told(active * bound + penalty) + own
        return self._update_metrics(
            data,
            **self._describe(*values, weights, weights.told(bound), loss),
            **classes,
            energy_gradient_norm=energy_norm,
            variational_gradient_norm=variational_norm,
        )

    def _ascend(
        self, data: Batch, model: Batch, weights: WeightedBatches, energies, active
    ) -> tuple:
        """Take a step of ω; return H and the bound, both as before it, and the gradients' norm."""
        network, optimizer = self.variational_network, self.variational_optimizer
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in network.trainable_variables])
            h_data = self._evaluate(network, data, training=True)
            own = updates.losses_of(network)
            outputs = (h_data, self._evaluate(network, model, training=True))
            ratios = [self._log_ratio(*pair) for pair in zip(outputs, energies, strict=True)]
            ascended = objectives.variational_bound(
                self.variational_divergence, *ratios, **weights.arguments
            )
            penalty = outputs_penalty(self.variational_l2_coeff, *outputs, weights)
            loss = weights.scale * (penalty - active * ascended) + own
        bound = ascended
        if self.variational_divergence is not self.divergence:
            bound = objectives.variational_bound(self.divergence, *ratios, **weights.arguments)
        norm = updates.take_step(tape, loss, network, optimizer, self._fresh)
        return outputs, bound, norm

    def _test_on(self, data: Batch) -> dict:
        """Measure the bound and energies."""
        model = self._negatives_of(data, seed=self.evaluation_seed(), remember=False)
        energy_data = self._evaluate(self.energy_network, data)
        own = updates.losses_of(self.energy_network)
        energy_model = self._evaluate(self.energy_network, model)
        h_data, h_model = self._variational(data, model, training=False)
        slow_data, slow_model = self._slow_energies(data, model)
        ratio_data = self._log_ratio(h_data, energy_data - slow_data)
        ratio_model = self._log_ratio(h_model, energy_model - slow_model)
        ratios = (ratio_data, ratio_model)
        weights = of_batches(data.weights, model.weights)
        bound = objectives.variational_bound(self.divergence, *ratios, **weights.arguments)
        class_term, classes = self._class_term(data, weights)
        penalty = outputs_penalty(self.l2_coeff, energy_data, energy_model, weights) + class_term
        bound, penalty = map(weights.told, (bound, penalty))
        loss = bound + penalty + own
        whole = (self._whole(energy_data, data), self._whole(energy_model, model))
        return self._update_metrics(
            data,
            **self._describe(*whole, *ratios, weights, bound, loss),
            **classes,
            sample_distance=self._sample_distance(data, model),
        )

    def _log_ratio(self, variational, energy) -> tf.Tensor:
        """Return r from the outputs of the two networks at the same samples, [n]."""
        raise NotImplementedError

    def _add_networks(self) -> None:
        """Make what a subclass has beside the two networks, before the model is built."""

    def _slow_energies(self, data: Batch, model: Batch) -> tuple:
        """Return what is subtracted from the energies in the log ratio, at both batches."""
        return 0.0, 0.0

    def _energy_surrogate(
        self, log_ratio_data, log_ratio_model, energy_data, energy_model, weights
    ):
        """Return a scalar along whose gradient θ descends.

        The first four are vectors, [n]; weights are those of `objectives.variational_bound`.
        """
        raise NotImplementedError

    def _variational(self, data: Batch, model: Batch, training=True):
        network = self.variational_network
        return self._evaluate(network, data, training), self._evaluate(network, model, training)

    def _objective_weight(self):
        """Return 0 during the warm-up and 1 after it."""
        if self.l2_coeff == 0.0 or self.warmup_steps == 0:
            return 1.0
        # Steps, each on a batch, whether it changes the weights of the energy or not: gradients may
        # be accumulated, and its layers frozen.
        network, optimizer, every = self.energy_network, self.optimizer, 1
        if not network.trainable_variables:
            optimizer, every = self.variational_optimizer, self.variational_steps
        step = tf.convert_to_tensor(updates.stepping(optimizer)._iterations)
        return tf.cast(step >= self.warmup_steps * every, tf.float32)

    def _describe(
        self, energy_data, energy_model, log_ratio_data, log_ratio_model, weights, bound, loss
    ) -> dict:
        by_data, by_model = weights.data, weights.model
        ratios = tf.concat([log_ratio_data, log_ratio_model], axis=0)
        shares = None
        if by_data is not None:
            # Each half counts as much as the other.
            by_model = tf.ones_like(log_ratio_model) if by_model is None else by_model
            halves = map(parallel.weight_shares, (by_data, by_model))
            shares = 0.5 * tf.concat([*halves], axis=0)
        log_ratio_mean, log_ratio_std = parallel.mean_and_std(ratios, shares)
        mean_data, mean_model, bound, loss = parallel.all_reduce_sum(
            [
                weights.told(parallel.batch_mean(energy_data, by_data)),
                # Without weights of its own the level is 1.
                weights.told(parallel.batch_mean(energy_model, weights.model)),
                bound,
                loss,
            ]
        )
        return {
            "loss": loss,
            "bound": bound,
            "energy_data": mean_data,
            "energy_model": mean_model,
            "energy_gap": mean_data - mean_model,
            "log_ratio_mean": log_ratio_mean,
            "log_ratio_std": log_ratio_std,
            "buffer_fill": self._buffer_fill(),
        }

    def _settings(self) -> dict:
        # `own` is whether ω ascends the bound that θ descends.
        own = self.variational_divergence is self.divergence
        return {
            "divergence": self.divergence.name,
            "variational_divergence": None if own else self.variational_divergence.name,
            "log_ratio_clip": self.divergence.log_ratio_clip,
            **super()._settings(),
        }

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised.

        Raises:
            ValueError: The divergence is not registered, so that loading could not find it.
        """
        for divergence in (self.divergence, self.variational_divergence):
            if not divergences.is_known(divergence):
                raise ValueError(
                    f"{divergence!r} cannot be saved by name: call divergences.register first."
                )
        return {
            **super().get_config(),
            "variational": keras.saving.serialize_keras_object(self.variational_network),
        }
