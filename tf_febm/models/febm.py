"""f-EBM: an energy and a variational function that play for an f-divergence."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, divergences, objectives
from tf_febm.models.slow_energy import SlowEnergyModel
from tf_febm.models.variational import VariationalModel
from tf_febm.networks import GaussianReference
from tf_febm.samplers import ReplayBuffer

__all__ = ["FEBM"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class FEBM(SlowEnergyModel):
    """Train an energy by minimising an f-divergence through its variational form.

    The energy E (parameters θ) descends and the variational function H (ω) ascends

        L = E_p[f'(eʳ)] − E_q[f*(f'(eʳ))],   r = H + E,   q ∝ e^(−E)

    A step is Algorithm 1 of the paper; the gradient for θ is that of Theorem 3. At the optimum over
    H the log ratio r is log p/q, which `log_density_ratio` returns. Training is a game: nothing
    guarantees that it converges, and samples come from short chains, not from q itself.

    Metrics, as means over an epoch: `loss` (L, the l2 term of θ and the energy network's own
    losses, such as those of weight regularisers: what θ descends), `bound` (L), `energy_data`,
    `energy_model`, `energy_gap` (data − model), `log_ratio_mean` and `log_ratio_std` (over both
    batches), `energy_gradient_norm`, `variational_gradient_norm` (global L2) and `buffer_fill`
    (0 to 1).

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        variational: Network for H, of the same form.
        divergence: A `Divergence` or its name.
        l2_coeff: Weight, at least 0, of mean E² over both batches in the loss of θ, and of mean H²
            in that of ω.
        variational_l2_coeff: That of ω, where it is another one.
        class_weight_coeff: Weight, at least 0, of −mean log p(y|x) over the data in the loss of θ,
            for a conditional model, with log p(y|x) as in `class_log_probs`: the hybrid loss of a
            density and a classifier. It takes num_classes evaluations of E more in each step. Take
            shift_invariant as well where l2_coeff is 0: without either r runs away at equal rates.
        shift_invariant: Whether θ gets no gradient along a constant added to E, which q does not
            depend on. Algorithm 1 has one wherever H is not at its optimum, and if θ is the faster
            player, r runs away along it; see `objectives.energy_surrogate`.
        slow_energy_decay: Decay, in [0, 1), of an exponential moving average Ē of the energy
            network, or None. With it H(x) = R(x) − Ē(x), the variational network being R, so that
            r = R + E − Ē: H follows E by construction, and R learns log p/q alone. Updates stay
            stable where H would lag behind E; l2 terms are those of R.
        warmup_steps: First steps that train on the l2 terms alone, as in the published code; there
            are none if l2_coeff is 0.
        variational_divergence: (This and what follows are switches for research.) The divergence
            whose bound ω ascends; `divergence` itself, as in Algorithm 1, if None. All bounds have
            the same optimum, log p/q, so another one changes the way there and not the goal: the
            gradients of "js" stay bounded where those of the χ² divergences have no finite
            variance. `bound` is then still that of `divergence`.
        simultaneous: Whether θ descends by the values of H from before the last step of ω.
            Algorithm 1 evaluates H again after it; doing without saves that pass, which is much of
            a step where samples are cheap. The theory of Section 4 is that of simultaneous updates.
        variational_steps: Steps of ω, at least 1, for one of θ, all on the same two batches; 1 in
            Algorithm 1. The more, the closer H is to the optimum that Theorem 3 assumes.
        leave_one_out: Whether the covariance term of Theorem 3 is unbiased at any batch size; see
            `objectives.energy_surrogate`.
        log_ratio_clip: Clip all exponentials, as the published code does with 5; None does not.

    All other arguments are those of `EnergyModel`.

    Source: Yu, Song, Song, Ermon: Training Deep Energy-Based Models with f-Divergence Minimization,
    ICML 2020.
    """

    SETTINGS = {**VariationalModel.SETTINGS, "shift_invariant": arguments.switch}

    def __init__(
        self,
        energy: keras.layers.Layer,
        variational: keras.layers.Layer,
        divergence: str | divergences.Divergence = "js",
        *,
        sampler: Callable | None = None,
        buffer: ReplayBuffer | None = None,
        reference: GaussianReference | None = None,
        l2_coeff: float = 1.0,
        variational_l2_coeff: float | None = None,
        class_weight_coeff: float = 0.0,
        shift_invariant: bool = False,
        slow_energy_decay: float | None = None,
        warmup_steps: int = 10,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
        # Switches for research.
        variational_divergence: str | divergences.Divergence | None = None,
        simultaneous: bool = False,
        variational_steps: int = 1,
        leave_one_out: bool = True,
        log_ratio_clip: float | None = None,
    ):
        # The base's constructor builds.
        self._set_slow_energy(slow_energy_decay)
        self.shift_invariant = shift_invariant
        super().__init__(
            energy,
            variational,
            divergence,
            variational_divergence=variational_divergence,
            simultaneous=simultaneous,
            variational_steps=variational_steps,
            sampler=sampler,
            buffer=buffer,
            l2_coeff=l2_coeff,
            variational_l2_coeff=variational_l2_coeff,
            class_weight_coeff=class_weight_coeff,
            leave_one_out=leave_one_out,
            log_ratio_clip=log_ratio_clip,
            warmup_steps=warmup_steps,
            num_classes=num_classes,
            class_names=class_names,
            reference=reference,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )

    def log_density_ratio(
        self, x: arguments.Array, labels: arguments.Labels | None = None
    ) -> tf.Tensor:
        """Return r = H(x) + E(x) ≈ log p(x)/q(x).

        Args and errors are those of `energy`. It is as good as H is close to its optimum; q is the
        law of the chains that H was trained against.

        Returns:
            Float32 [n].
        """
        batch = self._as_batch(x, labels)
        ratio = self._evaluate(self.energy_network, batch) + self._evaluate(
            self.variational_network, batch
        )
        if self.slow_energy_network is not None:
            ratio -= self._evaluate(self.slow_energy_network, batch)
        return ratio

    def _log_ratio(self, variational, energy) -> tf.Tensor:
        """Return H + E."""
        return variational + energy

    def _energy_surrogate(
        self, log_ratio_data, log_ratio_model, energy_data, energy_model, weights
    ):
        """Return a scalar whose gradient is that of Theorem 3."""
        return objectives.energy_surrogate(
            self.divergence,
            log_ratio_data,
            log_ratio_model,
            energy_model,
            leave_one_out=self.leave_one_out,
            energy_data=energy_data if self.shift_invariant else None,
            **weights,
        )
