"""Bounds of the negative log-likelihood from below and above (Geng et al., 2021).

L(θ) = E_data[E] + log Z is the negative log-likelihood of q = e^(−E)/Z. A generator G maps
z ~ p₀ = N(0, I_d) to x = G(z), whose density is p_g.

In the step of a model on several replicas each returns the replica's share, and takes shares where
it takes scalars: the sum of the shares is the result for the whole batch, and so are the sums of
their gradients.
"""

import tensorflow as tf

from tf_febm import arguments, parallel

__all__ = ["data_gradient_penalty", "latent_gradient_penalty", "lower_bound", "upper_bound"]


@arguments.checked
def lower_bound(
    energy_data: arguments.Numbers,
    energy_model: arguments.Numbers,
    entropy: arguments.Numbers,
    *,
    weights_data: arguments.Numbers | None = None,
) -> tf.Tensor:
    """Estimate the lower bound of the negative log-likelihood.

        ⌊L⌋ = E_data[E] − E_g[E] + H[p_g],   L − ⌊L⌋ = KL(p_g‖q) ≥ 0

    The generator ascends it; with p_g = q it is tight. It is a bound of L where p_g is a density on
    the space of q (d = D) and `entropy` does not exceed H[p_g]: see `tf_febm.entropy` for when an
    estimate does. With finitely many samples it is an unbiased estimate of a bound, not a bound.

    Args:
        energy_data: E at samples of the data, floating, [n].
        energy_model: E at samples of the generator, [m].
        entropy: H[p_g], a scalar, or [k], whose mean is taken.
        weights_data: What each sample of the data counts for, at least 0, [n], with a mean of 1
            over all data: the mean is (1/n) Σ wᵢEᵢ. None for weights of 1.

    Returns:
        A scalar.

    Raises:
        ValueError: An energy is not a vector.
    """
    energy_data = _of_rank("energy_data", energy_data, 1)
    energy_model = _of_rank("energy_model", energy_model, 1)
    entropy = tf.convert_to_tensor(entropy, energy_data.dtype)
    if entropy.shape.rank != 0:
        entropy = parallel.batch_mean(entropy)
    if weights_data is not None:
        weights_data = _of_rank("weights_data", weights_data, 1)
        if not weights_data.shape.is_compatible_with(energy_data.shape):
            raise ValueError(
                f"weights_data must be one for each of energy_data, {energy_data.shape}; received "
                f"shape {weights_data.shape}."
            )
    mean_data = parallel.batch_mean(energy_data, weights_data)
    return mean_data - parallel.batch_mean(energy_model) + entropy


@arguments.checked
def upper_bound(
    lower: arguments.Numbers,
    penalty: arguments.Numbers,
    weight: float = 1.0,
    threshold: float = 0.0,
) -> tf.Tensor:
    """Return the upper bound of the negative log-likelihood, ⌈L⌉ = ⌊L⌋ + max(0, w·GP − τ).

    θ descends it: descending the lower bound could go on to −∞.

    What is guaranteed, with GP from `latent_gradient_penalty`. Let ν(z) ∝ e^(−E(G(z)))·√det JᵀJ be
    q pulled back to the latent space. If ν satisfies a log-Sobolev inequality with constant ρ, then
    KL(p₀‖ν) ≤ GP/ρ. So where G is one to one and onto (d = D), ⌈L⌉ ≥ L for w ≥ 1/ρ and τ = 0; with
    a threshold, ⌈L⌉ + τ ≥ L. If ∇²(−log ν) ≥ ρ·I everywhere, ρ is such a constant (Bakry and
    Émery); at the optimum ν = p₀, and ρ = 1.

    What is not: where G reaches only a part of the space, log(Z/Z_G), with Z_G the part of Z on
    the image of G, is missing from ⌈L⌉. (Where G folds upon itself it is ⌊L⌋ that may fail, as the
    entropy is overstated.) With w below 1/ρ, such as the published 1e-3, it need not be a bound at
    all; the penalty is then a regulariser. And where log p_g jumps, as with piecewise linear
    generators, GP does not see it.

    Args:
        lower: ⌊L⌋, a scalar.
        penalty: GP, a scalar, at least 0.
        weight: w, at least 0.
        threshold: τ, at least 0.

    Returns:
        A scalar.

    Raises:
        ValueError: The weight or the threshold is negative or not finite.
    """
    weight = arguments.number("weight", weight)
    threshold = arguments.number("threshold", threshold)
    excess = weight * penalty - threshold / parallel.replicas()
    # Whether the penalty counts is decided by its sum over all replicas.
    within = parallel.all_reduce_sum(tf.stop_gradient(excess)) <= 0.0
    return lower + tf.where(within, tf.zeros_like(excess), excess)


@arguments.checked
def latent_gradient_penalty(
    energy_gradient: arguments.Numbers, log_density_gradient: arguments.Numbers
) -> tf.Tensor:
    """Estimate half the relative Fisher information of p₀ and the pulled-back model.

        GP = ½ E‖∇_z[E(G(z)) + log p_g(G(z))]‖²,   log p_g(G(z)) = log p₀(z) − ½ log det JᵀJ

    The bracket is log p₀/ν up to a constant (see `upper_bound`): GP is zero where p_g is q on the
    image of G. The published code projects the gradient on one random direction for each sample,
    which has the same mean; the whole norm costs as much and has less variance.

    Args:
        energy_gradient: ∇_z E(G(z)) = Jᵀ∇ₓE, floating, [n, d].
        log_density_gradient: ∇_z log p_g(G(z)), [n, d]; a constant for the energy's parameters.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: The arguments are not of one shape [n, d].
    """
    energy_gradient = _of_rank("energy_gradient", energy_gradient, 2)
    log_density_gradient = _of_rank("log_density_gradient", log_density_gradient, 2)
    if not energy_gradient.shape.is_compatible_with(log_density_gradient.shape):
        raise ValueError(
            "energy_gradient and log_density_gradient must have one shape; received "
            f"{energy_gradient.shape} and {log_density_gradient.shape}."
        )
    total = energy_gradient + log_density_gradient
    return 0.5 * parallel.batch_mean(tf.reduce_sum(tf.square(total), axis=1))


@arguments.checked
def data_gradient_penalty(
    energy_gradient: arguments.Numbers, *, weights_data: arguments.Numbers | None = None
) -> tf.Tensor:
    """Return E_data‖∇ₓE(x)‖², the zero-centred gradient penalty: a baseline without a bound.

    Args:
        energy_gradient: ∇ₓE at samples of the data, floating, [n, …].
        weights_data: See `lower_bound`.

    Returns:
        A scalar, at least 0.

    Source: Mescheder, Geiger, Nowozin 2018, who call half of it R₁; without the half in the code
    of Geng et al.
    """
    squares = tf.square(tf.convert_to_tensor(energy_gradient))
    norms = tf.reduce_sum(squares, axis=list(range(1, squares.shape.rank)))
    return parallel.batch_mean(norms, weights_data)


def _of_rank(name: str, value, rank: int) -> tf.Tensor:
    value = tf.convert_to_tensor(value)
    if value.shape.rank != rank:
        form = {1: "[batch]", 2: "[batch, d]"}[rank]
        raise ValueError(f"{name} must have shape {form}; received shape {value.shape}.")
    return value
