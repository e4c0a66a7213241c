"""Base class of all energy-based models: building, evaluation, averaged weights."""

import contextlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, energies, parallel
from tf_febm.models import updates
from tf_febm.models.averaging import WeightAverage, averaged_variables, check_decay
from tf_febm.models.chains import Batch, Chains
from tf_febm.models.classifying import ClassCounts, Classifying
from tf_febm.models.labels import as_rows, one_hot
from tf_febm.models.metrics import MeanOfEach
from tf_febm.models.names import Named
from tf_febm.models.normalisation import Normalised
from tf_febm.models.parts import check_network, checked_reference, classes_of, in_white, known_shape
from tf_febm.models.saving import Saving
from tf_febm.models.weights import MeanWeight
from tf_febm.networks import GaussianReference
from tf_febm.networks.precision import computes_in_half
from tf_febm.samplers import Langevin, ReplayBuffer

__all__ = ["EnergyModel"]


@arguments.checked
class EnergyModel(Named, Normalised, Classifying, Chains, Saving):
    """Base of the models: q(x) ∝ exp(−E(x)) with a network for E and a sampler for q.

    Args:
        energy: Keras model or layer from x, or (x, one_hot), to [n, 1] or [n].
        sampler: Callable (energy_fn, initial_state, seed) -> samples. None: `Langevin()`, or
            `Langevin.exponential(0.15, 4)` with a reference. Its `bounds`, if it has any, are those
            of the data.
        buffer: A `ReplayBuffer` or `PersistentChains`, or None to start every chain afresh.
        num_classes: Number of classes of a conditional model. It is found out for functional
            networks with two inputs; give it for others.
        reference: A fitted `networks.GaussianReference`, or None. With it E(x) = f(x) + ½‖z(x)‖²,
            the network being f, and chains move in z: a sampler that is no
            `samplers.Preconditioned` becomes one; l2 terms are those of f.
        class_names: What the data call the classes 0, 1, …, a sequence of num_classes strings, or
            None. It is saved with the model and exported, and changes nothing else.
        average_decay: Decay of a running average of the energy's weights, or None to keep none;
            see `averaged_weights`.
        seed: Seed of all random numbers of the model, an int, or None for a random one.
        name: The Keras name.
    """

    def __init__(
        self,
        energy: keras.layers.Layer,
        *,
        sampler: Callable | None = None,
        buffer: ReplayBuffer | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        reference: GaussianReference | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        # Under a mixed policy samples stay as they are until a network casts them.
        self.autocast = False
        self.energy_network = check_network("energy", energy)
        self.sample_shape = None
        self.num_classes = classes_of(energy)
        if num_classes is not None:
            self.num_classes = arguments.class_count("num_classes", num_classes)
        self.class_names = class_names
        self.reference = checked_reference(reference)
        usual = Langevin() if reference is None else Langevin.exponential(0.15, 4)
        self.sampler = usual if sampler is None else sampler
        self.buffer = buffer
        self.average: WeightAverage | None = None
        self.average_decay = average_decay
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.seed = seed
        self._means = MeanOfEach((*self.METRICS, *self.CLASS_METRICS))

    # What a built model was made with, and would not follow.
    SETTLED: tuple[str, ...] = (
        "num_classes",
        "energy_network",
        "variational_network",
        "generator_network",
        "latent_dim",
        "sample_shape",
        "average",
        "reference",
        # Arguments that are kept under another name.
        "energy",
        "variational",
        "generator",
    )

    def __setattr__(self, name, value):
        if name in self.SETTLED and getattr(self, "built", False):
            present = getattr(self, name, None)
            if present is not value and (isinstance(present, keras.Layer) or present != value):
                raise AttributeError(
                    f"{name} of a {type(self).__name__} is settled when it is built; received "
                    f"{value!r}: make another model."
                )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        """Return the model's name, and what trains and samples it."""
        parts = {"name": self.name, "built": bool(self.built)}
        for name in ("divergence", "sampler", "buffer", "reference"):
            if getattr(self, name, None) is not None:
                parts[name] = getattr(self, name)
        return f"<{type(self).__name__} {', '.join(f'{k}={v!r}' for k, v in parts.items())}>"

    # --- building -------------------------------------------------------------------------------

    @property
    def networks(self) -> tuple:
        """The networks that this model trains, the energy first."""
        return (self.energy_network,)

    @property
    def evaluated_networks(self) -> tuple:
        """All networks that an evaluation may need: those of `networks`, and any slow copy."""
        slow = getattr(self, "slow_energy_network", None)
        return self.networks if slow is None else (*self.networks, slow)

    @property
    def sampler(self) -> Callable:
        """The sampler; a new one of the same bounds may be assigned."""
        return self._sampler

    @sampler.setter
    def sampler(self, sampler) -> None:
        if not callable(sampler):
            raise TypeError(
                f"sampler must be callable (energy_fn, initial_state, seed); received {sampler!r}."
            )
        sampler = self._fitting_sampler(sampler)
        buffer = getattr(self, "buffer", None)
        bounds = getattr(sampler, "bounds", None)
        if buffer is not None and buffer.built and bounds != buffer.bounds:
            raise ValueError(
                f"The replay buffer holds samples with bounds {buffer.bounds}; received a sampler "
                f"with bounds {bounds}."
            )
        self._sampler = sampler
        self._forget_compiled()

    def _fitting_sampler(self, sampler) -> Callable:
        """Return a sampler as the model's chains need it, or raise an error if it cannot be."""
        return in_white(sampler, getattr(self, "reference", None))

    @property
    def buffer(self) -> ReplayBuffer | None:
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
    def seed(self) -> int | None:
        """The seed of all random numbers; another one may be assigned, and they begin anew."""
        return self._seed

    @seed.setter
    def seed(self, seed) -> None:
        if seed is not None:
            seed = arguments.whole_number("seed", seed)
        if self.built or seed != getattr(self, "_seed", seed):
            self.seed_generator.state.assign(keras.random.SeedGenerator(seed).state)
        self._seed = seed

    @property
    def average_decay(self) -> float | None:
        """The decay of the running average of weights, or None if there is none."""
        return self._average_decay

    @average_decay.setter
    def average_decay(self, decay) -> None:
        decay = None if decay is None else check_decay("average_decay", decay)
        if self.built and (decay is None) != (self.average is None):
            raise ValueError(
                "Whether a model keeps an average is settled when it is built; received "
                f"average_decay={decay}."
            )
        self._average_decay = decay
        for average, _ in self._averages().values():
            average.decay = decay
        self._forget_compiled()

    def _averages(self) -> dict[str, tuple]:
        """Return the running averages that the model keeps: name -> (average, its network)."""
        average = getattr(self, "average", None)
        return {} if average is None else {"average": (average, self.energy_network)}

    @property
    def conditional(self) -> bool:
        """Whether energies depend on a label."""
        return self.num_classes is not None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The range of the data, as the sampler has it."""
        return getattr(self.sampler, "bounds", None)

    def build(self, input_shape: arguments.Shape) -> None:
        """Create all variables for inputs of a shape.

        Args:
            input_shape: (None, *sample_shape), or that and the shape of the labels.
        """
        if input_shape and not isinstance(input_shape[0], (int, type(None))):
            input_shape = input_shape[0]
        if self.built and tuple(input_shape[1:]) == self.sample_shape:
            return
        self.sample_shape = tuple(input_shape[1:])
        if self.reference is not None and self.reference.sample_shape != self.sample_shape:
            raise ValueError(
                f"The reference is of examples of shape {self.reference.sample_shape}; the model's "
                f"are of {self.sample_shape}."
            )
        for network in self.networks:
            parallel.check_spread(network.name, network.variables, self.distribute_strategy)
        with tf.init_scope():
            self.mean_weight = MeanWeight()
            if self.conditional:
                self.class_counts = ClassCounts(self.num_classes)
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
        """Call every network once, on an example of what it takes."""
        for network in self.networks:
            self._evaluate(network, self._example_for(network))

    def _example_for(self, network) -> Batch:
        return self._example()

    def _example(self) -> Batch:
        labels = tf.zeros([2], tf.int32) if self.conditional else None
        return Batch(tf.zeros((2, *self.sample_shape)), labels)

    def _build_if_known(self) -> None:
        """Build at once where the energy network tells the shape of its input."""
        shape = known_shape(self.energy_network)
        if shape is not None:
            self.build(shape)

    def _players(self) -> list[tuple]:
        """Return (network, optimizer) of each network that is trained; optimizers may be None."""
        names = [("energy_network", "optimizer")]
        if self.SECOND_PLAYER is not None:
            names.append((f"{self.SECOND_PLAYER}_network", f"{self.SECOND_PLAYER}_optimizer"))
        return [(getattr(self, network), getattr(self, own, None)) for network, own in names]

    def _build_optimizers(self) -> None:
        """Create the optimizers' variables, each for its own network."""
        for network, optimizer in self._players():
            if not self.built or optimizer is None:
                continue
            with self.distribute_strategy.scope():
                parallel.take_gradients_as_given(optimizer)
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

    # --- evaluation -----------------------------------------------------------------------------

    def energy(self, x: arguments.Array, labels: arguments.Labels | None = None) -> tf.Tensor:
        """Return E(x); lower is more likely.

        Args:
            x: Floating [n, …], inside the sampler's bounds.
            labels: Integers [n] or one-hot rows [n, num_classes], for a conditional model.

        Returns:
            Float32 [n]. Energies have no zero of their own: only differences mean anything.

        Raises:
            ValueError: The shape is wrong, or labels are missing, superfluous or out of range.
            TypeError: x is not floating.
        """
        return self._energy(self._as_batch(x, labels))

    def score(self, x: arguments.Array, labels: arguments.Labels | None = None) -> tf.Tensor:
        """Return −∇ₓE(x), the gradient of the log density.

        Args and errors are those of `energy`.

        Returns:
            A tensor of the shape of x.
        """
        batch = self._as_batch(x, labels)
        return -energies.value_and_gradient(self._energy_given(batch.labels), batch.samples)[1]

    def call(self, inputs: arguments.Tensor, training: bool = False) -> tf.Tensor:
        """Return the energies, [n], of x or of (x, labels)."""
        x, labels = inputs if isinstance(inputs, (tuple, list)) else (inputs, None)
        return self._energy(self._as_batch(x, labels), training)

    def predict_step(self, data: arguments.Data) -> tf.Tensor:
        """Return the energies of a batch, x or (x, labels), as `predict` does."""
        x, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(x, (tuple, list)):
            # Arrays come as predict((x, labels)); datasets yield the pair itself.
            x, labels = x
        elif not self.conditional:
            # Keras' predict drops what a dataset yields beside x.
            labels = None
        return self.energy(x, labels)

    def _as_batch(self, x, labels, what: str = "x") -> Batch:
        x = self._checked_samples(x, what)
        if not self.conditional:
            if labels is not None:
                raise ValueError("labels were given, but the energy network takes none.")
            return Batch(x, None)
        if labels is None:
            raise ValueError(f"A conditional model needs labels in 0 … {self.num_classes - 1}.")
        return Batch(x, one_hot(labels, self.num_classes, x.shape[0]))

    def _evaluate(self, network, batch: Batch, training=False) -> tf.Tensor:
        """Run a network on a batch; [n] in float32 whatever the network computes in."""
        x = batch.samples
        if batch.labels is not None:
            x = (x, as_rows(batch.labels, self.num_classes))
        value = energies.per_example(network(x, training=training), batch.samples, network.name)
        return tf.cast(value, tf.float32)

    def _energy(self, batch: Batch, training=False) -> tf.Tensor:
        """Return E, [n]: what the network says, and the reference's part."""
        return self._whole(self._evaluate(self.energy_network, batch, training), batch)

    def _whole(self, relative, batch: Batch) -> tf.Tensor:
        """Return E of a batch, [n], from what the energy network says of it."""
        if self.reference is None:
            return relative
        return relative + tf.cast(self.reference.energy(batch.samples), tf.float32)

    def _energy_given(self, labels, training=False):
        """Return x -> E(x | labels), for those who differentiate it by x."""
        return self._differentiable(
            lambda x: self._evaluate(self.energy_network, Batch(x, labels), training)
        )

    def _differentiable(self, relative):
        """Return x -> E(x) from what the energy network says, with whole gradients."""
        if computes_in_half(self.energy_network):
            relative = energies.HalfPrecisionEnergy(relative)
        if self.reference is None:
            return relative
        return energies.RelativeEnergy(relative, self.reference)

    def averaged_weights(self) -> contextlib.AbstractContextManager:
        """Return a context in which the energy's weights are their running average.

        Inside it the model evaluates, samples and saves with the average; after it, the weights of
        training are back.

        Raises:
            ValueError: The model keeps no average.
        """
        if self.average is None:
            raise ValueError("The model keeps no average: give average_decay, and build it.")
        return self.average.applied()

    def best_weights(self) -> contextlib.AbstractContextManager:
        """Return `averaged_weights()` if the model keeps an average, else an empty context."""
        return contextlib.nullcontext() if self.average is None else self.averaged_weights()
