"""Bidirectional bounds: an energy between an upper and a lower bound, and a generator."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tf_febm import arguments, energies, objectives, optimizers, parallel, randomness
from tf_febm.models import updates
from tf_febm.models.chains import Batch
from tf_febm.models.generation import Generated, GeneratorModel
from tf_febm.models.weights import WeightedBatches, of_batches
from tf_febm.networks import GaussianReference

__all__ = ["BidirectionalEBM"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class BidirectionalEBM(GeneratorModel):
    """Train an energy E (parameters θ) on two bounds of its negative log-likelihood.

    L = E_data[E] + log Z has no estimate without samples of q = e^(−E)/Z. A generator G (φ), which
    maps z ~ N(0, I_d) to x = G(z) with density p_g, gives

        ⌊L⌋ = E_data[E] − E_g[E] + H[p_g]             φ ascends it, towards p_g = q
        ⌈L⌉ = ⌊L⌋ + max(0, w·GP − τ)                  θ descends it
        GP  = ½ E‖∇_z[E(G(z)) + log p_g(G(z))]‖²

    One step draws z, moves θ, and then φ against the new energies at the same z. There are no
    chains. `objectives.lower_bound` and `objectives.upper_bound` say when these are bounds: in
    short, where G is one to one and onto (so d = D), w is at least the inverse of a log-Sobolev
    constant, which is 1 at the optimum, and the entropy is "logdet". The published w = 1e-3 is a
    regulariser's weight, not a bound's.

    H[p_g] = H[N(0, I_d)] + E[½ log det JᵀJ] comes from the Jacobian J of G, see `tf_febm.entropy`.
    With entropy="smallest_singular_value", ½ log det JᵀJ is replaced by d·log s_min everywhere,
    which is no larger once the iterations have converged, and may be larger before. Both presume
    that no two z have one image.

    G is one and the same function wherever it appears, in inference mode: in the energies, the
    Jacobian, the penalty and `sample`. So with batch normalisation J is that of one example, and
    p_g the density of what is sampled. Its moving statistics are brought up to date by one pass in
    training mode at the start of each step, whose result is not used otherwise; no gradient goes
    through statistics. Dropout in a generator is thus never active.

    There are no classes, and no `class_weight_coeff`: G takes no label.

    Baselines: penalty="data" takes the zero-centred gradient penalty E_data‖∇ₓE‖² in the place of
    GP, penalty=None none, entropy_weight=0 leaves the entropy out. Without either use of the
    entropy it is not computed, and no bounds are reported.

    Metrics, as means over an epoch: `loss` (what θ descends: the upper bound without the entropy,
    or what stands in its place, the l2 term and the network's own losses), `lower_bound` and
    `upper_bound` (with the entropy in full, whatever its weight; the second only if
    penalty="latent"), `entropy`, `penalty` (GP, or the baseline's), `energy_data`, `energy_model`,
    `energy_gap` (data − model), `energy_gradient_norm` and `generator_gradient_norm` (global L2).

    Args:
        energy: Network for E, from x to [n, 1] or [n]. The penalty differentiates its gradient.
        generator: Network for G, from [n, latent_dim] to the shape of x; see
            `networks.generator_mlp` and its like.
        latent_dim: d, at most the number of entries of x.
        penalty_weight: w, at least 0.
        penalty_threshold: τ, at least 0.
        entropy_weight: λ ≥ 0 of φ's loss, E_g[E] − λ·H[p_g].
        entropy: "logdet", "smallest_singular_value", or "auto", which takes the first up to 32
            latent dimensions.
        entropy_iterations: Iterations of LOBPCG a step for the smallest singular value. They start
            at the vectors that the last step ended with.
        penalty: "latent", "data" or None.
        l2_coeff: Weight, at least 0, of mean E² over data and samples in θ's loss. The methods'
            own is 0; it keeps the level and the scale of energies in sight.
        sampler: Refines samples, and has the bounds of the data; see EnergyModel.
        average_decay: Decay of running averages of both networks' weights; see EnergyModel.

    All other arguments are those of `EnergyModel`.

    Raises:
        ValueError: An argument is out of its range, or the energy network takes labels.
        TypeError: A network is no Keras layer.

    Source: Geng, Wang, Gao, Frellsen, Hauberg: Bounds all around: training energy-based models with
    bidirectional bounds, NeurIPS 2021. There the penalty is estimated with one random direction,
    and the entropy of image generators by d·log s_min.
    """

    METRICS = (
        "loss",
        "lower_bound",
        "upper_bound",
        "entropy",
        "penalty",
        "energy_data",
        "energy_model",
        "energy_gap",
        "sample_distance",
        "energy_gradient_norm",
        "generator_gradient_norm",
    )
    SETTINGS = {
        **dict.fromkeys(
            ("penalty_weight", "penalty_threshold", "entropy_weight", "l2_coeff"), arguments.number
        ),
        "penalty": functools.partial(arguments.choice, choices=("latent", "data", None)),
    }

    def __init__(
        self,
        energy: keras.layers.Layer,
        generator: keras.layers.Layer,
        latent_dim: int,
        penalty_weight: float = 1.0,
        penalty_threshold: float = 0.0,
        entropy_weight: float = 1.0,
        entropy: str = "auto",
        *,
        entropy_iterations: int = 10,
        penalty: str | None = "latent",
        l2_coeff: float = 0.0,
        sampler: Callable | None = None,
        reference: GaussianReference | None = None,
        average_decay: float | None = None,
        seed: int | None = None,
        name: str | None = None,
    ):
        super().__init__(
            energy,
            sampler=sampler,
            reference=reference,
            average_decay=average_decay,
            seed=seed,
            name=name,
        )
        self._set_generator(generator, latent_dim, entropy, entropy_iterations)
        self.penalty_weight, self.penalty_threshold = penalty_weight, penalty_threshold
        self.entropy_weight, self.l2_coeff = entropy_weight, l2_coeff
        self.penalty = penalty
        self._check_settings()
        self.generator_optimizer: Any = None
        self._build_if_known()

    def compile(
        self,
        optimizer: arguments.Optimizer | None = None,
        generator_optimizer: arguments.Optimizer | None = None,
        *,
        jit_compile: bool = False,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        auto_scale_loss: bool = True,
        loss: arguments.Tensor | None = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ) -> None:
        """Set the two optimizers; each is the published Adam(2e-4, β = (0, 0.9)) if None.

        All other arguments are those of `EnergyModel.compile`, for both optimizers.
        """
        with self.distribute_strategy.scope():
            optimizer, generator_optimizer = (
                optimizers.FusedAdam(2e-4, beta_1=0.0, beta_2=0.9)
                if given is None
                else keras.optimizers.get(given)
                for given in (optimizer, generator_optimizer)
            )
        super().compile(
            optimizer,
            jit_compile=jit_compile,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            auto_scale_loss=auto_scale_loss,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
        )
        self._set_second_optimizer(generator_optimizer, auto_scale_loss)

    # --- training -------------------------------------------------------------------------------

    def _train_on(self, data: Batch) -> dict:
        """Take one step of both networks."""
        theta = self.energy_network.trainable_variables
        phi = self.generator_network.trainable_variables

        before = self._iterations()

        # 1. What the generator makes of random latent variables, and its entropy.
        latent_seed, vector_seed = tf.unstack(randomness.split(self.next_seed(), 2))
        z = self.latents(_count(data.samples), latent_seed)
        self._update_statistics(z)
        generator_tape = tf.GradientTape(watch_accessed_variables=False)
        with generator_tape:
            generator_tape.watch([variable.value for variable in phi])
            generated = self._generated(z, vector_seed, with_entropy=self._needs_entropy)
            own = updates.losses_of(self.generator_network)
        self._remember_directions(generated.directions)

        # 2. θ descends the upper bound, or what stands in its place.
        with tf.GradientTape(watch_accessed_variables=False) as energy_tape:
            energy_tape.watch([variable.value for variable in theta])
            weights = of_batches(data.weights, None)
            told, own_energy, measured = self._energy_loss(data, weights, generated, training=True)
            energy_loss = weights.scale * told + own_energy
        energy_norm = updates.take_step(
            energy_tape, energy_loss, self.energy_network, self.optimizer, self._fresh
        )

        # 3. φ ascends the lower bound, against the new energies.
        with generator_tape:
            samples = Batch(generated.samples, None)
            generator_loss = own + parallel.batch_mean(self._energy(samples, training=True))
            if self.entropy_weight:
                generator_loss -= self.entropy_weight * generated.entropy
        generator_norm = updates.take_step(
            generator_tape,
            generator_loss,
            self.generator_network,
            self.generator_optimizer,
            self._fresh,
        )
        self._update_averages(before)

        return self._update_metrics(
            data,
            **self._describe(weights, told + own_energy, measured, generated.entropy),
            energy_gradient_norm=energy_norm,
            generator_gradient_norm=generator_norm,
        )

    def _test_on(self, data: Batch) -> dict:
        """Measure the bounds on held-out data, and leave no trace."""
        latent_seed, vector_seed = tf.unstack(randomness.split(self.evaluation_seed(), 2))
        z = self.latents(tf.shape(data.samples)[0], latent_seed)
        generated = self._generated(z, vector_seed, with_entropy=True)
        weights = of_batches(data.weights, None)
        told, own, measured = self._energy_loss(data, weights, generated)
        return self._update_metrics(
            data,
            **self._describe(weights, told + own, measured, generated.entropy),
            sample_distance=self._sample_distance(data, Batch(generated.samples, None)),
        )

    def _energy_loss(
        self, data: Batch, weights: WeightedBatches, generated: Generated, training=False
    ) -> tuple:
        """Return this replica's share of what θ descends, in two parts, and energies and penalty.

        The second part are the network's own losses, which no weights of examples enter.
        """
        energy_data, energy_model, penalty, own = self._energies(data, weights, generated, training)
        # The entropy is a constant to θ.
        lower = objectives.lower_bound(energy_data, energy_model, 0.0, weights_data=weights.data)
        loss = objectives.upper_bound(lower, penalty, self.penalty_weight, self.penalty_threshold)
        if self.l2_coeff:
            regulariser = objectives.energy_regulariser(
                energy_data, energy_model, weights_data=weights.data
            )
            loss += self.l2_coeff * regulariser
        return loss, own, (energy_data, energy_model, penalty)

    @property
    def _needs_entropy(self) -> bool:
        return self.entropy_weight > 0.0 or self.penalty == "latent"

    def _energies(
        self, data: Batch, weights: WeightedBatches, generated: Generated, training=False
    ) -> tuple:
        """Return E at the data and at samples, the penalty, and the network's own losses."""
        samples = Batch(tf.stop_gradient(generated.samples), None)

        def value(batch):
            return self._energy(batch, training)

        def value_and_gradient(batch):
            energy_fn = self._energy_given(None, training)
            return energies.value_and_gradient(energy_fn, tf.cast(batch.samples, tf.float32))

        penalty = tf.constant(0.0)
        if self.penalty == "latent":
            energy_model, gradient = value_and_gradient(samples)
            penalty = objectives.latent_gradient_penalty(
                generated.vector_jacobian_product(gradient), generated.log_density_gradient
            )
        else:
            energy_model = value(samples)
        if self.penalty == "data":
            _, gradient = value_and_gradient(data)
            penalty = objectives.data_gradient_penalty(gradient, weights_data=weights.data)
        # Last, for the losses that this call adds; what is computed twice, TensorFlow merges.
        energy_data = value(data)
        return energy_data, energy_model, penalty, updates.losses_of(self.energy_network)

    def _describe(
        self, weights: WeightedBatches, loss, measured: tuple[tf.Tensor, ...], generator_entropy
    ) -> dict:
        energy_data, energy_model, penalty = measured
        mean_data = parallel.batch_mean(energy_data, weights.data)
        mean_model = parallel.batch_mean(energy_model)
        values = {
            "loss": loss,
            "energy_data": mean_data,
            "energy_model": mean_model,
            "energy_gap": mean_data - mean_model,
        }
        if self.penalty is not None:
            values["penalty"] = penalty
        if generator_entropy is not None:
            lower = objectives.lower_bound(
                energy_data, energy_model, generator_entropy, weights_data=weights.data
            )
            values |= {"entropy": generator_entropy, "lower_bound": lower}
            if self.penalty == "latent":
                values["upper_bound"] = objectives.upper_bound(
                    lower, penalty, self.penalty_weight, self.penalty_threshold
                )
        # All of them were shares.
        return dict(zip(values, parallel.all_reduce_sum([*values.values()]), strict=True))

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate` returns, in its order."""
        absent = set()
        if self.penalty != "latent":
            absent.add("upper_bound")
        if self.penalty is None:
            absent.add("penalty")
        return [name for name in super().metrics_names if name not in absent]


def _count(samples) -> tf.Tensor:
    """Return the number of examples, which must not be 0 on a replica: none has a Jacobian."""
    count = tf.shape(samples)[0]
    if parallel.replicas() == 1:
        return count
    message = (
        "A batch has fewer examples than there are replicas: drop it (drop_remainder=True), or "
        "take batches that divide the data."
    )
    with tf.control_dependencies([tf.debugging.assert_positive(count, message)]):
        return tf.identity(count)
