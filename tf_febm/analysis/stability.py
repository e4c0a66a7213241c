"""Local stability of f-EBM's dynamics: the Jacobian of Theorem 4 and the bounds of Theorem 5.

Training follows θ̇ = −∇_θ V and ω̇ = ∇_ω V with V(θ, ω) = E_p[f'(eʳ)] − E_q[F(r)], where r = H + E,
F(r) = eʳ f'(eʳ) − f(eʳ) and q ∝ e^(−E) moves with θ. Expand V around a point with q = p and r = 0:
there d f'(eʳ)/dr = dF/dr = f''(1), the second derivatives of the two differ by f''(1), and
∂q/∂θ = −q (∇E − E_q[∇E]). All terms in f'''(1) and in second derivatives of E and H cancel, which
leaves the form given at `stability`.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tf_febm import arguments, energies, objectives
from tf_febm.analysis.eigenvalue_bounds import eigenvalue_bounds
from tf_febm.models import FEBM, inputs

__all__ = ["Stability", "stability"]

# Distance of the floating numbers next to 1; NumPy's finfo does not know bfloat16.
_ROUNDING = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


class Stability(NamedTuple):
    """Hold the linearised dynamics of a model with P energy and W variational weights.

    Rows and columns are the weights in the order of `trainable_variables`, each flattened, the
    energy's first. All arrays are NumPy's, float64 unless said otherwise.

    Attributes:
        jacobian: J, [P+W, P+W].
        eigenvalues: Those of J, complex128 [P+W], by falling real part: the first one decides.
        energy_block: K_EE, [P, P], symmetric.
        cross_block: K_EH, [P, W], of rank one.
        variational_block: K_HH, [W, W], symmetric.
        second_derivative: f''(1) > 0, which divides out of the blocks.
        bound_real: Upper bound of every real eigenvalue, and of the real part of any other.
        bound_complex: Upper bound of the real part of every eigenvalue that is not real.
        bound_real_paper: Theorem 5's bound of every real eigenvalue: 0, which says nothing, unless
            the energy has one weight; NaN if K_EE has a negative eigenvalue.
        bound_complex_paper: Theorem 5's bound of the real part of any other; NaN likewise.
        bound_real_paper_nonzero: Theorem 5's with the smallest eigenvalues that are not zero; not
            a bound, see `eigenvalue_bounds`.
        bound_complex_paper_nonzero: Likewise.
        energy_block_is_positive_definite: Whether K_EE is, beyond rounding.
        variational_block_is_positive_definite: Whether K_HH is, beyond rounding.
        is_stable: Whether every eigenvalue has a negative real part, beyond rounding.
        energy_residual: Estimate of ‖∇_θ V‖; 0 at an equilibrium, up to noise of the samples.
        variational_residual: Estimate of ‖∇_ω V‖; likewise.
        log_ratio_rms: Root mean square of r over all examples; 0 at the equilibrium that J is of.
    """

    jacobian: np.ndarray
    eigenvalues: np.ndarray
    energy_block: np.ndarray
    cross_block: np.ndarray
    variational_block: np.ndarray
    second_derivative: float
    bound_real: float
    bound_complex: float
    bound_real_paper: float
    bound_complex_paper: float
    bound_real_paper_nonzero: float
    bound_complex_paper_nonzero: float
    energy_block_is_positive_definite: bool
    variational_block_is_positive_definite: bool
    is_stable: bool
    energy_residual: float
    variational_residual: float
    log_ratio_rms: float


@arguments.checking({"data": arguments.ARRAY})
def stability(
    model: FEBM,
    data: arguments.Data,
    samples: arguments.Array,
    *,
    batch_size: int = 256,
    max_parameters: int = 5000,
) -> Stability:
    """Linearise the training dynamics at an equilibrium, and bound its eigenvalues.

        J = f''(1) [[−K_EE, K_EH], [−K_EHᵀ, −K_HH]]
        K_EE = E[∇E ∇Eᵀ] − 2 E[∇E] E[∇E]ᵀ,   K_EH = E[∇E] E[∇H]ᵀ,   K_HH = E[∇H ∇Hᵀ]

    with gradients for the weights: Theorem 4. That these are the right moments, neither uncentred
    nor centred ones throughout, the tests find by finite differences of the exact dynamics.

    With λ₁ the smallest eigenvalue of a block,

        bound_real    = −f''(1) min(λ₁(K_EE), λ₁(K_HH))
        bound_complex = −f''(1) (λ₁(K_EE) + λ₁(K_HH)) / 2

    are bounds of all eigenvalues and of those that are not real. Theorem 5 prints the second and,
    for real eigenvalues, another in the place of the first. What `analysis.eigenvalue_bounds` says
    of all of them and proves, in short: the printed one for real eigenvalues holds for positive
    semi-definite K_EE, but is 0 for every energy of two weights or more, as K_EH has rank one; read
    with the smallest eigenvalues that are not zero, neither is a bound.

    Ours hold whatever the signs, but prove stability only if both blocks are positive definite;
    K_EE, a covariance less E[∇E] E[∇E]ᵀ, need not be. Not even then is anything said of training
    with unequal rates, regularisers, large steps or samples from short chains.

    Two networks that each end in a bias, as most of the package's do, are never stable in this
    sense: the flow conserves the sum of the two biases, so that J has an eigenvalue 0 with fewer
    eigenvectors than its multiplicity, and a constant error in r stays unless other weights can
    take it up or a regulariser, which V lacks, removes it. `networks.quadratic` has no bias.
    Redundant weights, which wide networks have, leave harmless eigenvalues 0.

    Away from an equilibrium J is not the linearisation. The residuals tell how far it is; for n
    examples of either kind, sampling alone leaves gradients of order n^(−½). Expectations are means
    over data and samples pooled, whose laws are one at an equilibrium, each example with the same
    weight. With fewer examples than weights K_HH is singular by construction.

    Args:
        model: A built, unconditional `FEBM`, at the weights of interest; networks are evaluated in
            inference mode.
        data: Examples of the data, floating [n, …], n ≥ 2.
        samples: Samples of the model, floating [m, …], m ≥ 2; such as `model.sample` returns.
        batch_size: How many per-example gradients are held at a time. It does not change the
            result, beyond rounding.
        max_parameters: The largest number of weights, P + W, to accept. Time grows with its cube:
            seconds for 2,000 weights, about a minute for 4,355, and 1 GB of memory.

    Returns:
        A `Stability`. Gradients are taken in the networks' dtype and averaged in float64.

    Raises:
        TypeError: The model is no `FEBM`, or data or samples are not floating.
        ValueError: The model is conditional, not built, or has too many or no weights; data or
            samples have a wrong shape, fewer than 2 examples or a value that is not finite; or a
            network returns such a value or has such a gradient.

    Source: Section 4.3, Theorems 4 and 5.
    """
    arguments.whole_number("batch_size", batch_size, 1)
    _check_model(model, arguments.whole_number("max_parameters", max_parameters, 1))
    data, samples = _checked(data, "data", model), _checked(samples, "samples", model)
    pooled = tf.concat([data, tf.cast(samples, data.dtype)], axis=0)
    batches = [pooled[i : i + batch_size] for i in range(0, len(pooled), batch_size)]

    # One float64 vector per network, split into data and samples.
    outputs = [
        tf.split(_evaluate(network, batches), [len(data), len(samples)])
        for network in model.networks
    ]
    log_ratio = tf.concat(outputs[0], 0) + tf.concat(outputs[1], 0)
    weights = _gradient_weights(model, *outputs)
    (mean_e, second_e, gradient_e), (mean_h, second_h, gradient_h) = (
        _moments(network, batches, weight)
        for network, weight in zip(model.networks, weights, strict=True)
    )

    energy_block = second_e - 2.0 * np.outer(mean_e, mean_e)
    cross_block = np.outer(mean_e, mean_h)
    slope = _second_derivative(model.divergence)
    jacobian = slope * np.block([[-energy_block, cross_block], [-cross_block.T, -second_h]])
    eigenvalues = np.linalg.eigvals(jacobian).astype(np.complex128)
    # Conjugates share a real part up to rounding only; the second key keeps their order fixed.
    eigenvalues = eigenvalues[np.lexsort((eigenvalues.imag, -eigenvalues.real))]

    precision = max(_precision(network) for network in model.networks)
    bounds = eigenvalue_bounds(energy_block, cross_block, second_h, slope, precision)
    return Stability(
        jacobian=jacobian,
        eigenvalues=eigenvalues,
        energy_block=energy_block,
        cross_block=cross_block,
        variational_block=second_h,
        second_derivative=slope,
        **{f"bound_{name}": float(value) for name, value in bounds._asdict().items()},
        energy_block_is_positive_definite=_is_positive_definite(energy_block, precision),
        variational_block_is_positive_definite=_is_positive_definite(second_h, precision),
        is_stable=bool(eigenvalues[0].real < -precision * np.abs(eigenvalues).max()),
        energy_residual=float(np.linalg.norm(gradient_e)),
        variational_residual=float(np.linalg.norm(gradient_h)),
        log_ratio_rms=float(np.sqrt(np.mean(np.square(log_ratio)))),
    )


def _check_model(model, max_parameters: int) -> None:
    if not isinstance(model, FEBM):
        raise TypeError(
            f"stability needs a tf_febm.FEBM, which has an energy and a variational network; "
            f"received {model!r}."
        )
    if model.conditional:
        raise ValueError(
            "stability knows unconditional models only: given a label, q has a normalising "
            f"constant of its own; received a model of {model.num_classes} classes."
        )
    if not model.built or model.sample_shape is None:
        raise ValueError("The model is not built: call model.build((None, …)) or model.fit first.")
    counts = [
        sum(v.value.shape.num_elements() for v in n.trainable_variables) for n in model.networks
    ]
    if min(counts) == 0 or sum(counts) > max_parameters:
        raise ValueError(
            f"Both networks need trainable weights, at most max_parameters={max_parameters} "
            f"together; received {counts[0]} (energy) and {counts[1]} (variational)."
        )


def _checked(x, what: str, model) -> tf.Tensor:
    x = inputs.check_samples(x, model.sample_shape, what)
    if len(x) < 2:
        raise ValueError(f"{what} must hold at least 2 examples; received {len(x)}.")
    _check_finite(x, what)
    return x


def _check_finite(values, what: str) -> None:
    count = int(np.sum(~np.isfinite(values)))
    if count:
        raise ValueError(f"{what} must be finite; received {count} values that are not.")


def _evaluate(network, batches) -> tf.Tensor:
    """Return a network's outputs for all batches, float64 [n + m]."""
    values = [
        energies.per_example(network(batch, training=False), batch, network.name)
        for batch in batches
    ]
    values = tf.cast(tf.concat(values, axis=0), tf.float64)
    _check_finite(values, f"The outputs of {network.name}")
    return values


def _gradient_weights(model, energy, variational) -> list[np.ndarray]:
    """Return w for either network, float64 [n + m], such that ∇V = Σ w ∇(output).

    V, and the scalar whose θ-gradient is Theorem 3, depend on the weights through outputs alone.
    """
    (energy_data, energy_model), (h_data, h_model) = energy, variational
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch([energy_data, energy_model, h_data, h_model])
        ratios = (h_data + energy_data, h_model + energy_model)
        surrogate = objectives.energy_surrogate(model.divergence, *ratios, energy_model)
        bound = objectives.variational_bound(model.divergence, *ratios)
    parts = (
        tape.gradient(surrogate, [energy_data, energy_model]),
        tape.gradient(bound, [h_data, h_model]),
    )
    return [tf.concat(part, axis=0).numpy() for part in parts]


def _moments(network, batches, weights) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return E[g] [k], E[g gᵀ] [k, k] and Σ w g [k] of per-example gradients g, in float64."""
    variables = [variable.value for variable in network.trainable_variables]

    def gradient(example):
        batch = example[tf.newaxis]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            value = energies.per_example(network(batch, training=False), batch, network.name)
        parts = tape.gradient(value, variables, unconnected_gradients="zero")
        return tf.concat([tf.cast(tf.reshape(part, [-1]), tf.float64) for part in parts], axis=0)

    # Linear in the batch, where GradientTape.jacobian of a batch of outputs would be quadratic; as
    # fast as vectorized_map for dense layers, and silent about convolutions. One concrete function,
    # for TensorFlow would log a warning about a tf.function traced anew in each call.
    gradients = tf.function(
        lambda batch: tf.map_fn(gradient, batch, fn_output_signature=tf.float64), autograph=False
    ).get_concrete_function(tf.TensorSpec((None, *batches[0].shape[1:]), batches[0].dtype))
    size = sum(variable.shape.num_elements() for variable in variables)
    total, second, weighted = np.zeros(size), np.zeros((size, size)), np.zeros(size)
    start = 0
    for batch in batches:
        rows = gradients(batch).numpy()
        total += rows.sum(axis=0)
        second += rows.T @ rows
        weighted += weights[start : start + len(rows)] @ rows
        start += len(rows)
    _check_finite(total, f"The gradients of {network.name}")
    return total / start, second / start, weighted


def _second_derivative(divergence) -> float:
    """Return f''(1), the derivative of f'(eʳ) at r = 0."""
    zero = tf.zeros([], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(zero)
        value = divergence.derivative(zero)
    return float(tape.gradient(value, zero))


def _precision(network) -> float:
    """Return the relative rounding of a network's gradients, by the dtypes it works in."""
    dtypes = {network.compute_dtype, *(v.value.dtype.name for v in network.trainable_variables)}
    return max(_ROUNDING[dtype] for dtype in dtypes)


def _is_positive_definite(block: np.ndarray, precision: float) -> bool:
    """Return whether a symmetric matrix is positive definite, beyond rounding."""
    values = np.linalg.eigvalsh(block)
    return bool(values[0] > precision * np.abs(values).max())
