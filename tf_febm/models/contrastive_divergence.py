"""Contrastive divergence: the maximum likelihood gradient, with short or persistent chains."""

import functools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, objectives, parallel, randomness
from tf_febm.models import updates
from tf_febm.models.base import EnergyModel
from tf_febm.models.chains import Batch
from tf_febm.models.weights import of_batches
from tf_febm.networks import GaussianReference
from tf_febm.samplers import ReplayBuffer

__all__ = ["ContrastiveDivergence"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class ContrastiveDivergence(EnergyModel):
    """Train an energy by (approximate) maximum likelihood: the baseline of f-EBM.

    θ descends along E_p[∇E] − E_q[∇E], plus l2_coeff times the gradient of mean E_p² + mean E_q².
    With exact samples of q that is the gradient of KL(p‖q). Where the chains start tells apart

        CD-k              no buffer: chains start at the data; k is the sampler's num_steps
        Du & Mordatch     a `ReplayBuffer` and initial="noise"
        persistent CD     `PersistentChains(n)`: each chain goes on where it ended

    Short chains that start at the data do not follow q, and CD-k leaves modes far from the data
    as they are. No divergence and no log density ratio is estimated.

    Metrics, as means over an epoch: `loss` (the energy gap, the l2 term and the network's own
    losses, such as those of weight regularisers: what θ descends, and no measure of quality),
    `energy_data`, `energy_model`, `energy_gap` (data − model), `energy_gradient_norm` (global L2)
    and `buffer_fill` (0 to 1).

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        initial: Where chains start that do not come from the buffer, its restarts included: "data",
            at the batch (and with its labels), or "noise".
        l2_coeff: Weight, at least 0, of mean E² over both batches.
        class_weight_coeff: Weight, at least 0, of −mean log p(y|x) over the data, for a conditional
            model; see `FEBM`.

    All other arguments are those of `EnergyModel`.

    Raises:
        ValueError: An argument is out of its range.

    Source: Hinton 2002 (CD-k); Tieleman 2008 (persistent CD); Du & Mordatch 2019 (the buffer and
    the l2 term).
    """

    METRICS: tuple[str, ...] = (
        "loss",
        "energy_data",
        "energy_model",
        "energy_gap",
        "buffer_fill",
        "sample_distance",
        "energy_gradient_norm",
    )
    SETTINGS = {
        "initial": functools.partial(arguments.choice, choices=("data", "noise")),
        **dict.fromkeys(("l2_coeff", "class_weight_coeff"), arguments.number),
    }

    def __init__(
        self,
        energy: keras.layers.Layer,
        *,
        sampler: Callable | None = None,
        buffer: ReplayBuffer | None = None,
        initial: str = "data",
        l2_coeff: float = 1.0,
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
            buffer=buffer,
            num_classes=num_classes,
            class_names=class_names,
            reference=reference,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        self.initial, self.l2_coeff = initial, l2_coeff
        self.class_weight_coeff = class_weight_coeff
        self._check_settings()
        self._build_if_known()

    def _train_on(self, data: Batch) -> dict:
        """Take one step of the energy."""
        model = self._model_batch(data)
        return self._step_of_energy(data, lambda: self._loss(data, model, training=True))

    def _test_on(self, data: Batch) -> dict:
        """Measure the energies."""
        model = self._model_batch(data, seed=self.evaluation_seed(), remember=False)
        found = self._loss(data, model)[1]
        if self.monitor is not None:
            found["sample_distance"] = self._sample_distance(data, model)
        return self._update_metrics(data, **found)

    @property
    def monitor(self) -> str | None:
        """See `FEBM.monitor`; None where chains start at the examples they are compared with."""
        return None if self.initial == "data" and self.buffer is None else super().monitor

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in its order."""
        absent = {"sample_distance"} if self.monitor is None else set()
        return [name for name in super().metrics_names if name not in absent]

    def _model_batch(self, data: Batch, seed=None, remember: bool = True) -> Batch:
        if self.initial == "noise":
            return self._negatives_of(data, seed=seed, remember=remember)
        seed = self.next_seed() if seed is None else seed
        fresh = tf.cast(data.samples, tf.float32)
        # Chains that start at the data, one at each, are of the law of the weighted data with its
        # weights. Where most start elsewhere, those that start afresh are drawn by weight.
        paired = self.conditional or self.buffer is None
        if data.weights is not None and not paired:
            fresh = tf.gather(fresh, _drawn_by_weight(data.weights, tf.random.fold_in(seed, 1)))
        model = self.negative_batch(
            tf.shape(fresh)[0], data.labels, seed, fresh=fresh, remember=remember
        )
        return model._replace(weights=data.weights if paired else None)

    def _loss(self, data: Batch, model: Batch, training: bool = False) -> tuple:
        """Return this replica's share of what θ descends, and the metrics."""
        energy_data = self._evaluate(self.energy_network, data, training)
        own = updates.losses_of(self.energy_network)
        energy_model = self._evaluate(self.energy_network, model, training)
        weights = of_batches(data.weights, model.weights)
        counted, described = self._counted(weights, data, energy_data, model, energy_model)
        objective = parallel.batch_mean(energy_data, counted[0])
        objective -= parallel.batch_mean(energy_model, counted[1])
        objective += self.l2_coeff * objectives.energy_regulariser(
            energy_data, energy_model, **weights.arguments
        )
        class_term, classes = self._class_term(data, weights, training)
        objective += class_term
        loss = weights.scale * objective + own
        mean_data = parallel.batch_mean(self._whole(energy_data, data), weights.data)
        mean_model = parallel.batch_mean(self._whole(energy_model, model), weights.model)
        mean_data, mean_model, objective = map(weights.told, (mean_data, mean_model, objective))
        total, mean_data, mean_model = parallel.all_reduce_sum(
            [objective + own, mean_data, mean_model]
        )
        return loss, {
            "loss": total,
            "energy_data": mean_data,
            "energy_model": mean_model,
            "energy_gap": mean_data - mean_model,
            "buffer_fill": self._buffer_fill(),
            **described,
            **classes,
        }

    def _counted(self, weights, data: Batch, energy_data, model: Batch, energy_model) -> tuple:
        """Return what each example and each sample counts for in the gap, and further metrics."""
        return (weights.data, weights.model), {}


def _drawn_by_weight(weights, seed) -> tf.Tensor:
    """Return n of the numbers 0 … n − 1, each as often as its weight says, to less than once.

    Systematic resampling: the expected numbers are exact, and equal weights give each number once.
    """
    count = tf.shape(weights)[0]
    weights = tf.where(tf.reduce_sum(weights) > 0.0, weights, tf.ones_like(weights))
    edges = tf.cumsum(weights) / tf.reduce_sum(weights)
    offset = randomness.uniform([], seed)
    places = (tf.range(tf.cast(count, tf.float32)) + offset) / tf.cast(count, tf.float32)
    return tf.minimum(tf.searchsorted(edges, places, side="right"), count - 1)
