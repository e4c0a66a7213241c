"""A model's functions as graphs of tensors, over plain copies of its weights."""

import contextlib
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, randomness

__all__ = ["Endpoints"]


class Endpoints(tf.Module):
    """Hold copies of a model's weights, and the functions that use them.

    The model itself is evaluated, in a Keras scope in which every variable of its networks has the
    value of its copy. What is traced so knows neither the model's variables, which may be spread
    over devices by a strategy, nor anything else that belongs to training.

    Args:
        model: A built model.
        num_steps: Steps of the chains, or None for the sampler's own.
    """

    def __init__(self, model: arguments.Exported, num_steps: int | None = None):
        super().__init__(name="tf_febm_model")
        # tf.Module tracks every attribute: what must not be saved hides in a closure.
        originals = [v for network in model.evaluated_networks for v in network.variables]
        self.weights = [
            tf.Variable(v.numpy(), trainable=False, name=v.path.replace("/", "_"))
            for v in originals
        ]

        @contextlib.contextmanager
        def copies():
            values = [tf.convert_to_tensor(copy) for copy in self.weights]
            with keras.StatelessScope(state_mapping=list(zip(originals, values, strict=True))):
                yield

        self._copies = copies
        self._of_model = lambda: (model, num_steps)

    @property
    def sample_spec(self) -> tf.TensorSpec:
        """The form of x."""
        return tf.TensorSpec([None, *self._of_model()[0].sample_shape], tf.float32, name="x")

    @property
    def first(self) -> str:
        """The name of what the model says of x first of all: an energy, or else a log ratio."""
        return "energy" if hasattr(self._of_model()[0], "energy") else "log_density_ratio"

    def energy(self, x: arguments.Tensor, labels: arguments.Labels | None = None) -> dict:
        """Return {"energy": E(x)}."""
        return self._evaluate("energy", x, labels)

    def score(self, x: arguments.Tensor, labels: arguments.Labels | None = None) -> dict:
        """Return {"score": −∇ₓE(x)}."""
        return self._evaluate("score", x, labels)

    def log_density_ratio(
        self, x: arguments.Tensor, labels: arguments.Labels | None = None
    ) -> dict:
        """Return {"log_density_ratio": r(x)}."""
        return self._evaluate("log_density_ratio", x, labels)

    def p_value(self, x: arguments.Tensor, labels: arguments.Labels | None = None) -> dict:
        """Return {"p_value": …} of a calibrated model."""
        model, _ = self._of_model()
        energy = self._evaluate("energy", x, labels)["energy"]
        return {"p_value": model.calibration.p_value(energy, labels)}

    def log_prob(self, x: arguments.Array, labels: arguments.Labels | None = None) -> dict:
        """Return {"log_prob": …}, and "lower" and "upper" of a model that has an interval."""
        model, _ = self._of_model()
        found = model._log_prob_of(self._evaluate("energy", x, labels)["energy"], labels)
        return {name: value for name, value in found._asdict().items() if value is not None}

    def class_log_probs(self, x: arguments.Array) -> dict:
        """Return {"class_log_probs": log p(y | x)} of a conditional model."""
        return self._evaluate("class_log_probs", x)

    def marginal_energy(self, x: arguments.Array) -> dict:
        """Return {"marginal_energy": …} of a conditional model."""
        return self._evaluate("marginal_energy", x)

    def _evaluate(self, name, *inputs) -> dict:
        model, _ = self._of_model()
        with self._copies():
            return {name: getattr(model, name)(*inputs)}

    def sample(
        self, num_samples: Any, seed: arguments.Seed, labels: arguments.Labels | None = None
    ) -> dict:
        """Return {"samples": …} and the labels of a conditional model, drawn by a seed."""
        model, num_steps = self._of_model()
        # As `randomness.sampling_seed` does with a Python int.
        high, low = tf.bitwise.right_shift(seed, tf.constant(31, tf.int64)), seed
        mask = tf.constant(0x7FFFFFFF, tf.int64)
        pair = randomness.sampling_seed(tf.bitwise.bitwise_and(tf.stack([high, low]), mask))
        # Where `model.sample` starts, and as far as it goes.
        initial = model.INITIAL[0]
        steps = model.steps_of(initial, num_steps)
        with self._copies():
            batch = model._chain(labels, num_samples, pair, steps, initial, ())
        if batch.labels is None:
            return {"samples": batch.samples}
        return {"samples": batch.samples, "labels": batch.labels}
