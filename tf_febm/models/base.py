"""What every energy-based model shares: evaluation, chains, the buffer, building and saving."""

import contextlib
from typing import NamedTuple

import keras
import tensorflow as tf

from tf_febm import energies, randomness
from tf_febm.models import inputs
from tf_febm.models.averaging import WeightAverage, check_decay
from tf_febm.samplers import Langevin, ReplayBuffer

__all__ = ["Batch", "EnergyModel"]


class Batch(NamedTuple):
    """Examples and, for a conditional model, their labels.

    Attributes:
        samples: Floating [n, …].
        labels: Integers [n] or one-hot rows [n, num_classes]; None if unconditional.
    """

    samples: tf.Tensor
    labels: tf.Tensor | None


class EnergyModel(keras.Model):
    """Base of the models: q(x) ∝ exp(−E(x)) with a network for E and a sampler for q.

    Args:
        energy: Keras model or layer from x, or (x, one_hot), to [n, 1] or [n].
        sampler: Callable (energy_fn, initial_state, seed) -> samples; a `Langevin`. Its `bounds`,
            if it has any, are those of the data.
        buffer: A `ReplayBuffer`, or None to start every chain afresh.
        num_classes: Number of classes of a conditional model. It is found out for functional
            networks with two inputs; give it for others.
        average_decay: Decay of a running average of the energy's weights, or None to keep none;
            see `averaged_weights`.
        seed: Seed of all random numbers of the model, an int, or None for a random one.
        name: The Keras name.
    """

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
        self.energy_network = _check_network("energy", energy)
        self.sampler = Langevin() if sampler is None else sampler
        if not callable(self.sampler):
            raise TypeError(
                f"sampler must be callable (energy_fn, initial_state, seed); received {sampler!r}."
            )
        if buffer is not None and not isinstance(buffer, ReplayBuffer):
            raise TypeError(f"buffer must be a ReplayBuffer or None; received {buffer!r}.")
        self.buffer = buffer
        self.num_classes = num_classes if num_classes is not None else _classes_of(energy)
        self.average_decay = None if average_decay is None else check_decay(average_decay)
        self.average = None
        self.sample_shape = None
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._compiled_chain = tf.function(self._chain, autograph=False, reduce_retracing=True)

    # --- building -------------------------------------------------------------------------------

    @property
    def networks(self) -> tuple:
        """The networks that this model trains, the energy first."""
        return (self.energy_network,)

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
        with tf.init_scope():
            example = Batch(
                tf.zeros((2, *self.sample_shape)),
                tf.zeros([2], tf.int32) if self.conditional else None,
            )
            for network in self.networks:
                self._evaluate(network, example)
            if self.buffer is not None:
                self.buffer.build(self.sample_shape, self.bounds, self.num_classes)
            if self.average_decay is not None:
                self.average = WeightAverage(
                    self.energy_network.trainable_variables, self.average_decay
                )
        self.built = True
        self._build_optimizers()

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
            self.optimizer.build(self.energy_network.trainable_variables)

    def fit(self, x=None, *args, **kwargs):
        """Train; everything as in `keras.Model.fit`, with x or (x, labels) as data."""
        if not self.built:
            shape = inputs.sample_shape_of(x)
            if shape is None:
                raise ValueError(
                    "The shape of an example cannot be told from the data: call "
                    "model.build((None, …)) with it before fit."
                )
            self.build((None, *shape))
        if isinstance(x, tf.data.Dataset):
            # Keras would warn that it cannot shuffle a dataset, which nobody asked it to.
            kwargs.setdefault("shuffle", False)
        try:
            return super().fit(x, *args, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            # An assertion of ours inside the compiled step: show its line, not the graph's trace.
            if inputs.MARK not in str(error):
                raise
            line = str(error).split(inputs.MARK, 1)[1].split("'")[0].splitlines()[0]
            raise ValueError(f"Training stopped at a bad batch: {line}.") from None

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

    def _energy_given(self, labels):
        """Return x -> E(x | labels), in inference mode, as samplers take it."""
        return lambda x: self._evaluate(self.energy_network, Batch(x, labels))

    # --- chains ---------------------------------------------------------------------------------

    def next_seed(self) -> tf.Tensor:
        """Return a new seed, int32 [2], and advance the model's random state."""
        return tf.cast(self.seed_generator.next(), tf.int32)

    def fresh_batch(self, count, seed, labels=None) -> Batch:
        """Return starting points of chains: uniform in the bounds, or standard normal without.

        Args:
            count: How many, an int or a scalar tensor.
            seed: Integer tensor [2].
            labels: Labels to keep; drawn uniformly if None and the model is conditional.
        """
        noise_seed, label_seed = tf.unstack(randomness.split(seed, 2))
        shape = tf.concat([[count], self.sample_shape], axis=0)
        if self.bounds is None:
            samples = randomness.normal(shape, noise_seed)
        else:
            samples = randomness.uniform(shape, noise_seed, *self.bounds)
        samples = tf.ensure_shape(samples, (None, *self.sample_shape))
        if self.conditional and labels is None:
            labels = randomness.uniform([count], label_seed, 0, self.num_classes, tf.int32)
        return Batch(samples, labels)

    def negative_batch(self, count, seed=None, *, remember: bool = True) -> Batch:
        """Run the chains of one training step.

        They start in the replay buffer, or afresh with its restart probability, and their ends go
        back into it.

        Args:
            count: Number of chains.
            seed: Integer tensor [2], or None to take the model's next one.
            remember: Whether to write the ends into the buffer.

        Returns:
            Samples of the model [count, …], constants to any gradient, with their labels.
        """
        seed = self.next_seed() if seed is None else seed
        fresh_seed, start_seed, chain_seed = tf.unstack(randomness.split(seed, 3))
        start = self.fresh_batch(count, fresh_seed)
        if self.buffer is not None:
            start = Batch(*self.buffer.start(start.samples, start_seed, start.labels))
        samples = self.sampler(self._energy_given(start.labels), start.samples, chain_seed)
        samples = tf.stop_gradient(samples)
        if self.buffer is not None and remember:
            self.buffer.write(samples, start.labels)
        return Batch(samples, start.labels)

    def sample(
        self,
        num_samples: int,
        labels=None,
        seed=None,
        *,
        initial: str = "noise",
        num_steps: int | None = None,
        **sampler_options,
    ):
        """Draw samples with the model's sampler.

        Args:
            num_samples: How many chains, at least 1. All run at once: bound your memory.
            labels: Labels of a conditional model, integers [num_samples] or one-hot rows; drawn
                uniformly if None.
            seed: An int or a pair of ints; the model's next one if None.
            initial: "noise" starts chains afresh; "buffer" where past chains ended, which is far
                along when training has run, and what an f-EBM was trained against.
            num_steps: Steps of the chains; the sampler's own number if None.
            **sampler_options: Passed to the sampler, such as return_diagnostics=True.

        Returns:
            Float32 [num_samples, …], or what the sampler returns with the given options. Chains
            are finite: the samples follow q only as far as the sampler's docstring says.

        Raises:
            ValueError: On a number below 1, an unknown `initial`, bad labels, or an empty or
                missing buffer.
        """
        return self.sample_batch(
            num_samples, labels, seed, initial=initial, num_steps=num_steps, **sampler_options
        ).samples

    def sample_batch(
        self, num_samples, labels=None, seed=None, *, initial="noise", **sampler_options
    ) -> Batch:
        """Draw samples as `sample` does, and return them with their labels."""
        if isinstance(num_samples, bool) or int(num_samples) != num_samples or num_samples < 1:
            raise ValueError(f"num_samples must be a whole number ≥ 1; received {num_samples!r}.")
        if initial not in ("noise", "buffer"):
            raise ValueError(f"initial must be 'noise' or 'buffer'; received {initial!r}.")
        if self.sample_shape is None:
            raise ValueError("The model has no shape yet: fit it or call model.build first.")
        if labels is not None:
            if not self.conditional:
                raise ValueError("labels were given, but the energy network takes none.")
            if initial == "buffer":
                raise ValueError("initial='buffer' keeps the labels of the stored chains.")
            inputs.one_hot(labels, self.num_classes, num_samples)
            labels = tf.convert_to_tensor(labels)
        if initial == "buffer" and (self.buffer is None or not int(self.buffer.written)):
            raise ValueError("initial='buffer' needs a replay buffer with samples in it.")
        seed = self.next_seed() if seed is None else randomness.as_seed(seed)
        options = {name: value for name, value in sampler_options.items() if value is not None}
        # Options are Python values that shape the graph; the number of chains is a tensor.
        return self._compiled_chain(
            tf.constant(int(num_samples)), labels, seed, initial, tuple(sorted(options.items()))
        )

    def _chain(self, count, labels, seed, initial, sampler_options) -> Batch:
        start_seed, chain_seed = tf.unstack(randomness.split(seed, 2))
        if initial == "buffer":
            start = Batch(*self.buffer.read(count, start_seed))
        else:
            start = self.fresh_batch(count, start_seed, labels)
        energy_fn = self._energy_given(start.labels)
        result = self.sampler(energy_fn, start.samples, chain_seed, **dict(sampler_options))
        return Batch(result, start.labels)

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
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    # --- saving ---------------------------------------------------------------------------------

    def state_variables(self) -> dict:
        """Return all that training changes: group name -> list of `tf.Variable`.

        Raises:
            ValueError: If the model is not built and compiled.
        """
        if not self.built or getattr(self, "optimizer", None) is None:
            raise ValueError("The model must be built and compiled before its state is saved.")
        groups = {
            "energy": self.energy_network.variables,
            "optimizer": self.optimizer.variables,
            "random_state": [self.seed_generator.state],
        }
        state = {name: [v.value for v in variables] for name, variables in groups.items()}
        if self.buffer is not None:
            state["buffer"] = list(self.buffer.variables)
        if self.average is not None:
            state["average"] = list(self.average.variables)
        return state

    def save_own_variables(self, store) -> None:
        """Write what is not a Keras variable into a `.keras` or `.weights.h5` file."""
        if self.buffer is not None and self.buffer.built:
            for key, value in self.buffer.state().items():
                store[f"buffer_{key}"] = value
        if self.average is not None:
            store["average_updates"] = self.average.updates.numpy()
            for i, average in enumerate(self.average.averages):
                store[f"average_{i}"] = average.numpy()

    def load_own_variables(self, store) -> None:
        """Read what `save_own_variables` wrote."""
        if self.buffer is not None and "buffer_written" in store:
            keys = ("samples", "written", "labels")
            state = {key: store[f"buffer_{key}"] for key in keys if f"buffer_{key}" in store}
            self.buffer.load_state(state)
        if self.average is not None and "average_updates" in store:
            self.average.updates.assign(store["average_updates"][()])
            for i, average in enumerate(self.average.averages):
                average.assign(store[f"average_{i}"][()])

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        serialise = keras.saving.serialize_keras_object
        return {
            "energy": serialise(self.energy_network),
            "sampler": serialise(self.sampler),
            "buffer": None if self.buffer is None else serialise(self.buffer),
            "num_classes": self.num_classes,
            "average_decay": self.average_decay,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict, custom_objects=None):
        """Make a model from the result of `get_config`."""
        return cls(
            **{
                key: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
                if isinstance(value, dict)
                else value
                for key, value in config.items()
            }
        )


def _check_network(name: str, network):
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"{name} must be a Keras model or layer; received {network!r}.")
    return network


def _classes_of(network) -> int | None:
    """Return the width of a functional network's second input, if it has one."""
    shape = getattr(network, "input_shape", None)
    if shape and isinstance(shape[0], (tuple, list)) and len(shape) == 2:
        return shape[1][-1]
    return None
