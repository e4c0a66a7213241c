"""The dual form of f-EBM, in which the variational network is the log ratio itself."""

import keras
import tensorflow as tf

from tf_febm import arguments, objectives
from tf_febm.models.variational import VariationalModel

__all__ = ["DualFEBM"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class DualFEBM(VariationalModel):
    """Train an energy by minimising an f-divergence through its plain dual form: a baseline.

    The energy E (parameters θ) descends and the variational function V (ω) ascends

        L = E_p[f'(eⱽ)] − E_q[f*(f'(eⱽ))],   q ∝ e^(−E)

    V is the log ratio itself, so E enters through the samples of q alone: its gradient is the
    covariance of F = f*(f'(eⱽ)) and ∇E under q, which says nothing while V is flat there and needs
    samples that follow q. `FEBM` writes the ratio as H + E and gives E a gradient of its own. The
    optimum over V is log p/q in both. Steps, l2 terms, warm-up and metrics are those of `FEBM`.

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        variational: Network for V, of the same form.
        divergence: A `Divergence` or its name.
        l2_coeff: Weight, at least 0, of mean E² over both batches in the loss of θ, and of mean V²
            in that of ω.
        leave_one_out: Whether the covariance is unbiased at any batch size; see
            `objectives.dual_surrogate`.

    All other arguments are those of `FEBM` and `EnergyModel`.

    Source: Yu, Song, Song, Ermon: Training Deep Energy-Based Models with f-Divergence Minimization,
    ICML 2020, Theorem 1.
    """

    def log_density_ratio(
        self, x: arguments.Array, labels: arguments.Labels | None = None
    ) -> tf.Tensor:
        """Return V(x) ≈ log p(x)/q(x).

        Args and errors are those of `energy`. It is as good as V is close to its optimum; q is the
        law of the chains that V was trained against.

        Returns:
            Float32 [n].
        """
        return self._evaluate(self.variational_network, self._as_batch(x, labels))

    @property
    def _second_role(self) -> str:
        """What the variational network stands for."""
        return "the log ratio itself"

    def _log_ratio(self, variational, energy) -> tf.Tensor:
        """Return V: the energy does not enter."""
        return variational

    def _energy_surrogate(
        self, log_ratio_data, log_ratio_model, energy_data, energy_model, weights
    ):
        """Return a scalar whose gradient is Cov_q(F, ∇E)."""
        return objectives.dual_surrogate(
            self.divergence,
            log_ratio_model,
            energy_model,
            leave_one_out=self.leave_one_out,
            weights_model=weights["weights_model"],
        )
