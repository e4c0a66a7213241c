"""What every energy-based model shares: building, training and evaluation."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, distribution, energies, optimizers, workers
from tf_febm import networks as network_library
from tf_febm.models import inputs, updates
from tf_febm.models.averaging import (
    WeightAverage,
    averaged_variables,
    check_decay,
    update_with,
)
from tf_febm.models.chains import Batch, Chains
from tf_febm.models.metrics import MeanOfEach
from tf_febm.models.saving import Saving
from tf_febm.samplers import Langevin, ReplayBuffer

__all__ = ["EnergyModel"]


class _NoticeChanges(keras.callbacks.Callback):
    """Let what a callback assigns to the model take effect from the next epoch on."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model._notice_changes()


class EnergyModel(Chains, Saving, keras.Model):
    """Base of the models: q(x) ∝ exp(−E(x)) with a network for E and a sampler for q.

    Args:
        energy: Keras model or layer from x, or (x, one_hot), to [n, 1] or [n].
        sampler: Callable (energy_fn, initial_state, seed) -> samples; a `Langevin`. Its `bounds`,
            if it has any, are those of the data.
        buffer: A `ReplayBuffer` or `PersistentChains`, or None to start every chain afresh.
        num_classes: Number of classes of a conditional model. It is found out for functional
            networks with two inputs; give it for others.
        average_decay: Decay of a running average of the energy's weights, or None to keep none;
            see `averaged_weights`.
        seed: Seed of all random numbers of the model, an int, or None for a random one.
        name: The Keras name.
    """

    # Names of the metrics that training steps report; what evaluation has not is last.
    METRICS: tuple[str, ...] = ()
    TRAINING_ONLY = ("energy_gradient_norm", "variational_gradient_norm", "generator_gradient_norm")

    def __init__(
        self,
        energy,
        *,
        sampler=None,
        buffer: ReplayBuffer | None = None,
        num_classes: int | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self._held: Any = None
        # Under a mixed policy samples stay as they are until a network casts them.
        self.autocast = False
        self.energy_network = check_network("energy", energy)
        self.sample_shape = None
        self.num_classes = classes_of(energy)
        if num_classes is not None:
            self.num_classes = arguments.whole_number("num_classes", num_classes, 1)
        self.sampler = Langevin() if sampler is None else sampler
        self.buffer = buffer
        self.average: WeightAverage | None = None
        self.average_decay = average_decay
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._means = MeanOfEach(self.METRICS)

    # --- building -------------------------------------------------------------------------------

    @property
    def networks(self) -> tuple:
        """The networks that this model trains, the energy first."""
        return (self.energy_network,)

    @property
    def sampler(self):
        """The sampler; a new one of the same bounds may be assigned."""
        return self._sampler

    @sampler.setter
    def sampler(self, sampler) -> None:
        if not callable(sampler):
            raise TypeError(
                f"sampler must be callable (energy_fn, initial_state, seed); received {sampler!r}."
            )
        buffer = getattr(self, "buffer", None)
        bounds = getattr(sampler, "bounds", None)
        if buffer is not None and buffer.built and bounds != buffer.bounds:
            raise ValueError(
                f"The replay buffer holds samples with bounds {buffer.bounds}; received a sampler "
                f"with bounds {bounds}."
            )
        self._sampler = sampler
        self._forget_compiled()

    @property
    def buffer(self):
        """The replay buffer or persistent chains; another one, or None, may be assigned."""
        return self._buffer

    @buffer.setter
    def buffer(self, buffer) -> None:
        if buffer is not None and not isinstance(buffer, ReplayBuffer):
            raise TypeError(
                f"buffer must be a ReplayBuffer, PersistentChains or None; received {buffer!r}."
            )
        if buffer is not None and self.built:
            with self.distribute_strategy.scope(), tf.init_scope():
                buffer.build(self.sample_shape, self.bounds, self.num_classes)
        self._buffer = buffer
        self._forget_compiled()

    @property
    def average_decay(self) -> float | None:
        """The decay of the running average of weights, or None if there is none."""
        return self._average_decay

    @average_decay.setter
    def average_decay(self, decay) -> None:
        decay = None if decay is None else check_decay(decay)
        if self.built and (decay is None) != (self.average is None):
            raise ValueError(
                "Whether a model keeps an average is settled when it is built; received "
                f"average_decay={decay}."
            )
        self._average_decay = decay
        for average in self._averages():
            average.decay = decay
        self._forget_compiled()

    def _averages(self) -> list[WeightAverage]:
        """Return the running averages that the model keeps."""
        average = getattr(self, "average", None)
        return [] if average is None else [average]

    # --- what compiled functions hold -------------------------------------------------------------

    def _settings(self) -> dict:
        """Return the arguments that steps depend on and that may be assigned, by name."""
        return {}

    def _forget_compiled(self) -> None:
        """Have all compiled functions traced anew: they hold constants that have changed."""
        self._compiled_chain = tf.function(self._chain, autograph=False, reduce_retracing=True)
        if self.train_function is not None:
            # Not None: a running `fit` calls it.
            self.make_train_function(force=True)
        self.test_function = None

    def _notice_changes(self) -> None:
        """Trace anew if what compiled functions hold as constants has changed since the last call.

        That is: settings of the model, of its sampler and buffer, and which layers are frozen.
        """
        trained = [id(v) for network in self.networks for v in network.trainable_variables]
        parts = [_description(part) for part in (self.sampler, self.buffer)]
        held = (repr(self._settings()), *parts, trained)
        if self._held is not None and held != self._held:
            self._forget_compiled()
        self._held = held

    @property
    def conditional(self) -> bool:
        """Whether energies depend on a label."""
        return self.num_classes is not None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range of the data, as the sampler has it."""
        return getattr(self.sampler, "bounds", None)

    def build(self, input_shape) -> None:
        """Create all variables for inputs of a shape.

        Args:
            input_shape: (None, *sample_shape), or that and the shape of the labels.
        """
        if input_shape and not isinstance(input_shape[0], (int, type(None))):
            input_shape = input_shape[0]
        self.sample_shape = tuple(input_shape[1:])
        for network in self.networks:
            distribution.check_spread(network.name, network.variables, self.distribute_strategy)
        with tf.init_scope():
            self._build_networks()
            if self.buffer is not None:
                self.buffer.build(self.sample_shape, self.bounds, self.num_classes)
            if self.average_decay is not None:
                self.average = WeightAverage(
                    averaged_variables(self.energy_network), self.average_decay
                )
        self.built = True
        self._build_optimizers()

    def _build_networks(self) -> None:
        """Call every network once, on an example of the shape of the data."""
        example = Batch(
            tf.zeros((2, *self.sample_shape)),
            tf.zeros([2], tf.int32) if self.conditional else None,
        )
        for network in self.networks:
            self._evaluate(network, example)

    def _build_if_known(self) -> None:
        """Build at once where the energy network tells the shape of its input."""
        shape = getattr(self.energy_network, "input_shape", None)
        if shape and isinstance(shape[0], (tuple, list)):
            shape = shape[0]
        if shape and None not in shape[1:]:
            self.build(tuple(shape))

    def _players(self) -> list[tuple]:
        """Return (network, optimizer) of each network that is trained; optimizers may be None."""
        return [(self.energy_network, getattr(self, "optimizer", None))]

    def _build_optimizers(self) -> None:
        """Create the optimizers' variables, each for its own network."""
        for network, optimizer in self._players():
            if not self.built or optimizer is None:
                continue
            with self.distribute_strategy.scope():
                distribution.take_gradients_as_given(optimizer)
                # Those of frozen layers as well, which may be trained later.
                optimizer.build(updates.learnable(network))
        if getattr(self, "optimizer", None) is not None:
            # Keras calls it at the end of a fit, for this optimizer and all weights of the model.
            self.optimizer.finalize_variable_values = self._finalise_optimizers

    def _finalise_optimizers(self, var_list=None) -> None:
        """Put moving averages of optimizers (`use_ema`) in the place of their networks' weights."""
        for _, optimizer in self._players():
            optimizer = updates.stepping(optimizer)
            if optimizer.use_ema:
                type(optimizer).finalize_variable_values(optimizer, optimizer._trainable_variables)

    def compile(self, optimizer=None, *, jit_compile: bool = False, **kwargs):
        """Set the optimizer.

        Args:
            optimizer: For the energy; the paper's, `optimizers.default()`, if None.
            jit_compile: Whether XLA compiles the step. Off unless asked for: on CPUs it is several
                times slower for convolutions, and XLA drops the assertions about bad batches.
            **kwargs: Further arguments of `keras.Model.compile`, such as run_eagerly. Unless
                auto_scale_loss is False, a network that computes in float16 has its loss scaled by
                a `keras.optimizers.LossScaleOptimizer` around its optimizer.
        """
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.get(name) is not None:
                raise ValueError(
                    f"{type(self).__name__} has an objective and metrics of its own: compile takes "
                    f"no {name}; received {kwargs[name]!r}."
                )
        if kwargs.get("steps_per_execution", 1) != 1 and (
            self.distribute_strategy.num_replicas_in_sync > 1
        ):
            # TensorFlow would end in "You must feed a value for placeholder tensor".
            raise ValueError("steps_per_execution must be 1 with several replicas.")
        with self.distribute_strategy.scope():
            optimizer = optimizers.default() if optimizer is None else optimizer
            # Which Keras would do for one optimizer and by the policy of the model alone.
            if kwargs.pop("auto_scale_loss", True):
                optimizer = self._with_loss_scale(keras.optimizers.get(optimizer))
        super().compile(
            optimizer=optimizer, jit_compile=jit_compile, auto_scale_loss=False, **kwargs
        )
        self._build_optimizers()

    def _with_loss_scale(self, optimizer):
        """Return an optimizer that scales losses, if some network computes in float16."""
        half = any(_computes_in_half(network) for network in self.networks)
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if not half or scaled or optimizer.loss_scale_factor is not None:
            return optimizer
        return keras.optimizers.LossScaleOptimizer(optimizer)

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Train; everything as in `keras.Model.fit`.

        The data are x, or (x, labels) for a conditional model. With weights, `sample_weight` or
        `class_weight` or the last of (x, labels, weights), the density that is learned is that of
        the weighted data: an example of weight 2 counts as two.
        """
        if not self.built:
            shape = inputs.sample_shape_of(x)
            if shape is None:
                raise ValueError(
                    "The shape of an example cannot be told from the data: call "
                    "model.build((None, …)) with it before fit."
                )
            with self.distribute_strategy.scope():
                self.build((None, *shape))
        if isinstance(x, (tf.data.Dataset, tf.distribute.DistributedDataset)):
            # Keras would warn that it cannot shuffle a dataset, which nobody asked it to.
            shuffle = False
        if isinstance(validation_data, (tuple, list)):
            validation = keras.utils.unpack_x_y_sample_weight(tuple(validation_data))
            validation_data = inputs.with_weights_kept(*validation)
        self._check_class_weight(class_weight)
        self._notice_changes()
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [*(tf.nest.flatten(callbacks) if callbacks else []), _NoticeChanges()]
        x, y, sample_weight = inputs.with_weights_kept(x, y, sample_weight)
        with inputs.assertions_in_one_line():
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
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        callbacks=None,
        return_dict=False,
        **kwargs,
    ):
        """Measure the metrics on held-out data; everything as in `keras.Model.evaluate`.

        Returns:
            The values in the order of `metrics_names`, or name -> value.
        """
        self._notice_changes()
        x, y, sample_weight = inputs.with_weights_kept(x, y, sample_weight)
        with inputs.assertions_in_one_line():
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

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Take one step; everything as in `keras.Model.train_on_batch`.

        Returns:
            The values in the order of `metrics_names`, the norms of gradients behind them; or
            name -> value.
        """
        self._check_class_weight(class_weight)
        self._notice_changes()
        x, y, sample_weight = inputs.with_weights_kept(x, y, sample_weight)
        with inputs.assertions_in_one_line():
            logs = super().train_on_batch(x, y, sample_weight, class_weight, return_dict=True)
        return self._in_order(logs, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Measure a batch; everything as in `keras.Model.test_on_batch`.

        Returns:
            The values in the order of `metrics_names`, or name -> value.
        """
        self._notice_changes()
        x, y, sample_weight = inputs.with_weights_kept(x, y, sample_weight)
        with inputs.assertions_in_one_line():
            logs = super().test_on_batch(x, y, sample_weight, return_dict=True)
        return self._in_order(logs, return_dict)

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in its order."""
        return [name for name in self.METRICS if name not in self.TRAINING_ONLY]

    def _in_order(self, logs: dict, as_dict: bool):
        return logs if as_dict else [logs[name] for name in self.METRICS if name in logs]

    def _check_class_weight(self, class_weight) -> None:
        if class_weight is not None and not self.conditional:
            raise ValueError(
                "class_weight needs labels, which an unconditional model does not take: give "
                "sample_weight, one weight per example."
            )

    def train_step(self, data):
        """Take one step on a batch, x or (x, labels)."""
        data = self._checked_batch(data)
        # Spectral norms are estimated once for the whole step, chains included.
        with (
            distribution.one_batch(tf.shape(data.samples)[0]),
            network_library.power_iteration(*self.networks),
        ):
            try:
                return self._train_on(data)
            finally:
                updates.forget_losses(*self.networks)

    def test_step(self, data):
        """Measure on a held-out batch, against chains that leave no trace."""
        data = self._checked_batch(data)
        with distribution.one_batch(tf.shape(data.samples)[0]):
            try:
                return self._test_on(data)
            finally:
                updates.forget_losses(*self.networks)

    def _train_on(self, data: Batch) -> dict:
        """Change the weights by one step on a checked batch and return the metrics."""
        raise NotImplementedError

    def _test_on(self, data: Batch) -> dict:
        """Return the metrics of a checked batch."""
        raise NotImplementedError

    def _checked_batch(self, data) -> Batch:
        x, labels, weights = inputs.split_labels(data, self.conditional)
        if not self.built:
            self.build(tf.convert_to_tensor(x).shape)
        x = inputs.check_samples(x, self.sample_shape)
        x = inputs.assert_valid_values(x, self.bounds, labels, self.num_classes)
        return Batch(x, labels, weights)

    def _update_metrics(self, **values) -> dict:
        """Add values, scalars and gradient norms, to the running means; return those given."""
        norms = {n: v for n, v in values.items() if isinstance(v, updates.GradientNorm)}
        values |= {name: norm.value for name, norm in norms.items()}
        self._means.update_state(values, {name: norm.counted for name, norm in norms.items()})
        means = self._means.result()
        if workers.spans_workers():
            # Keras reduces what the workers return along an axis, which scalars lack.
            means = {name: value[None] for name, value in means.items()}
        return means

    def _iterations(self) -> tf.Tensor:
        """Return the updates of the energy's weights so far."""
        return tf.convert_to_tensor(self.optimizer.iterations) + 0

    def _update_averages(self, before) -> None:
        """Take the weights into the averages, if there was an update since `before`."""
        update_with(self._averages(), self.optimizer, before)

    # --- evaluation -----------------------------------------------------------------------------

    def energy(self, x, labels=None) -> tf.Tensor:
        """Return E(x); lower is more likely.

        Args:
            x: Floating [n, …], inside the sampler's bounds.
            labels: Integers [n] or one-hot rows [n, num_classes], for a conditional model.

        Returns:
            Float32 [n]. Energies have no zero of their own: only differences mean anything.

        Raises:
            ValueError: On a wrong shape, or labels missing, superfluous or out of range.
            TypeError: If x is not floating.
        """
        return self._evaluate(self.energy_network, self._as_batch(x, labels))

    def score(self, x, labels=None) -> tf.Tensor:
        """Return −∇ₓE(x), the gradient of the log density.

        Args and errors are those of `energy`.

        Returns:
            A tensor of the shape of x.
        """
        batch = self._as_batch(x, labels)
        return -energies.value_and_gradient(self._energy_given(batch.labels), batch.samples)[1]

    def call(self, inputs, training=False):
        """Return the energies, [n], of x or of (x, labels)."""
        x, labels = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        return self._evaluate(self.energy_network, self._as_batch(x, labels), training)

    def predict_step(self, data):
        """Return the energies of a batch, x or (x, labels), as `predict` does."""
        x, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(x, (tuple, list)):
            # Arrays come as predict((x, labels)); datasets yield the pair itself.
            x, labels = x
        return self.energy(x, labels if self.conditional else None)

    def _as_batch(self, x, labels) -> Batch:
        if self.sample_shape is None:
            self.build(tf.convert_to_tensor(x).shape)
        x = inputs.check_samples(x, self.sample_shape)
        if not self.conditional:
            if labels is not None:
                raise ValueError("labels were given, but the energy network takes none.")
            return Batch(x, None)
        if labels is None:
            raise ValueError(f"A conditional model needs labels in 0 … {self.num_classes - 1}.")
        return Batch(x, inputs.one_hot(labels, self.num_classes, x.shape[0]))

    def _evaluate(self, network, batch: Batch, training=False) -> tf.Tensor:
        """Run a network on a batch; [n] in float32 whatever the network computes in."""
        x = batch.samples
        if batch.labels is not None:
            x = (x, inputs.one_hot(batch.labels, self.num_classes))
        value = energies.per_example(network(x, training=training), batch.samples, network.name)
        return tf.cast(value, tf.float32)

    def _energy_given(self, labels, training=False):
        """Return x -> E(x | labels), for those who differentiate it by x."""

        def energy(x):
            return self._evaluate(self.energy_network, Batch(x, labels), training)

        half = _computes_in_half(self.energy_network)
        return energies.HalfPrecisionEnergy(energy) if half else energy

    # --- averaged weights -----------------------------------------------------------------------

    def averaged_weights(self):
        """Return a context in which the energy's weights are their running average.

        Inside it the model evaluates, samples and saves with the average; after it, the weights of
        training are back.

        Raises:
            ValueError: If the model keeps no average.
        """
        if self.average is None:
            raise ValueError("The model keeps no average: give average_decay, and build it.")
        return self.average.applied()

    def best_weights(self):
        """Return `averaged_weights()` if the model keeps an average, else an empty context."""
        return contextlib.nullcontext() if self.average is None else self.averaged_weights()


def _computes_in_half(network) -> bool:
    """Return whether any layer of a network computes in float16."""
    return any(layer.compute_dtype == "float16" for layer in network._flatten_layers())


def _description(part) -> str:
    """Return what tells settings of a sampler or buffer apart."""
    config = getattr(part, "get_config", None)
    return f"{type(part).__name__} {id(part) if config is None else config()}"


def check_network(name: str, network, energy=None):
    """Return a network, or raise an error if it is no Keras layer or has a part of the energy's.

    Two optimizers would move what is shared, and a file of Keras would hold it twice.
    """
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"{name} must be a Keras model or layer; received {network!r}.")
    if energy is not None:
        known = {id(layer) for layer in energy._flatten_layers()}
        for layer in network._flatten_layers():
            if id(layer) in known and (layer.variables or not layer.built):
                raise ValueError(
                    f"energy and {name} must be networks of their own; they share the layer "
                    f"{layer.name}."
                )
    return network


def classes_of(network) -> int | None:
    """Return the width of a functional network's second input, if it has one."""
    shape = getattr(network, "input_shape", None)
    if shape and isinstance(shape[0], (tuple, list)) and len(shape) == 2:
        return shape[1][-1]
    return None
