"""The exact volume of a generator against closed forms, and its gradients against differences."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import entropy, networks

Z = np.random.default_rng(0).standard_normal((7, 3))


def triangular(z):
    """A one-to-one map of the plane whose Jacobian is triangular, with a known determinant."""
    first = z[:, 0] + 0.5 * tf.sin(z[:, 0])
    second = tf.exp(0.3 * tf.tanh(z[:, 0])) * z[:, 1] + tf.square(z[:, 0])
    return tf.stack([first, second], axis=1)


def triangular_volume(z):
    return np.log(1.0 + 0.5 * np.cos(z[:, 0])) + 0.3 * np.tanh(z[:, 0])


class Curved:
    """z ↦ tanh(z A) B + z C in float64, with C to be differentiated."""

    def __init__(self, d=3, size=5):
        rng = np.random.default_rng(1)
        self.a = tf.constant(rng.standard_normal((d, 4)))
        self.b = tf.constant(rng.standard_normal((4, size)))
        self.c = tf.Variable(rng.standard_normal((d, size)))

    def __call__(self, z):
        return tf.tanh(z @ self.a) @ self.b + z @ self.c

    def exact_jacobian(self, z):
        """∂x_j/∂z_i = Σ_k A_ik (1 − tanh²)_k B_kj + C_ij."""
        slope = 1.0 - np.tanh(z @ self.a.numpy()) ** 2
        return np.einsum("ik,nk,kj->nji", self.a, slope, self.b) + self.c.numpy().T


def exact_volume(matrix):
    return 0.5 * np.linalg.slogdet(np.swapaxes(matrix, 1, 2) @ matrix)[1]


def differences(function, value, step=1e-6):
    """Return the gradient of a scalar function of an array by central differences."""
    gradient = np.zeros_like(value)
    for index in np.ndindex(value.shape):
        ends = []
        for sign in (1.0, -1.0):
            moved = value.copy()
            moved[index] += sign * step
            ends.append(function(moved))
        gradient[index] = (ends[0] - ends[1]) / (2.0 * step)
    return gradient


def test_jacobian_of_a_curved_map():
    curved = Curved()
    np.testing.assert_allclose(entropy.jacobian(curved, Z), curved.exact_jacobian(Z), rtol=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("size", [3, 8])
def test_linear_generators(dtype, tolerance, size):
    """½ log det JᵀJ is that of the matrix, wherever z is."""
    matrix = np.random.default_rng(2).standard_normal((3, size))
    volume = entropy.log_volume(lambda z: z @ tf.cast(matrix, dtype) + 1.0, Z.astype(dtype))
    expected = 0.5 * np.linalg.slogdet(matrix @ matrix.T)[1]
    np.testing.assert_allclose(volume, np.full(7, expected), rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
def test_a_triangular_generator(dtype, tolerance):
    z = Z[:, :2].astype(dtype)
    volume = entropy.log_volume(triangular, z)
    np.testing.assert_allclose(volume, triangular_volume(Z[:, :2]), rtol=0, atol=tolerance)


def test_the_density_of_a_linear_generator_is_a_gaussian():
    matrix = np.random.default_rng(3).standard_normal((3, 3))
    x = Z @ matrix
    gaussian = tfp.distributions.MultivariateNormalFullCovariance(np.zeros(3), matrix.T @ matrix)
    volume = entropy.log_volume(lambda z: z @ matrix, Z)
    log_density = entropy.normal_log_density(Z) - volume
    np.testing.assert_allclose(log_density, gaussian.log_prob(x), rtol=1e-10)
    np.testing.assert_allclose(
        entropy.normal_entropy(3) + volume[0], gaussian.entropy(), rtol=1e-10
    )


def test_a_folded_generator_overstates_its_entropy():
    """x = |z| has the entropy of a half normal, log 2 below what the formula says."""
    volume = entropy.log_volume(tf.abs, np.array([[-1.3], [0.4]]))
    formula = entropy.normal_entropy(1) + np.mean(volume)
    half_normal = tfp.distributions.HalfNormal(np.float64(1.0)).entropy()
    assert formula - half_normal.numpy() == pytest.approx(np.log(2.0), abs=1e-12)


def test_gradients_against_differences():
    """For z and for parameters: the numbers are NumPy's slogdet of the exact Jacobian."""
    curved, z = Curved(), tf.constant(Z)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        total = tf.reduce_sum(entropy.log_volume(curved, z))

    def of_z(moved):
        return exact_volume(curved.exact_jacobian(moved)).sum()

    def of_c(moved):
        other = Curved()
        other.c.assign(moved)
        return exact_volume(other.exact_jacobian(Z)).sum()

    assert float(total) == pytest.approx(of_z(Z), rel=1e-12)
    np.testing.assert_allclose(tape.gradient(total, z), differences(of_z, Z), atol=1e-7)
    expected = differences(of_c, curved.c.numpy())
    np.testing.assert_allclose(tape.gradient(total, curved.c), expected, atol=1e-7)


def test_the_closed_form_of_the_plane_near_a_fold_and_its_gradients():
    """log |det J| against NumPy's, negative determinants included, down to 1e-6 of ‖J‖²."""
    rng = np.random.default_rng(5)
    matrices = [rng.standard_normal((2, 2)) for _ in range(4)]
    matrices += [np.array([[1.0, 2.0], [0.5, 1.0 + 1e-6]]), np.array([[0.0, 3.0], [1.0, 0.0]])]
    z = tf.constant(Z[:, :2])
    for matrix in matrices:
        variable = tf.Variable(matrix)
        with tf.GradientTape() as tape:
            volume = tf.reduce_mean(entropy.log_volume(lambda z, v=variable: tf.tanh(z) @ v, z))
        slope = np.log(1.0 - np.tanh(Z[:, :2]) ** 2).sum(axis=1).mean()
        assert float(volume) == pytest.approx(slope + np.linalg.slogdet(matrix)[1], abs=1e-9)
        # d log|det M| = M⁻ᵀ.
        expected = np.linalg.inv(matrix).T
        np.testing.assert_allclose(tape.gradient(volume, variable), expected, rtol=1e-8)


def test_compiled_as_eagerly_and_with_any_batch():
    generator = networks.generator_mlp(3, (2, 2, 1), (6,))
    eager = entropy.log_volume(generator, Z.astype("float32"))
    compiled = tf.function(
        lambda z: entropy.log_volume(generator, z),
        input_signature=[tf.TensorSpec((None, 3))],
        autograph=False,
    )
    np.testing.assert_allclose(compiled(Z.astype("float32")), eager, rtol=1e-5)
    np.testing.assert_allclose(compiled(Z[:2].astype("float32")), eager[:2], rtol=1e-5)


def test_products_are_those_of_the_matrix():
    """Products with J and Jᵀ, in a loop as well, against the exact matrix."""
    curved, rng = Curved(), np.random.default_rng(4)
    tangent, cotangent = rng.standard_normal((7, 3)), rng.standard_normal((7, 5))
    matrix = curved.exact_jacobian(Z)

    @tf.function(autograph=False)
    def compute():
        linear_map = entropy.LinearMap(curved, tf.constant(Z))
        twice = tf.while_loop(
            lambda i, _: i < 2,
            lambda i, v: (i + 1, linear_map.transposed_product(linear_map.product(v))),
            (0, tf.constant(tangent)),
        )[1]
        return linear_map.product(tangent), linear_map.transposed_product(cotangent), twice

    gram = np.swapaxes(matrix, 1, 2) @ matrix
    expected = (
        np.einsum("nji,ni->nj", matrix, tangent),
        np.einsum("nji,nj->ni", matrix, cotangent),
        np.einsum("nij,nj->ni", gram @ gram, tangent),
    )
    for mine, theirs in zip(compute(), expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: entropy.log_volume(tf.identity, np.zeros(3)), r"shape \[n, d\]; received"),
        (lambda: entropy.log_volume(tf.identity, np.zeros((2, 3), int)), "must be floating"),
        (lambda: entropy.log_volume(lambda z: z[:, :2], Z), "from 3 to 2"),
        (lambda: entropy.jacobian(lambda z: z[:1], Z), "one example of known shape for each row"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
