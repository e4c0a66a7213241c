"""The f-EBM objective and surrogates with the gradients of Theorems 1 and 3 (Yu et al., 2020).

In the step of a model on several replicas each returns the replica's share: the sum of the shares
is the result for the whole batch, and so are the sums of their gradients.

Samples may have weights: p is then the weighted data, a weight of 2 meaning the sample twice. Means
are (1/n) Σ wᵢfᵢ, so give weights whose mean over *all* data is 1. They are then right on average
over batches, which (Σ wᵢfᵢ)/(Σ wᵢ) is not.
"""

import tensorflow as tf

from tf_febm import arguments, divergences, parallel

__all__ = ["dual_surrogate", "energy_regulariser", "energy_surrogate", "variational_bound"]


@arguments.checked
def variational_bound(
    divergence: arguments.DivergenceLike,
    log_ratio_data: arguments.Numbers,
    log_ratio_model: arguments.Numbers,
    *,
    weights_data: arguments.Numbers | None = None,
    weights_model: arguments.Numbers | None = None,
) -> tf.Tensor:
    """Estimate the variational lower bound of D_f(p‖q).

        L = E_p[f'(eʳ)] − E_q[f*(f'(eʳ))],   r = H + E

    The variational function H ascends it; at the optimum r = log p/q and L = D_f(p‖q).

    Args:
        divergence: A `Divergence` or its name.
        log_ratio_data: r at samples of the data, floating, [n].
        log_ratio_model: r at samples of the model, floating, [m].
        weights_data: What each sample of the data counts for, real, at least 0, [n], with a mean of
            1 over all data: the bound is linear in them. None for weights of 1.
        weights_model: The same for samples of the model, [m].

    Returns:
        A scalar of the same dtype.

    Raises:
        ValueError: An argument is not a vector.

    Source: Eq. 14.
    """
    divergence = divergences.get(divergence)
    log_ratio_data = vector("log_ratio_data", log_ratio_data)
    log_ratio_model = vector("log_ratio_model", log_ratio_model, log_ratio_data)
    return _mean(divergence.derivative(log_ratio_data), weights_data, "weights_data") - _mean(
        divergence.conjugate(log_ratio_model), weights_model, "weights_model"
    )


@arguments.checked
def energy_surrogate(
    divergence: arguments.DivergenceLike,
    log_ratio_data: arguments.Numbers,
    log_ratio_model: arguments.Numbers,
    energy_model: arguments.Numbers,
    *,
    leave_one_out: bool = True,
    energy_data: arguments.Numbers | None = None,
    weights_data: arguments.Numbers | None = None,
    weights_model: arguments.Numbers | None = None,
) -> tf.Tensor:
    """Return a scalar whose gradient for the energy's parameters estimates that of the bound.

        ∇_θ L = E_p[∇f'(eʳ)] − E_q[∇F] + E_q[F ∇E] − E_q[F] E_q[∇E],   F = f*(f'(eʳ))

    The last two terms, a covariance, are there because q = e^(−E)/Z moves with θ. Only the gradient
    means anything, and only for the energy's parameters; the value is not the bound's. The samples
    are constants, and must follow q for the estimate to be right: a finite Langevin chain makes
    that an approximation. Where a conjugate overflows, the result is no number.

    A constant added to E leaves q as it is, yet the gradient along it is

        S = E_p[d f'(eʳ)/dr] − E_q[dF/dr],

    which is zero at the optimum over H only. Elsewhere θ moves r by that constant away from where ω
    moves it back to: if θ is the faster of the two, r runs away, for KL exponentially. Given
    `energy_data`, S (E_p[∇E] + E_q[∇E])/2 is subtracted, so that the constant gets no gradient.
    With KL this is contrastive divergence times (1 + E_q[eʳ])/2. At the optimum over H the expected
    gradient is the same; elsewhere it is another one than the theorem's.

    Args:
        divergence: A `Divergence` or its name.
        log_ratio_data: r = H + E at samples of the data, floating, [n].
        log_ratio_model: r at samples of the model, [m].
        energy_model: E at the same samples of the model, [m].
        leave_one_out: If True (the default, because it is exactly unbiased at any batch size), each
            F is centred with the mean of the *other* samples. If False, with the mean of all, as in
            the published code: the covariance is then too small by the factor (m − 1)/m.
        energy_data: E at the samples of the data, [n], to take out the gradient along a constant;
            None for the theorem's own.
        weights_data: See `variational_bound`.
        weights_model: See there. Where the labels of the samples are those of weighted data, the
            weights of the data are right.

    Returns:
        A scalar of the same dtype.

    Raises:
        ValueError: An argument is not a vector, vectors of the same samples differ in length,
            or `leave_one_out` is asked for with a single sample.

    Source: Theorem 3, Eq. 18. The treatment of the constant is this library's.
    """
    divergence = divergences.get(divergence)
    log_ratio_data = vector("log_ratio_data", log_ratio_data)
    log_ratio_model = vector("log_ratio_model", log_ratio_model, log_ratio_data)
    energy_model = vector("energy_model", energy_model, log_ratio_model)
    check_one_length(log_ratio_model, energy_model)
    conjugate = divergence.conjugate(log_ratio_model)
    factors = _covariance_factors(divergence, conjugate, leave_one_out, weights_model)
    surrogate = (
        _mean(divergence.derivative(log_ratio_data), weights_data, "weights_data")
        - _mean(conjugate, weights_model, "weights_model")
        + parallel.batch_mean(energy_model * factors)
    )
    if energy_data is None:
        return surrogate
    energy_data = vector("energy_data", energy_data, log_ratio_data)
    check_one_length(log_ratio_data, energy_data, "log_ratio_data and energy_data")
    weights = {"weights_data": weights_data, "weights_model": weights_model}
    # With weights, the covariance of a constant is zero on average only.
    of_covariance = 0.0 if weights_model is None else parallel.batch_mean(factors)
    return surrogate - constant_term(
        divergence,
        log_ratio_data,
        log_ratio_model,
        energy_data,
        energy_model,
        weights,
        of_covariance,
    )


@arguments.checked
def dual_surrogate(
    divergence: arguments.DivergenceLike,
    log_ratio_model: arguments.Numbers,
    energy_model: arguments.Numbers,
    *,
    leave_one_out: bool = True,
    weights_model: arguments.Numbers | None = None,
) -> tf.Tensor:
    """Return a scalar whose gradient for the energy's parameters is that of the dual form.

        L = E_p[f'(eⱽ)] − E_q[F],   ∇_θ L = E_q[F ∇E] − E_q[F] E_q[∇E],   F = f*(f'(eⱽ))

    Here the variational function V is the log ratio itself and does not move with θ: only q does,
    so the covariance is all that is left. Its value means nothing; samples are as in
    `energy_surrogate`.

    Args:
        divergence: A `Divergence` or its name.
        log_ratio_model: V at samples of the model, floating, [m].
        energy_model: E at the same samples, [m].
        leave_one_out: See `energy_surrogate`.
        weights_model: See `energy_surrogate`.

    Returns:
        A scalar of the same dtype.

    Raises:
        ValueError: As in `energy_surrogate`.

    Source: Theorem 1.
    """
    divergence = divergences.get(divergence)
    log_ratio_model = vector("log_ratio_model", log_ratio_model)
    energy_model = vector("energy_model", energy_model, log_ratio_model)
    check_one_length(log_ratio_model, energy_model)
    conjugate = divergence.conjugate(log_ratio_model)
    factors = _covariance_factors(divergence, conjugate, leave_one_out, weights_model)
    return parallel.batch_mean(energy_model * factors)


@arguments.checked
def energy_regulariser(
    value_data: arguments.Numbers,
    value_model: arguments.Numbers,
    *,
    weights_data: arguments.Numbers | None = None,
    weights_model: arguments.Numbers | None = None,
) -> tf.Tensor:
    """Return mean(value_data²) + mean(value_model²), which keeps a network's output near zero.

    The energy is defined up to a constant only, and its scale may run away; the published code adds
    l2_coeff times this term to the loss of either network.

    Args:
        value_data: A network's output at samples of the data, [n].
        value_model: Its output at samples of the model, [m].
        weights_data: See `variational_bound`.
        weights_model: See there.

    Returns:
        A scalar.
    """
    value_data = vector("value_data", value_data)
    value_model = vector("value_model", value_model, value_data)
    return _mean(tf.square(value_data), weights_data, "weights_data") + _mean(
        tf.square(value_model), weights_model, "weights_model"
    )


def _covariance_factors(divergence, conjugate, leave_one_out: bool, weights=None) -> tf.Tensor:
    """Return cᵢ, [m], constants such that (1/m) Σ cᵢ∇Eᵢ estimates E_q[F ∇E] − E_q[F] E_q[∇E]."""
    if leave_one_out and conjugate.shape[0] == 1 and parallel.replicas() == 1:
        raise ValueError("leave_one_out needs at least 2 model samples; received 1.")
    conjugate = tf.stop_gradient(conjugate)
    count = parallel.batch_size(conjugate)
    # The means are over all replicas: with those of parts the covariance would be another one.
    if weights is None:
        centred = conjugate - parallel.all_reduce_sum(parallel.batch_mean(conjugate))
        if leave_one_out:
            # F_i − mean of the others = (F_i − mean of all)·m/(m − 1); a lone sample has none.
            centred *= count / tf.maximum(count - 1.0, 1.0)
        return centred
    weights = _checked("weights_model", weights, conjugate)
    # What is the same for all, such as F where p = q, has no covariance but on average: left in, it
    # would add to the variance.
    conjugate -= divergence.conjugate(tf.zeros([], conjugate.dtype))
    weighted = weights * conjugate
    summed = parallel.all_reduce_sum(tf.reduce_sum(weighted))
    if leave_one_out:
        # Not their own weights' mean of the others: a product of two unbiased estimates.
        others = (summed - weighted) / tf.maximum(count - 1.0, 1.0)
        return tf.where(count > 1.0, weights * (conjugate - others), tf.zeros_like(weighted))
    return weights * (conjugate - summed / count)


def _mean(values, weights, name: str) -> tf.Tensor:
    """Return the mean, or this replica's share of it; see `parallel.batch_mean`."""
    if weights is not None:
        weights = _checked(name, weights, values)
    return parallel.batch_mean(values, weights)


def _own_mean(values, weights) -> tf.Tensor:
    """Return (Σ wᵢvᵢ)/(Σ wᵢ), or this replica's share of it."""
    if weights is None:
        return parallel.batch_mean(values)
    return tf.reduce_sum(parallel.weight_shares(weights, values.dtype) * values)


def _checked(name: str, weights, values) -> tf.Tensor:
    """Return weights as constants, [n], of the dtype of what they weigh."""
    weights = tf.cast(tf.convert_to_tensor(weights), values.dtype)
    weights = tf.stop_gradient(vector(name, weights))
    check_one_length(values, weights, f"{name} and what they weigh")
    return weights


def constant_term(
    divergence,
    log_ratio_data,
    log_ratio_model,
    energy_data,
    energy_model,
    weights: dict,
    of_covariance=0.0,
) -> tf.Tensor:
    """Return S (mean E_p + mean E_q)/2, of whose gradient a constant added to E gets all it has.

    S is the derivative of the bound for a constant added to r everywhere, and `of_covariance` this
    replica's share of what the covariance adds to it; both are constants. The other arguments are
    those of `energy_surrogate`, vectors all of them.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        constant = tf.zeros([], log_ratio_data.dtype)
        tape.watch(constant)
        bound = variational_bound(
            divergence,
            tf.stop_gradient(log_ratio_data) + constant,
            tf.stop_gradient(log_ratio_model) + constant,
            **weights,
        )
    slope = tf.stop_gradient(tape.gradient(bound, constant)) + of_covariance
    means = _own_mean(energy_data, weights["weights_data"])
    means += _own_mean(energy_model, weights["weights_model"])
    return parallel.all_reduce_sum(slope) * 0.5 * means


def check_one_length(first, second, names="log_ratio_model and energy_model") -> None:
    if not first.shape.is_compatible_with(second.shape):
        raise ValueError(
            f"{names} must have one length; received shapes {first.shape} and {second.shape}."
        )


def vector(name: str, value, beside: tf.Tensor | None = None) -> tf.Tensor:
    """Return a vector as a tensor, of the dtype of the one beside it; say what it is else."""
    value = tf.convert_to_tensor(value)
    if not value.dtype.is_floating or (beside is not None and value.dtype != beside.dtype):
        needed = "floating" if beside is None else beside.dtype.name
        raise TypeError(f"{name} must be {needed}, [batch]; received dtype {value.dtype.name}.")
    if value.shape.rank != 1:
        raise ValueError(f"{name} must be a vector, [batch]; received shape {value.shape}.")
    return value
