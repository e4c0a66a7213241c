"""Exact log-volume of a generator, from its whole Jacobian."""

import math

import tensorflow as tf

from tf_febm import arguments
from tf_febm.entropy.linear_map import LinearMap, check_latents

__all__ = ["jacobian", "log_volume", "log_volume_of", "normal_entropy", "normal_log_density"]


@arguments.checked
def jacobian(function: arguments.Function, z: arguments.Array) -> tf.Tensor:
    """Return J = ∂G/∂z of every example.

    Time and memory are those of d backward passes through G at n examples, made as one batch.

    Args:
        function: G, from [n, d] to [n, …]; each row of its result may depend on the same row of z
            only, so batch normalisation must be in inference mode.
        z: Floating [n, d].

    Returns:
        A tensor [n, D, d], where D is the number of entries of one G(z); differentiable.

    Raises:
        ValueError: z is not floating [n, d].
    """
    return LinearMap(function, z).matrix()


@arguments.checked
def log_volume(function: arguments.Function, z: arguments.Array) -> tf.Tensor:
    """Return ½ log det JᵀJ, the logarithm of the volume by which G stretches space at z.

        log p_g(G(z)) = log p₀(z) − ½ log det JᵀJ

    The formula assumes that no other z has the same image. It is computed as Σ log |R_ii| of
    J = QR, which loses no digits by squaring J; from two dimensions to two as log |det J|.

    Args:
        function: G, as in `jacobian`.
        z: Floating [n, d], where d is at most D.

    Returns:
        A tensor [n]; differentiable for z and for what G depends on, where J has full rank. Where
        it has not, −∞ or no number.

    Raises:
        ValueError: z is not floating [n, d], or d exceeds D, as no density is then left.
    """
    return log_volume_of(LinearMap(function, z))


def log_volume_of(linear_map: LinearMap) -> tf.Tensor:
    """Return what `log_volume` does, of a map that is there already."""
    dimension, matrix = linear_map.latent_dim(), linear_map.matrix()
    if dimension == linear_map.size == 2:
        # In closed form: for maps so small a factorisation costs as much as all the rest.
        (a, b), (c, d) = (tf.unstack(row, axis=1) for row in tf.unstack(matrix, axis=1))
        return tf.math.log(tf.abs(a * d - b * c))
    triangle = tf.linalg.qr(matrix).r
    return tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(triangle))), axis=1)


@arguments.checked
def normal_entropy(dimension: int) -> float:
    """Return the entropy of N(0, I_d) in nats, (d/2) log 2πe."""
    return 0.5 * dimension * (math.log(2.0 * math.pi) + 1.0)


@arguments.checked
def normal_log_density(z: arguments.Array) -> tf.Tensor:
    """Return log p₀(z) of N(0, I_d), [n], at z, [n, d]."""
    z = check_latents(z)
    return -0.5 * (tf.reduce_sum(tf.square(z), axis=1) + z.shape[1] * math.log(2.0 * math.pi))
