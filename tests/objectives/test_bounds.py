"""The bounds against exact likelihoods: Gaussians in closed form, curved maps by quadrature."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from tf_febm import energies, entropy, objectives

RNG = np.random.default_rng(0)
DATA = RNG.standard_normal((50, 2)) @ [[1.0, 0.3], [0.0, 0.7]] + [0.5, -1.0]

# An unequal generator and a model with another mean: x = z A + b, E = ½ (x − μ)ᵀP(x − μ).
A, B = np.array([[1.2, 0.4], [-0.3, 0.8]]), np.array([0.2, 0.1])
P, MU = np.array([[1.5, -0.4], [-0.4, 0.9]]), np.array([-0.3, 0.4])
# ν(z) ∝ exp(−E(zA + b)) is a Gaussian of this precision; its log-Sobolev constant is the smallest
# eigenvalue.
PRECISION = A @ P @ A.T
RHO, SOFTEST = (part[..., 0] for part in np.linalg.eigh(PRECISION))

# Equal weights and two points an axis integrate quadratics of z ~ N(0, I) exactly.
CUBATURE = np.sqrt(2.0) * np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def quadratic(mean):
    return lambda x: 0.5 * tf.reduce_sum((x - mean) @ P * (x - mean), axis=1)


def linear(z):
    return z @ A + B


def terms(energy_fn, generator, z, data=DATA):
    """Return the lower bound and the penalty with expectations over the given z."""
    z = tf.constant(z)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        volume = entropy.log_volume(generator, z)
        log_density = entropy.normal_log_density(z) - volume
        energy = energy_fn(generator(z))
    penalty = objectives.latent_gradient_penalty(
        tape.gradient(energy, z), tape.gradient(log_density, z)
    )
    total = entropy.normal_entropy(z.shape[1]) + volume
    lower = objectives.lower_bound(energy_fn(tf.constant(data)), energy, total)
    return float(lower), float(penalty)


class TestGaussians:
    def likelihood(self, mean):
        log_z = np.log(2.0 * np.pi) - 0.5 * np.linalg.slogdet(P)[1]
        return float(tf.reduce_mean(quadratic(mean)(tf.constant(DATA)))) + log_z

    def divergence(self, mean):
        make = tfp.distributions.MultivariateNormalFullCovariance
        return float(make(B, A.T @ A).kl_divergence(make(mean, np.linalg.inv(P))))

    def test_the_gap_of_the_lower_bound_is_the_divergence(self):
        lower, _ = terms(quadratic(MU), linear, CUBATURE)
        assert self.likelihood(MU) - lower == pytest.approx(self.divergence(MU), rel=1e-10)
        assert self.divergence(MU) > 0.1

    def test_the_penalty(self):
        """½ E‖Q(z − m) − z‖² = ½ (‖Q − I‖² + ‖Q m‖²), with Q the precision of ν and m its mean."""
        _, penalty = terms(quadratic(MU), linear, CUBATURE)
        mean = (MU - B) @ np.linalg.inv(A)
        squares = np.sum((PRECISION - np.eye(2)) ** 2) + np.sum((PRECISION @ mean) ** 2)
        assert penalty == pytest.approx(0.5 * squares, rel=1e-10)

    def test_the_upper_bound_at_the_certified_weight(self):
        lower, penalty = terms(quadratic(MU), linear, CUBATURE)
        upper = float(objectives.upper_bound(lower, penalty, 1.0 / RHO))
        assert lower < self.likelihood(MU) < upper

    def test_no_smaller_weight_will_do(self):
        """A long shift along the softest direction leaves next to nothing to spare: KL ≈ GP/ρ."""
        far = linear(np.array([40.0 * SOFTEST]))[0]
        lower, penalty = terms(quadratic(far), linear, CUBATURE)
        likelihood = self.likelihood(far)
        assert likelihood < float(objectives.upper_bound(lower, penalty, 1.0 / RHO))
        # 2 % of the shift's part is more than the part of KL that is no shift.
        assert likelihood > float(objectives.upper_bound(lower, penalty, 0.98 / RHO))
        assert likelihood > float(objectives.upper_bound(lower, penalty, 1e-3))

    def test_both_are_tight_at_the_optimum(self):
        scale = np.linalg.inv(np.linalg.cholesky(P).T).T
        lower, penalty = terms(quadratic(MU), lambda z: z @ scale + MU, CUBATURE)
        assert penalty == pytest.approx(0.0, abs=1e-20)
        assert lower == pytest.approx(self.likelihood(MU), rel=1e-12)


class TestCurved:
    """A one-to-one map onto the plane, and an energy that is no Gaussian's."""

    MIX = np.array([[1.1, 0.3], [-0.2, 0.9]])

    @classmethod
    def generator(cls, z):
        return (z + 0.3 * tf.tanh(z)) @ cls.MIX

    @classmethod
    def volume(cls, z):
        slopes = 1.0 + 0.3 / np.cosh(z) ** 2
        return np.log(slopes).sum(axis=1) + np.log(np.linalg.det(cls.MIX))

    @staticmethod
    def energy(x):
        a, b = x[:, 0], x[:, 1]
        return 0.6 * tf.square(a - 0.7) + 0.4 * tf.square(b + 0.5) + 0.1 * tf.sin(a + b)

    def log_z(self):
        axis = np.linspace(-12.0, 12.0, 1201)
        grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        return special.logsumexp(-self.energy(tf.constant(grid))) + 2.0 * np.log(0.02)

    def curvature(self):
        """Return the least eigenvalue of ∇²(−log ν) on a wide grid: Bakry and Émery's ρ."""
        axis = np.linspace(-8.0, 8.0, 81)
        z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        h = 1e-3

        def potential(i, j):
            moved = z + h * np.array([i, j])
            return self.energy(self.generator(tf.constant(moved))).numpy() - self.volume(moved)

        middle = potential(0, 0)
        first = (potential(1, 0) + potential(-1, 0) - 2.0 * middle) / h**2
        second = (potential(0, 1) + potential(0, -1) - 2.0 * middle) / h**2
        mixed = (potential(1, 1) + potential(-1, -1) - potential(1, -1) - potential(-1, 1)) / h**2
        hessians = np.stack([first, mixed / 4.0, mixed / 4.0, second], axis=1).reshape(-1, 2, 2)
        return np.linalg.eigvalsh(hessians)[:, 0].min()

    def test_the_bounds_by_quadrature(self):
        # The midpoints of cells of equal probability under N(0, I).
        quantiles = special.ndtri((np.arange(300) + 0.5) / 300)
        z = np.stack(np.meshgrid(quantiles, quantiles), axis=-1).reshape(-1, 2)
        np.testing.assert_allclose(
            entropy.log_volume(self.generator, z), self.volume(z), atol=1e-10
        )
        lower, penalty = terms(self.energy, self.generator, z)
        likelihood = float(tf.reduce_mean(self.energy(tf.constant(DATA)))) + self.log_z()
        rho = self.curvature()
        assert 0.1 < rho < 1.0
        assert lower < likelihood - 0.1
        assert likelihood + 0.1 < float(objectives.upper_bound(lower, penalty, 1.0 / rho))
        # The published weight is a hundred times too small here to bound anything.
        assert float(objectives.upper_bound(lower, penalty, 1e-3)) < likelihood - 0.1


def test_a_generator_that_does_not_reach_everything():
    """x = sigmoid(z) under a flat energy on [−4, 4]: seven eighths of Z are out of its reach.

    A weight that is ample on the image, where log Z_G = log 1, bounds nothing beyond it.
    """
    quantiles = special.ndtri((np.arange(4000) + 0.5) / 4000)[:, np.newaxis]
    lower, penalty = terms(lambda x: 0.0 * x[:, 0], tf.sigmoid, quantiles, DATA[:, :1])
    upper = float(objectives.upper_bound(lower, penalty, 2.0))
    assert lower < np.log(1.0) < upper < np.log(8.0)


def test_threshold_and_weight():
    upper = objectives.upper_bound
    np.testing.assert_allclose(upper(1.0, 0.5, 2.0), 2.0)
    np.testing.assert_allclose(upper(1.0, 0.5, 2.0, 0.25), 1.75)
    np.testing.assert_allclose(upper(1.0, 0.5, 2.0, 1.5), 1.0)


def test_the_penalty_on_data():
    """E‖∇ₓE‖² of ½ (x − μ)ᵀP(x − μ) over images as well as vectors."""
    gradient = energies.value_and_gradient(quadratic(MU), tf.constant(DATA))[1]
    expected = np.mean(np.sum(((DATA - MU) @ P) ** 2, axis=1))
    for shape in ((50, 2), (50, 1, 2, 1)):
        penalty = objectives.data_gradient_penalty(tf.reshape(gradient, shape))
        np.testing.assert_allclose(penalty, expected)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: objectives.lower_bound([[1.0]], [1.0], 0.0), r"energy_data must have .* \(1, 1\)"),
        (lambda: objectives.lower_bound([1.0], 1.0, 0.0), "energy_model must have"),
        (lambda: objectives.latent_gradient_penalty([[1.0]], [[1.0, 2.0]]), "must have one shape"),
        (lambda: objectives.latent_gradient_penalty([1.0], [1.0]), r"\[batch, d\]"),
        (lambda: objectives.upper_bound(0.0, 1.0, -1.0), "weight must be a finite number ≥ 0"),
        (lambda: objectives.upper_bound(0.0, 1.0, 1.0, -1.0), "threshold must be"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
