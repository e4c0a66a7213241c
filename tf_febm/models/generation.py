"""Base class of models with a generator: direct samples and their density."""

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf_febm import arguments, parallel, randomness
from tf_febm.entropy import LinearMap, normal_entropy, normal_log_density
from tf_febm.entropy.singular import smallest_singular_value_of
from tf_febm.entropy.volume import log_volume_of
from tf_febm.models.averaging import WeightAverage, averaged_variables
from tf_febm.models.base import EnergyModel
from tf_febm.models.chains import Batch
from tf_febm.models.parts import check_network

__all__ = ["Generated", "GeneratorModel"]

ENTROPIES = ("logdet", "smallest_singular_value")
# Up to so many latent dimensions the whole Jacobian costs about what the iterations do.
MAX_LOGDET_DIM = 32
# Singular vectors that are kept from step to step.
NUM_DIRECTIONS = 64


class Generated(NamedTuple):
    """What a generator makes of a batch of latent variables.

    Attributes:
        samples: G(z), float32 [n, …], differentiable for the generator's parameters.
        linear_map: The Jacobian of G at z, a `LinearMap`; None if no entropy was asked for.
        entropy: The estimate of H[p_g], a scalar, differentiable likewise; or None. On several
            replicas it is the replica's share.
        log_density_gradient: ∇_z log p_g(G(z)), [n, d], a constant; or None.
        directions: Singular vectors that belong to the smallest singular values, [n, d], or None.
    """

    samples: tf.Tensor
    linear_map: LinearMap | None = None
    entropy: tf.Tensor | None = None
    log_density_gradient: tf.Tensor | None = None
    directions: tf.Tensor | None = None

    def vector_jacobian_product(self, gradient: tf.Tensor) -> tf.Tensor:
        """Return ∇_z E(G(z)) = Jᵀ∇ₓE, [n, d], from ∇ₓE at the samples."""
        flat = tf.reshape(gradient, [-1, self.linear_map.size])
        return self.linear_map.transposed_product(flat)


@arguments.checked
class GeneratorModel(EnergyModel):
    """Base of models with an energy network and a generator G from N(0, I_d) to the data space.

    A subclass calls `_set_generator` in its constructor.
    """

    SECOND_PLAYER = "generator"
    INITIAL = ("generator", "noise")

    def _set_generator(
        self, generator: keras.layers.Layer, latent_dim: int, entropy: str, iterations: int
    ) -> None:
        """Take the generator, or say why it cannot be; the arguments are `BidirectionalEBM`'s."""
        if self.conditional:
            raise ValueError(
                f"{type(self).__name__} is unconditional, as its generator takes no label; "
                f"received an energy network of {self.num_classes} classes."
            )
        if generator is self.energy_network:
            raise ValueError("energy and generator must be two networks; received one twice.")
        self.generator_network = check_network("generator", generator, self.energy_network)
        self.latent_dim = arguments.whole_number("latent_dim", latent_dim, 1)
        if entropy not in ("auto", *ENTROPIES):
            raise ValueError(
                f"entropy must be one of auto, {', '.join(ENTROPIES)}; received {entropy!r}."
            )
        if entropy == "auto":
            entropy = ENTROPIES[self.latent_dim > MAX_LOGDET_DIM]
        self.entropy = entropy
        self.entropy_iterations = arguments.whole_number("entropy_iterations", iterations)
        self.generator_average: WeightAverage | None = None
        # One for each replica of this process, which has examples of its own.
        self._directions: list[tf.Variable] = []
        if self.entropy == "smallest_singular_value":
            shape = [NUM_DIRECTIONS, self.latent_dim]
            self._directions = parallel.for_each_local_replica(
                lambda: tf.Variable(
                    randomness.normal(shape, randomness.as_seed(0)), trainable=False
                )
            )

    @property
    def directions(self) -> tf.Variable | None:
        """Singular vectors from which a step starts, [64, latent_dim]; in a replica, its own."""
        if not self._directions:
            return None
        # The replicas of a worker are numbered in a row.
        return self._directions[parallel.replica_number() % len(self._directions)]

    # --- building -------------------------------------------------------------------------------

    @property
    def networks(self) -> tuple:
        """The energy network and the generator."""
        return (self.energy_network, self.generator_network)

    def _build_networks(self) -> None:
        self._evaluate(self.energy_network, Batch(tf.zeros((2, *self.sample_shape)), None))
        shape = getattr(self.generator_network, "input_shape", None)
        if shape is not None and tuple(shape[1:]) != (self.latent_dim,):
            raise ValueError(
                f"The generator must take [n, {self.latent_dim}], as latent_dim={self.latent_dim}; "
                f"it takes {shape}."
            )
        made = self.generate(tf.zeros((2, self.latent_dim)))
        if made.shape != (2, *self.sample_shape):
            raise ValueError(
                f"The generator must make examples of shape {self.sample_shape}; received "
                f"{tuple(made.shape[1:])}."
            )
        if self.latent_dim > made.shape[1:].num_elements():
            raise ValueError(
                f"latent_dim must be at most {made.shape[1:].num_elements()}, the size of an "
                f"example; received {self.latent_dim}."
            )
        if self.average_decay is not None:
            weights = averaged_variables(self.generator_network)
            self.generator_average = WeightAverage(weights, self.average_decay)

    # --- the generator --------------------------------------------------------------------------

    def latents(self, count: int, seed: arguments.Seed) -> tf.Tensor:
        """Return `count` latent variables z ~ N(0, I), float32 [count, latent_dim]."""
        z = randomness.normal([count, self.latent_dim], seed)
        return tf.ensure_shape(z, (None, self.latent_dim))

    def generate(self, z: arguments.Array) -> tf.Tensor:
        """Return G(z), float32 [n, …], in inference mode.

        Args:
            z: Float32 [n, latent_dim].
        """
        return tf.cast(self.generator_network(z, training=False), tf.float32)

    def _generated(self, z, seed, *, with_entropy: bool) -> Generated:
        """Return all that a step needs of G at z."""
        if not with_entropy:
            return Generated(self.generate(z))
        directions = None
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(z)
            linear_map = LinearMap(self.generate, z)
            if self.entropy == "logdet":
                log_volume = log_volume_of(linear_map)
            else:
                start = tf.gather(self.directions, tf.range(tf.shape(z)[0]) % NUM_DIRECTIONS)
                found = smallest_singular_value_of(
                    linear_map, self.entropy_iterations, start=start, seed=seed
                )
                log_volume = self.latent_dim * tf.math.log(found.value)
                directions = found.vector
            log_density = normal_log_density(z) - log_volume
        return Generated(
            linear_map.output,
            linear_map,
            parallel.batch_mean(normal_entropy(self.latent_dim) + log_volume),
            tf.stop_gradient(tape.gradient(log_density, z)),
            directions,
        )

    def _remember_directions(self, directions) -> None:
        """Keep singular vectors as the start of the next step's iterations."""
        if directions is not None:
            rows = tf.concat([directions, self.directions], axis=0)[:NUM_DIRECTIONS]
            self.directions.assign(rows)

    def _update_statistics(self, z) -> None:
        """Bring the moving statistics of batch normalisation up to date."""
        network = self.generator_network
        if not network.non_trainable_variables:
            return
        network(z, training=True)
        if parallel.replicas() == 1:
            return
        # A layer that is not `synchronized` has seen its own part only: G must stay one function.
        statistics = [v.value for v in network.non_trainable_variables if "float" in v.dtype]
        means = parallel.all_reduce_sum([v / parallel.replicas() for v in statistics])
        for variable, mean in zip(statistics, means, strict=True):
            parallel.local(variable).assign(mean)

    def _averages(self) -> dict[str, tuple]:
        found, average = super()._averages(), getattr(self, "generator_average", None)
        if average is not None:
            found["generator_average"] = (average, self.generator_network)
        return found

    def _settings(self) -> dict:
        own = {"entropy": self.entropy, "entropy_iterations": self.entropy_iterations}
        return {**super()._settings(), **own}

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Return a context in which both networks have their averaged weights.

        See `EnergyModel.averaged_weights`.
        """
        with super().averaged_weights(), self.generator_average.applied():
            yield

    # --- sampling -------------------------------------------------------------------------------

    def negative_batch(
        self,
        count: int,
        labels: arguments.Labels | None = None,
        seed: arguments.Seed | None = None,
        *,
        fresh: arguments.Array | None = None,
        remember: bool = True,
    ) -> Batch:
        """Return samples of the generator, constants to any gradient: there are no chains.

        Args:
            count: How many.
            labels: None; the model is unconditional.
            seed: Integer tensor [2], or None to take the model's next one.
            fresh: Samples to take instead, [count, …].
            remember: Without meaning here.
        """
        if fresh is None:
            seed = self.next_seed() if seed is None else seed
            fresh = self.generate(self.latents(count, seed))
        return Batch(tf.stop_gradient(fresh), None)

    def sample(
        self,
        num_samples: int,
        labels: arguments.Labels | None = None,
        seed: arguments.Seed | None = None,
        *,
        initial: str = "generator",
        refine_steps: int | None = None,
        num_steps: int | None = None,
        return_diagnostics: bool = False,
        return_trajectory: bool = False,
        **sampler_options: Any,
    ) -> Any:
        """Draw samples of the generator, refined by the model's sampler if asked for.

        Args:
            num_samples: How many, at least 1. All are made at once: bound your memory.
            labels: None; the model is unconditional.
            seed: An int or a pair of ints; the model's next one if None.
            initial: "generator", or "noise" for plain chains, as other models have them.
            refine_steps: Steps of the sampler. None is 0 from the generator, and the sampler's own
                number from noise.
            num_steps: The same, under the name that other models give it.
            return_diagnostics: Whether the sampler's figures of each step come along; see
                `samplers.ChainResult`.
            return_trajectory: Whether all states come along; likewise.
            **sampler_options: What else a sampler of your own takes when it is called.

        Returns:
            Float32 [num_samples, …], or what the sampler returns with the given options. Without
            refinement they follow p_g exactly, and q as well as p_g does; what refinement adds is
            said by the sampler.

        Raises:
            ValueError: A number is below 1, `initial` is unknown, labels or both numbers of steps
                are given.
        """
        return self.sample_batch(
            num_samples,
            labels,
            seed,
            initial=initial,
            refine_steps=refine_steps,
            num_steps=num_steps,
            return_diagnostics=return_diagnostics,
            return_trajectory=return_trajectory,
            **sampler_options,
        ).samples

    def sample_batch(
        self,
        num_samples: int,
        labels: arguments.Labels | None = None,
        seed: arguments.Seed | None = None,
        *,
        initial: Any = "generator",
        refine_steps: int | None = None,
        num_steps: arguments.Whole | None = None,
        return_diagnostics: bool = False,
        return_trajectory: bool = False,
        **sampler_options: Any,
    ) -> Batch:
        """Draw samples as `sample` does, and return them with their labels, None."""
        if refine_steps is not None and num_steps is not None:
            raise ValueError(
                f"refine_steps and num_steps are one; received {refine_steps} and {num_steps}."
            )
        steps = self.steps_of(initial, num_steps if refine_steps is None else refine_steps)
        return super().sample_batch(
            num_samples,
            labels,
            seed,
            initial=initial,
            num_steps=steps,
            return_diagnostics=return_diagnostics,
            return_trajectory=return_trajectory,
            **sampler_options,
        )

    def steps_of(self, initial: str, num_steps: int | None) -> int | None:
        """Return `num_steps`, and where that is None no step from the generator."""
        return 0 if num_steps is None and initial == "generator" else num_steps

    def _start(self, initial: str, count, labels, seed) -> Batch:
        if initial == "generator":
            return Batch(self.generate(self.latents(count, seed)), None)
        return super()._start(initial, count, labels, seed)

    # --- saving ---------------------------------------------------------------------------------

    def state_variables(self) -> dict:
        """Return all that training changes: group name -> list of `tf.Variable`."""
        state = super().state_variables()
        return state | self._of_replicas("directions", [[v] for v in self._directions])

    def own_variables(self) -> dict:
        """Return what no layer, optimizer or buffer keeps: name in files -> variable."""
        directions = {} if self.directions is None else {"directions": self.directions}
        return super().own_variables() | directions

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        config = super().get_config()
        # A generator has no labels, and no chains that a buffer could keep.
        del config["buffer"], config["num_classes"], config["class_names"]
        return {
            **config,
            "generator": keras.saving.serialize_keras_object(self.generator_network),
            "latent_dim": self.latent_dim,
        }
