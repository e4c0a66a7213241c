"""f-EBM for targets whose best Gaussian is decided in the tails: the rule "tails"."""

import keras
import tensorflow as tf

from tf_febm import models, objectives
from tf_febm.models.chains import Batch

__all__ = ["TEMPERATURE", "TailsFEBM", "with_quadratic_part"]

# Of the samples of the model: those of q^(1/2), weighted, have reached where q is e^-10 with one in
# a thousand.
TEMPERATURE = 2.0


@keras.saving.register_keras_serializable(package="tf_febm")
class TailsFEBM(models.FEBM):
    """Train an energy by samples of q^(1/T), weighted, and the covariance of Theorem 3 alone.

    The sampler must draw from q^(1/T), T = `TEMPERATURE`; a sample then counts for
    e^(−(1 − 1/T) E), the mean of which in a batch is made 1. At the optimal H the terms
    E_p[∇f'] − E_q[∇F] of Theorem 3 cancel, whereas their estimates, from two sets of samples, do
    not: where the divergence weighs tails, they are most of the variance, and without them

        ∇ = E_q[(F − E_q F) ∇E]

    has the same mean there. Away from the optimal H it is another direction, that of the dual form
    with the critic f'(eʳ).
    """

    def _train_on(self, data: Batch) -> dict:
        return super()._train_on(data._replace(weights=tf.ones_like(data.samples[:, 0])))

    def _negatives_of(self, data: Batch, *, seed=None, remember: bool = True) -> Batch:
        batch = super()._negatives_of(data, seed=seed, remember=remember)
        energies = self._evaluate(self.energy_network, batch)
        weights = tf.exp((1.0 / TEMPERATURE - 1.0) * energies)
        return batch._replace(weights=tf.stop_gradient(weights / tf.reduce_mean(weights)))

    def _energy_surrogate(
        self, log_ratio_data, log_ratio_model, energy_data, energy_model, weights
    ):
        return objectives.dual_surrogate(
            self.divergence,
            tf.stop_gradient(log_ratio_model),
            energy_model,
            leave_one_out=False,
            weights_model=weights["weights_model"],
        )


def with_quadratic_part(network: keras.Model) -> keras.Model:
    """Return x -> network(x) + a x + b x², a and b being weights that begin at 0.

    Saturated units are constant far out, where the log density of a mixture is a parabola.
    """
    x = network.inputs[0]
    powers = keras.layers.Concatenate()([x, keras.layers.Multiply()([x, x])])
    parabola = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="parabola")
    return keras.Model(x, keras.layers.Add()([network(x), parabola(powers)]))
