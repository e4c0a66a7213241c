"""Pseudo-spherical contrastive divergence: maximum likelihood that outliers do not pull."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, parallel
from tf_febm.models.chains import Batch
from tf_febm.models.contrastive_divergence import ContrastiveDivergence
from tf_febm.models.labels import class_numbers
from tf_febm.networks import GaussianReference
from tf_febm.samplers import ReplayBuffer

__all__ = ["PseudoSpherical"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class PseudoSpherical(ContrastiveDivergence):
    """Train an energy by the pseudo-spherical score, for data with outliers.

    With γ > 0 the objective, which θ descends, is

        L = −(1/γ) log E_p[e^(−γE)] + (1/(γ + 1)) log ∫ e^(−(γ + 1)E) dx
        ∇L = E_p[∇E e^(−γE)]/E_p[e^(−γE)] − E_q[∇E e^(−γE)]/E_q[e^(−γE)]

    Where the model can be the density of the data, that is its minimum, as that of the likelihood,
    to which L tends as γ → 0: ∇L is then the gradient of `ContrastiveDivergence`, exactly at γ = 0.
    With a larger γ an example counts for less the less likely the model has it, so that a few
    outliers move it little. What has a low density besides, such as a rare mode, counts for less
    too: where a network cannot be p, rare parts are lost first.

    The chains, their starts and the buffer are those of `ContrastiveDivergence`. Not guaranteed:
    the weights are divided by their mean in the batch, of each class if the model is conditional,
    which biases the gradient by O(1/n) for n examples; and with energies that differ by much more
    than 1/γ a few examples of a batch are all that counts, which `effective_data` and
    `effective_model` tell. In many dimensions take a small γ, of the order of 1/d.

    Metrics are those of `ContrastiveDivergence`, with `loss` by the weights above, and
    `effective_data` and `effective_model`, the effective size of both batches over their size,
    (Σw)²/(n Σw²) in (0, 1].

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        gamma: γ, at least 0.
        sampler: As for `EnergyModel`.
        buffer: As for `EnergyModel`.
        initial: Where chains start that do not come from the buffer: "data" or "noise"; see
            `ContrastiveDivergence`.
        l2_coeff: Weight, at least 0, of mean E² over both batches.

    All other arguments are those of `EnergyModel`.

    Raises:
        ValueError: An argument is out of its range.

    Source: Yu, Song, Song & Ermon, "Pseudo-Spherical Contrastive Divergence", 2021.
    """

    # The norm of the gradients, which evaluation has not, is last.
    METRICS = (
        *ContrastiveDivergence.METRICS[:-1],
        *("effective_data", "effective_model"),
        *ContrastiveDivergence.METRICS[-1:],
    )
    SETTINGS = {**ContrastiveDivergence.SETTINGS, "gamma": arguments.number}

    def __init__(
        self,
        energy: keras.layers.Layer,
        gamma: float = 1.0,
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
        self.gamma = gamma
        super().__init__(
            energy,
            sampler=sampler,
            buffer=buffer,
            initial=initial,
            l2_coeff=l2_coeff,
            class_weight_coeff=class_weight_coeff,
            num_classes=num_classes,
            class_names=class_names,
            reference=reference,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )

    def _counted(self, weights, data: Batch, energy_data, model: Batch, energy_model) -> tuple:
        counted, described = [], {}
        parts = (
            ("data", data, energy_data, weights.data),
            ("model", model, energy_model, weights.model),
        )
        for name, batch, energy, own in parts:
            found, effective = self._tilted(self._whole(energy, batch), own, batch.labels)
            counted.append(found)
            described[f"effective_{name}"] = effective
        return tuple(counted), described

    def _tilted(self, energy, weights, labels) -> tuple[tf.Tensor, tf.Tensor]:
        """Return w e^(−γE) over its mean by the weights w, of each class, and the effective size.

        Energies of two classes have no common zero, so what counts in one says nothing of another.
        """
        own = tf.ones_like(energy) if weights is None else weights
        if labels is None:
            count, group = 1, tf.zeros(tf.shape(energy), tf.int32)
        else:
            count, group = self.num_classes, tf.cast(class_numbers(labels), tf.int32)
        logits = tf.stop_gradient(-self.gamma * energy)
        # Of those that count at all, over all replicas, lest an exponential overflows.
        seen = tf.where(own > 0.0, logits, logits.dtype.min)
        largest = tf.math.unsorted_segment_max(seen, group, count)
        largest = tf.reduce_max(parallel.all_gather(largest[None]), axis=0)
        tilt = own * tf.exp(tf.minimum(logits - tf.gather(largest, group), 0.0))
        total, plain = parallel.all_reduce_sum(
            [tf.math.unsorted_segment_sum(part, group, count) for part in (tilt, own)]
        )
        tilt *= tf.gather(tf.math.divide_no_nan(plain, total), group)
        added, squares = parallel.all_reduce_sum(
            [tf.reduce_sum(tilt), tf.reduce_sum(tf.square(tilt))]
        )
        size = parallel.batch_size(energy)
        return tilt, tf.math.divide_no_nan(tf.square(added), size * squares)
