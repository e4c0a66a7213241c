"""Keras' training interface of a model: compile, fit, evaluate."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, optimizers
from tf_febm.arguments.kinds import NATURAL
from tf_febm.models import inputs, players, watching, weights
from tf_febm.models.assertions import assertions_in_one_line
from tf_febm.models.noticing import NoticeChanges
from tf_febm.models.steps import Steps
from tf_febm.networks.precision import computes_in_half

__all__ = ["KINDS_OF_FIT", "Fitting"]


_VERBOSE = ("auto", 0, 1, 2)
# What Keras' own methods take; `inputs` says more about x, and `weights` about weights.
KINDS_OF_FIT: dict[str, Any] = {
    **dict.fromkeys(
        ("batch_size", "epochs", "steps_per_epoch", "validation_steps", "validation_batch_size",
         "validation_freq", "steps", "steps_per_execution"), arguments.COUNT),
    "x": None,
    "y": arguments.LABELS,
    "initial_epoch": NATURAL,
    "validation_split": arguments.PROBABILITY,
    "shuffle": arguments.SWITCH,
    "class_weight": None,
    "sample_weight": None,
    "callbacks": arguments.Kind(
        "callbacks of Keras",
        lambda value: isinstance(value, keras.callbacks.CallbackList)
        or all(isinstance(one, keras.callbacks.Callback) for one in tf.nest.flatten(value)),
        TypeError,
    ),
    "verbose": arguments.Kind(
        "'auto', 0, 1 or 2", lambda v: isinstance(v, (str, int)) and v in _VERBOSE
    ),
}  # fmt: skip


@arguments.checking(KINDS_OF_FIT)
class Fitting(Steps):
    """The part of a model that Keras trains."""

    # Names of the metrics that training steps report; what evaluation has not is last.
    METRICS: tuple[str, ...] = ()
    # Whose network and optimizer there are beside the energy's: "variational" or "generator".
    SECOND_PLAYER: str | None = None
    TRAINING_ONLY = ("energy_gradient_norm", "variational_gradient_norm", "generator_gradient_norm")
    EVALUATION_ONLY = ("sample_distance",)
    # Those of training that the line of a fit shows.
    SHOWN: tuple[str, ...] = ("loss", "energy_gap")
    # Those of a loss that tells classes apart, behind the others.
    CLASS_METRICS: tuple[str, ...] = ("class_loss", "class_accuracy")

    @property
    def _second_role(self) -> str | None:
        """What the second network stands for, so that models can tell whether theirs agree."""
        return self.SECOND_PLAYER

    def compile(
        self,
        optimizer: arguments.Optimizer | None = None,
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
        """Set the optimizer.

        Args:
            optimizer: For the energy; the paper's, `optimizers.default()`, if None.
            jit_compile: Whether XLA compiles the step. Off unless asked for: on CPUs it is several
                times slower for convolutions, and XLA drops the assertions about bad batches.
            run_eagerly: Whether steps run without being compiled, for debugging.
            steps_per_execution: Batches per call of the compiled step; 1 with several replicas.
            auto_scale_loss: Whether a network that computes in float16 has its loss scaled, by a
                `keras.optimizers.LossScaleOptimizer` around its optimizer.
            loss: Must be None, as the next three: a model has an objective and metrics of its own.
            loss_weights: See `loss`.
            metrics: See `loss`.
            weighted_metrics: See `loss`.

        Raises:
            ValueError: A loss or metrics are given, or several batches per call with several
                replicas.
        """
        refused = {"loss": loss, "loss_weights": loss_weights, "metrics": metrics}
        for name, value in {**refused, "weighted_metrics": weighted_metrics}.items():
            if value is not None:
                raise ValueError(
                    f"{type(self).__name__} has an objective and metrics of its own: compile takes "
                    f"no {name}; received {value!r}."
                )
        if steps_per_execution != 1 and self.distribute_strategy.num_replicas_in_sync > 1:
            # TensorFlow would end in "You must feed a value for placeholder tensor".
            raise ValueError("steps_per_execution must be 1 with several replicas.")
        with self.distribute_strategy.scope():
            optimizer = optimizers.default() if optimizer is None else optimizer
            # Which Keras would do for one optimizer and by the policy of the model alone.
            if auto_scale_loss:
                optimizer = self._with_loss_scale(keras.optimizers.get(optimizer))
        super().compile(
            optimizer=optimizer,
            jit_compile=jit_compile,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=False,
        )
        self._build_optimizers()
        self._trained = self._trained_ids() if self.built else None

    def _set_second_optimizer(self, optimizer, auto_scale_loss: bool) -> None:
        """Set the optimizer of the second player, under its name, as `compile` does the first."""
        name = f"{self.SECOND_PLAYER}_optimizer"
        with self.distribute_strategy.scope():
            optimizer = keras.optimizers.get(optimizer)
            if auto_scale_loss:
                optimizer = self._with_loss_scale(optimizer)
        setattr(self, name, optimizer)
        if optimizer is self.optimizer:
            raise ValueError(f"optimizer and {name} must be two objects.")
        self._build_optimizers()

    def _with_loss_scale(self, optimizer):
        """Return an optimizer that scales losses, if some network computes in float16."""
        half = any(computes_in_half(network) for network in self.networks)
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if not half or scaled or optimizer.loss_scale_factor is not None:
            return optimizer
        return keras.optimizers.LossScaleOptimizer(optimizer)

    def fit(
        self,
        x: arguments.Tensor | None = None,
        y: arguments.Tensor | None = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: arguments.Data | None = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: arguments.Tensor | None = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> keras.callbacks.History:
        """Train; everything as in `keras.Model.fit`.

        The data are x, or (x, labels) for a conditional model. With weights, `sample_weight` or
        `class_weight` or the last of (x, labels, weights), the density that is learned is that of
        the weighted data: an example of weight 2 counts as two.

        The line that Keras prints has a few of the numbers, which `History.history` has all:
        callbacks=[keras.callbacks.ProgbarLogger()] shows them. Callbacks that watch a number are to
        watch `monitor`.
        """
        inputs.require_data(x)
        if isinstance(x, (list, tuple)) and x and all(hasattr(part, "shape") for part in x):
            raise TypeError(
                "x must be one array [n, …], with labels as y, or a dataset; received "
                f"{type(x).__name__} of {len(x)}: give numpy.stack(x), if these are examples."
            )
        inputs.require_arrays(x, self.bounds, sample_shape=self.sample_shape)
        inputs.require_same_length(x, y)
        if not self.built:
            shape = inputs.sample_shape_of(x)
            if shape is None:
                raise ValueError(
                    "The shape of an example cannot be told from the data: call "
                    "model.build((None, …)) with it before fit."
                )
            with self.distribute_strategy.scope():
                self.build((None, *shape))
        if validation_data is not None:
            inputs.require_data(validation_data, "validation_data")
        inputs.require_arrays(validation_data, self.bounds, "validation_data", self.sample_shape)
        if isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
            # Keras would warn that it cannot shuffle a dataset, which nobody asked it to.
            shuffle = False
        if isinstance(validation_data, (tuple, list)):
            validation = keras.utils.unpack_x_y_sample_weight(tuple(validation_data))
            validation_data = weights.with_weights_kept(*validation)
        elif validation_data is not None:
            validation_data = weights.with_weights_kept(validation_data, None, None)[0]
        weights.check_class_weight(class_weight, self.num_classes)
        relative = weights.of_arrays(x, y, sample_weight, class_weight, validation_split)
        self._weights_are_relative = relative is not None
        if relative is not None:
            sample_weight, class_weight = relative, None
        self._notice_changes()
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = watching.with_short_line(watching.prepared(self, callbacks), verbose)
        callbacks = players.for_all(self, callbacks)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*callbacks, NoticeChanges()]
        x, y, sample_weight = weights.with_weights_kept(x, y, sample_weight)
        with assertions_in_one_line():
            return super().fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                verbose=verbose,
                callbacks=callbacks,
                validation_split=validation_split,
                validation_data=validation_data,
                shuffle=shuffle,
                class_weight=class_weight,
                sample_weight=sample_weight,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validation_steps=validation_steps,
                validation_batch_size=validation_batch_size,
                validation_freq=validation_freq,
            )

    def evaluate(
        self,
        x: arguments.Tensor | None = None,
        y: arguments.Tensor | None = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: arguments.Tensor | None = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Measure the metrics on held-out data; everything as in `keras.Model.evaluate`.

        Returns:
            The values in the order of `metrics_names`, or name -> value.
        """
        inputs.require_data(x)
        inputs.require_arrays(x, self.bounds, sample_shape=self.sample_shape)
        inputs.require_same_length(x, y)
        self._notice_changes()
        relative = weights.of_arrays(x, y, sample_weight, None)
        sample_weight = sample_weight if relative is None else relative
        x, y, sample_weight = weights.with_weights_kept(x, y, sample_weight)
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = watching.with_short_line(callbacks, verbose)
        callbacks = players.for_all(self, callbacks)
        with assertions_in_one_line():
            logs = super().evaluate(
                x,
                y,
                batch_size=batch_size,
                verbose=verbose,
                sample_weight=sample_weight,
                steps=steps,
                callbacks=callbacks,
                return_dict=True,
                # What `fit` hands on of its own.
                **kwargs,
            )
        return self._in_order(logs, return_dict)

    def train_on_batch(
        self,
        x: arguments.Tensor,
        y: arguments.Tensor | None = None,
        sample_weight: arguments.Tensor | None = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one step; everything as in `keras.Model.train_on_batch`.

        Returns:
            The values in the order of `metrics_names`, the norms of gradients behind them; or
            name -> value.
        """
        inputs.require_batch(x, y, self.sample_shape)
        weights.check_class_weight(class_weight, self.num_classes)
        weights.check_one_kind(sample_weight, class_weight)
        if sample_weight is not None or class_weight is not None:
            self._weights_are_relative = False
        self._notice_changes()
        x, y, sample_weight = weights.with_weights_kept(x, y, sample_weight)
        with assertions_in_one_line():
            logs = super().train_on_batch(x, y, sample_weight, class_weight, return_dict=True)
        return self._in_order(logs, return_dict)

    def test_on_batch(
        self,
        x: arguments.Tensor,
        y: arguments.Tensor | None = None,
        sample_weight: arguments.Tensor | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Measure a batch; everything as in `keras.Model.test_on_batch`.

        Returns:
            The values in the order of `metrics_names`, or name -> value.
        """
        inputs.require_batch(x, y, self.sample_shape)
        self._notice_changes()
        x, y, sample_weight = weights.with_weights_kept(x, y, sample_weight)
        with assertions_in_one_line():
            logs = super().test_on_batch(x, y, sample_weight, return_dict=True)
        return self._in_order(logs, return_dict)

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in its order."""
        return [name for name in self.METRICS if name not in self.TRAINING_ONLY]

    @property
    def monitor(self) -> str | None:
        """The number in the logs of `fit` that falls as the model gets better; None if none does.

        It needs validation data, as in

            stop = keras.callbacks.EarlyStopping(model.monitor, patience=5)
            model.fit(x, validation_data=held_out, callbacks=[stop])

        and most often is `val_sample_distance`, which estimates the energy distance of held-out
        examples and the samples that training would compare them with; of images that is one of
        pixels, and figures of `training.QualityMetrics` say more.
        """
        return "val_sample_distance"

    def _in_order(self, logs: dict, as_dict: bool):
        # Those of classes come between what evaluation has as well and the norms of gradients.
        last = [name for name in self.METRICS if name in self.TRAINING_ONLY]
        first = [name for name in self.METRICS if name not in last]
        names = (*first, *self.CLASS_METRICS, *last)
        return logs if as_dict else [logs[name] for name in names if name in logs]

    def predict(
        self,
        x: arguments.Tensor,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> np.ndarray:
        """Return the energies of x or (x, labels); everything as in `keras.Model.predict`.

        Classes of a conditional model are what `class_log_probs(x)` tells.
        """
        inputs.require_data(x)
        inputs.require_arrays(x, self.bounds, sample_shape=self.sample_shape)
        if isinstance(x, tuple) and len(x) == 2 and isinstance(x[1], (list, tuple)):
            x = (x[0], np.asarray(x[1]))
        with assertions_in_one_line():
            return super().predict(
                x, batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks
            )

    def predict_on_batch(self, x: arguments.Tensor) -> np.ndarray:
        """Return the energies of one batch; everything as in `keras.Model.predict_on_batch`."""
        inputs.require_batch(x, None, self.sample_shape)
        with assertions_in_one_line():
            return super().predict_on_batch(x)
