"""A recipe: everything that decides how a model is made and trained, but the data."""

import dataclasses
import re
import typing
from collections.abc import Collection, Mapping
from typing import Any

from tf_febm import arguments
from tf_febm.recipes import effects
from tf_febm.recipes.ranges import checked

__all__ = ["Recipe"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hold all settings of a run in one frozen object.

    A recipe is the same for any data of its kind: shapes, bounds, classes and units come from the
    data. `recipes.get(name)` returns one that is known to work, `replace` changes it, `build` makes
    the compiled model and `stream` the batches that it is fitted to. What a setting is for stands
    in the class that takes it: the model of `method`, the sampler, the network. The defaults are
    those of Yu et al. (2020), and of Geng et al. (2021) where only their method has a setting.

    Images are x in [0, 1]. Steps, noise and bounds of gradients of the sampler are in units of its
    chains: x of images, standard deviations of vectors, or the white coordinates of a `reference`.
    What the original's flags count otherwise, `tf_febm.original_names` turns into these.

    Attributes:
        name: What the recipe is called.
        why: One sentence: what it is for, and why it is as it is.

        method: How the energy is trained: a name of `catalogue.METHODS`.
        divergence: The f-divergence, by a name that `divergences.get` knows; of febm, dual and
            recovery.
        conditional: Whether the model learns one density per label of the data.

        steps: Training steps; each on a batch.
        batch_size: Examples, and chains, of a step; of all replicas together.
        learning_rate: Of Adam, for the energy.
        final_learning_rate: At the last step, reached by a cosine; the same as the first if None.
        variational_learning_rate_ratio: Learning rate of the variational network over the energy's.
        generator_learning_rate_ratio: That of the generator over the energy's.
        beta_1: Momentum of Adam, from 0 to below 1.
        beta_2: Decay of Adam's second moment; 0.999, or 0.9 of bidirectional bounds, if None.
        adam_epsilon: What Adam adds to the root of its second moment.
        clip_gradients: Whether each gradient is bounded by earlier ones; `optimizers.ClippedAdam`.
        variational_steps: Steps of the variational network for one of the energy.
        l2_coeff: Weight of the mean squared outputs in both losses.
        variational_l2_coeff: That of the variational network; l2_coeff if None.
        class_weight_coeff: Weight of −log p(y|x) in the loss of the energy of a conditional model;
            see `FEBM`.
        leave_one_out: Whether the covariance in the energy's gradient is unbiased.
        warmup_steps: First steps, in which the l2 terms alone are trained.
        shift_invariant: Whether f-EBM takes no gradient along a constant added to the energy.
        log_ratio_clip: Where exponents are clipped, as the original does with 5; nowhere if None.
        average_decay: Decay of the weight average; None keeps none.
        data_noise: Standard deviation of Gaussian noise on the data, of images in units of x, of
            vectors in units of their standard deviation.
        random_flip: Whether images are mirrored left to right with probability 1/2.
        random_crop: Images are shifted by up to so many pixels.

        sampler: How the model is sampled; a name of `catalogue.SAMPLERS`.
        num_steps: Steps of the sampler; of each training step.
        step_size: Step size of the sampler. If None, it is that of ε = noise_scale²: mala and hmc
            then move by as much noise as Langevin dynamics.
        noise_scale: Standard deviation of the noise of a Langevin step, in units of the chains; and
            of steps of mala and hmc if step_size is None.
        grad_clip: Bound on each coordinate of the gradient of a Langevin step; None is none.
        grad_clip_norm: Bound on its norm; None is none.
        epsilon: ε of the paper's Eq. 5, in the place of step_size and noise_scale: √ε is the noise,
            and the step size is ε/2, or √ε of hmc; with a reference, steps of langevin are those of
            `samplers.Langevin.exponential`. None leaves them.
        schedule: What the step size is multiplied with along a run of the chains, and ε of langevin
            with it: "constant", "linear", "cosine", "geometric" or None; see `samplers.Langevin`
            and, after the burn-in of others, `samplers.MALA`.
        noise_schedule: The same of noise_scale of langevin alone, in the place of schedule's root.
        num_leapfrog_steps: Gradients of a step of hmc.
        num_temperatures: Replicas of parallel_tempering, each at a temperature of its own.
        smallest_inverse_temperature: That of the hottest; the coldest has 1, those in between
            follow in equal ratios.
        burn_in: First steps of samplers that reject, in each run of the chains, in which step sizes
            adapt.
        target_acceptance: What they adapt to; the sampler's own default if None.
        chain_dtype: What networks multiply in inside chains: "float32"; "bfloat16", up to twice as
            fast on processors with instructions for it; "auto", which leaves it to a probe at the
            start of a run, and takes bfloat16 where chains are 1.3 times as fast, or float32 for
            models that are built without a run. See `samplers.Langevin`.
        num_parallel: Parts in which the chains of a training step run side by side, each on a core:
            for small networks, which keep one core busy. See `samplers.Langevin`.
        chains: Where the chains of a step start: "replay", in a replay buffer; "persistent", where
            they ended, as many as there are examples in a batch; "fresh", from noise.
        buffer_capacity: Samples in the replay buffer.
        buffer_storage: How it keeps them; see `ReplayBuffer`.
        buffer_replacement: Whose place a new sample takes there; see `ReplayBuffer`.
        buffer_flip: Whether images that chains go on from are mirrored with probability 1/2.
        buffer_crop: Up to how many pixels these are shifted.
        restart_probability: Chance that a chain of the replay buffer starts from noise.
        match_labels: Whether chains of a conditional model start in samples of their own label.

        levels: Levels of noise of recovery and multiscale; see `models.noise_levels.NoiseLevels`
            and, with a reference, `models.ReferenceLevels`.
        chains_per_pair: Recovery's chains for each pair of a level and the next.
        label_dropout: Chance that multiscale hides a label in training, for `guidance`.
        guidance: By how much its samples are to be clearer members of their class; see
            `MultiscaleScoreMatching`. 0 for samples of the energies as they are.

        reference: Covariance of the Gaussian reference that the energy is relative to, or None; see
            `networks.GaussianReference`.
        slow_energy_decay: Decay of the slow average of E that H subtracts; None for none; see FEBM.
        network: Architecture of the energy and the variational function; see `networks.build`.
        width: Filters of the first convolution, or units of each layer; the network's default if
            None.
        use_attention: Whether the resnets have self-attention.
        confinement: Weight of the quadratic confinement in the energy of vectors.
        frequency: Standard deviation of the angular frequencies of fourier_mlp; None: 2.5/√d, so
            that angles spread alike over vectors of any length.

        generator: Architecture of the generator; see `networks.build_generator`.
        generator_batch_norm: Whether it has batch normalisation.
        latent_dim: Length of its latent variables.
        penalty: Gradient penalty on the energy, "latent", "data" or None.
        penalty_weight: Weight of the gradient penalty; 1 is a bound's.
        penalty_threshold: What the weighted penalty may be without effect.
        entropy: How the generator's entropy is estimated, "auto", "logdet" or
            "smallest_singular_value".
        entropy_weight: Weight of the entropy in the generator's loss.
        entropy_iterations: LOBPCG iterations for the smallest singular value.

        gamma: γ of pseudo_spherical; 0 is contrastive divergence.
        kind: How scores are matched, "denoising", "sliced" or "exact".
        noise_stddev: Standard deviation of the noise of denoising score matching, or of energy
            discrepancy, in units of the chains.

        seed: Seed of all that is random.
        guard: Whether to go back to the last good checkpoint when training diverges.
        max_rollbacks: How often to go back before giving up.
        log_interval: Steps between two rows of metrics.
        sample_interval: Steps between two grids of samples.
        save_interval: Steps between two checkpoints.
        keep_checkpoints: How many of the newest checkpoints are kept.
        best_metric: Metric, as in metrics.csv, whose best checkpoint is kept besides; which there
            are depends on the method, and a run says so before it reads data.
        best_mode: Which value of it is the best, "min" or "max".
        num_samples: Samples to draw; at the end.
        final_steps: Steps of the sampler for each of these samples.
        descent_steps: Steps without noise after these, of falling size; for pictures, as what comes
            out does not follow q, see `samplers.descend`.
        denoise_samples: Whether the noise of the data, `data_noise`, is taken off the samples that
            are shown and kept at the end; see `samplers.denoising_step`.

    Raises:
        ValueError: A value is of the wrong type or out of its range; the message names the field.
    """

    name: str = "paper"
    why: str = "What Yu et al. (2020) used on images of 32×32, and what other recipes change."

    method: str = "febm"
    divergence: str = "js"
    conditional: bool = False

    steps: int = 100_000
    batch_size: int = 128
    learning_rate: float = 3e-4
    final_learning_rate: float | None = None
    variational_learning_rate_ratio: float = 1.0
    generator_learning_rate_ratio: float = 1.0
    beta_1: float = 0.0
    beta_2: float | None = None
    adam_epsilon: float = 1e-7
    clip_gradients: bool = True
    variational_steps: int = 1
    l2_coeff: float = 1.0
    variational_l2_coeff: float | None = None
    class_weight_coeff: float = 0.0
    leave_one_out: bool = True
    warmup_steps: int = 10
    shift_invariant: bool = False
    log_ratio_clip: float | None = None
    average_decay: float | None = 0.999
    data_noise: float = 0.0
    random_flip: bool = False
    random_crop: int = 0

    sampler: str = "langevin"
    num_steps: int = 60
    step_size: float | None = 10.0
    noise_scale: float = 0.005
    grad_clip: float | None = 0.01
    grad_clip_norm: float | None = None
    epsilon: float | None = None
    schedule: str | None = None
    noise_schedule: str | None = None
    num_leapfrog_steps: int = 10
    num_temperatures: int = 4
    smallest_inverse_temperature: float = 0.1
    burn_in: int = 0
    target_acceptance: float | None = None
    chain_dtype: str = "float32"
    num_parallel: int = 1
    chains: str = "replay"
    buffer_capacity: int = 10_000
    buffer_storage: str = "auto"
    buffer_replacement: str = "oldest"
    buffer_flip: bool = False
    buffer_crop: int = 0
    restart_probability: float = 0.05
    match_labels: bool = True

    levels: int = 6
    chains_per_pair: int = 2
    label_dropout: float = 0.0
    guidance: float = 0.0

    reference: str | None = None
    slow_energy_decay: float | None = None
    network: str = "conv"
    width: int | None = None
    use_attention: bool = False
    confinement: float = 0.0
    frequency: float | None = 3.0

    generator: str = "dcgan"
    generator_batch_norm: bool = False
    latent_dim: int = 128
    penalty: str | None = "latent"
    penalty_weight: float = 1.0
    penalty_threshold: float = 0.0
    entropy: str = "auto"
    entropy_weight: float = 1.0
    entropy_iterations: int = 10

    gamma: float = 1.0
    kind: str = "denoising"
    noise_stddev: float = 0.1

    seed: int = 0
    guard: bool = True
    max_rollbacks: int = 3
    log_interval: int = 50
    sample_interval: int = 500
    save_interval: int = 500
    keep_checkpoints: int = 3
    best_metric: str | None = None
    best_mode: str = "min"
    num_samples: int = 1000
    final_steps: int = 300
    descent_steps: int = 0
    denoise_samples: bool = False

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = checked(field.name, _TYPES[field.name], getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        if None not in (self.grad_clip, self.grad_clip_norm):
            raise ValueError(
                f"Give grad_clip or grad_clip_norm, not both; received {self.grad_clip} and "
                f"{self.grad_clip_norm}."
            )

    @property
    def noise_removed(self) -> float:
        """Standard deviation of the noise that is taken off samples at the end."""
        if not self.denoise_samples:
            return 0.0
        if effects.has_noisy_level(self):
            from tf_febm.models.reference_levels import NOISE_RANGE  # Imports TensorFlow.

            return NOISE_RANGE[0]
        return self.data_noise

    def replace(self, **changes: Any) -> "Recipe":
        """Return a recipe with other values of some fields.

        Fields that lose their meaning go along unless they are given too: another network has its
        own width, another sampler a step size that follows from the noise; a learning rate is
        constant; step_size and noise_scale take the place of epsilon, and grad_clip that of
        grad_clip_norm or the other way round. Changes that belong together are one call.

        Raises:
            TypeError: There is no such field.
            ValueError: A value is out of its range, or a field has no effect beside the others, so
                that it would be set in vain; the message says what it is for.
        """
        unknown = [name for name in changes if name not in _TYPES]
        if unknown:
            raise TypeError(
                f"A recipe has no {', '.join(unknown)}; its settings are {', '.join(_TYPES)}."
            )
        changed = self.changed(changes)
        changed.without_effect(changes)
        return changed

    def changed(self, changes: Mapping[str, Any]) -> "Recipe":
        """Return what `replace` does, whether the changes have an effect or not."""
        return dataclasses.replace(self, **{**self._what_goes_with(changes), **changes})

    def without_effect(
        self,
        given: Mapping[str, Any],
        kind: str | None = None,
        tolerated: Collection[str] = (),
    ) -> list[str]:
        """Return a line for each setting that was given in vain and does no harm.

        Args:
            given: Settings that somebody chose, field -> value.
            kind: "images" or "vectors", what the data are, or None if that is not known yet.
            tolerated: Settings that are told of, whatever their value, and not refused.

        Raises:
            ValueError: A setting was given in vain and says something else than what is done.
        """
        return effects.check(self, given, kind, tolerated)

    def in_effect(self, kind: str | None = None) -> dict[str, Any]:
        """Return the settings that have an effect on such data, by name; see `without_effect`."""
        return {k: v for k, v in self.as_dict().items() if effects.has_effect(k, self, kind)}

    def _what_goes_with(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that lose their meaning by changes of others, with new values."""
        other = {name for name, value in changes.items() if value != getattr(self, name)}
        along: dict[str, Any] = {}
        if "learning_rate" in changes:
            # Constant unless said otherwise.
            along["final_learning_rate"] = None
        if "network" in other:
            along["width"] = None
        if "sampler" in other:
            # That of another sampler; it follows from the noise.
            along["step_size"] = None
        if "grad_clip" in changes:
            along["grad_clip_norm"] = None
        if "grad_clip_norm" in changes:
            along["grad_clip"] = None
        if changes.keys() & {"step_size", "noise_scale"}:
            # What is given wins over what the recipe says of the same.
            along["epsilon"] = None
        return along

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON."""
        return dataclasses.asdict(self)

    def build(self, data: arguments.Data, labels: arguments.Labels | None = None) -> Any:
        """Return the compiled model of this recipe, adapted to the data.

        Args:
            data: What it will be trained on: `ImageData` or `VectorData` of `tf_febm.data`, or an
                array: uint8 images [n, height, width, channels], or floating vectors [n, d].
            labels: Integers [n] in 0 … k − 1, of an array, if the recipe is conditional.

        Returns:
            A `FEBM`, or the class of another `method`, built and compiled. Under a strategy's scope
            its variables are that strategy's.

        Raises:
            ValueError: The recipe does not fit such data.
        """
        from tf_febm.data import as_data
        from tf_febm.recipes import building

        return building.build_model(self, as_data(data, labels, "data"))

    def stream(
        self,
        data: arguments.Data,
        labels: arguments.Labels | None = None,
        *,
        start_step: int = 0,
        shard: tuple[int, int] = (0, 1),
    ) -> Any:
        """Return the endless batches that the model is fitted to: see `tf_febm.data.stream`.

        Args:
            data: As for `build`.
            labels: As for `build`.
            start_step: Number of the first batch.
            shard: (index, count): yield one of so many equal parts of each batch.

        Returns:
            A `tf.data.Dataset` of x, or (x, labels) if the recipe is conditional. Fit it with
            `model.fit(batches, steps_per_epoch=…)`, for it has no end.
        """
        from tf_febm.data import as_data
        from tf_febm.recipes import building

        return building.make_stream(self, as_data(data, labels, "data"), start_step, shard)


# Field -> its type; what is Optional there may be None.
_TYPES: dict[str, Any] = typing.get_type_hints(Recipe)


def field_texts() -> dict[str, str]:
    """Return field -> what the docstring of `Recipe` says of it."""
    found = re.findall(r"^        (\w+): (.*(?:\n {12}.*)*)", Recipe.__doc__, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
