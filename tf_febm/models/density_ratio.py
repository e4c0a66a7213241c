"""The log density ratio of two samples by any f-divergence: the first half of f-EBM by itself."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, data, divergences, energies, objectives, parallel
from tf_febm.models import updates
from tf_febm.models.assertions import assertions_in_one_line, behind
from tf_febm.models.fitting import KINDS_OF_FIT
from tf_febm.models.metrics import MeanOfEach
from tf_febm.models.parts import check_network, classes_of, known_shape

__all__ = ["DensityRatio"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checking(
    {k: KINDS_OF_FIT[k] for k in ("epochs", "callbacks", "initial_epoch", "verbose")}
)
class DensityRatio(keras.Model):
    """Estimate log p(x)/q(x) from samples of p and samples of q.

    The network r ascends the variational bound of an f-divergence

        L = E_p[f'(eʳ)] − E_q[f*(f'(eʳ))] ≤ D_f(p‖q),

    which is tight at r = log p/q. Neither density need be known; there is no energy, and no chain.
    The optimum is the same for every divergence, what samples make of it is not: "kl" weighs those
    of q by eʳ, "reverse_kl" those of p by e⁻ʳ, the χ² divergences by the squares; "js", which is
    logistic regression, and "squared_hellinger" bear that either law is missing where the other is.
    On few samples the bound on these grows without end: give `validation_data` to `fit`, and stop
    by it.

    Metrics, as means over an epoch: `loss` (−L and the network's own losses), `bound` (L),
    `log_ratio_p` and `log_ratio_q` (means of r over the samples of each).

    Args:
        network: Keras model or layer from x, [n, …], to r, [n, 1] or [n], without labels.
        divergence: A `Divergence` or its name.
        log_ratio_clip: Clip all exponentials at this log ratio; None does not.
        name: The Keras name.

    Source: Nguyen, Wainwright & Jordan, "Estimating divergence functionals and the likelihood ratio
    by convex risk minimization", 2010; Eq. 14 of Yu et al., 2020.
    """

    METRICS = ("loss", "bound", "log_ratio_p", "log_ratio_q")
    train_function: Any
    test_function: Any

    def __init__(
        self,
        network: keras.layers.Layer,
        divergence: str | divergences.Divergence = "js",
        *,
        log_ratio_clip: float | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.network = check_network("network", network)
        if classes_of(network) is not None:
            raise ValueError(
                "network must take x alone; received one with a second input, of labels: build it "
                "without num_classes."
            )
        self.divergence = divergences.get(divergence, log_ratio_clip)
        self.sample_shape: tuple[int, ...] | None = None
        self._means = MeanOfEach(self.METRICS)
        shape = known_shape(network)
        if shape is not None:
            self.build(shape)

    # What functions of tf_febm ask of whatever has a ratio.
    conditional, num_classes, bounds, value_range = False, None, None, None
    is_calibrated, has_log_partition, class_names, column_names = False, False, None, None

    @property
    def evaluated_networks(self) -> tuple:
        """All networks that an evaluation needs."""
        return (self.network,)

    def build(self, input_shape: arguments.Shape) -> None:
        """Create all variables for samples of a shape, (None, …)."""
        self.sample_shape = tuple(input_shape[1:])
        self._ratio(tf.zeros((2, *self.sample_shape)))
        self.built = True
        self._build_optimizer()

    def compile(
        self, optimizer: arguments.Optimizer | None = None, *, run_eagerly: bool = False
    ) -> None:
        """Set the optimizer; `keras.optimizers.Adam(1e-3)` if None.

        Args:
            optimizer: That of Keras, or its name.
            run_eagerly: Whether steps run without being compiled, for debugging.
        """
        optimizer = keras.optimizers.Adam(1e-3) if optimizer is None else optimizer
        super().compile(optimizer, run_eagerly=run_eagerly, jit_compile=False)
        parallel.take_gradients_as_given(self.optimizer)
        self._build_optimizer()

    def fit(
        self,
        p_samples: arguments.Reals,
        q_samples: arguments.Reals,
        *,
        batch_size: int = 256,
        epochs: int = 1,
        validation_data: tuple | None = None,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        initial_epoch: int = 0,
        seed: int | None = None,
        verbose: str | int = "auto",
    ) -> "DensityRatio":
        """Train the ratio; compiled with the defaults if it has not been.

        Args:
            p_samples: Floating [n, …], n ≥ 1.
            q_samples: Floating [m, …], of the same shape of example; m may differ.
            batch_size: Samples of each in a batch, or all where there are fewer.
            epochs: Passes over the larger of both; the smaller one comes again and again.
            validation_data: Held-out (p_samples, q_samples), for `val_loss` after each epoch.
            callbacks: Those of Keras.
            initial_epoch: Epoch to begin at, as in Keras.
            seed: Of the order of samples, an int, or None for a random one.
            verbose: As in Keras.

        Returns:
            The model; `history` is what Keras' fit returns.

        Raises:
            TypeError: Samples are not floating.
            ValueError: There are none, shapes differ, or some are not finite.
        """
        batch_size = arguments.whole_number("batch_size", batch_size, 1)
        p, q = _of_training("p_samples", p_samples), _of_training("q_samples", q_samples)
        if not self.built:
            self.build((None, *p.shape[1:]))
        for name, x in (("p_samples", p), ("q_samples", q)):
            self._check_shape(name, x)
        if not self.compiled:
            self.compile()
        held_out = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError(
                    "validation_data must be (p_samples, q_samples); received "
                    f"{arguments.shown(validation_data)}."
                )
            one, other = (_of_training("validation_data", x) for x in validation_data)
            for x in (one, other):
                self._check_shape("validation_data", x)
            # Each as one batch: the bound is a difference of means.
            held_out = tf.data.Dataset.from_tensors((one, other))
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        seed = arguments.whole_number("seed", seed, 0, 2**62)
        parts = [_batches(x, batch_size, 2 * seed + k) for k, x in enumerate((p, q))]
        super().fit(
            tf.data.Dataset.zip(tuple(parts)),
            epochs=epochs,
            steps_per_epoch=-(-max(len(p), len(q)) // batch_size),
            validation_data=held_out,
            # The stream is in random order; Keras would warn that it leaves it so.
            shuffle=False,
            callbacks=callbacks,
            initial_epoch=initial_epoch,
            verbose=verbose,
        )
        return self

    def log_ratio(self, x: arguments.Array) -> tf.Tensor:
        """Return r(x) ≈ log p(x)/q(x), float32 [n].

        Args:
            x: Floating [n, …].

        Raises:
            TypeError: x is not floating.
            ValueError: The shape is not that of training.
        """
        x = _samples("x", x, least=0)
        self._check_shape("x", x)
        return self._ratio(x)

    def log_density_ratio(
        self, x: arguments.Array, labels: arguments.Labels | None = None
    ) -> tf.Tensor:
        """Return `log_ratio(x)`: under this name functions such as `importance_weights` ask for it.

        Args:
            x: The same.
            labels: Must be None.
        """
        if labels is not None:
            raise ValueError("labels were given, but the network takes none.")
        return self.log_ratio(x)

    def call(self, x: arguments.Tensor, training: bool = False) -> tf.Tensor:
        """Return r(x), [n]."""
        return self._ratio(x, training)

    def make_train_function(self, force: bool = False) -> Callable:
        """Make what Keras calls for each step of training; a bad batch is an error of one line."""
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = _in_one_line(self.train_function)
        return self.train_function

    def make_test_function(self, force: bool = False) -> Callable:
        """Make what Keras calls for each held-out batch; see `make_train_function`."""
        if self.test_function is None or force:
            super().make_test_function(force)
            self.test_function = _in_one_line(self.test_function)
        return self.test_function

    def train_step(self, batch: arguments.Data) -> dict:
        """Ascend the bound on a batch of samples of p and one of q."""
        with tf.GradientTape() as tape:
            logs = self._figures(batch, training=True)
            # Gradients of replicas are added up.
            share = logs["loss"] / parallel.replicas()
        updates.take_step(tape, share, self.network, self.optimizer)
        return self._mean_of(logs)

    def test_step(self, batch: arguments.Data) -> dict:
        """Return the figures of training for held-out samples."""
        return self._mean_of(self._figures(batch, training=False))

    @property
    def metrics(self) -> list:
        """The means over an epoch, which Keras resets."""
        return [self._means]

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        serialise = keras.saving.serialize_keras_object
        return {
            "network": serialise(self.network),
            "divergence": serialise(self.divergence.unclipped),
            "log_ratio_clip": self.divergence.log_ratio_clip,
            "name": self.name,
        }

    def get_compile_config(self) -> dict | None:
        """Return the optimizer, serialised, so that a loaded model trains on."""
        if not self.compiled:
            return None
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": optimizer, "run_eagerly": bool(self.run_eagerly)}

    def compile_from_config(self, config: dict) -> None:
        """Compile from the result of `get_compile_config`."""
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
        self.compile(optimizer, run_eagerly=config["run_eagerly"])

    @classmethod
    def from_config(cls, config: dict, custom_objects: Any = None) -> "DensityRatio":
        """Make one from the result of `get_config`."""
        made = {
            key: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
            if isinstance(value, dict)
            else value
            for key, value in config.items()
        }
        return cls(**made)

    def _build_optimizer(self) -> None:
        """Create the optimizer's variables, outside of any step."""
        if self.built and self.compiled:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.network.trainable_variables)

    def _check_shape(self, name: str, x) -> None:
        if self.sample_shape is None:
            raise ValueError("The model has no shape yet: fit it first.")
        if tuple(x.shape[1:]) != self.sample_shape:
            raise ValueError(
                f"{name} must have shape {('n', *self.sample_shape)}; received {tuple(x.shape)}."
            )

    def _ratio(self, x, training=False) -> tf.Tensor:
        r = energies.per_example(self.network(x, training=training), x, "network")
        return tf.cast(r, tf.float32)

    def _mean_of(self, logs: dict) -> dict:
        self._means.update_state(logs)
        return self._means.result()

    def _figures(self, batch, training: bool) -> dict:
        try:
            p, q = _pair(batch)
            if not self.built:
                with tf.init_scope():
                    self.build(p.shape)
            for name, x in (("p_samples", p), ("q_samples", q)):
                self._check_shape(name, x)
        except (TypeError, ValueError):
            # Keras keeps a function that was half made, and fails with it ever after.
            self.train_function = self.test_function = None
            raise
        r_p = self._ratio(p, training)
        own = updates.losses_of(self.network)
        r_q = self._ratio(q, training)
        bound = objectives.variational_bound(self.divergence, r_p, r_q)
        return {
            "loss": own - bound,
            "bound": bound,
            "log_ratio_p": tf.reduce_mean(r_p),
            "log_ratio_q": tf.reduce_mean(r_q),
        }


def _pair(batch) -> tuple:
    """Return the samples of p and those of q in what Keras hands to a step."""
    p, q, weights = keras.utils.unpack_x_y_sample_weight(batch)
    if q is None or weights is not None:
        raise ValueError(
            "A batch must be (p_samples, q_samples), without weights, as "
            f"fit(p_samples, q_samples) makes it; received {'one array' if q is None else 'three'}."
        )
    made = {"p_samples": _samples("p_samples", p), "q_samples": _samples("q_samples", q)}
    finite = [(tf.reduce_all(tf.math.is_finite(x)), f"NaN or Inf in {k}") for k, x in made.items()]
    return tuple(behind(finite, x) for x in made.values())


def _in_one_line(function: Callable) -> Callable:
    """Return a step whose assertions are errors of one line."""

    @functools.wraps(function)
    def call(*given):
        with assertions_in_one_line():
            return function(*given)

    return call


def _batches(x: np.ndarray, batch_size: int, seed: int) -> tf.data.Dataset:
    """Return endless batches of samples, each epoch in another order."""
    rows = data.VectorData("samples", x.reshape(len(x), -1))
    stream = data.stream(rows, min(batch_size, len(x)), seed=seed)
    return stream.map(lambda batch: tf.reshape(batch, (-1, *x.shape[1:])))


def _of_training(name: str, x) -> np.ndarray:
    """Return finite samples as float32 [n, …]."""
    x = np.asarray(_samples(name, x))
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite; received NaN or infinite numbers.")
    return x


def _samples(name: str, x, least: int = 1) -> np.ndarray | tf.Tensor:
    """Return samples as float32 [n, …]."""
    x = x if tf.is_tensor(x) else np.asarray(x)
    if not tf.as_dtype(x.dtype).is_floating:
        raise TypeError(f"{name} must be floating; received {tf.as_dtype(x.dtype).name}.")
    if len(x.shape) < 1 or (x.shape[0] is not None and x.shape[0] < least):
        raise ValueError(f"{name} must have shape [n, …], n ≥ {least}; received {x.shape}.")
    return tf.cast(x, tf.float32) if tf.is_tensor(x) else x.astype(np.float32)
