"""Denoising score matching at many levels of noise: energies that chains can walk down."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, energies, parallel, randomness
from tf_febm.models import updates
from tf_febm.models.chainless import ChainlessModel, along_rows
from tf_febm.models.chains import Batch
from tf_febm.models.noise_conditional import NoiseConditionalModel
from tf_febm.models.reference_levels import ReferenceLevels
from tf_febm.models.weights import of_batches
from tf_febm.networks import GaussianReference
from tf_febm.samplers import Langevin

__all__ = ["MultiscaleScoreMatching"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class MultiscaleScoreMatching(NoiseConditionalModel, ChainlessModel):
    """Train energies at many levels of noise by denoising score matching, without chains.

    The data x get noise at one of T levels, x_t = x + σ_t u ξ; see `models.ReferenceLevels`, which
    says what u is and how the energies E(x, t) begin as those of a Gaussian fit. θ descends

        ½ E‖σ_t² u² ∇E(x_t, t) − σ_t u ξ‖²/(u² d_t²),

    a mean over the T levels and over coordinates: the squared error of the posterior mean of x that
    E tells, x_t − σ_t²u²∇E, over what the Gaussian reference leaves. It begins near ½. The
    minimum is the energy of p ∗ N(0, σ_t²u²) at every level.

    It is what f-EBM by recovery becomes where levels are close. The laws of x_t given x_{t+1} under
    data and model are then Gaussians of one covariance, whose means differ by a small multiple of
    ∇log p_t − ∇log q_t, and every f-divergence of such is f''(1)/2 times the squared distance of
    the means in units of their deviation (Csiszár's expansion): `Recovery` with any divergence
    has this objective as its limit, with a weight of its own for each level. So a model that is
    trained here is a start for `Recovery` of the same levels and the same energy network.

    `sample` walks down the levels as that of `Recovery` does, with the sampler's steps at each
    level: T times num_steps gradients in all. What it draws follows the level of the data, which
    has noise of σ_0; `denoise` takes that off.

    Second derivatives need smooth activations, such as swish. At levels of little noise they are
    beyond what float16 holds: steps are skipped and digits lost. Take float32 or bfloat16.

    Metrics, as means over an epoch: `loss` (the objective, the l2 term and the network's own
    losses), `objective`, and `energy_gradient_norm` (global L2).

    Args:
        energy: Network for f, from (x, rows) to [n, 1] or [n]: rows are one-hot over the T levels,
            and with classes behind them one-hot over these, [n, T + num_classes]. It sees x in one
            scale at all levels: of mean 0 and deviation 1, for images ½ and ¼.
        reference: A fitted `networks.GaussianReference` of the data without noise.
        levels: T, or the T + 1 numbers σ_t; see `models.ReferenceLevels`.
        sampler: For chains in units of the noise, without bounds. If None one exponential step
            that forgets where it was: exact where f is linear.
        l2_coeff: Weight, at least 0, of mean f² over the data, at the level of the data.
        class_weight_coeff: Weight, at least 0, of −log p(y|x) in the loss of a conditional model,
            by the energies of the level of the data; see `FEBM`.
        num_classes: Number of classes of a conditional model, whose data yield (x, labels).
        class_names: See `EnergyModel`, as for the others.
        average_decay: Decay of a running average of the energy's weights, or None to keep none.
        seed: Seed of all random numbers.
        name: The Keras name.

    Raises:
        ValueError: An argument is out of its range, or a network's second input has another width.

    Source: Li, Chen, Sommer: Learning energy-based models in high-dimensional spaces with
        multi-scale denoising score matching, 2019; Vincent 2011 for one level.
    """

    METRICS: tuple[str, ...] = ("loss", "objective", "energy_gradient_norm")
    SETTLED: tuple[str, ...] = (*ChainlessModel.SETTLED, "levels")

    def __init__(
        self,
        energy: keras.layers.Layer,
        reference: GaussianReference,
        *,
        levels: int | Sequence[float] = 60,
        sampler: Callable | None = None,
        l2_coeff: float = 0.0,
        class_weight_coeff: float = 0.0,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        # The base's constructor builds.
        self._set_levels(ReferenceLevels(reference, levels), num_classes)
        super().__init__(
            energy,
            sampler=Langevin.exponential(20.0, 1) if sampler is None else sampler,
            reference=self._data_level(),
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        self.l2_coeff, self.class_weight_coeff = l2_coeff, class_weight_coeff
        self._check_settings()
        self._build_if_known()
        # What the base took for classes are levels too, until then.
        self.class_names = class_names

    def _objective(self, energy_fn: Callable, z, labels, seed) -> tf.Tensor:
        levels: Any = self.levels
        level_seed, order_seed, noise_seed = tf.unstack(randomness.split(seed, 3))
        count = tf.shape(z)[0]
        # Stratified over the batch: its levels vary less from step to step than independent ones.
        place = tf.cast(tf.range(count), tf.float32) + randomness.uniform([count], level_seed)
        level = tf.cast(place / tf.cast(count, tf.float32) * levels.count, tf.int32)
        level = tf.minimum(level, levels.count - 1)
        level = tf.random.experimental.stateless_shuffle(level, order_seed)
        of_level = tf.one_hot(level, levels.count)
        noisy = levels.noised(z, of_level, noise_seed)
        rows = self._rows(level, labels)
        gradient = energies.value_and_gradient(energy_fn(rows), noisy)[1]
        missing = levels.missing(noisy - z, gradient, of_level)
        return 0.5 * tf.reduce_mean(tf.square(missing), along_rows(z))

    def _loss(self, data: Batch, seed, training: bool = False) -> tuple:
        """Return this replica's share of what θ descends, and the metrics."""
        x = tf.cast(data.samples, tf.float32)
        each = self._objective(
            lambda rows: self._energy_given(rows, training), x, data.labels, seed
        )
        own = updates.losses_of(self.energy_network)
        weights = of_batches(data.weights, data.weights)
        objective = parallel.batch_mean(each, weights.data)
        # One example without a weight is enough for a constant in the energy to have a gradient.
        of_all = self.l2_coeff > 0.0
        labels = None if data.labels is None else data.labels[:1]
        penalised = data if of_all else Batch(data.samples[:1], labels)
        relative = self._evaluate(self.energy_network, penalised, training)
        if of_all:
            penalty = self.l2_coeff * parallel.batch_mean(tf.square(relative), weights.data)
        else:
            penalty = 0.0 * tf.reduce_sum(relative)
        class_term, classes = self._class_term(data, weights, training)
        penalty += class_term
        told = [weights.told(value) for value in (objective + penalty, objective)]
        total, told_objective = parallel.all_reduce_sum([told[0] + own, told[1]])
        measured = {"loss": total, "objective": told_objective, **classes}
        return objective + penalty + own, measured
