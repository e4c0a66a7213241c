"""Noise-contrastive estimation by any f-divergence: an energy against a density that is known."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, divergences, parallel, randomness
from tf_febm.models import updates
from tf_febm.models.base import EnergyModel
from tf_febm.models.chains import Batch
from tf_febm.models.normalisation import LogProb
from tf_febm.models.parts import check_network, classes_of
from tf_febm.models.weights import of_batches
from tf_febm.networks import GaussianReference
from tf_febm.networks.normalised import NormalisedEnergy

__all__ = ["NoiseContrastive"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class NoiseContrastive(EnergyModel):
    """Train an energy by telling data from noise of a known density, without chains.

    With the density n of the noise, and log Z as a weight c of its own, the log density ratio of
    the model and the noise is known at every x, and θ and c ascend its variational bound:

        L = E_p[f'(eʳ)] − E_n[f*(f'(eʳ))],   r(x) = −E(x) − c − log n(x)

    At the optimum r = log p/n, so that −E − c is the log density of the data, normalised. "js" is
    the objective of Gutmann & Hyvärinen with as much noise as data; the optimum is the same for
    every f-divergence, but the variance is not: "kl" needs noise wherever there are data, since it
    weighs samples of the noise by eʳ, and "reverse_kl" data wherever there is noise; "js" and
    "squared_hellinger" bear either. There is no second player and no chain, so that training is an
    ordinary minimisation, fast and stable; but it tells nothing where noise and data do not meet:
    in many dimensions, where a simple noise is easily told from data, use `FEBM`. For tables and
    vectors a Gaussian of their covariance meets them: give it as `reference`, and it is the noise
    as well. Watch `training.HeldOutGain` on few examples, which are soon learned by heart.

    The sampler is for `sample` alone.

    Metrics, as means over an epoch: `loss` (−L, the l2 term and the network's own losses), `bound`
    (L), `energy_data`, `energy_noise`, `log_ratio_mean` and `log_ratio_std` (of r over both
    batches, without weights), and `energy_gradient_norm` (global L2).

    Args:
        energy: Network for E, from x, or (x, one_hot), to [n, 1] or [n]. It becomes the `network`
            of a `networks.NormalisedEnergy`, whose constant is c.
        noise: What has `sample(n, seed=)` and a normalised `log_prob(x)`, [n], for x of the shape
            of the data: a tfp distribution, or a fitted `GaussianReference`; `reference` itself if
            None. A tfp distribution of independent coordinates is `tfd.Independent(…)`.
        divergence: A `Divergence` or its name.
        noise_ratio: Samples of the noise for one of the data, at least 1. More of them cost an
            evaluation each, and make the gradient less noisy.
        l2_coeff: Weight, at least 0, of mean E² over both batches in the loss.
        class_weight_coeff: Weight, at least 0, of −mean log p(y|x) over the data, for a conditional
            model; see `FEBM`.
        log_ratio_clip: Clip all exponentials at this log ratio; None does not.

    All other arguments are those of `EnergyModel` but the buffer. A model whose noise is no
    `GaussianReference` is not saved as a `.keras` file; its weights are.

    Raises:
        TypeError: The noise has no `sample` or no `log_prob`.
        ValueError: There is neither noise nor a reference, the noise is of another shape or has not
            one density for each example, or an argument is out of its range.

    Source: Gutmann & Hyvärinen, "Noise-contrastive estimation", 2010; for any f, the bound of
    Nguyen, Wainwright & Jordan, 2010, as in Eq. 14 of Yu et al., 2020.
    """

    METRICS = (
        "loss",
        "bound",
        "energy_data",
        "energy_noise",
        "log_ratio_mean",
        "log_ratio_std",
        "energy_gradient_norm",
    )
    SHOWN = ("loss",)
    SETTINGS = {
        "noise_ratio": lambda name, value: arguments.whole_number(name, value, 1),
        **dict.fromkeys(("l2_coeff", "class_weight_coeff"), arguments.number),
    }

    def __init__(
        self,
        energy: keras.layers.Layer,
        noise: Any = None,
        divergence: str | divergences.Divergence = "js",
        *,
        sampler: Any = None,
        reference: GaussianReference | None = None,
        noise_ratio: int = 4,
        l2_coeff: float = 0.0,
        class_weight_coeff: float = 0.0,
        log_ratio_clip: float | None = None,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        energy = check_network("energy", energy)
        if not isinstance(energy, NormalisedEnergy):
            num_classes = classes_of(energy) if num_classes is None else num_classes
            energy = NormalisedEnergy(energy, name=energy.name)
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
        self.noise = _checked_noise(noise, self.reference)
        self.divergence = divergences.get(divergence, log_ratio_clip)
        self.noise_ratio, self.l2_coeff = noise_ratio, l2_coeff
        self.class_weight_coeff = class_weight_coeff
        self._check_settings()
        self._build_if_known()

    @property
    def divergence(self) -> divergences.Divergence:
        """The divergence; another one, or its name, may be assigned."""
        return self._divergence

    @divergence.setter
    def divergence(self, divergence) -> None:
        present = getattr(self, "_divergence", None)
        clip = present.log_ratio_clip if present and isinstance(divergence, str) else None
        self._divergence = divergences.get(divergence, clip)

    @property
    def log_ratio_clip(self) -> float | None:
        """Where exponentials are clipped, or None; another bound may be assigned."""
        return self.divergence.log_ratio_clip

    @log_ratio_clip.setter
    def log_ratio_clip(self, clip) -> None:
        self._divergence = divergences.get(self.divergence.unclipped, clip)

    def log_prob(
        self,
        x: arguments.Array,
        labels: arguments.Labels | None = None,
        return_interval: bool = False,
    ) -> Any:
        """Return −E(x) − log Z, with log Z of `fit_log_partition` for these weights, or as learned.

        Of the learned one it is not guaranteed that the density integrates to 1, which it does at
        the optimum; fit_log_partition(method="learned") says how far it is from that.

        Args:
            x: As `energy` takes it.
            labels: The same.
            return_interval: See `EnergyModel.log_prob`; needs `fit_log_partition`.

        Returns:
            Float32 [n], or a LogProb of three of them.

        Raises:
            ValueError: As `energy`; or an interval was asked for and is not known.
        """
        if return_interval:
            self._require_log_partition()
        found = self._log_prob_of(self.energy(x, labels), labels)
        return found if return_interval else found.log_prob

    @property
    def has_log_partition(self) -> bool:
        """Whether log Z is known: always, as it is learned."""
        return True

    def _known_log_z(self) -> Any:
        return super()._known_log_z() if self._is_normalised else self._offset

    def _log_prob_of(self, energy, labels) -> LogProb:
        if self._is_normalised:
            return super()._log_prob_of(energy, labels)
        return LogProb(-energy - self._offset, None, None)

    def _learned(self, count: int, confidence: float, seed) -> list[tuple]:
        """Return log Z as learned, and the interval of Z = E_n[e^(−E)/n]; of each class."""
        from scipy.special import ndtri

        x = tf.cast(self.noise.sample(count, seed=seed), tf.float32)
        found, density = [], self._noise_density(x)
        for k in range(self.num_classes or 1):
            labels = None if self.num_classes is None else tf.fill([count], k)
            log_weights = tf.cast(-self._energy(Batch(x, labels)) - density, tf.float64).numpy()
            top = log_weights.max()
            weights = np.exp(log_weights - top)
            error = ndtri(0.5 + 0.5 * confidence) * weights.std() / np.sqrt(count)
            log_z, error = top + np.log(weights.mean()), error / weights.mean()
            found.append(
                (self._offset, min(self._offset, log_z - error), max(self._offset, log_z + error))
            )
        return found

    # Not log_density_ratio, which is to q: weights of samples of the model are made of that.
    def log_noise_ratio(
        self, x: arguments.Array, labels: arguments.Labels | None = None
    ) -> tf.Tensor:
        """Return r(x) ≈ log p(x)/n(x), the log density ratio of data and noise, float32 [n].

        Args and errors are those of `energy`.
        """
        batch = self._as_batch(x, labels)
        return self._log_ratio(self._evaluate(self.energy_network, batch), batch)

    @property
    def _offset(self) -> float:
        """What the learned constant is relative to: log ∫ e^(−½‖z‖²) dx of a reference."""
        return 0.0 if self.reference is None else self.reference.log_normaliser

    def _log_ratio(self, energy, batch: Batch) -> tf.Tensor:
        """Return r from what the energy network says of a batch, [n]."""
        if self.noise is self.reference:
            # ½‖z‖² and its normaliser are on both sides.
            return -energy
        return -self._whole(energy, batch) - self._offset - self._noise_density(batch.samples)

    def _noise_density(self, x) -> tf.Tensor:
        """Return log n(x), float32 [n], computed in the dtype that the noise has."""
        dtype = getattr(self.noise, "dtype", tf.float32)
        return tf.cast(self.noise.log_prob(tf.cast(x, dtype)), tf.float32)

    def _build_networks(self) -> None:
        super()._build_networks()
        x = tf.convert_to_tensor(self.noise.sample(2, seed=randomness.as_seed(0)))
        wanted = (2, *self.sample_shape)
        if x.shape != wanted or not x.dtype.is_floating:
            raise ValueError(
                f"Of noise sample(2) must be floating numbers of shape {wanted}, as the data; "
                f"received shape {x.shape}, dtype {x.dtype.name}, of {self.noise!r}."
            )
        density = tf.convert_to_tensor(self.noise.log_prob(x))
        if density.shape != (2,):
            raise ValueError(
                "Of noise log_prob must be one number for each example, (2,) for two; received "
                f"shape {density.shape} of {self.noise!r}: if it has one for each coordinate, give "
                f"tfp.distributions.Independent(noise, {len(self.sample_shape)})."
            )

    def _noise_batch(self, data: Batch, seed) -> Batch:
        """Return `noise_ratio` samples of the noise for each example in turn, with its label."""
        count = self.noise_ratio * tf.shape(data.samples)[0]
        samples = tf.stop_gradient(tf.cast(self.noise.sample(count, seed=seed), tf.float32))
        samples = tf.ensure_shape(samples, (None, *self.sample_shape))
        labels = data.labels
        labels = None if labels is None else tf.repeat(labels, self.noise_ratio, axis=0)
        return Batch(samples, labels)

    def _train_on(self, data: Batch) -> dict:
        """Take one step of the energy."""
        noise = self._noise_batch(data, self.next_seed())
        return self._step_of_energy(data, lambda: self._loss(data, noise, training=True))

    @property
    def monitor(self) -> str:
        """The number in the logs of `fit` that falls as the model gets better, `val_loss`."""
        return "val_loss"

    def _test_on(self, data: Batch) -> dict:
        """Measure the bound and energies."""
        noise = self._noise_batch(data, self.evaluation_seed())
        return self._update_metrics(data, **self._loss(data, noise)[1])

    def _loss(self, data: Batch, noise: Batch, training: bool = False) -> tuple:
        """Return this replica's share of what θ descends, and the metrics."""
        energy_data = self._evaluate(self.energy_network, data, training)
        own = updates.losses_of(self.energy_network)
        energy_noise = self._evaluate(self.energy_network, noise, training)
        ratio_data = self._log_ratio(energy_data, data)
        ratio_noise = self._log_ratio(energy_noise, noise)
        weights = of_batches(data.weights, data.weights if self.conditional else None)

        def over_noise(values) -> tf.Tensor:
            """Return the share of the mean over the noise: first over that of each example."""
            each = tf.reduce_mean(tf.reshape(values, [-1, self.noise_ratio]), axis=1)
            return parallel.batch_mean(each, weights.model)

        bound = parallel.batch_mean(self.divergence.derivative(ratio_data), weights.data)
        bound -= over_noise(self.divergence.conjugate(ratio_noise))
        squares = parallel.batch_mean(tf.square(energy_data), weights.data)
        penalty = self.l2_coeff * (squares + over_noise(tf.square(energy_noise)))
        class_term, classes = self._class_term(data, weights, training)
        penalty += class_term
        loss = weights.scale * (penalty - bound) + own
        mean_data = parallel.batch_mean(self._whole(energy_data, data), weights.data)
        mean_noise = over_noise(self._whole(energy_noise, noise))
        told = [weights.told(v) for v in (penalty - bound, bound, mean_data, mean_noise)]
        total, bound, mean_data, mean_noise = parallel.all_reduce_sum([told[0] + own, *told[1:]])
        mean, deviation = parallel.mean_and_std(tf.concat([ratio_data, ratio_noise], axis=0))
        return loss, {
            "loss": total,
            "bound": bound,
            "energy_data": mean_data,
            "energy_noise": mean_noise,
            "log_ratio_mean": mean,
            "log_ratio_std": deviation,
            **classes,
        }

    def _settings(self) -> dict:
        return {
            "divergence": self.divergence.name,
            "log_ratio_clip": self.divergence.log_ratio_clip,
            **super()._settings(),
        }

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised.

        Raises:
            TypeError: The noise is something that cannot be serialised, such as a tfp distribution.
            ValueError: The divergence is not registered, so that loading could not find it.
        """
        if not divergences.is_known(self.divergence):
            raise ValueError(
                f"{self.divergence!r} cannot be saved by name: call divergences.register first."
            )
        noise = None
        if self.noise is not self.reference:
            if not isinstance(self.noise, GaussianReference):
                raise TypeError(
                    f"A model whose noise is {self.noise!r} cannot be saved as a whole: give a "
                    "networks.GaussianReference as noise, or save its weights with save_weights."
                )
            noise = keras.saving.serialize_keras_object(self.noise)
        config = {**super().get_config(), "noise": noise}
        del config["buffer"]
        return config


def _checked_noise(noise, reference) -> Any:
    """Return the noise, or raise an error if it cannot be it."""
    if noise is None:
        if reference is None:
            raise ValueError(
                "Give noise, a density that is known, or a reference, which then is the noise."
            )
        return reference
    if not callable(getattr(noise, "sample", None)) or not hasattr(noise, "log_prob"):
        raise TypeError(
            "noise must have sample(n, seed=) and log_prob(x), as tfp distributions have; received "
            f"{noise!r}."
        )
    if isinstance(noise, GaussianReference) and not noise.adapted:
        raise ValueError("The noise has no fit yet: call noise.adapt(data) first.")
    return noise
