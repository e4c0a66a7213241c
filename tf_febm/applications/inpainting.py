"""Inpainting: chains over the unknown pixels, the known ones held."""

import numpy as np
import tensorflow as tf

from tf_febm import arguments, compiled, energies, networks, randomness
from tf_febm.applications.conditional_law import ConditionalLaw, conditional_fit
from tf_febm.applications.energy_of import (
    checked_images,
    checked_labels,
    energy_of,
    in_batches,
)
from tf_febm.applications.level_chains import level_chains
from tf_febm.models.noise_conditional import NoiseConditionalModel
from tf_febm.samplers import Preconditioned
from tf_febm.samplers.chain import step_argument

__all__ = ["inpaint"]


@arguments.checked
def inpaint(
    model: arguments.Model,
    images: arguments.Array,
    known: arguments.Numbers,
    labels: arguments.Labels | None = None,
    seed: arguments.Seed | None = None,
    *,
    num_steps: int | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """Fill in the unknown pixels of images by the model's chains.

    Chains start from noise and run on the unknown pixels u under E(u, known pixels), whose law is
    q(u | known). Known pixels are put in place wherever the energy is evaluated, so that the
    network never sees anything else there, and into the result.

    Chains of a model with a reference N(μ, Σ), or of a `samplers.Preconditioned`, move in the
    coordinates w of the reference's own law of u given the known pixels, u = m + B w with

        m = μ_u − Λ_uu⁻¹ Λ_uk (known − μ_k),    B Bᵀ = Λ_uu⁻¹,    Λ = Σ⁻¹,

    in which, as in z when nothing is known, all directions have one scale: the same steps fit. What
    the sampler inside bounds is w. Each distinct mask costs a Cholesky factorisation of Λ_uu: for d
    unknown values 24·d² bytes and d³/3 products.

    Models of levels of noise, `Recovery` and `MultiscaleScoreMatching`, walk down these with the
    known values in place, which have the noise of each level until the last, in num_steps steps of
    the walk in all: rounds of noise and its removal at each level, whose law is q_t(u | known) in
    the end, and at least one. More rounds make what is filled in fit better.

    Not guaranteed: chains are finite and follow q(u | known) only as far as the sampler's docstring
    says. Models that were trained with a replay buffer need more steps from noise than
    `sampler.num_steps`: give some hundreds. Chains use the model's present weights; see
    `EnergyModel.averaged_weights`.

    Args:
        model: A built EnergyModel.
        images: Floating [n, …], n ≥ 1; what they hold in unknown pixels, even NaN, does not matter.
        known: Booleans, true where a pixel is given: [n, …] or, the same for all, one image's
            shape; axes of length 1 stand for all along them.
        labels: Labels of a conditional model, integers [n] or one-hot rows; the label is summed out
            if None.
        seed: An int or a pair of ints; the model's next one if None.
        num_steps: Steps of the chains; the sampler's own number if None, and of a model of levels
            one round at each.
        batch_size: How many chains run at once, at least 1.

    Returns:
        Images [n, …] of the given dtype. Known pixels are those given, to the bit.

    Raises:
        TypeError: The images are not floating or `known` is not boolean.
        ValueError: Shapes or labels do not fit, a known pixel is not finite, or more than 20,000
            values are unknown and chains are to move in w.

    Source: Du & Mordatch, "Implicit generation and generalization in energy-based models", 2019,
    Section 4.2.
    """
    images = checked_images(model, images)
    known = _checked_mask(known, images)
    if not np.isfinite(images[known]).all():
        raise ValueError("Known pixels must be finite; some are NaN or infinite.")
    labels = checked_labels(model, labels, len(images))
    seed = model.next_seed() if seed is None else randomness.sampling_seed(seed)
    steps = step_argument(model.sampler, num_steps)
    sampler = model.sampler
    conditional = isinstance(sampler, Preconditioned)
    make = _conditional_chains if conditional else _compiled_chains
    if isinstance(model, NoiseConditionalModel):
        make = level_chains
    run = compiled.program_of(model, ("inpaint", sampler), lambda: make(model, sampler))
    filled = images.copy()
    for members in _of_one_mask(known) if conditional else [np.arange(len(known))]:
        masks = known[members]
        if masks.all():
            continue
        fit = conditional_fit(sampler.reference, masks[0]) if conditional else None

        def fill(start, given, own, members=members, masks=masks, fit=fit):
            mask = masks[start : start + len(given)]
            # NaN would pass through no gradient, but it need not enter the graph at all.
            given = np.where(mask, given, 0.0).astype(np.float32)
            own_seed = tf.random.fold_in(seed, int(members[start]))
            if fit is None:
                batches = (tf.constant(given), own, tf.constant(mask))
            else:
                parts = (fit.with_means(given), own, fit.unknown, fit.factor)
                batches = tuple(p if p is None else tf.convert_to_tensor(p) for p in parts)
            return compiled.run_on_batches(run, batches, own_seed, steps).numpy()

        own_labels = None if labels is None else labels[members]
        found = in_batches(fill, images[members], own_labels, batch_size)
        filled[members] = np.concatenate(found).astype(images.dtype)
    return np.where(known, images, filled)


def _compiled_chains(model, sampler):
    """Return (given, labels, mask, seed, num_steps) -> the chains' ends, [n, …]."""

    @tf.function(autograph=False)
    def run(given, labels, mask, seed, num_steps):
        start_seed, chain_seed = tf.unstack(randomness.split(seed, 2))
        start = model.fresh_batch(tf.shape(given)[0], start_seed).samples
        energy_fn = energy_of(model, labels)
        options = {} if num_steps is None else {"num_steps": num_steps}
        with networks.cached_weights(model.energy_network):
            return sampler(
                lambda x: energy_fn(tf.where(mask, given, x)), start, chain_seed, **options
            )

    return run


def _conditional_chains(model, sampler):
    """Return (places, labels, unknown, factor, seed, num_steps) -> the chains' ends, [n, …]."""

    @tf.function(autograph=False)
    def run(places, labels, unknown, factor, seed, num_steps):
        start_seed, chain_seed = tf.unstack(randomness.split(seed, 2))
        law = ConditionalLaw(places, unknown, factor)
        shape = [tf.shape(places)[0], tf.size(unknown)]
        start = sampler.spread * randomness.normal(shape, start_seed)
        energy = energy_of(model, labels)
        options = {} if num_steps is None else {"num_steps": num_steps}
        with networks.cached_weights(model.energy_network):
            energy = energies.in_white(energy, sampler.reference, law)
            found = sampler.sampler(energy, start, chain_seed, **options)
        return law.color(getattr(found, "samples", found))

    return run


def _of_one_mask(known: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of the images that share a mask, for each distinct one."""
    groups: dict[bytes, list[int]] = {}
    for number, mask in enumerate(known):
        groups.setdefault(mask.tobytes(), []).append(number)
    return [np.array(members) for members in groups.values()]


def _checked_mask(known, images):
    known = np.asarray(known)
    if known.dtype != bool:
        raise TypeError(f"known must be boolean, true for pixels given; received {known.dtype}.")
    whole = known if known.ndim == images.ndim else known[np.newaxis]
    fits = whole.ndim == images.ndim and all(
        size in (1, full) for size, full in zip(whole.shape, images.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"known must have the shape of the images, {images.shape}, or of one of them, with "
            f"axes of length 1 where all agree; received {known.shape}."
        )
    return np.broadcast_to(whole, images.shape)
