"""LOBPCG against the exact singular value decomposition."""

import numpy as np
import pytest
import tensorflow as tf
from test_volume import Curved, differences

from tf_febm import entropy

LATENT, SIZE = 64, 1536


def estimate(matrices, iterations, **settings):
    """Run LOBPCG, compiled, on linear maps [n, D, d], and return the values."""
    matrices = tf.constant(matrices)
    z = tf.zeros([matrices.shape[0], matrices.shape[2]], matrices.dtype)

    @tf.function(autograph=False)
    def compute():
        return entropy.smallest_singular_value(
            lambda z: tf.linalg.matvec(matrices, z), z, iterations, **settings
        )

    return compute()


def with_singular_values(values, size, count=2, seed=0):
    """Return random float32 matrices [count, size, d] with given singular values."""
    rng, dimension = np.random.default_rng(seed), len(values)
    left, right = (
        np.linalg.qr(rng.standard_normal((count, n, dimension)))[0] for n in (size, dimension)
    )
    return (left * values @ np.swapaxes(right, 1, 2)).astype(np.float32)


def test_gaussian_jacobians_within_a_percent():
    """20 iterations; in `benchmarks/entropy.py` the worst of eight maps is 0.7 % off after 15."""
    matrices = np.random.default_rng(0).standard_normal((2, SIZE, LATENT)).astype(np.float32)
    exact = np.linalg.svd(matrices.astype(float), compute_uv=False)[:, -1]
    ratio = estimate(matrices, 20, seed=1).value / exact
    assert np.min(ratio) > 1.0 - 1e-5 and np.max(ratio) < 1.01


def test_condition_number_100():
    """Singular values that are spread over two decades, in 32 dimensions: 320 for 5 %."""
    matrices = with_singular_values(np.geomspace(0.01, 1.0, 32), size=64)
    ratio = estimate(matrices, 320, seed=1).value.numpy() / 0.01
    # Half of the digits of float32 are lost where the largest value is 100 times the smallest.
    assert ratio.min() > 1.0 - 1e-3 and ratio.max() < 1.05


def test_too_few_iterations_give_no_lower_bound():
    """d·log ‖Jv‖ is above ½ log det JᵀJ after 2 iterations, as published, and below after 40."""
    values = np.geomspace(0.01, 1.0, 64)
    matrices = with_singular_values(values, size=96)
    volume = np.log(values).sum()
    early, late = (64 * np.log(estimate(matrices, n).value) for n in (2, 40))
    assert early.min() > volume and late.max() < volume


def test_it_is_never_below():
    matrices = with_singular_values(np.geomspace(0.1, 1.0, 12), 20)
    for iterations in (0, 2, 50):
        assert estimate(matrices, iterations).value.numpy().min() > 0.1 * (1.0 - 1e-5)


def test_eagerly_as_compiled():
    matrices = with_singular_values(np.linspace(0.5, 1.0, 6), 9)
    eager = entropy.smallest_singular_value(
        lambda z: tf.linalg.matvec(matrices, z), np.zeros((2, 6), np.float32), 4
    )
    np.testing.assert_allclose(eager.value, estimate(matrices, 4).value, rtol=1e-5)


def test_a_warm_start():
    matrices = with_singular_values(np.geomspace(0.1, 1.0, 16), 20)
    right = np.linalg.svd(matrices)[2][:, -1]
    exact = estimate(matrices, 0, start=right)
    np.testing.assert_allclose(exact.value, [0.1, 0.1], rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.sum(exact.vector * right, axis=1)), 1.0, rtol=1e-6)
    # Steps of 10, each from where the last ended, come to the end as one call of many does.
    vector = None
    for _ in range(4):
        value, vector = estimate(matrices, 10, start=vector)
    assert np.max(value) < 0.101 < 0.104 < np.min(estimate(matrices, 10).value)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_few_dimensions_are_exact(dimension):
    matrices = np.random.default_rng(5).standard_normal((3, 6, dimension))
    exact = np.linalg.svd(matrices, compute_uv=False)[:, -1]
    np.testing.assert_allclose(estimate(matrices, 0).value, exact, rtol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_equal_singular_values_leave_no_residual(scale):
    matrices = with_singular_values(np.full(5, scale), 9)
    value, vector = estimate(matrices, 4)
    np.testing.assert_allclose(value, [scale, scale], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), 1.0, rtol=1e-5)


def test_gradients_against_differences():
    """For z and for parameters; the numbers are NumPy's singular values of the exact Jacobian."""
    curved = Curved(5, 7)
    points = np.random.default_rng(6).standard_normal((2, 5))

    def gradients():
        z = tf.constant(points)
        with tf.GradientTape() as tape:
            tape.watch(z)
            total = tf.reduce_sum(entropy.smallest_singular_value(curved, z, 60).value)
        return total, *tape.gradient(total, (z, curved.c))

    total, of_z, of_c = tf.function(gradients, autograph=False)()

    def smallest(matrix):
        return np.linalg.svd(matrix, compute_uv=False)[:, -1].sum()

    def moved_c(moved):
        other = Curved(5, 7)
        other.c.assign(moved)
        return smallest(other.exact_jacobian(points))

    assert float(total) == pytest.approx(smallest(curved.exact_jacobian(points)), rel=1e-9)
    expected = differences(lambda z: smallest(curved.exact_jacobian(z)), points)
    np.testing.assert_allclose(of_z, expected, atol=1e-6)
    np.testing.assert_allclose(of_c, differences(moved_c, curved.c.numpy()), atol=1e-6)


def test_the_generator_is_evaluated_once_and_on_no_more_examples():
    """So there is no Jacobian: that takes d evaluations, or a batch of n·d."""
    shapes = []

    def generator(z):
        shapes.append(tuple(z.shape))
        return tf.tanh(tf.tile(z, [1, 2]))

    entropy.smallest_singular_value(generator, tf.zeros([3, 8]), 5)
    assert shapes == [(3, 8)]
    del shapes[:]

    @tf.function(autograph=False)
    def compute():
        return entropy.smallest_singular_value(generator, tf.zeros([3, 8]), 5)

    value = compute().value
    assert shapes == [(3, 8)]
    assert value.shape == (3,)
    sizes = {
        tuple(output.shape)
        for operation in compute.get_concrete_function().graph.get_operations()
        for output in operation.outputs
        if output.shape.rank is not None
    }
    # [n, D, d] = [3, 16, 8] and its transpose are nowhere.
    assert not {(3, 16, 8), (3, 8, 16), (24, 16)} & sizes


def test_bad_arguments():
    z = tf.zeros([2, 4])
    for call, message in (
        (lambda: entropy.smallest_singular_value(lambda z: z[:, :3], z), "from 4 to 3"),
        (lambda: entropy.smallest_singular_value(tf.identity, z, -1), "num_iterations"),
        (
            lambda: entropy.smallest_singular_value(tf.identity, z, start=tf.zeros([2, 3])),
            "start must have the shape of z",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            call()
