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

# Sets the draw of hidden labels apart from that of levels and noise.
_HIDDEN = 0x1A8E


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

    With labels, `label_dropout` hides the label of some examples in training: the network then
    learns the energy of all classes together, E(x, t), beside those of each. `sample` can follow

        (1 + w) E(x, t | y) − w E(x, t),   w = `guidance`,

    at each level, which asks for what tells class y from the rest: samples are clearer members of
    their class and less various than the data, so no law of the data's; energies, scores and
    likelihoods are without it.

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
        label_dropout: Chance that an example's label is hidden in training, in [0, 1). Without
            classes it has no meaning.
        guidance: w, at least 0; above 0 it needs a label_dropout. It may be assigned. A draw then
            costs twice as much.
        num_classes: Number of classes of a conditional model, whose data yield (x, labels).
        class_names: See `EnergyModel`, as for the others.
        average_decay: Decay of a running average of the energy's weights, or None to keep none.
        seed: Seed of all random numbers.
        name: The Keras name.

    Raises:
        ValueError: An argument is out of its range, or a network's second input has another width.

    Source: Li, Chen, Sommer: Learning energy-based models in high-dimensional spaces with
        multi-scale denoising score matching, 2019; Vincent 2011 for one level. Guidance: Ho,
        Salimans: Classifier-free diffusion guidance, 2022.
    """

    METRICS: tuple[str, ...] = ("loss", "objective", "energy_gradient_norm")
    SETTLED: tuple[str, ...] = (*ChainlessModel.SETTLED, "levels")
    SETTINGS = {
        **ChainlessModel.SETTINGS,
        "label_dropout": arguments.probability,
        "guidance": arguments.number,
    }

    def __init__(
        self,
        energy: keras.layers.Layer,
        reference: GaussianReference,
        *,
        levels: int | Sequence[float] = 60,
        sampler: Callable | None = None,
        l2_coeff: float = 0.0,
        class_weight_coeff: float = 0.0,
        label_dropout: float = 0.0,
        guidance: float = 0.0,
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
        self.label_dropout, self.guidance = label_dropout, guidance
        self._check_settings()
        self._build_if_known()
        # What the base took for classes are levels too, until then.
        self.class_names = class_names

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.label_dropout == 1.0:
            raise ValueError("label_dropout must lie in [0, 1); received 1.0: no label is seen.")
        if self._classes is not None and self.label_dropout == 0.0 < self.guidance:
            raise ValueError(
                f"guidance={self.guidance:g} needs the energy of all classes together, which is "
                "learned with label_dropout above 0, such as 0.1; received label_dropout=0."
            )

    def _without_class(self, rows, hidden: Any = 1.0) -> tf.Tensor:
        """Return rows in which the class is hidden, of all or where `hidden`, [n, 1], is 1."""
        level, labels = tf.split(rows, [self.levels.count, self._row_width - self.levels.count], 1)
        return tf.concat([level, (1.0 - hidden) * labels], axis=1)

    def _walked(self, rows) -> Any:
        given = self._energy_given(rows)
        if not self.conditional or self.guidance == 0.0:
            return given

        def guided(x):
            both = Batch(tf.concat([x, x], 0), tf.concat([rows, self._without_class(rows)], 0))
            of_class, of_all = tf.split(self._evaluate(self.energy_network, both), 2)
            return (1.0 + self.guidance) * of_class - self.guidance * of_all

        return self._differentiable(guided, rows)

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

        def energy_fn(rows):
            if training and self.conditional and self.label_dropout > 0.0:
                chance = randomness.uniform([tf.shape(x)[0], 1], tf.random.fold_in(seed, _HIDDEN))
                rows = self._without_class(rows, tf.cast(chance < self.label_dropout, tf.float32))
            return self._energy_given(rows, training)

        each = self._objective(energy_fn, x, data.labels, seed)
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
