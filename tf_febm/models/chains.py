"""Chains of a model: their starts, their runs, their ends in the replay buffer."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from tf_febm import arguments, compiled, networks, parallel, randomness
from tf_febm.models.labels import class_numbers, one_hot
from tf_febm.samplers import ReplayBuffer, denoising_step, descend
from tf_febm.samplers.chain import step_argument

__all__ = ["Batch", "Chains"]

# Sets the random numbers of evaluation apart from those of training; replicas count on from it.
_EVALUATION = 0x0E7A1000


class Batch(NamedTuple):
    """Examples and, for a conditional model, their labels.

    Attributes:
        samples: Floating [n, …].
        labels: Integers [n] or one-hot rows [n, num_classes]; None if unconditional.
        weights: What each example counts for, float32 [n], at least 0; None for equal weights.
        origin: The examples that these were made of by noise; None where they are examples.
    """

    samples: tf.Tensor
    labels: tf.Tensor | None
    weights: tf.Tensor | None = None
    origin: "Batch | None" = None


@arguments.checked
class Chains:
    """The part of a model that draws from q(x) ∝ exp(−E(x)).

    Expects of the model: `sampler`, `buffer`, `bounds`, `num_classes`, `sample_shape`,
    `seed_generator`, `energy_network`, `_energy_given(labels)`, and `_compiled_chain`, the compiled
    `_chain`.
    """

    # What the model gives, for readers and type checkers.
    sampler: Any
    buffer: ReplayBuffer | None
    bounds: Any
    conditional: Any
    num_classes: int | None
    sample_shape: tuple[int, ...] | None
    seed_generator: Any
    energy_network: Any
    _energy_given: Callable
    _as_batch: Callable
    reference: Any
    _compiled_chain: Callable
    _means: Any
    _notice_changes: Callable

    # What `initial` may be in `sample`, the usual one first.
    INITIAL: tuple[str, ...] = ("noise", "buffer")

    def next_seed(self) -> tf.Tensor:
        """Return a new seed, int32 [2], and advance the model's random state.

        Each replica of a strategy gets its own.
        """
        if parallel.replicas() == 1:
            return tf.cast(self.seed_generator.next(), tf.int32)
        # As the generator does it, on the replica's copy of the state.
        state = parallel.local(self.seed_generator.state.value)
        seed = tf.cast(state * 1, tf.int32)
        state.assign_add(tf.constant([0, 1], state.dtype))
        return tf.random.fold_in(seed, parallel.replica_number())

    def evaluation_seed(self) -> tf.Tensor:
        """Return the seed of a held-out batch, int32 [2], and leave the model's state as it is.

        So training is the same with validation or without, and equal weights give equal figures.
        """
        state = tf.cast(parallel.local(self.seed_generator.state.value) * 1, tf.int32)
        seed = tf.random.fold_in(state, _EVALUATION + parallel.replica_number())
        return tf.random.fold_in(seed, tf.cast(self._means.updates(), tf.int32))

    def fresh_batch(
        self, count: int, seed: arguments.Seed, labels: arguments.Labels | None = None
    ) -> Batch:
        """Return starting points of chains: uniform in the bounds, or standard normal without.

        A sampler that has a method `fresh` (shape, seed) says itself where chains start.

        Args:
            count: How many, an int or a scalar tensor.
            seed: Integer tensor [2].
            labels: Labels to keep; drawn uniformly if None and the model is conditional.
        """
        noise_seed, label_seed = tf.unstack(randomness.split(seed, 2))
        shape = tf.concat([[count], self.sample_shape], axis=0)
        if hasattr(self.sampler, "fresh"):
            samples = self.sampler.fresh(shape, noise_seed)
        elif self.bounds is None:
            samples = randomness.normal(shape, noise_seed)
        else:
            samples = randomness.uniform(shape, noise_seed, *self.bounds)
        samples = tf.ensure_shape(samples, (None, *self.sample_shape))
        if self.conditional and labels is None:
            labels = randomness.uniform([count], label_seed, 0, self.num_classes, tf.int32)
        return Batch(samples, labels)

    def negative_batch(
        self,
        count: int,
        labels: arguments.Labels | None = None,
        seed: arguments.Seed | None = None,
        *,
        fresh: arguments.Array | None = None,
        remember: bool = True,
    ) -> Batch:
        """Run the chains of one training step.

        They start in the buffer, or afresh with its restart probability, and their ends go back
        into it.

        Args:
            count: Number of chains.
            labels: Labels of the chains, integers [count] or rows over the classes; drawn uniformly
                if None and the model is conditional. For training, those of the data batch.
            seed: Integer tensor [2], or None to take the model's next one.
            fresh: Where fresh chains start, float32 [count, …]; those of a `fresh_batch` if None.
            remember: Whether to write the ends into the buffer.

        Returns:
            Samples of the model [count, …], constants to any gradient, with their labels.
        """
        seed = self.next_seed() if seed is None else seed
        labels = None if labels is None else tf.convert_to_tensor(labels)
        fresh_seed, start_seed, chain_seed = tf.unstack(randomness.split(seed, 3))
        start = self.fresh_batch(count, fresh_seed, labels)
        if fresh is not None:
            start = start._replace(samples=fresh)
        numbers = class_numbers(start.labels)
        if self.buffer is not None:
            begun = self.buffer.start(start.samples, start_seed, numbers)
            start = start._replace(samples=begun)
        samples = tf.stop_gradient(self._in_parts(start, chain_seed))
        if self.buffer is not None and remember:
            self.buffer.write(samples, numbers)
        return Batch(samples, start.labels)

    def _in_parts(self, start: Batch, seed) -> tf.Tensor:
        """Return the ends of chains, run in as many loops as the sampler's `num_parallel` says."""

        def run(samples, labels, seed):
            with networks.cached_weights(self.energy_network):
                return self.sampler(self._energy_given(labels), samples, seed)

        parts = getattr(self.sampler, "num_parallel", 1)
        if parts == 1:
            return run(start.samples, start.labels, seed)
        if not tf.executing_eagerly() and parallel.replicas() == 1:
            # Loops of one function take turns in one thread; functions that stay functions do not.
            # Replicas have a core each.
            run = tf.function(run, autograph=False, experimental_attributes={"_noinline": True})
        count, ends = tf.shape(start.samples)[0], []
        for i, own_seed in enumerate(tf.unstack(randomness.split(seed, parts), parts)):
            rows = slice(count * i // parts, count * (i + 1) // parts)
            labels = None if start.labels is None else start.labels[rows]
            ends.append(run(start.samples[rows], labels, own_seed))
        return tf.ensure_shape(tf.concat(ends, axis=0), start.samples.shape)

    def _negatives_of(self, data: Batch, *, seed=None, remember: bool = True) -> Batch:
        """Return as many samples of the model as there are data, with their labels.

        The law of the labels is then that of the data's, weights included.
        """
        count = tf.shape(data.samples)[0]
        model = self.negative_batch(count, data.labels, seed, remember=remember)
        return model._replace(weights=data.weights if self.conditional else None)

    def _buffer_fill(self):
        """Return the filled part of the buffer, 0 to 1; 0 without one."""
        if self.buffer is None:
            return 0.0
        filled = parallel.all_reduce_sum(tf.cast(self.buffer.size, tf.float32))
        return filled / (self.buffer.capacity * parallel.replicas())

    def sample(
        self,
        num_samples: int,
        labels: arguments.Labels | None = None,
        seed: arguments.Seed | None = None,
        *,
        initial: str = "noise",
        num_steps: int | None = None,
        return_diagnostics: bool = False,
        return_trajectory: bool = False,
        **sampler_options: Any,
    ) -> Any:
        """Draw samples with the model's sampler.

        Args:
            num_samples: How many chains, at least 1. All run at once: bound your memory.
            labels: Labels of a conditional model, integers [num_samples] or one-hot rows; drawn
                uniformly if None.
            seed: An int or a pair of ints, of a stream apart from that of training; the model's
                next one if None.
            initial: "noise" starts chains afresh; "buffer" where past chains ended, which is far
                along when training has run, and what an f-EBM was trained against.
            num_steps: Steps of the chains, at least 0; the sampler's own number if None. Another
                number takes no new trace, but with samplers of your own.
            return_diagnostics: Whether the sampler's figures of each step come along; see
                `samplers.ChainResult`.
            return_trajectory: Whether all states come along; likewise.
            **sampler_options: What else a sampler of your own takes when it is called.

        Returns:
            Float32 [num_samples, …], or what the sampler returns with the given options. Chains
            are finite: the samples follow q only as far as the sampler's docstring says.

        Raises:
            ValueError: A number is below 1, `initial` is unknown, labels are bad, or the buffer is
                empty or missing.
        """
        return self.sample_batch(
            num_samples,
            labels,
            seed,
            initial=initial,
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
        initial: Any = "noise",
        num_steps: arguments.Whole | None = None,
        return_diagnostics: bool = False,
        return_trajectory: bool = False,
        **sampler_options: Any,
    ) -> Batch:
        """Draw samples as `sample` does, and return them with their labels."""
        if not tf.is_tensor(num_samples):
            num_samples = arguments.whole_number("num_samples", num_samples, 1, 2**31)
        arguments.choice("initial", initial, self.INITIAL)
        if taken := sorted({"energy_fn", "initial_state"} & {*sampler_options}):
            raise TypeError(
                f"{taken[0]} is what the model gives to its sampler: initial='noise' or 'buffer' "
                "says where chains start, and model.sampler(energy_fn, initial_state, seed) runs "
                "them from elsewhere."
            )
        if self.sample_shape is None:
            raise ValueError("The model has no shape yet: fit it or call model.build first.")
        if labels is not None:
            if not self.conditional:
                raise ValueError("labels were given, but the energy network takes none.")
            if initial == "buffer":
                raise ValueError("initial='buffer' keeps the labels of the stored chains.")
            one_hot(labels, self.num_classes, num_samples)
            labels = tf.convert_to_tensor(labels)
        if initial == "buffer" and (self.buffer is None or not int(self.buffer.written)):
            raise ValueError("initial='buffer' needs a replay buffer with samples in it.")
        self._notice_changes()
        steps = step_argument(self.sampler, num_steps)
        seed = self.next_seed() if seed is None else randomness.sampling_seed(seed)
        options = {name: value for name, value in sampler_options.items() if value is not None}
        # A sampler of somebody's own need not know these.
        options |= {"return_diagnostics": True} if return_diagnostics else {}
        options |= {"return_trajectory": True} if return_trajectory else {}
        # Options are Python values that shape the graph; numbers of chains and steps are tensors.
        return compiled.run_on_batches(
            self._compiled_chain,
            (labels,),
            tf.constant(int(num_samples)),
            seed,
            steps,
            initial,
            tuple(sorted(options.items())),
        )

    def descend(
        self,
        samples: arguments.Array,
        labels: arguments.Labels | None = None,
        num_steps: int = 20,
        epsilon: float = 0.1,
    ) -> tf.Tensor:
        """Return samples after gradient steps without noise; see `samplers.descend`.

        Steps are taken in the reference's white coordinates if the model has one, else inside the
        bounds of x. What comes out is for showing: it does not follow q.

        Args:
            samples: Floating [n, …], such as those of `sample`.
            labels: Labels of a conditional model, as `energy` takes them.
            num_steps: At least 0.
            epsilon: ε of the first step, positive; later ones fall to zero.
        """
        batch = self._as_batch(samples, labels, "samples")

        def make():
            @tf.function(autograph=False)
            def descended(x, labels):
                reference = self.reference
                bounds = self.bounds if reference is None else None
                energy_fn = self._energy_given(labels)
                with networks.cached_weights(self.energy_network):
                    return descend(
                        energy_fn, x, num_steps, epsilon, reference=reference, bounds=bounds
                    )

            return descended

        program = compiled.program_of(self, ("descend", num_steps, epsilon), make)
        return compiled.run_on_batches(program, (batch.samples, batch.labels))

    def denoise(
        self, samples: arguments.Array, noise_stddev: float, labels: arguments.Labels | None = None
    ) -> tf.Tensor:
        """Return the posterior mean of samples without noise; see `samplers.denoising_step`.

        For a model trained on data with noise, its own samples: they carry it too. What comes out
        is for showing: it does not follow q. Other images with noise: `applications.denoise`.

        Args:
            samples: Floating [n, …], such as those of `sample`.
            noise_stddev: Standard deviation of the noise, at least 0, in units of x.
            labels: Labels of a conditional model, as `energy` takes them.

        Returns:
            Float32 [n, …], inside the bounds of the sampler if it has some.
        """
        batch = self._as_batch(samples, labels, "samples")
        noise_stddev = arguments.number("noise_stddev", noise_stddev)

        def make():
            @tf.function(autograph=False)
            def denoised(x, labels):
                with networks.cached_weights(self.energy_network):
                    found = denoising_step(self._energy_given(labels), x, noise_stddev)
                return found if self.bounds is None else tf.clip_by_value(found, *self.bounds)

            return denoised

        program = compiled.program_of(self, ("denoise", noise_stddev), make)
        return compiled.run_on_batches(program, (batch.samples, batch.labels))

    def steps_of(self, initial: str, num_steps: int | None) -> int | None:
        """Return the steps that `sample` takes from `initial`; None is the sampler's own number."""
        return num_steps

    def _chain(self, labels, count, seed, num_steps, initial, sampler_options) -> Batch:
        start_seed, chain_seed = tf.unstack(randomness.split(seed, 2))
        start = self._start(initial, count, labels, start_seed)
        energy_fn = self._energy_given(start.labels)
        options = dict(sampler_options)
        if num_steps is not None:
            options["num_steps"] = num_steps
        with networks.cached_weights(self.energy_network):
            result = self.sampler(energy_fn, start.samples, chain_seed, **options)
        return Batch(result, start.labels)

    def _start(self, initial: str, count, labels, seed) -> Batch:
        """Return where the chains of `sample` start."""
        if initial == "buffer":
            return Batch(*self.buffer.read(count, seed))
        return self.fresh_batch(count, seed, labels)

    @property
    def evaluation_start(self) -> str:
        """The `initial` of `sample` that is furthest along: what is shown of a run starts there."""
        stored = self.buffer is not None and int(self.buffer.written) > 0
        return "buffer" if stored else self.INITIAL[0]
