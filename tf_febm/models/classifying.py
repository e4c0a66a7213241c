"""The part of a conditional model that tells classes by their energies."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, parallel
from tf_febm.models.chains import Batch
from tf_febm.models.labels import as_rows
from tf_febm.models.weights import WeightedBatches

__all__ = ["ClassCounts", "Classifying"]


class ClassCounts(tf.Module):
    """How often training has seen each class, by weight, kept with the state of the model.

    Args:
        num_classes: Number of classes.

    Attributes:
        sums: Sums of the rows of labels, float64 [num_classes].
    """

    def __init__(self, num_classes: int):
        super().__init__(name="class_counts")
        self.sums = tf.Variable(tf.zeros([num_classes], tf.float64), trainable=False)

    def add(self, data: Batch) -> None:
        """Count the labels of a batch of training."""
        sums = parallel.local(self.sums)
        rows = as_rows(data.labels, sums.shape[0])
        if data.weights is not None:
            rows *= data.weights[:, None]
        # Every replica adds the same to its own copy.
        added = parallel.all_reduce_sum(tf.reduce_sum(rows, axis=0))
        sums.assign_add(tf.cast(added, sums.dtype))

    def log_probabilities(self) -> tf.Tensor:
        """Return log p(y), float32 [num_classes]; −∞ for a class that others were seen without."""
        sums = parallel.local(self.sums)
        sums = tf.convert_to_tensor(sums)
        total = tf.reduce_sum(sums)
        uniform = tf.fill(sums.shape, tf.constant(1.0 / sums.shape[0], sums.dtype))
        return tf.cast(tf.math.log(tf.where(total > 0.0, sums / total, uniform)), tf.float32)


@arguments.checked
class Classifying:
    """The part of a model that makes a classifier of conditional energies.

    Expects of it: `energy_network`, `num_classes`, `conditional`, `sample_shape`, `bounds`.
    """

    # What the model gives, for readers and type checkers.
    conditional: Any
    num_classes: int | None
    energy_network: keras.layers.Layer
    bounds: Any
    sample_shape: tuple[int, ...] | None
    _evaluate: Callable[..., tf.Tensor]
    _whole: Callable[..., tf.Tensor]
    _differentiable: Callable[..., Callable]
    _checked_samples: Callable[..., tf.Tensor]

    CLASS_METRICS: tuple[str, ...]
    # The weight of −log p(y|x) in the loss of θ; an argument of methods that take labels.
    class_weight_coeff: float = 0.0
    class_counts: ClassCounts | None = None

    @property
    def class_probabilities(self) -> np.ndarray:
        """p(y), float64 [num_classes]: how often training has seen each class, weights included.

        Uniform before training. Saved and exported with the model.

        Raises:
            ValueError: The model is not conditional.
        """
        self._require_classes("class_probabilities")
        # A constant of whatever is being traced.
        with tf.init_scope():
            if self.class_counts is None:
                return np.full(self.num_classes, 1.0 / self.num_classes)
            sums = parallel.local(self.class_counts.sums).numpy()
        return sums / sums.sum() if sums.any() else np.full(len(sums), 1.0 / len(sums))

    def class_log_probs(self, x: arguments.Array) -> tf.Tensor:
        """Return log p(y | x) of each class, as the energies of all classes tell it.

            log p(y | x) = log softmax_y(−E(x, y) + log p(y))

        with p(y) = `class_probabilities`: Bayes' rule for the joint density ∝ p(y) e^(−E(x, y)). It
        is that for the densities e^(−E(x, y))/Z_y where Z_y is the same for all classes. Training
        with `class_weight_coeff` above 0 makes the energies such; without it nothing compares
        energies of different classes, and constants that are added to them stay as they happened
        to be. `log_prob` knows each Z_y, after `fit_log_partition`.

        Args:
            x: As `energy` takes it; all classes are evaluated at once, which takes num_classes
                times the memory.

        Returns:
            Float32 [n, num_classes]; −∞ where p(y) is 0.

        Raises:
            ValueError: The model is not conditional; or as `energy`.
        """
        self._require_classes("class_log_probs")
        x = self._checked_samples(x)
        return tf.nn.log_softmax(self._log_prior() - self._class_energies(x))

    def marginal_energy(self, x: arguments.Array) -> tf.Tensor:
        """Return the energy of x whatever its class, −log Σ_y p(y) e^(−E(x, y)).

        The marginal of the joint density ∝ p(y) e^(−E(x, y)); see `class_log_probs`. With a
        reference it contains ½‖z(x)‖² once, as energies do.

        Args:
            x: As `energy` takes it.

        Returns:
            Float32 [n].

        Raises:
            ValueError: The model is not conditional; or as `energy`.
        """
        self._require_classes("marginal_energy")
        x = self._checked_samples(x)
        return self._whole(self._relative_marginal(x), Batch(x, None))

    def _marginal_given(self) -> Callable:
        """Return x -> the marginal energy, for those who differentiate it by x."""
        self._require_classes("marginal_energy")
        return self._differentiable(lambda x: self._relative_marginal(x, self._present_log_prior()))

    def _relative_marginal(self, x, log_prior=None) -> tf.Tensor:
        log_prior = self._log_prior() if log_prior is None else log_prior
        return -tf.reduce_logsumexp(log_prior - self._class_energies(x), axis=1)

    def _present_log_prior(self) -> Any:
        """Return log p(y), read anew whenever a compiled function that is kept runs."""
        counts = self.class_counts
        return self._log_prior() if counts is None else counts.log_probabilities()

    def _log_prior(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.class_probabilities).astype(np.float32)

    def _class_energies(self, x, training: bool = False) -> tf.Tensor:
        """Return what the energy network says of examples with each class, [n, num_classes]."""
        count, classes = tf.shape(x)[0], self.num_classes
        labels = tf.tile(tf.range(classes), [count])
        batch = Batch(tf.repeat(x, classes, axis=0), labels)
        return tf.reshape(self._evaluate(self.energy_network, batch, training), [count, classes])

    def _require_classes(self, what: str) -> None:
        if not self.conditional:
            raise ValueError(
                f"{what} is of models with classes; this one has none: give energy a network of x "
                "and labels, such as networks.mlp((2,), num_classes=3)."
            )

    # --- training -------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        super()._check_settings()  # type: ignore[misc]
        if self.class_weight_coeff and not self.conditional:
            raise ValueError(
                "class_weight_coeff must be 0 for a model without classes; received "
                f"{self.class_weight_coeff}."
            )

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in its order."""
        known = super().metrics_names  # type: ignore[misc]
        return [*known, *self.CLASS_METRICS] if self.class_weight_coeff else known

    def _class_term(self, data: Batch, weights: WeightedBatches, training: bool = False) -> tuple:
        """Return this replica's share of class_weight_coeff · mean −log p(y | x), and metrics."""
        if not self.class_weight_coeff:
            return 0.0, {}
        if data.origin is not None:
            # The classes are those of the examples, however many noisy ones were made of each.
            weights = weights._replace(data=data.origin.weights)
            with parallel.one_batch(tf.shape(data.origin.samples)[0]):
                return self._class_term(data.origin, weights, training)
        prior = self.class_counts.log_probabilities()
        log_probs = tf.nn.log_softmax(prior - self._class_energies(data.samples, training))
        rows = as_rows(data.labels, self.num_classes)
        each = -tf.reduce_sum(tf.math.multiply_no_nan(log_probs, rows), axis=1)
        # Of a class that has no weight in training log p(y | x) = −∞: its examples do not count.
        unknown = tf.reduce_any((rows > 0.0) & tf.math.is_inf(prior), axis=1)
        each = tf.where(unknown, 0.0, each)
        right = tf.argmax(log_probs, axis=1) == tf.argmax(rows, axis=1)
        loss = parallel.batch_mean(each, weights.data)
        accuracy = parallel.batch_mean(tf.cast(right, tf.float32), weights.data)
        told = parallel.all_reduce_sum([weights.told(loss), weights.told(accuracy)])
        metrics = dict(zip(self.CLASS_METRICS, told, strict=True))
        return self.class_weight_coeff * loss, metrics
