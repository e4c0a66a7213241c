"""Smallest singular value of a generator's Jacobian by LOBPCG, without the Jacobian."""

from typing import NamedTuple

import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.entropy.linear_map import LinearMap

__all__ = ["SingularValue", "smallest_singular_value", "smallest_singular_value_of"]


class SingularValue(NamedTuple):
    """What LOBPCG found for each example.

    Attributes:
        value: ‖J v‖, [n], at least the smallest singular value; differentiable.
        vector: v, [n, d], unit vectors, constants to any gradient.
    """

    value: tf.Tensor
    vector: tf.Tensor


@arguments.checked
def smallest_singular_value(
    function: arguments.Function,
    z: arguments.Array,
    num_iterations: int = 10,
    *,
    start: arguments.Array | None = None,
    seed: arguments.Seed = (0, 0),
) -> SingularValue:
    """Estimate s_min of J = ∂G/∂z with products by J and Jᵀ only.

    LOBPCG on JᵀJ, for each example on its own and without a preconditioner. An iteration takes the
    residual r = JᵀJv − ‖Jv‖²v, makes [v, p, r] orthonormal by QR, and moves v to the right singular
    vector of J·[v, p, r] with the smallest singular value; p is the direction in which v came. It
    costs one product with J, of r, and one with Jᵀ, of J v: J v and J p are combinations of what
    is there.

    The result is ‖J(z)v‖ with v held constant. For a converged v its gradient is that of s_min, by
    the envelope theorem, where s_min is a simple singular value.

    Not guaranteed: ‖Jv‖ ≥ s_min, always. So d·log ‖Jv‖ can exceed ½ log det JᵀJ, and is no lower
    bound of it, until v has converged so far that ‖Jv‖ is below the geometric mean of the singular
    values. How soon that is depends on their spread: from 128 to 3072 dimensions 10 iterations give
    0.8 % too much for Gaussian entries (s_max/s_min = 1.5), and 4.5 times s_min for values spread
    over two decades, which take 500 iterations. So many cost more than the whole Jacobian: there
    take `log_volume`. Measured by `benchmarks/entropy.py`; the table is in docs/bidirectional.md.

    Args:
        function: G, from [n, d] to [n, …]; each row of its result may depend on the same row of z
            only, so batch normalisation must be in inference mode.
        z: Floating [n, d], d ≤ D.
        num_iterations: Iterations, at least 0.
        start: Where v starts, [n, d], not zero, such as the vectors of the last call; random if
            None.
        seed: Seed of a random start, and of the first p: an int, a pair of ints, or int32 [2].

    Returns:
        A `SingularValue`.

    Raises:
        ValueError: z is not floating [n, d], d exceeds D, or `start` has another shape.

    Source: Knyazev 2001 (LOBPCG); Geng et al. 2021, who use two iterations and a random start.
    """
    linear_map = LinearMap(function, z)
    return smallest_singular_value_of(linear_map, num_iterations, start=start, seed=seed)


def smallest_singular_value_of(
    linear_map: LinearMap,
    num_iterations: int = 10,
    *,
    start: arguments.Tensor | None = None,
    seed: arguments.Seed = (0, 0),
) -> SingularValue:
    """Return what `smallest_singular_value` does, of a map that is there already."""
    num_iterations = arguments.whole_number("num_iterations", num_iterations)
    if linear_map.latent_dim() <= 3:
        # [v, p, r] would span the space: its vectors are found at once.
        _, _, right = tf.linalg.svd(tf.stop_gradient(linear_map.matrix()))
        vector = right[:, :, -1]
    else:
        v, p = _first_pair(linear_map.z, start, seed)
        vector = _lobpcg(linear_map, v, p, num_iterations)
    vector = tf.stop_gradient(vector)
    return SingularValue(tf.norm(linear_map.product(vector), axis=1), vector)


def _first_pair(z, start, seed):
    """Return orthonormal v and p, [n, d]: the start, or a random vector, and a random one."""
    shape = tf.concat([tf.shape(z), [2]], axis=0)
    pair = randomness.normal(shape, randomness.as_seed(seed), z.dtype)
    pair = tf.ensure_shape(pair, (*z.shape, 2))
    if start is not None:
        start = tf.cast(start, z.dtype)
        if not start.shape.is_compatible_with(z.shape):
            raise ValueError(f"start must have the shape of z, {z.shape}; received {start.shape}.")
        pair = tf.stack([start, pair[:, :, 1]], axis=2)
    # Householder reflections complete a basis even where a column vanishes.
    pair = tf.linalg.qr(pair).q
    return pair[:, :, 0], pair[:, :, 1]


def _lobpcg(linear_map: LinearMap, v, p, num_iterations: int) -> tf.Tensor:
    """Return v, [n, d], after the iterations; v and p are orthonormal."""

    def iterate(i, v, p, image_v, image_p):
        # The residual of a Ritz vector is orthogonal to v and p but for rounding, which QR removes.
        # Where it vanishes, QR puts some other direction in its place, and v stays.
        residual = linear_map.transposed_product(image_v)
        residual -= v * tf.reduce_sum(v * residual, axis=1, keepdims=True)
        residual = tf.math.l2_normalize(residual, axis=1)
        r = tf.linalg.qr(tf.stack([v, p, residual], axis=2)).q[:, :, 2]
        image_r = linear_map.product(r)
        a, b, c = tf.split(_smallest_combination(image_v, image_p, image_r), 3, axis=1)
        # The new v, and the vector orthogonal to it in the plane of the old v and of the step.
        step = tf.sqrt(b * b + c * c)
        moved = step > 0.0
        b_unit = tf.where(moved, tf.math.divide_no_nan(b, step), tf.ones_like(b))
        c_unit = tf.where(moved, tf.math.divide_no_nan(c, step), tf.zeros_like(c))

        def combine(v, p, r):
            return a * v + b * p + c * r, a * (b_unit * p + c_unit * r) - step * v

        (v, p), (image_v, image_p) = combine(v, p, r), combine(image_v, image_p, image_r)
        return i + 1, v, p, image_v, image_p

    images = linear_map.product(v), linear_map.product(p)
    state = (tf.constant(0), v, p, *images)
    state = tf.nest.map_structure(tf.stop_gradient, state)
    result = tf.while_loop(
        lambda i, *_: i < num_iterations, iterate, state, maximum_iterations=num_iterations
    )
    return result[1]


def _smallest_combination(*columns) -> tf.Tensor:
    """Return unit coefficients, [n, k], of the combination of k columns [n, D] with least norm."""
    orthonormal: list[tf.Tensor] = []
    rows: list[tf.Tensor] = []
    for j, column in enumerate(columns):
        # Modified Gram–Schmidt: its triangle is as good as that of `tf.linalg.qr`, in a fifth of
        # the time for [64, 3072, 3].
        row = [tf.zeros_like(column[:, 0])] * len(columns)
        for k, other in enumerate(orthonormal):
            row[k] = tf.reduce_sum(other * column, axis=1)
            column -= row[k][:, tf.newaxis] * other
        row[j] = tf.norm(column, axis=1)
        orthonormal.append(tf.math.divide_no_nan(column, row[j][:, tf.newaxis]))
        rows.append(tf.stack(row, axis=1))
    # `rows` are the columns of the triangle: [n, row, column].
    triangle = tf.stack(rows, axis=2)
    _, _, right = tf.linalg.svd(triangle)
    return right[:, :, -1]
