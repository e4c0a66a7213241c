"""Removal of noise from finished samples: descent on the energy, and the posterior mean."""

import tensorflow as tf

from tf_febm import arguments, energies

__all__ = ["denoising_step", "descend"]


@arguments.checked
def descend(
    energy_fn: arguments.Function,
    initial_state: arguments.Array,
    num_steps: int = 20,
    epsilon: float = 0.1,
    *,
    reference: arguments.Reference | None = None,
    bounds: tuple[float, float] | None = None,
) -> tf.Tensor:
    """Move samples downhill, towards the nearest mode of q.

        z ← z − (ε_k/2) ∇E(z),  ε_k = ε (1 − k/num_steps),  k = 0, 1, …

    These are steps of Eq. 5 with their noise left out. Chains at full temperature carry the noise
    of their last steps, which the eye sees as grain: this takes it off. **The result is no sample
    of q**: it is more typical and less varied. Show it, say that it descended, and use the
    samples themselves for likelihoods, training and figures of variety.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        initial_state: Floating [n, …].
        num_steps: At least 0.
        epsilon: ε of the first step, positive.
        reference: `networks.GaussianReference` in whose white coordinates the steps are taken.
        bounds: (low, high) to which states are clipped, or None; without a reference only.

    Returns:
        A tensor of the shape and dtype of `initial_state`.

    Raises:
        ValueError: An argument is out of its range.
    """
    num_steps = arguments.whole_number("num_steps", num_steps)
    epsilon = arguments.number("epsilon", epsilon, above=True)
    if bounds is not None and reference is not None:
        raise ValueError(f"bounds are for steps without a reference; received bounds={bounds}.")
    x = tf.convert_to_tensor(initial_state)
    if not num_steps:
        return x
    if reference is not None:
        energy_fn, x = energies.in_white(energy_fn, reference), reference.whiten(x)

    def body(k, x):
        size = 0.5 * epsilon * (1.0 - tf.cast(k, x.dtype) / num_steps)
        x -= size * energies.value_and_gradient(energy_fn, x)[1]
        return k + 1, x if bounds is None else tf.clip_by_value(x, *bounds)

    steps = tf.constant(num_steps)
    _, x = tf.while_loop(lambda k, x: k < steps, body, (tf.constant(0), x), parallel_iterations=1)
    return x if reference is None else reference.color(x)


@arguments.checked
def denoising_step(
    energy_fn: arguments.Function, samples: arguments.Array, noise_stddev: float
) -> tf.Tensor:
    """Return the posterior mean of what noisy samples were before the noise.

        E[x | y] = y − s² ∇E(y),  y = x + s ξ,  ξ ~ N(0, I)

    It is exact (Tweedie's formula) if y follows q ∝ e^(−E) and q is the law of data with noise of
    standard deviation s, as of a model whose training data had it (`data_noise` of a recipe).
    Unlike `descend` it takes off this noise alone: what the noise does not hide stays as varied as
    it is. **The result is no sample of q**, nor one of the law of x, which has more detail.

    Args:
        energy_fn: x -> E(x), [n] or [n, 1].
        samples: y, floating [n, …].
        noise_stddev: s, at least 0, in the units of the samples.

    Returns:
        A tensor of the shape and dtype of `samples`.

    Raises:
        ValueError: An argument is out of its range.

    Source: Robbins 1956; Efron 2011 for its name.
    """
    noise_stddev = arguments.number("noise_stddev", noise_stddev)
    y = tf.convert_to_tensor(samples)
    if not noise_stddev:
        return y
    return y - noise_stddev**2 * energies.value_and_gradient(energy_fn, y)[1]
