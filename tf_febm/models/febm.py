"""f-EBM: an energy and a variational function that play for an f-divergence."""

import keras
import tensorflow as tf

from tf_febm import arguments, divergences, objectives, optimizers
from tf_febm.models import inputs
from tf_febm.models.base import EnergyModel, check_network, classes_of
from tf_febm.models.chains import Batch

__all__ = ["FEBM"]

_METRICS = (
    "bound",
    "energy_data",
    "energy_model",
    "energy_gap",
    "log_ratio_mean",
    "log_ratio_std",
    "energy_gradient_norm",
    "variational_gradient_norm",
    "buffer_fill",
)


@keras.saving.register_keras_serializable(package="tf_febm")
class FEBM(EnergyModel):
    """Train an energy by minimising an f-divergence through its variational form.

    The energy E (parameters θ) descends and the variational function H (ω) ascends

        L = E_p[f'(eʳ)] − E_q[f*(f'(eʳ))],   r = H + E,   q ∝ e^(−E)

    A step is Algorithm 1 of the paper; the gradient for θ is that of Theorem 3. At the optimum over
    H the log ratio r is log p/q, which `log_density_ratio` returns. Training is a game: nothing
    guarantees that it converges, and samples come from short chains, not from q itself.

    Metrics, as means over an epoch: `bound` (L), `energy_data`, `energy_model`, `energy_gap`
    (data − model), `log_ratio_mean` and `log_ratio_std` (over both batches),
    `energy_gradient_norm`, `variational_gradient_norm` (global L2) and `buffer_fill` (0 to 1).

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        variational: Network for H, of the same form.
        divergence: A `Divergence` or its name.
        sampler: See EnergyModel; `Langevin()` if None.
        buffer: A `ReplayBuffer`, or None to start every chain afresh.
        l2_coeff: Weight, at least 0, of mean E² over both batches in the loss of θ, and of mean H²
            in that of ω.
        leave_one_out: Whether the covariance term of Theorem 3 is unbiased at any batch size; see
            `objectives.energy_surrogate`.
        log_ratio_clip: Clip all exponentials, as the published code does with 5; None does not.
        warmup_steps: First steps that train on the l2 terms alone, as in the published code; there
            are none if l2_coeff is 0.
        num_classes: See EnergyModel.
        average_decay: See EnergyModel.
        seed: See EnergyModel.
        name: The Keras name.

    Source: Yu, Song, Song, Ermon: Training Deep Energy-Based Models with f-Divergence Minimization,
    ICML 2020.
    """

    def __init__(
        self,
        energy,
        variational,
        divergence="js",
        *,
        sampler=None,
        buffer=None,
        l2_coeff: float = 1.0,
        leave_one_out: bool = True,
        log_ratio_clip: float | None = None,
        warmup_steps: int = 10,
        num_classes: int | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(
            energy,
            sampler=sampler,
            buffer=buffer,
            num_classes=num_classes,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        if variational is energy:
            raise ValueError("energy and variational must be two networks; received one twice.")
        self.variational_network = check_network("variational", variational)
        if hasattr(variational, "input_shape") and classes_of(variational) != classes_of(energy):
            raise ValueError(
                f"energy and variational must take the same inputs; received networks of "
                f"{classes_of(energy)} and {classes_of(variational)} classes."
            )
        self.divergence = divergences.get(divergence, log_ratio_clip)
        self.l2_coeff = arguments.number("l2_coeff", l2_coeff)
        self.leave_one_out = bool(leave_one_out)
        self.warmup_steps = arguments.whole_number("warmup_steps", warmup_steps)
        self.variational_optimizer = None
        self._trackers = [keras.metrics.Mean(name=metric) for metric in _METRICS]
        self._build_if_known()

    @property
    def networks(self) -> tuple:
        """The energy and the variational network."""
        return (self.energy_network, self.variational_network)

    def compile(
        self, optimizer=None, variational_optimizer=None, *, jit_compile: bool = False, **kwargs
    ):
        """Set the two optimizers.

        Args:
            optimizer: For the energy; the paper's, `optimizers.default()`, if None.
            variational_optimizer: For the variational function; likewise.
            jit_compile: Whether XLA compiles the step. Off unless asked for: on CPUs it is several
                times slower for convolutions, and XLA drops the assertions about bad batches.
            **kwargs: Further arguments of `keras.Model.compile`, such as run_eagerly.
        """
        optimizer = optimizers.default() if optimizer is None else optimizer
        # Two losses, two optimizers: Keras would scale only the first for float16.
        kwargs.setdefault("auto_scale_loss", False)
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        if variational_optimizer is None:
            variational_optimizer = optimizers.default()
        self.variational_optimizer = keras.optimizers.get(variational_optimizer)
        if self.variational_optimizer is self.optimizer:
            raise ValueError("optimizer and variational_optimizer must be two objects.")
        self._build_optimizers()

    def _build_optimizers(self) -> None:
        super()._build_optimizers()
        if self.built and self.variational_optimizer is not None:
            self.variational_optimizer.build(self.variational_network.trainable_variables)

    def state_variables(self) -> dict:
        """Return all that training changes: group name -> list of `tf.Variable`."""
        state = super().state_variables()
        for name, owner in (
            ("variational", self.variational_network),
            ("variational_optimizer", self.variational_optimizer),
        ):
            state[name] = [variable.value for variable in owner.variables]
        return state

    def log_density_ratio(self, x, labels=None) -> tf.Tensor:
        """Return r = H(x) + E(x) ≈ log p(x)/q(x).

        Args and errors are those of `energy`. It is as good as H is close to its optimum; q is the
        law of the chains that H was trained against.

        Returns:
            Float32 [n].
        """
        batch = self._as_batch(x, labels)
        return self._evaluate(self.energy_network, batch) + self._evaluate(
            self.variational_network, batch
        )

    def train_step(self, data):
        """Take one iteration of Algorithm 1 on a batch, x or (x, labels)."""
        # 1. A batch of the data, and as many samples of the model.
        data = self._checked_batch(data)
        model = self.negative_batch(tf.shape(data.samples)[0])
        theta = self.energy_network.trainable_variables
        omega = self.variational_network.trainable_variables
        active = self._objective_weight()

        # Energies do not change before the θ step: record them once, for it.
        energy_tape = tf.GradientTape(watch_accessed_variables=False)
        with energy_tape:
            energy_tape.watch([variable.value for variable in theta])
            energy_data = self._evaluate(self.energy_network, data, training=True)
            energy_model = self._evaluate(self.energy_network, model, training=True)

        # 2. ω ascends the bound; energies are constants to it.
        with tf.GradientTape(watch_accessed_variables=False) as variational_tape:
            variational_tape.watch([variable.value for variable in omega])
            h_data, h_model = self._variational(data, model)
            bound = objectives.variational_bound(
                self.divergence,
                h_data + tf.stop_gradient(energy_data),
                h_model + tf.stop_gradient(energy_model),
            )
            penalty = self.l2_coeff * objectives.energy_regulariser(h_data, h_model)
            variational_loss = penalty - active * bound
        variational_gradients = variational_tape.gradient(variational_loss, omega)
        self.variational_optimizer.apply(variational_gradients, omega)

        # 3. The log ratio again, with the new ω, whose H is a constant to θ.
        h_data, h_model = self._variational(data, model)

        # 4. θ descends along Theorem 3.
        with energy_tape:
            log_ratio_data, log_ratio_model = h_data + energy_data, h_model + energy_model
            surrogate = objectives.energy_surrogate(
                self.divergence,
                log_ratio_data,
                log_ratio_model,
                energy_model,
                leave_one_out=self.leave_one_out,
            )
            penalty = self.l2_coeff * objectives.energy_regulariser(energy_data, energy_model)
            energy_loss = active * surrogate + penalty
        energy_gradients = energy_tape.gradient(energy_loss, theta)
        self.optimizer.apply(energy_gradients, theta)
        if self.average is not None:
            self.average.update()

        return self._update_metrics(
            bound=bound,
            **self._describe(energy_data, energy_model, log_ratio_data, log_ratio_model),
            energy_gradient_norm=tf.linalg.global_norm(energy_gradients),
            variational_gradient_norm=tf.linalg.global_norm(variational_gradients),
        )

    def test_step(self, data):
        """Measure the bound and energies on held-out data, against chains that leave no trace."""
        data = self._checked_batch(data)
        model = self.negative_batch(tf.shape(data.samples)[0], remember=False)
        energy_data = self._evaluate(self.energy_network, data)
        energy_model = self._evaluate(self.energy_network, model)
        h_data, h_model = self._variational(data, model, training=False)
        ratios = (h_data + energy_data, h_model + energy_model)
        return self._update_metrics(
            bound=objectives.variational_bound(self.divergence, *ratios),
            **self._describe(energy_data, energy_model, *ratios),
        )

    def _checked_batch(self, data) -> Batch:
        x, labels = inputs.split_labels(data, self.conditional)
        if not self.built:
            self.build(tf.convert_to_tensor(x).shape)
        x = inputs.check_samples(x, self.sample_shape)
        return Batch(inputs.assert_valid_values(x, self.bounds, labels, self.num_classes), labels)

    def _variational(self, data: Batch, model: Batch, training=True):
        network = self.variational_network
        return self._evaluate(network, data, training), self._evaluate(network, model, training)

    def _objective_weight(self):
        """Return 0 during the warm-up and 1 after it."""
        if self.l2_coeff == 0.0 or self.warmup_steps == 0:
            return 1.0
        step = tf.convert_to_tensor(self.optimizer.iterations)
        return tf.cast(step >= self.warmup_steps, tf.float32)

    def _describe(self, energy_data, energy_model, log_ratio_data, log_ratio_model) -> dict:
        ratios = tf.concat([log_ratio_data, log_ratio_model], axis=0)
        return {
            "energy_data": tf.reduce_mean(energy_data),
            "energy_model": tf.reduce_mean(energy_model),
            "energy_gap": tf.reduce_mean(energy_data) - tf.reduce_mean(energy_model),
            "log_ratio_mean": tf.reduce_mean(ratios),
            "log_ratio_std": tf.math.reduce_std(ratios),
            "buffer_fill": 0.0
            if self.buffer is None
            else tf.cast(self.buffer.size, tf.float32) / self.buffer.capacity,
        }

    def _update_metrics(self, **values) -> dict:
        """Add values to the running means and return those that were given."""
        for tracker in self._trackers:
            if tracker.name in values:
                tracker.update_state(values[tracker.name])
        return {t.name: t.result() for t in self._trackers if t.name in values}

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised.

        Raises:
            ValueError: If the divergence is not registered, so that loading could not find it.
        """
        if not self.divergence.is_known:
            raise ValueError(
                f"{self.divergence!r} cannot be saved by name: call divergences.register first."
            )
        return {
            **super().get_config(),
            "variational": keras.saving.serialize_keras_object(self.variational_network),
            "divergence": self.divergence.name,
            "log_ratio_clip": self.divergence.log_ratio_clip,
            "l2_coeff": self.l2_coeff,
            "leave_one_out": self.leave_one_out,
            "warmup_steps": self.warmup_steps,
        }

    def get_compile_config(self) -> dict | None:
        """Return both optimizers, serialised, so that a loaded model trains on."""
        if self.variational_optimizer is None:
            return None
        serialise = keras.saving.serialize_keras_object
        return {
            "optimizer": serialise(self.optimizer),
            "variational_optimizer": serialise(self.variational_optimizer),
            "jit_compile": bool(self.jit_compile),
        }

    def compile_from_config(self, config: dict) -> None:
        """Compile from the result of `get_compile_config`."""
        deserialise = keras.saving.deserialize_keras_object
        self.compile(
            deserialise(config["optimizer"]),
            deserialise(config["variational_optimizer"]),
            jit_compile=config["jit_compile"],
        )
