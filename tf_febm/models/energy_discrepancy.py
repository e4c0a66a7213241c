"""Energy discrepancy: energies of examples against those of examples moved twice by noise."""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.energies import per_example
from tf_febm.models.chainless import ChainlessModel, positive, repeated
from tf_febm.networks import GaussianReference

__all__ = ["EnergyDiscrepancy"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class EnergyDiscrepancy(ChainlessModel):
    """Train an energy by its discrepancy to noisy neighbours: a baseline without chains or scores.

    With the contrastive potential U(y) = −log E_ξ[e^(−E(y + σξ))] and t = σ², θ descends

        E_p[E(x)] − E_p[U(x + σξ′)],

    estimated for each example with M neighbours and the stabilising w as

        log(w/M + (1/M) Σⱼ e^(E(x) − E(x + σξ′ + σξⱼ))).

    For t → 0 it is t times the objective of score matching, for t → ∞ the negative log-likelihood
    up to a constant. At any σ its minimum over all energies is that of p, but the logarithm of a
    mean over M is biased, by the more the more energies differ among neighbours; w > 0 keeps the
    estimate from falling without end, and biases it a little, too, by O(1/M).

    Noise is in the coordinates in which the sampler moves: z of a reference or of a
    `samplers.Preconditioned`, else x. A step costs M + 1 evaluations of the energy. The sampler is
    for `sample` alone.

    Metrics, as means over an epoch: `loss` (the objective, the l2 term and the network's own
    losses), `objective`, `energy_data` and `energy_gradient_norm` (global L2).

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        noise_stddev: σ = √t, above 0, in units of the chains: about as far as modes lie apart.
        num_neighbours: M, at least 1.
        stabilisation: w, at least 0.
        sampler: As for `EnergyModel`.
        l2_coeff: Weight, at least 0, of mean E² over the data in the loss.
        class_weight_coeff: Weight, at least 0, of −mean log p(y|x) over the data, for a conditional
            model; see `FEBM`.

    All other arguments are those of `EnergyModel` but the buffer.

    Raises:
        ValueError: An argument is out of its range.

    Source: Schröder et al., "Energy Discrepancies: A Score-Independent Loss for Energy-Based
    Models", 2023.
    """

    SETTINGS = {
        **ChainlessModel.SETTINGS,
        "noise_stddev": positive,
        "num_neighbours": lambda name, value: arguments.whole_number(name, value, 1),
        "stabilisation": arguments.number,
    }

    def __init__(
        self,
        energy: keras.layers.Layer,
        noise_stddev: float = 0.1,
        *,
        num_neighbours: int = 16,
        stabilisation: float = 1.0,
        sampler: Callable | None = None,
        l2_coeff: float = 0.0,
        class_weight_coeff: float = 0.0,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        reference: GaussianReference | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(
            energy,
            sampler=sampler,
            num_classes=num_classes,
            class_names=class_names,
            reference=reference,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        self.noise_stddev, self.num_neighbours = noise_stddev, num_neighbours
        self.stabilisation, self.l2_coeff = stabilisation, l2_coeff
        self.class_weight_coeff = class_weight_coeff
        self._check_settings()
        self._build_if_known()

    def _objective(self, energy_fn: Callable, z, labels, seed) -> tf.Tensor:
        count = self.num_neighbours
        first, second = tf.unstack(randomness.split(seed, 2))
        moved = repeated(z + self.noise_stddev * randomness.normal(tf.shape(z), first), count)
        moved += self.noise_stddev * randomness.normal(tf.shape(moved), second)
        energy = per_example(energy_fn(labels)(z), z)
        around = per_example(energy_fn(repeated(labels, count))(moved), moved)
        rises = energy[:, None] - tf.reshape(around, [-1, count])
        if self.stabilisation:
            level = tf.fill([tf.shape(rises)[0], 1], math.log(self.stabilisation))
            rises = tf.concat([rises, level], axis=1)
        return tf.reduce_logsumexp(rises, axis=1) - math.log(count)
