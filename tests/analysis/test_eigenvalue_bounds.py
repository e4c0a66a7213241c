"""Bounds of eigenvalues, ours and those that Theorem 5 prints, against the eigenvalues themselves.

The truth is `numpy.linalg.eigvals` of the Jacobian put together from random blocks that satisfy
what each bound assumes.
"""

import numpy as np
import pytest

import tf_febm
from tf_febm.analysis import eigenvalue_bounds, stability

COUNT = 10_000
# Where two eigenvalues meet, each is good to the square root of rounding, 1.5e-8 of the matrix.
TOLERANCE = 1e-7


def assembled(a, b, c, slope=1.0):
    top = np.concatenate([-a, b], axis=-1)
    bottom = np.concatenate([-np.swapaxes(b, -1, -2), -c], axis=-1)
    return slope * np.concatenate([top, bottom], axis=-2)


def scales(rng, count=COUNT, decades=1.0):
    return 10.0 ** rng.uniform(-decades, decades, (count, 1, 1))


def definite(rng, size, count=COUNT):
    """Positive definite matrices [count, size, size] of many condition numbers and sizes."""
    x = rng.normal(size=(count, size, size + 1))
    return scales(rng, count) * (x @ np.swapaxes(x, 1, 2))


def moments(rng, energy_weights, variational_weights, definite_energy=True):
    """K_EE, K_EH, K_HH of gradients with any means and covariances.

    K_EE = Cov − μμᵀ is positive definite if μᵀ Cov⁻¹ μ < 1, and singular if that is 1.
    """
    covariance = definite(rng, energy_weights)
    mean = rng.normal(size=(COUNT, energy_weights, 1))
    size = np.swapaxes(mean, 1, 2) @ np.linalg.solve(covariance, mean)
    share = rng.uniform(0.0, 1.0, (COUNT, 1, 1)) if definite_energy else 1.0
    mean *= np.sqrt(share / size)
    other = 3.0 * rng.normal(size=(COUNT, variational_weights, 1)) * scales(rng)
    return (
        covariance - mean @ np.swapaxes(mean, 1, 2),
        mean @ np.swapaxes(other, 1, 2),
        definite(rng, variational_weights) + other @ np.swapaxes(other, 1, 2),
    )


def random_blocks(kind):
    """Return A, B, C for 10,000 Jacobians."""
    rng = np.random.default_rng(sum(map(ord, kind)))
    if kind == "any symmetric blocks":
        a, c = (rng.normal(size=(COUNT, k, k)) * scales(rng) for k in (3, 2))
        return a + np.swapaxes(a, 1, 2), rng.normal(size=(COUNT, 3, 2)), c + np.swapaxes(c, 1, 2)
    if kind == "cross block of full rank":
        return definite(rng, 2), scales(rng) * rng.normal(size=(COUNT, 2, 3)), definite(rng, 3)
    if kind == "moments, one energy weight":
        return moments(rng, 1, 3)
    if kind == "moments, three energy weights":
        return moments(rng, 3, 2)
    # A singular, of rank 2, and with a B of full rank.
    a = rng.normal(size=(COUNT, 3, 2)) * scales(rng)
    b = scales(rng) * rng.normal(size=(COUNT, 3, 4))
    return a @ np.swapaxes(a, 1, 2), b, definite(rng, 4)


DEFINITE = [
    "cross block of full rank",
    "moments, one energy weight",
    "moments, three energy weights",
]
SEMIDEFINITE = [*DEFINITE, "singular energy block"]


def excesses(kind, slope=1.0):
    """Return the bounds, and by how much the largest real part of each sort exceeds what is given.

    The function takes a bound and returns excesses over the size of the Jacobian, [COUNT], of real
    and of other eigenvalues, −∞ where there are none.
    """
    blocks = random_blocks(kind)
    jacobian = assembled(*blocks, slope)
    values = np.linalg.eigvals(jacobian)
    size = np.linalg.norm(jacobian, axis=(1, 2))
    is_real = np.abs(values.imag) == 0.0
    largest = [
        np.max(np.where(which, values.real, -np.inf), axis=1) for which in (is_real, ~is_real)
    ]
    # Rounding: blocks that are singular by construction are so to some 1e-16 of their size.
    bounds = eigenvalue_bounds(*blocks, slope, rounding=1e-13)
    return bounds, lambda bound: [(x - bound) / size for x in largest], is_real


@pytest.mark.parametrize("kind", ["any symmetric blocks", *SEMIDEFINITE])
def test_ours_hold(kind):
    bounds, excess, is_real = excesses(kind, slope=0.7)
    real, other = excess(bounds.real)
    assert max(real.max(), other.max()) < TOLERANCE
    assert excess(bounds.complex)[1].max() < TOLERANCE
    # Both sorts occur, and one eigenvalue in some is all but at its bound.
    assert 0.02 < np.mean(~is_real) < 0.98
    assert max(real.max(), other.max()) > -0.02 and excess(bounds.complex)[1].max() > -0.02


@pytest.mark.parametrize("kind", SEMIDEFINITE)
def test_the_printed_ones_hold_with_the_smallest_eigenvalue(kind):
    bounds, excess, _ = excesses(kind, slope=0.7)
    real, other = excess(bounds.real_paper)[0], excess(bounds.complex_paper)[1]
    assert np.isfinite(bounds.real_paper).all() and np.isfinite(bounds.complex_paper).all()
    assert real.max() < TOLERANCE and other.max() < TOLERANCE
    if kind == "moments, three energy weights":
        # K_EH has rank one: the bound is nothing but zero.
        np.testing.assert_array_equal(bounds.real_paper, 0.0)
    else:
        assert bounds.real_paper.max() < 0.0
    if kind == "singular energy block":
        # Here it says what ours cannot.
        np.testing.assert_allclose(bounds.real / np.abs(bounds.real_paper), 0.0, atol=1e-6)


def test_the_printed_formula():
    """A, B, C diagonal, worked out by hand: 2·3·4/(3·7 + 4) and 2/2·(5 + 3)."""
    a, b, c = np.diag([5.0, 7.0]), np.diag([2.0, -3.0]), np.diag([6.0, 3.0])
    bounds = eigenvalue_bounds(a, b, c, 2.0)
    for name in ("real_paper", "real_paper_nonzero"):
        assert getattr(bounds, name) == pytest.approx(-2.0 * 3.0 * 4.0 / (3.0 * 7.0 + 4.0))
    for name in ("complex", "complex_paper", "complex_paper_nonzero"):
        assert getattr(bounds, name) == pytest.approx(-8.0)
    assert bounds.real == pytest.approx(-6.0)


def gradients_with(mean, covariance):
    """Return equally likely points [2k, k] of the given mean and covariance, k its size."""
    spread = np.linalg.cholesky(covariance) * np.sqrt(len(mean))
    return np.concatenate([mean + spread.T, mean - spread.T])


def theorem_4(energy_gradients, variational_gradients):
    """Return K_EE, K_EH, K_HH by their definitions."""
    e, h = energy_gradients, variational_gradients
    mean_e, mean_h = e.mean(axis=0), h.mean(axis=0)
    energy = e.T @ e / len(e) - 2.0 * np.outer(mean_e, mean_e)
    return energy, np.outer(mean_e, mean_h), h.T @ h / len(h)


def test_counterexample_to_nonzero_eigenvalues_for_real_ones():
    """Two energy weights of which the second, with mean gradient 0 and variance 0.01, decays alone.

    K_EE = diag(1, 0.01) and K_HH = 2 are positive definite, K_EH = (1, 0)ᵀ; J has the eigenvalue
    −0.01, and the printed bound with λ(K_EH K_EHᵀ) = 1 is −2/(2·2 + 1) = −0.4.
    """
    energy = gradients_with(np.array([1.0, 0.0]), np.diag([2.0, 0.01]))
    variational = gradients_with(np.array([1.0]), np.array([[1.0]]))
    blocks = theorem_4(energy, variational)
    np.testing.assert_allclose(blocks[0], np.diag([1.0, 0.01]), atol=1e-15)
    bounds = eigenvalue_bounds(*blocks, rounding=1e-12)
    values = np.linalg.eigvals(assembled(*blocks))
    largest = values[np.abs(values.imag) == 0.0].real.max()
    assert largest == pytest.approx(-0.01)
    assert bounds.real_paper_nonzero == pytest.approx(-0.4)
    assert largest > bounds.real_paper_nonzero + 0.3
    # Read with the smallest eigenvalue it says nothing, and ours is met.
    assert bounds.real_paper == 0.0 and bounds.real == pytest.approx(-0.01)


def test_counterexample_to_nonzero_eigenvalues_for_complex_ones():
    """K_EE = diag(1, 0) is not zero, and its eigenvector of 0 is the one that K_EH turns.

    J has −½ ± i√¾ and −1; the printed bound with λ(K_EE) = 1 is −(1 + 1)/2.
    """
    energy = gradients_with(np.array([0.0, 1.0]), np.diag([1.0, 1.0]))
    half = np.sqrt(0.5)
    variational = gradients_with(np.array([half]), np.array([[0.5]]))
    a, b, c = theorem_4(energy, variational)
    np.testing.assert_allclose(a, np.diag([1.0, 0.0]), atol=1e-15)
    np.testing.assert_allclose([c[0, 0], b[1, 0]], [1.0, half], atol=1e-15)
    bounds = eigenvalue_bounds(a, b, c, rounding=1e-12)
    values = np.linalg.eigvals(assembled(a, b, c))
    turning = values[np.abs(values.imag) > 0.1]
    assert len(turning) == 2
    np.testing.assert_allclose(turning.real, -0.5, atol=1e-12)
    assert bounds.complex_paper_nonzero == pytest.approx(-1.0)
    assert bounds.complex_paper == pytest.approx(-0.5)


def test_nonzero_eigenvalues_fail_often():
    """Of random moments that satisfy every printed condition; the first reading never does."""
    bounds, excess, _ = excesses("moments, three energy weights")
    assert np.isfinite(bounds.real_paper_nonzero).all()
    assert np.mean(excess(bounds.real_paper_nonzero)[0] > TOLERANCE) > 0.1
    # Where nothing is zero the two readings are one.
    bounds, *_ = excesses("cross block of full rank")
    np.testing.assert_array_equal(bounds.real_paper, bounds.real_paper_nonzero)
    np.testing.assert_array_equal(bounds.complex_paper, bounds.complex_paper_nonzero)


def test_a_negative_eigenvalue_leaves_nothing_printed():
    a, b, c = np.diag([1.0, -0.5]), np.ones((2, 1)), np.eye(1)
    bounds = eigenvalue_bounds(a, b, c)
    assert np.isnan(bounds[2:]).all() and bounds.real == 0.5
    bounds = eigenvalue_bounds(np.eye(2), np.zeros((2, 1)), c)
    assert (bounds.real_paper, bounds.complex_paper) == (0.0, -1.0)
    assert np.isnan(bounds.real_paper_nonzero) and bounds.complex_paper_nonzero == -1.0


def test_stability_reports_them():
    """An energy of one weight, log σ of N(0, 1): ∇E = −z², so K_EE = 3 − 2 = 1, K_EH = (−1)(½).

    H = −½ω z²: K_HH = ¾; λ(K_EH K_EHᵀ) = ¼: ¾·¼/(¾·1 + ¼) = 3/16.
    """
    import keras
    import tensorflow as tf

    class Scaled(keras.layers.Layer):
        def __init__(self, energy):
            super().__init__()
            self.energy = energy

        def build(self, input_shape):
            start = 0.0 if self.energy else -1.0
            self.w = self.add_weight(shape=(1,), initializer=keras.initializers.Constant(start))

        def call(self, x):
            half = 0.5 * tf.square(x)
            return half * (tf.exp(-2.0 * self.w) if self.energy else self.w)

    model = tf_febm.FEBM(Scaled(True), Scaled(False), "kl")
    model.build((None, 1))
    # Exact moments of N(0, 1) up to order 5.
    points = np.sqrt(3.0) * np.array([[-1.0], [0], [0], [0], [0], [1]], np.float32)
    result = stability(model, points, points)
    assert result.bound_real_paper == pytest.approx(-3.0 / 16.0, rel=1e-5)
    assert result.bound_real_paper_nonzero == result.bound_real_paper
    assert result.bound_complex_paper == pytest.approx(-0.875, rel=1e-5)
    assert result.bound_real == pytest.approx(-0.75, rel=1e-5)
    # [[−1, −½], [½, −¾]]
    np.testing.assert_allclose(result.eigenvalues.real, -0.875, rtol=1e-5)
