"""What every energy-based model shares: building, training and evaluation."""

import contextlib

import keras
import tensorflow as tf

from tf_febm import arguments, distribution, energies, optimizers, workers
from tf_febm import networks as network_library
from tf_febm.models import inputs
from tf_febm.models.averaging import WeightAverage, check_decay
from tf_febm.models.chains import Batch, Chains
from tf_febm.models.metrics import MeanOfEach
from tf_febm.models.saving import Saving
from tf_febm.samplers import Langevin, ReplayBuffer

__all__ = ["EnergyModel"]

# Input gradients pass through float16 this much larger: what is below 6e-8 there becomes zero.
_HALF_SCALE = 1024.0


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

    # Names of the metrics that the steps report.
    METRICS: tuple[str, ...] = ()

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
        # Under a mixed policy samples stay as they are until a network casts them.
        self.autocast = False
        self.energy_network = check_network("energy", energy)
        self.sampler = Langevin() if sampler is None else sampler
        if buffer is not None and not isinstance(buffer, ReplayBuffer):
            raise TypeError(
                f"buffer must be a ReplayBuffer, PersistentChains or None; received {buffer!r}."
            )
        self.buffer = buffer
        self.num_classes = classes_of(energy)
        if num_classes is not None:
            self.num_classes = arguments.whole_number("num_classes", num_classes, 1)
        self.average_decay = None if average_decay is None else check_decay(average_decay)
        self.average: WeightAverage | None = None
        self.sample_shape = None
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
        # Whatever was compiled holds the sampler that was there before.
        self._compiled_chain = tf.function(self._chain, autograph=False, reduce_retracing=True)
        self.train_function = self.test_function = None

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
                    self.energy_network.trainable_variables, self.average_decay
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

    def _build_optimizers(self) -> None:
        """Create the optimizers' variables, each for its own network."""
        if self.built and getattr(self, "optimizer", None) is not None:
            self._build_optimizer(self.optimizer, self.energy_network)

    def _build_optimizer(self, optimizer, network) -> None:
        with self.distribute_strategy.scope():
            distribution.take_gradients_as_given(optimizer)
            optimizer.build(network.trainable_variables)

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

    def fit(self, x=None, *args, **kwargs):
        """Train; everything as in `keras.Model.fit`, with x or (x, labels) as data."""
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
            kwargs.setdefault("shuffle", False)
        with inputs.assertions_in_one_line():
            return super().fit(x, *args, **kwargs)

    def evaluate(self, *args, **kwargs):
        """Measure the metrics on held-out data; everything as in `keras.Model.evaluate`."""
        with inputs.assertions_in_one_line():
            return super().evaluate(*args, **kwargs)

    def train_on_batch(self, *args, **kwargs):
        """Take one step; everything as in `keras.Model.train_on_batch`."""
        with inputs.assertions_in_one_line():
            return super().train_on_batch(*args, **kwargs)

    def predict(self, *args, **kwargs):
        """Return the energies of x or (x, labels); everything as in `keras.Model.predict`."""
        with inputs.assertions_in_one_line():
            return super().predict(*args, **kwargs)

    def predict_on_batch(self, *args, **kwargs):
        """Return the energies of one batch; everything as in `keras.Model.predict_on_batch`."""
        with inputs.assertions_in_one_line():
            return super().predict_on_batch(*args, **kwargs)

    def train_step(self, data):
        """Take one step on a batch, x or (x, labels)."""
        data = self._checked_batch(data)
        # Spectral norms are estimated once for the whole step, chains included.
        with (
            distribution.one_batch(tf.shape(data.samples)[0]),
            network_library.power_iteration(*self.networks),
        ):
            return self._train_on(data)

    def test_step(self, data):
        """Measure on a held-out batch, against chains that leave no trace."""
        data = self._checked_batch(data)
        with distribution.one_batch(tf.shape(data.samples)[0]):
            return self._test_on(data)

    def _train_on(self, data: Batch) -> dict:
        """Change the weights by one step on a checked batch and return the metrics."""
        raise NotImplementedError

    def _test_on(self, data: Batch) -> dict:
        """Return the metrics of a checked batch."""
        raise NotImplementedError

    def _checked_batch(self, data) -> Batch:
        x, labels = inputs.split_labels(data, self.conditional)
        if not self.built:
            self.build(tf.convert_to_tensor(x).shape)
        x = inputs.check_samples(x, self.sample_shape)
        return Batch(inputs.assert_valid_values(x, self.bounds, labels, self.num_classes), labels)

    def _update_metrics(self, **values) -> dict:
        """Add values to the running means and return those that were given."""
        self._means.update_state(values)
        means = self._means.result()
        if workers.spans_workers():
            # Keras reduces what the workers return along an axis, which scalars lack.
            means = {name: value[None] for name, value in means.items()}
        return means

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
        elif not self.conditional:
            # Keras' predict drops what a dataset yields beside x.
            labels = None
        return self.energy(x, labels)

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
            x = (x, inputs.as_rows(batch.labels, self.num_classes))
        value = energies.per_example(network(x, training=training), batch.samples, network.name)
        return tf.cast(value, tf.float32)

    def _energy_given(self, labels, training=False):
        """Return x -> E(x | labels), for those who differentiate it by x."""
        if not _computes_in_half(self.energy_network):
            return lambda x: self._evaluate(self.energy_network, Batch(x, labels), training)

        def energy(x):
            x = energies.scale_gradient(x, 1.0 / _HALF_SCALE)
            energy = self._evaluate(self.energy_network, Batch(x, labels), training)
            return energies.scale_gradient(energy, _HALF_SCALE)

        return energy

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


def gradient_norm(optimizer, gradients) -> tf.Tensor:
    """Return the global L2 norm of gradients of `optimizer.scale_loss(loss)`, for the loss."""
    return tf.linalg.global_norm(gradients) / optimizer.scale_loss(tf.constant(1.0))


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
