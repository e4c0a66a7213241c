"""The f-EBM surrogate of energies of conditional laws q(y | c) ∝ e^(−E(y, c))."""

import tensorflow as tf

from tf_febm import arguments, divergences, parallel
from tf_febm.objectives.f_divergence import (
    check_one_length,
    constant_term,
    variational_bound,
    vector,
)

__all__ = ["conditional_energy_surrogate"]


@arguments.checked
def conditional_energy_surrogate(
    divergence: arguments.DivergenceLike,
    log_ratio_data: arguments.Numbers,
    log_ratio_model: arguments.Numbers,
    energy_model: arguments.Numbers,
    samples_per_condition: int,
    *,
    energy_data: arguments.Numbers | None = None,
    weights_data: arguments.Numbers | None = None,
    weights_model: arguments.Numbers | None = None,
) -> tf.Tensor:
    """Return a scalar whose gradient for the energy's parameters is that of a conditional bound.

    Given a condition c, q(y | c) ∝ e^(−E(y, c)) has a normaliser of its own, so the covariance of
    Theorem 3 is one given c:

        L = E_c[E_p[f'(eʳ)] − E_q[F]],   r = H + E,   F = f*(f'(eʳ))
        ∇_θ L = E_c[E_p[∇f'(eʳ)] − E_q[∇F] + Cov_q(F, ∇E | c)]

    Two or more samples of the model for each condition give it without bias, Σ (F_j − F̄)∇E_j over
    m − 1. Only the gradient means anything, and only for the energy's parameters. The samples are
    constants, and must follow q for the estimate to be right.

    Args:
        divergence: A `Divergence` or its name.
        log_ratio_data: r at the data, floating, [n].
        log_ratio_model: r at samples of q, [k·m], the m of each of the k conditions in a row.
        energy_model: E at the same samples, [k·m].
        samples_per_condition: m, at least 2.
        energy_data: E at the data, [n], to take out the gradient along a constant added to E, as
            `energy_surrogate` does; None for the theorem's own.
        weights_data: What each of the data counts for, at least 0, [n], with a mean of 1 over all
            data; None for weights of 1.
        weights_model: The same for samples of the model, [k·m], equal for those of a condition.

    Returns:
        A scalar of the same dtype; on several replicas this replica's share.

    Raises:
        ValueError: Arguments are no vectors, or their lengths do not go with m.

    Source: Theorem 3 of Yu et al., 2020, given a condition; that conditions are noisier versions
        of y is Gao et al.'s recovery likelihood, 2021.
    """
    divergence = divergences.get(divergence)
    count = arguments.whole_number("samples_per_condition", samples_per_condition, 2)
    bound = variational_bound(
        divergence,
        log_ratio_data,
        log_ratio_model,
        weights_data=weights_data,
        weights_model=weights_model,
    )
    log_ratio_data, energy_model = map(tf.convert_to_tensor, (log_ratio_data, energy_model))
    log_ratio_model = tf.convert_to_tensor(log_ratio_model)
    size = energy_model.shape.num_elements()
    fits = energy_model.shape.is_compatible_with(log_ratio_model.shape)
    if not fits or (size is not None and size % count):
        raise ValueError(
            "energy_model and log_ratio_model must be one vector each, of a length that is a "
            f"multiple of samples_per_condition={count}; received shapes {energy_model.shape} and "
            f"{log_ratio_model.shape}."
        )
    conjugate = tf.reshape(divergence.conjugate(log_ratio_model), [-1, count])
    centred = conjugate - tf.reduce_mean(conjugate, axis=1, keepdims=True)
    factors = tf.stop_gradient(tf.reshape(centred, [-1])) * (count / (count - 1))
    surrogate = bound + parallel.batch_mean(factors * energy_model, weights_model)
    if energy_data is None:
        return surrogate
    energy_data = vector("energy_data", energy_data, log_ratio_data)
    check_one_length(log_ratio_data, energy_data, "log_ratio_data and energy_data")
    weights = {"weights_data": weights_data, "weights_model": weights_model}
    return surrogate - constant_term(
        divergence, log_ratio_data, log_ratio_model, energy_data, energy_model, weights
    )
