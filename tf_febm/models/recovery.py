"""Recovery likelihood by any f-divergence: energies of data given a noisier version of them."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, divergences, energies, networks, objectives, parallel, randomness
from tf_febm.models.chains import Batch
from tf_febm.models.noise_conditional import NoiseConditionalModel
from tf_febm.models.noise_levels import NoiseLevels
from tf_febm.models.reference_levels import ReferenceLevels
from tf_febm.models.slow_energy import SlowEnergyModel
from tf_febm.models.variational import VariationalModel
from tf_febm.networks import GaussianReference
from tf_febm.samplers import MALA

__all__ = ["Recovery"]

# Sets the noise of held-out pairs apart from the chains of the same step.
_PAIRS = 0x5EC0


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class Recovery(NoiseConditionalModel, SlowEnergyModel):
    """Train energies at several levels of noise, each by recovering its level from the next.

    The data x₀ get noise in T steps; see `NoiseLevels`. One network f(x, t) makes an energy for
    each level t < T, relative to the Gaussian that the last level is,

        E(x, t) = f(x, t) + ½‖(x − c)/s‖²,

    and the law of x_t given x_{t+1} is

        q(x_t | x_{t+1}) ∝ exp(−E(x_t, t) − ‖x_{t+1} − c − √(1 − σ_t²) (x_t − c)‖²/(2 σ_t² s²)),

    nearly one hill, however many modes there are: short chains from x_{t+1} follow it, where chains
    of E(x, 0) from noise would not. A step draws a level for each example and a pair
    (x_t, x_{t+1}), and several chains for each pair; the two networks play for

        L = E[g'(eʳ)] − E_q[g*(g'(eʳ))],   r = H(x_t, x_{t+1}, t) + E(x_t, t),

    the g-divergence of the two laws of pairs that share x_{t+1}. At the optimum r is
    log p(x_t | x_{t+1})/q(x_t | x_{t+1}), the normaliser of q being part of H, which
    begins with −½‖(x_t − c)/s‖² as E does with its opposite. With "kl" the
    gradient for θ is then that of the recovery likelihood. Where every conditional law is right,
    e^(−E(x, t)) is the density of level t, up to its normaliser; `energy`, `score` and all that is
    built on them are of level 0, the data.

    With a `reference` the levels are those of `ReferenceLevels`, of `MultiscaleScoreMatching` too:
    E(x, t) is relative to the Gaussian fit of level t, x_t is x with noise of σ_t, and chains move
    in coordinates in which x_t given x_{t+1} is standard normal where f is zero.

    `sample` walks down the levels: from x_T ~ N(c, s²I), one run of chains for each level. Chains
    move in w = (x_t − m)/d, in which their energy is f + ½‖w‖²; they start at w = 0, and samplers
    have no bounds. There is no replay buffer.

    It is a game of two networks at T levels at once, and rates that a single level bears can be too
    high. Nothing guarantees that it converges.

    Metrics are those of `FEBM`, over all levels; `sample_distance` is the energy distance of pairs.

    Args:
        energy: Network for f, from (x, rows) to [n, 1] or [n]: rows are one-hot over the T levels,
            and with classes behind them one-hot over these, [n, T + num_classes].
        variational: Network for H + ½‖(x_t − c)/s‖², from (pairs, rows): pairs are x_t and
            x_{t+1}, joined along their last axis, which is twice as long as that of x.
        divergence: A `Divergence` or its name.
        levels: T, or the numbers σ_t; see `NoiseLevels`.
        reference: A fitted `networks.GaussianReference`, or None. With it `levels` are those of
            `models.ReferenceLevels`, and `center` and `spread` are left out.
        center: c, the centre of the data, a number or an array of the shape of an example. For
            images in [0, 1]: 0.5.
        spread: s, about the standard deviation of the data, likewise. For images in [0, 1]: 0.5.
        chains_per_pair: Chains for each pair, at least 2: the covariance of Theorem 3 is one given
            x_{t+1}.
        sampler: For w; without bounds. `MALA(0.05, 20)` if None: it refuses the steps by which
            chains of Langevin dynamics run away where an energy has become steep.
        l2_coeff: Weight, at least 0, of the mean squared output of each network in its loss.
        class_weight_coeff: See `FEBM`; energies are those of the data themselves, at level 0.
        shift_invariant: See `FEBM`. It is on by default: H falls behind on the normaliser of q
            given x_{t+1} soonest.
        slow_energy_decay: See `FEBM`. The slower the average the further r runs ahead of H; None
            for an H that learns E by itself.
        num_classes: Number of classes of a conditional model, whose data yield (x, labels).
        average_decay: Decay of a running average of the energy's weights, or None to keep none.

    All other arguments are those of `FEBM` and `EnergyModel`.

    Raises:
        ValueError: An argument is out of its range, or a network's second input has another width.

    Source: Gao, Song, Poole, Wu, Kingma: Learning Energy-Based Models by Diffusion Recovery
        Likelihood, ICLR 2021; the divergence in place of maximum likelihood is this library's.
    """

    ROLE = "log p given the noisier level up to a constant"
    SETTLED: tuple[str, ...] = (*VariationalModel.SETTLED, "levels", "center", "spread")
    SETTINGS = {
        **{k: v for k, v in VariationalModel.SETTINGS.items()
           if k not in ("leave_one_out", "warmup_steps")},
        "shift_invariant": arguments.switch,
        "chains_per_pair": functools.partial(arguments.whole_number, minimum=2),
    }  # fmt: skip

    def __init__(
        self,
        energy: keras.layers.Layer,
        variational: keras.layers.Layer,
        divergence: str | divergences.Divergence = "js",
        *,
        levels: int | Sequence[float] = 6,
        center: arguments.Numbers = 0.0,
        spread: arguments.Numbers = 1.0,
        reference: GaussianReference | None = None,
        chains_per_pair: int = 2,
        sampler: Callable | None = None,
        l2_coeff: float = 0.0,
        shift_invariant: bool = True,
        slow_energy_decay: float | None = 0.8,
        variational_l2_coeff: float | None = None,
        class_weight_coeff: float = 0.0,
        num_classes: int | None = None,
        class_names: Sequence[str] | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
        # Switches for research.
        variational_divergence: str | divergences.Divergence | None = None,
        simultaneous: bool = False,
        variational_steps: int = 1,
        log_ratio_clip: float | None = None,
    ):
        # The base's constructor builds.
        if reference is None:
            found: NoiseLevels | ReferenceLevels = NoiseLevels(levels, center, spread)
        else:
            for given, value, default in (("center", center, 0.0), ("spread", spread, 1.0)):
                if np.ndim(value) or value != default:
                    raise ValueError(
                        f"{given} must be left out beside a reference, which has its own; "
                        f"received {arguments.shown(value)}."
                    )
            found = ReferenceLevels(reference, levels)
        self._set_levels(found, num_classes)
        self.chains_per_pair = chains_per_pair
        self.shift_invariant = shift_invariant
        self._set_slow_energy(slow_energy_decay)
        super().__init__(
            energy,
            variational,
            divergence,
            variational_divergence=variational_divergence,
            simultaneous=simultaneous,
            variational_steps=variational_steps,
            reference=self._data_level(),
            sampler=MALA(0.05, 20) if sampler is None else sampler,
            l2_coeff=l2_coeff,
            variational_l2_coeff=variational_l2_coeff,
            class_weight_coeff=class_weight_coeff,
            log_ratio_clip=log_ratio_clip,
            warmup_steps=0,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        self.class_names = class_names

    def _build_networks(self) -> None:
        for name in ("center", "spread"):
            shape = np.shape(getattr(self.levels, name, 0.0))
            if shape != (1,) * len(shape) and shape != self.sample_shape[-len(shape) :]:
                raise ValueError(
                    f"{name} must be a number or an array of the shape of an example, "
                    f"{self.sample_shape}; received shape {shape}."
                )
        super()._build_networks()

    def _example_for(self, network) -> Batch:
        example = self._example()
        if network is not self.variational_network:
            return example
        return example._replace(samples=tf.concat([example.samples] * 2, axis=-1))

    def _evaluate(self, network, batch: Batch, training=False) -> tf.Tensor:
        """Run a network on examples, of level 0 unless the labels are rows, or on pairs of them."""
        width = self.sample_shape[-1]
        x = batch.samples[..., :width]
        if network is not self.variational_network:
            return super()._evaluate(network, batch._replace(samples=x), training)
        rows = self._rows_of(batch.labels, x)
        level = self._level_of(rows, x)
        pair = (x, batch.samples[..., width:])
        seen = tf.concat([self.levels.seen(part, level) for part in pair], axis=-1)
        value = energies.per_example(network((seen, rows), training=training), x, network.name)
        return tf.cast(value, tf.float32)

    def _whole(self, relative, batch: Batch) -> tf.Tensor:
        """Return E, [n], from what the energy network says of examples or pairs of them."""
        x = batch.samples[..., : self.sample_shape[-1]]
        return super()._whole(relative, batch._replace(samples=x))

    def log_conditional_ratio(
        self,
        x: arguments.Array,
        noisier: arguments.Array,
        labels: arguments.Labels | None = None,
        *,
        level: int = 0,
    ) -> tf.Tensor:
        """Return r ≈ log p(x_t | x_{t+1})/q(x_t | x_{t+1}), float32 [n].

        Args:
            x: x_t, floating [n, …].
            noisier: x_{t+1}, of the same shape.
            labels: See `energy`, as for `level` and errors.
            level: t.
        """
        batch = self._at(self._as_batch(x, labels), level)
        noisier = self._as_batch(noisier, labels, "noisier").samples
        pairs = tf.concat([batch.samples, tf.cast(noisier, batch.samples.dtype)], axis=-1)
        variational = self._evaluate(self.variational_network, batch._replace(samples=pairs))
        ratio = variational + self._evaluate(self.energy_network, batch)
        if self.slow_energy_network is not None:
            ratio -= self._evaluate(self.slow_energy_network, batch)
        return ratio

    # --- training -------------------------------------------------------------------------------

    def _pairs(self, data: Batch, seed) -> Batch:
        """Return the pair of a level drawn for each example, repeated for each of its chains."""
        level_seed, noise_seed, next_seed = tf.unstack(randomness.split(seed, 3))
        count = tf.shape(data.samples)[0]
        level = randomness.uniform([count], level_seed, 0, self.levels.count, tf.int32)
        of_level = tf.one_hot(level, self.levels.count)
        x = self.levels.noised(tf.cast(data.samples, tf.float32), of_level, noise_seed)
        pairs = tf.concat([x, self.levels.following(x, of_level, next_seed)], axis=-1)
        weights = data.weights
        return Batch(
            tf.repeat(pairs, self.chains_per_pair, axis=0),
            tf.repeat(self._rows(level, data.labels), self.chains_per_pair, axis=0),
            None if weights is None else tf.repeat(weights, self.chains_per_pair),
            data,
        )

    def _train_on(self, data: Batch) -> dict:
        """Take one step of both networks, on pairs."""
        pairs = self._pairs(data, self.next_seed())
        with parallel.one_batch(tf.shape(pairs.samples)[0]):
            return super()._train_on(pairs)

    def _test_on(self, data: Batch) -> dict:
        """Measure the bound and energies, of pairs."""
        pairs = self._pairs(data, tf.random.fold_in(self.evaluation_seed(), _PAIRS))
        with parallel.one_batch(tf.shape(pairs.samples)[0]):
            return super()._test_on(pairs)

    def _negatives_of(self, data: Batch, *, seed=None, remember: bool = True) -> Batch:
        """Return as many pairs of the model as of the data, each with the same x_{t+1}."""
        seed = self.next_seed() if seed is None else seed
        noisier = data.samples[..., self.sample_shape[-1] :]
        with networks.cached_weights(self.energy_network):
            x = self._recover(noisier, data.labels, seed)
        return data._replace(samples=tf.concat([tf.stop_gradient(x), noisier], axis=-1))

    def _log_ratio(self, variational, energy) -> tf.Tensor:
        """Return H + E: the networks are relative to the same Gaussian."""
        return variational + energy

    def _energy_surrogate(
        self, log_ratio_data, log_ratio_model, energy_data, energy_model, weights
    ):
        """Return a scalar whose gradient is that of Theorem 3, given x_{t+1}."""
        return objectives.conditional_energy_surrogate(
            self.divergence,
            log_ratio_data,
            log_ratio_model,
            energy_model,
            self.chains_per_pair,
            energy_data=energy_data if self.shift_invariant else None,
            **weights,
        )

    # --- saving ---------------------------------------------------------------------------------

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        # Without meaning beside a reference.
        return {"center": 0.0, "spread": 1.0, **super().get_config()}
