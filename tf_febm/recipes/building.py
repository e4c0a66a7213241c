"""Construction of the compiled model and the batches of a recipe; what `Recipe` calls."""

import inspect
import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments, catalogue, data, networks, optimizers, samplers
from tf_febm.data.pixels import from_levels
from tf_febm.data.table import check_columns_vary
from tf_febm.networks.reference import NOISE
from tf_febm.networks.reference_fit import MAX_NUMBERS
from tf_febm.recipes import effects
from tf_febm.samplers.tempering import ladder
from tf_febm.training.chain_dtype import AUTO
from tf_febm.training.memory import check_memory

__all__ = ["build_model", "make_buffer", "make_sampler", "make_stream"]

Data = data.ImageData | data.VectorData

# Where fresh chains of vectors start, in standard deviations of the data: wide, to find wells
# beyond it.
SPREAD = 1.5
# Noise of the reference of vectors: directions narrower than this, in standard deviations, are what
# tells some anomalies from the rest.
VECTOR_NOISE = 0.01
# Standard deviation of the angles of Fourier features over standardised data.
ANGLES = 2.5


def kind_of(source: Data) -> str:
    """Return "images" or "vectors"."""
    return "vectors" if isinstance(source, data.VectorData) else "images"


def build_model(recipe: arguments.RecipeLike, source: Data) -> Any:
    """Return the compiled model; see `Recipe.build`."""
    check_fit(recipe, source)
    check_memory(recipe, source)
    method = catalogue.METHODS[recipe.method]
    sampler = make_sampler(recipe, source)
    settings = {name: getattr(recipe, name) for name in method.settings}
    settings |= {
        **method.fixed,
        "sampler": sampler,
        "l2_coeff": recipe.l2_coeff,
        "average_decay": recipe.average_decay,
        "seed": recipe.seed,
    }
    if method.chains:
        settings["buffer"] = make_buffer(recipe)
    if method.chains or method.noisier:
        settings["class_names"] = list(source.class_names) if recipe.conditional else None
    if method.noisier:
        settings["num_classes"] = source.num_classes if recipe.conditional else None
    if method.noisier and recipe.reference is None:
        settings |= {"center": 0.5, "spread": 0.5}
        if isinstance(source, data.VectorData):
            settings |= {"center": source.mean, "spread": source.scale}
    if recipe.reference is not None:
        settings["reference"] = make_reference(recipe, source)
    reference = settings.get("reference")
    players = [_player(recipe, source, name, reference) for name in method.players]
    model = catalogue.load(method.place)(*players, **settings)
    model.column_names = getattr(source, "columns", None)
    model.compile(*(_optimizer(recipe, name) for name in method.players))
    return model


def _player(recipe, source: Data, name: str, reference) -> keras.Model:
    """Return the network of a player."""
    if name == "generator":
        return networks.build_generator(
            recipe.generator,
            recipe.latent_dim,
            source.sample_shape,
            recipe.width,
            batch_norm=recipe.generator_batch_norm,
            output_activation=None if source.bounds is None else "sigmoid",
        )
    options: dict = {"name": name}
    shape, repeats = source.sample_shape, 1
    if recipe.conditional:
        options["num_classes"] = source.num_classes
    if catalogue.METHODS[recipe.method].noisier:
        options["num_classes"] = recipe.levels + options.get("num_classes", 0)
        repeats = 1 + (name == "variational")
        shape = (*shape[:-1], repeats * shape[-1])
    for option in ("use_attention", "frequency"):
        if effects.has_effect(option, recipe):
            options[option] = getattr(recipe, option)
    if options.get("frequency", 0) is None:
        options["frequency"] = ANGLES / math.sqrt(math.prod(source.sample_shape))
    spectral = reference is not None and reference.covariance == "spectral"
    if spectral and "whiten" in catalogue.NETWORKS[recipe.network].options:
        options["whiten"] = reference
    levelled = catalogue.METHODS[recipe.method].noisier and reference is not None
    if isinstance(source, data.VectorData) and not levelled:
        # The standardisation by the training split is part of the networks, so that the model takes
        # and returns raw units.
        options |= {"mean": np.tile(source.mean, repeats), "scale": np.tile(source.scale, repeats)}
        if name == "energy" and effects.has_effect("confinement", recipe):
            options["confinement"] = recipe.confinement
    return networks.build(recipe.network, shape, recipe.width, **options)


def check_fit(recipe, source: Data) -> None:
    """Raise a ValueError if a recipe is not for such data."""
    kind = kind_of(source)
    # Settings that somebody chose were checked as such; here, what makes a model impossible.
    for name in ("random_flip", "random_crop", "use_attention"):
        if getattr(recipe, name) and kind == "vectors":
            raise ValueError(f"{name}={getattr(recipe, name)} is for images, not for vectors.")
    takes = inspect.signature(catalogue.load(catalogue.METHODS[recipe.method].place)).parameters
    needed = "reference" in takes and takes["reference"].default is inspect.Parameter.empty
    if needed and recipe.reference is None:
        raise ValueError(
            f"reference=None is not for method={recipe.method}, whose energies are relative to a "
            "reference: give reference='auto'."
        )
    if recipe.conditional and source.labels is None:
        raise ValueError(f"conditional=True needs labels; {source.source} has none.")
    if isinstance(source, data.VectorData):
        check_columns_vary(source.vectors, source.source or "vectors", source.columns)
    most = math.prod(source.sample_shape)
    if "latent_dim" in catalogue.METHODS[recipe.method].settings and recipe.latent_dim > most:
        raise ValueError(
            f"latent_dim={recipe.latent_dim} is too large for examples of shape "
            f"{tuple(source.sample_shape)}: it must be at most {most}, the numbers in one; give "
            f"latent_dim={most} or less."
        )
    if isinstance(source, data.ImageData):
        if source.image_shape[-1] not in (1, 3):
            raise ValueError(
                f"Images need 1 or 3 channels; {source.source} has {source.image_shape[-1]}."
            )
        side = min(source.image_shape[:2])
        if recipe.random_crop >= side:
            raise ValueError(
                f"random_crop must be below {side}, the side of the images; received "
                f"{recipe.random_crop}."
            )


def make_stream(
    recipe: arguments.RecipeLike, source: Data, start_step: int = 0, shard: tuple[int, int] = (0, 1)
) -> tf.data.Dataset:
    """Return the batches of training from a step on, or a part of each."""
    return data.stream(
        source,
        recipe.batch_size,
        seed=recipe.seed,
        start_step=start_step,
        conditional=recipe.conditional,
        noise_stddev=recipe.data_noise,
        random_flip=recipe.random_flip,
        random_crop=recipe.random_crop,
        shard=shard,
        # The chains of a model with a reference have no bounds either.
        clip_noise=recipe.reference is None,
    )


def make_sampler(recipe: arguments.RecipeLike, source: Data) -> Any:
    """Return the sampler, in the bounds or the units of the data."""
    entry = catalogue.SAMPLERS[recipe.sampler]
    settings = {name: getattr(recipe, name) for name in entry.settings}
    dtype = "float32" if recipe.chain_dtype == AUTO else recipe.chain_dtype
    if "target_acceptance" in settings and settings["target_acceptance"] is None:
        settings["target_acceptance"] = entry.target_acceptance
    if "num_temperatures" in settings:
        ends = settings.pop("num_temperatures"), settings.pop("smallest_inverse_temperature")
        settings["inverse_temperatures"] = ladder(*ends)
    epsilon = recipe.epsilon
    if epsilon is None and recipe.step_size is None:
        # The noise of a step, √ε, is that of Langevin dynamics.
        epsilon = recipe.noise_scale**2
    if epsilon is not None:
        power, factor = entry.step_of_epsilon
        settings["step_size"] = factor * epsilon**power
        if "noise_scale" in settings:
            settings |= {"noise_scale": epsilon**0.5, "noise_first": False}
    # A model with a reference preconditions its sampler by it.
    noisier = catalogue.METHODS[recipe.method].noisier
    white = recipe.reference is not None or noisier
    bounds = None if white else source.bounds
    if white and recipe.sampler == "langevin" and epsilon is not None:
        return samplers.Langevin.exponential(
            epsilon,
            recipe.num_steps,
            grad_clip=recipe.grad_clip,
            grad_clip_norm=recipe.grad_clip_norm,
            schedule=recipe.schedule,
            noise_schedule=recipe.noise_schedule,
            dtype=dtype,
            num_parallel=recipe.num_parallel,
        )
    settings |= {"num_steps": recipe.num_steps, "bounds": bounds, "dtype": dtype}
    settings["num_parallel"] = recipe.num_parallel
    sampler = catalogue.load(entry.place)(**settings)
    if white or not isinstance(source, data.VectorData):
        return sampler
    units = networks.GaussianReference.from_moments(source.mean, source.scale)
    return samplers.Preconditioned(sampler, units, SPREAD)


def make_reference(recipe, source: Data) -> networks.GaussianReference:
    """Return the Gaussian reference, fitted to the data."""
    noise = NOISE
    if isinstance(source, data.VectorData):
        x, noise = source.vectors, max(VECTOR_NOISE, recipe.data_noise)
    else:
        # Not all of a large data set in floating point.
        images = source.images[:: max(1, source.images.size // MAX_NUMBERS)]
        x = from_levels(images)
        if recipe.random_flip:
            x = np.concatenate([x, x[:, :, ::-1]])
        # What chains are compared with has the noise of the data too.
        noise = max(noise, recipe.data_noise / float(x.std()))
    return networks.GaussianReference(recipe.reference, noise).adapt(x)


def make_buffer(
    recipe: arguments.RecipeLike,
) -> samplers.ReplayBuffer | samplers.PersistentChains | None:
    """Return where the chains of a step come from: a replay buffer, persistent chains or None."""
    if recipe.chains == "persistent":
        # Each replica has chains of its own, as many as it has examples.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return samplers.PersistentChains(
            recipe.batch_size // replicas, match_labels=recipe.match_labels
        )
    if recipe.chains == "fresh":
        return None
    return samplers.ReplayBuffer(
        recipe.buffer_capacity,
        restart_probability=recipe.restart_probability,
        match_labels=recipe.match_labels,
        storage=recipe.buffer_storage,
        replacement=recipe.buffer_replacement,
        random_flip=recipe.buffer_flip,
        random_crop=recipe.buffer_crop,
    )


def _optimizer(recipe, player: str) -> keras.optimizers.Optimizer:
    ratio = 1.0 if player == "energy" else getattr(recipe, f"{player}_learning_rate_ratio")
    final = recipe.final_learning_rate
    # A schedule even where the rate is constant: a checkpoint then fits any rate.
    schedule = keras.optimizers.schedules.CosineDecay(
        ratio * recipe.learning_rate,
        recipe.steps * (recipe.variational_steps if player == "variational" else 1),
        alpha=1.0 if final is None else final / recipe.learning_rate,
    )
    kind = optimizers.ClippedAdam if recipe.clip_gradients else optimizers.FusedAdam
    beta_2 = recipe.beta_2
    return kind(
        schedule,
        beta_1=recipe.beta_1,
        beta_2=catalogue.METHODS[recipe.method].beta_2 if beta_2 is None else beta_2,
        epsilon=recipe.adam_epsilon,
    )
