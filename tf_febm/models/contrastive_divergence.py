"""Contrastive divergence: the maximum likelihood gradient, with short or persistent chains."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf_febm import arguments, distribution, objectives
from tf_febm.models.base import EnergyModel, gradient_norm
from tf_febm.models.chains import Batch

__all__ = ["ContrastiveDivergence"]


@keras.saving.register_keras_serializable(package="tf_febm")
class ContrastiveDivergence(EnergyModel):
    """Train an energy by (approximate) maximum likelihood: the baseline of f-EBM.

    θ descends along E_p[∇E] − E_q[∇E], plus l2_coeff times the gradient of mean E_p² + mean E_q².
    With exact samples of q that is the gradient of KL(p‖q). Where the chains start tells apart

        CD-k              no buffer: chains start at the data; k is the sampler's num_steps
        Du & Mordatch     a `ReplayBuffer` and initial="noise"
        persistent CD     `PersistentChains(n)`: each chain goes on where it ended

    Short chains that start at the data do not follow q, and CD-k leaves modes far from the data
    as they are. No loss and no log density ratio is estimated.

    Metrics, as means over an epoch: `energy_data`, `energy_model`, `energy_gap` (data − model),
    `energy_gradient_norm` (global L2) and `buffer_fill` (0 to 1).

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n].
        sampler: See EnergyModel; `Langevin()` if None.
        buffer: See EnergyModel.
        initial: Where chains start that do not come from the buffer, its restarts included: "data",
            at the batch (and with its labels), or "noise".
        l2_coeff: Weight, at least 0, of mean E² over both batches.
        num_classes: See EnergyModel.
        class_names: See EnergyModel.
        average_decay: See EnergyModel.
        seed: See EnergyModel.
        name: The Keras name.

    Raises:
        ValueError: If an argument is out of its range.

    Source: Hinton 2002 (CD-k); Tieleman 2008 (persistent CD); Du & Mordatch 2019 (the buffer and
    the l2 term).
    """

    METRICS = (
        "energy_data",
        "energy_model",
        "energy_gap",
        "energy_gradient_norm",
        "buffer_fill",
    )

    def __init__(
        self,
        energy,
        *,
        sampler=None,
        buffer=None,
        initial: str = "data",
        l2_coeff: float = 1.0,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
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
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        if initial not in ("data", "noise"):
            raise ValueError(f"initial must be 'data' or 'noise'; received {initial!r}.")
        self.initial = initial
        self.l2_coeff = arguments.number("l2_coeff", l2_coeff)
        self._build_if_known()

    def _train_on(self, data: Batch) -> dict:
        """Take one step of the energy."""
        model = self._model_batch(data)
        theta = self.energy_network.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in theta])
            energy_data = self._evaluate(self.energy_network, data, training=True)
            energy_model = self._evaluate(self.energy_network, model, training=True)
            loss = distribution.batch_mean(energy_data) - distribution.batch_mean(energy_model)
            loss += self.l2_coeff * objectives.energy_regulariser(energy_data, energy_model)
            loss = self.optimizer.scale_loss(loss)
        gradients = distribution.total(tape.gradient(loss, theta))
        self.optimizer.apply(gradients, theta)
        if self.average is not None:
            self.average.update()
        return self._update_metrics(
            **self._describe(energy_data, energy_model),
            energy_gradient_norm=gradient_norm(self.optimizer, gradients),
        )

    def _test_on(self, data: Batch) -> dict:
        """Measure the energies."""
        model = self._model_batch(data, remember=False)
        return self._update_metrics(
            **self._describe(
                self._evaluate(self.energy_network, data),
                self._evaluate(self.energy_network, model),
            )
        )

    def _model_batch(self, data: Batch, remember: bool = True) -> Batch:
        fresh = None
        if self.initial == "data":
            labels = data.labels
            if self.buffer is not None and labels is not None:
                # The buffer keeps class numbers; a soft label becomes its likeliest class.
                labels = labels if labels.dtype.is_integer else tf.argmax(labels, axis=-1)
                labels = tf.cast(labels, tf.int32)
            fresh = Batch(tf.cast(data.samples, tf.float32), labels)
        return self.negative_batch(tf.shape(data.samples)[0], fresh=fresh, remember=remember)

    def _describe(self, energy_data, energy_model) -> dict:
        mean_data, mean_model = distribution.total(
            [distribution.batch_mean(energy_data), distribution.batch_mean(energy_model)]
        )
        return {
            "energy_data": mean_data,
            "energy_model": mean_model,
            "energy_gap": mean_data - mean_model,
            "buffer_fill": self._buffer_fill(),
        }

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        return {**super().get_config(), "initial": self.initial, "l2_coeff": self.l2_coeff}
