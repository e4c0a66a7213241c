"""Theorem 4's Jacobian against differences of the exact dynamics, Theorem 5's bounds against both.

A well-specified problem: p = N(0.7, 1.3²), E the Gaussian energy at p's own parameters and
H = Σ ωᵢ φᵢ(x) at ω with H = −E, so that r = 0 and the point is an equilibrium. V(θ, ω) is computed
in NumPy by quadrature, with q normalised anew at every θ: nothing of the library is used, neither
its divergences nor Theorem 3. V's second differences are the exact Jacobian.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm.analysis import stability

MEAN, SCALE = 0.7, 1.3
# f'(eʳ), F(r) and f''(1), by hand.
DIVERGENCES = {
    "kl": (lambda r: 1 + r, np.exp, 1.0),
    "pearson_chi2": (lambda r: 2 * np.expm1(r), lambda r: np.expm1(2 * r), 2.0),
    "js": (
        lambda r: np.log(2) - np.logaddexp(0, -r),
        lambda r: np.logaddexp(0, r) - np.log(2),
        0.5,
    ),
}
# φ: powers of x; or one multiple of E/2, which gives complex eigenvalues.
FEATURES = {
    "powers": (lambda x: [x, x**2, 1 + 0 * x], [MEAN, -0.5, -0.5 * MEAN**2] / np.square(SCALE)),
    "energy": (lambda x: [0.5 * ((x - MEAN) / SCALE) ** 2], np.array([-1.0])),
}
THETA = np.array([MEAN, np.log(SCALE)])
# The 3-point Gauss–Hermite rule as six equally likely points: exact moments up to order 5, where
# ∇E ∇Eᵀ and ∇H ∇Hᵀ need 4.
POINTS = MEAN + SCALE * np.sqrt(3.0) * np.array([[-1.0], [0], [0], [0], [0], [1]])
# The trapezoidal rule converges faster than any power here; spacing 0.06 σ, out to 12 σ.
GRID = MEAN + SCALE * np.linspace(-12, 12, 401)
CELL = GRID[1] - GRID[0]
DATA_DENSITY = np.exp(-0.5 * ((GRID - MEAN) / SCALE) ** 2) / (SCALE * np.sqrt(2 * np.pi))


class Features(keras.layers.Layer):
    """H(x) = Σ ωᵢ φᵢ(x)."""

    def __init__(self, features, weights, **kwargs):
        super().__init__(**kwargs)
        self.features, self.initial = features, weights

    def build(self, input_shape):
        self.coefficients = self.add_weight(shape=(len(self.initial),), name="coefficients")
        self.coefficients.assign(self.initial)

    def call(self, x):
        return tf.linalg.matvec(tf.concat(self.features(x), axis=1), self.coefficients)


@pytest.fixture
def float64():
    # Keras keeps the policy of the first layer that was made, whatever floatx becomes later.
    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)


def equilibrium_model(divergence, features="powers"):
    energy = tf_febm.networks.quadratic(1, MEAN, SCALE)
    model = tf_febm.FEBM(energy, Features(*FEATURES[features]), divergence)
    model.build((None, 1))
    # Keras rounds initial values to float32.
    energy.get_layer("gaussian").mean.assign(THETA[:1])
    energy.get_layer("gaussian").log_scale.assign(THETA[1:])
    return model


def exact_value(divergence, features):
    """Return (θ, ω) -> V by quadrature, for one point or an array of them, [..., n]."""
    derivative, conjugate, _ = DIVERGENCES[divergence]
    phi = np.array(FEATURES[features][0](GRID))

    def value(point):
        energy = 0.5 * ((GRID - point[..., :1]) * np.exp(-point[..., 1:2])) ** 2
        model_density = np.exp(-energy)
        model_density /= model_density.sum(axis=-1, keepdims=True) * CELL
        r = point[..., 2:] @ phi + energy
        terms = DATA_DENSITY * derivative(r) - model_density * conjugate(r)
        return CELL * terms.sum(axis=-1)

    return value


# Fourth-order central differences: offsets, coefficients.
STENCIL = [(-2, 1 / 12), (-1, -2 / 3), (1, 2 / 3), (2, -1 / 12)]


def exact_velocity(divergence, features, step=3e-4):
    """Return (θ, ω) -> (−∇_θ V, ∇_ω V) by differences of the quadrature."""
    value = exact_value(divergence, features)

    def velocity(point):
        around = [point + k * step * np.eye(len(point)) for k, _ in STENCIL]
        slopes = np.array([c for _, c in STENCIL]) @ value(np.stack(around)) / step
        return np.array([-slopes[0], -slopes[1], *slopes[2:]])

    return velocity


@functools.cache
def exact_jacobian(divergence, features="powers", step=3e-4):
    velocity = exact_velocity(divergence, features)
    point = np.concatenate([THETA, FEATURES[features][1]])
    columns = [
        sum(c * velocity(point + k * step * e) for k, c in STENCIL) / step
        for e in np.eye(len(point))
    ]
    return np.stack(columns, axis=1)


def sorted_eigenvalues(matrix):
    values = np.linalg.eigvals(matrix)
    return values[np.lexsort((values.imag, -values.real))]


def expectations():
    """Means of ∇E [2], ∇H [3], and E[∇E ∇Eᵀ], E[∇E ∇Hᵀ], E[∇H ∇Hᵀ], by hand and quadrature."""
    z = (GRID - MEAN) / SCALE
    slopes_e = np.stack([-z / SCALE, -(z**2)])
    slopes_h = np.array(FEATURES["powers"][0](GRID))
    p = CELL * DATA_DENSITY
    return (
        slopes_e @ p,
        slopes_h @ p,
        (slopes_e * p) @ slopes_e.T,
        (slopes_e * p) @ slopes_h.T,
        (slopes_h * p) @ slopes_h.T,
    )


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_jacobian_is_the_linearisation_of_the_exact_dynamics(divergence, features, float64):
    """Entries are as large as 28. Differences with step 3e-4 are off by up to 3e-8, of which the
    truncation falls with the fourth power of the step (5e-5 at 2e-3, for Pearson's divergence)."""
    result = stability(equilibrium_model(divergence, features), POINTS, POINTS)
    truth = exact_jacobian(divergence, features)
    np.testing.assert_allclose(result.jacobian, truth, rtol=0, atol=1e-7)
    np.testing.assert_allclose(result.eigenvalues, sorted_eigenvalues(truth), rtol=0, atol=1e-7)
    assert result.second_derivative == pytest.approx(DIVERGENCES[divergence][2], abs=1e-14)
    assert result.is_stable
    assert max(result.energy_residual, result.variational_residual) < 1e-13
    assert result.log_ratio_rms < 1e-14


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_other_readings_of_the_blocks_are_not_the_linearisation(divergence):
    """By how much each misses, in units of f''(1); the true blocks miss by less than 1e-7."""
    mean_e, mean_h, second_ee, second_eh, second_hh = expectations()
    centred_ee = second_ee - np.outer(mean_e, mean_e)
    centred_eh = second_eh - np.outer(mean_e, mean_h)
    centred_hh = second_hh - np.outer(mean_h, mean_h)
    truth = exact_jacobian(divergence) / DIVERGENCES[divergence][2]

    def miss(ee, eh, hh):
        return np.abs(np.block([[-ee, eh], [-eh.T, -hh]]) - truth).max()

    eh = np.outer(mean_e, mean_h)
    assert miss(second_ee - 2 * np.outer(mean_e, mean_e), eh, second_hh) < 1e-7
    # Cov(z², x²) = 2σ²; E[x²]² = (μ² + σ²)²; E[z²]² = 1.
    missed_by_uncentred, missed_by_centred = 2 * SCALE**2, (MEAN**2 + SCALE**2) ** 2
    found = miss(second_ee, second_eh, second_hh), miss(centred_ee, centred_eh, centred_hh)
    assert found == pytest.approx((missed_by_uncentred, missed_by_centred), abs=1e-6)
    assert miss(centred_ee, eh, second_hh) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_bounds_hold_for_the_exact_eigenvalues(divergence, features, float64):
    """Both cases have real and complex eigenvalues; in both the real bound is met by μ, on which
    nothing else acts: −f''(1)/σ²."""
    result = stability(equilibrium_model(divergence, features), POINTS, POINTS)
    truth = exact_jacobian(divergence, features)
    slope = DIVERGENCES[divergence][2]
    smallest = [np.linalg.eigvalsh(-0.5 * (b + b.T))[0] for b in (truth[:2, :2], truth[2:, 2:])]
    assert result.bound_real == pytest.approx(-min(smallest), abs=1e-6)
    assert result.bound_complex == pytest.approx(-sum(smallest) / 2, abs=1e-6)

    values = sorted_eigenvalues(truth)
    is_complex = np.abs(values.imag) > 0.1
    assert is_complex.any() and not is_complex.all()
    assert values[~is_complex].real.max() == pytest.approx(result.bound_real, abs=1e-6)
    assert result.bound_real == pytest.approx(-slope / SCALE**2, abs=1e-9)
    assert np.all(values[is_complex].real < result.bound_complex)
    assert result.energy_block_is_positive_definite
    assert result.variational_block_is_positive_definite


def test_complex_bound_is_met_where_each_block_has_one_eigenvalue_that_matters(float64):
    """With σ = 0.8 the smallest of K_EE = diag(1/σ², 1) belongs to log σ, which spins with ω."""
    scale = 0.8
    energy = tf_febm.networks.quadratic(1, 0.0, scale)
    h = Features(lambda x: [0.5 * (x / scale) ** 2], np.array([-1.0]))
    points = (POINTS - MEAN) / SCALE * scale
    result = stability(tf_febm.FEBM(energy, h, "kl"), points, points)
    # [[−1, −½], [½, −¾]]
    expected = [-0.875 - np.sqrt(15) / 8j, -0.875 + np.sqrt(15) / 8j, -1 / scale**2]
    expected = sorted(expected, key=lambda value: (-value.real, value.imag))
    np.testing.assert_allclose(result.eigenvalues, expected, atol=1e-6)
    assert result.bound_complex == pytest.approx(-0.875, abs=1e-6)


def runge_kutta(velocity, point, step, count):
    """Return count + 1 points of the flow."""
    points = [point]
    for _ in range(count):
        k1 = velocity(point)
        k2 = velocity(point + 0.5 * step * k1)
        k3 = velocity(point + 0.5 * step * k2)
        k4 = velocity(point + step * k3)
        point = point + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        points.append(point)
    return np.array(points)


@pytest.mark.parametrize("divergence, features", [("kl", "energy"), ("js", "powers")])
def test_the_exact_flow_returns_at_the_predicted_rate(divergence, features, float64):
    """From 1e-4 away the exact flow is that of J but for terms of the second order; in the end the
    distance falls at the rate of the first eigenvalue."""
    result = stability(equilibrium_model(divergence, features), POINTS, POINTS)
    slope = result.second_derivative
    equilibrium = np.concatenate([THETA, FEATURES[features][1]])
    start = 1e-4 * np.random.default_rng(0).standard_normal(len(equilibrium))
    step, count = 0.04 / slope, 500
    flow = runge_kutta(exact_velocity(divergence, features), equilibrium + start, step, count)
    distance = flow - equilibrium

    values, vectors = np.linalg.eig(result.jacobian)
    times = step * np.arange(count + 1)
    modes = np.linalg.solve(vectors, start)
    linear = (np.exp(np.outer(times, values)) * modes @ vectors.T).real
    size = np.linalg.norm(distance, axis=1)
    assert np.all(np.linalg.norm(distance - linear, axis=1) < 0.01 * size)

    rate = np.log(size[-1] / size[-101]) / (100 * step)
    assert rate == pytest.approx(result.eigenvalues[0].real, rel=0.01)


def quantiles(mean, scale, count=20_000):
    """Equally likely points, one for each of `count` equally likely parts of N(mean, scale²)."""
    levels = (np.arange(count) + 0.5) / count
    z = np.sqrt(2) * tf.math.erfinv(tf.constant(2 * levels - 1, tf.float64)).numpy()
    return mean + scale * z[:, np.newaxis]


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_residuals_are_the_gradients_of_the_exact_value(divergence, float64):
    """Off the equilibrium. 20,000 quantiles lack a bit of the tails: 0.13 % of the gradients."""
    point = np.concatenate([THETA, FEATURES["powers"][1]])
    point += [0.05, -0.04, 0.02, -0.01, 0.03]
    model = equilibrium_model(divergence)
    model.energy_network.set_weights([point[:1], point[1:2]])
    model.variational_network.set_weights([point[2:]])
    x_model = quantiles(point[0], np.exp(point[1]))
    result = stability(model, quantiles(MEAN, SCALE), x_model, batch_size=20_000)

    velocity = exact_velocity(divergence, "powers")(point)
    assert result.energy_residual == pytest.approx(np.linalg.norm(velocity[:2]), rel=3e-3)
    assert result.variational_residual == pytest.approx(np.linalg.norm(velocity[2:]), rel=3e-3)
    q = np.exp(-0.5 * ((GRID - point[0]) * np.exp(-point[1])) ** 2)
    ratio = point[2:] @ np.array(FEATURES["powers"][0](GRID)) - np.log(q)
    pooled = 0.5 * CELL * (DATA_DENSITY + q / (CELL * q.sum()))
    assert result.log_ratio_rms == pytest.approx(np.sqrt(pooled @ ratio**2), rel=3e-3)


def test_everything_scales_with_the_second_derivative(float64):
    kl = stability(equilibrium_model("kl"), POINTS, POINTS)
    le_cam = tf_febm.divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="le_cam")
    for divergence, expected in (
        ("reverse_kl", 1.0),
        ("squared_hellinger", 0.5),
        ("neyman_chi2", 2.0),
        ("alpha:-0.5", 1.0),
        (le_cam, 1.0),
    ):
        other = stability(equilibrium_model(divergence), POINTS, POINTS)
        assert other.second_derivative == pytest.approx(expected, abs=1e-12)
        for name in ("jacobian", "eigenvalues", "bound_real", "bound_complex"):
            scaled = expected * getattr(kl, name)
            np.testing.assert_allclose(getattr(other, name), scaled, atol=1e-11)
        np.testing.assert_allclose(other.energy_block, kl.energy_block, atol=1e-14)


def test_two_biases_leave_a_defective_eigenvalue_zero(float64):
    """E and H both linear in x, x², 1: the sum of the two biases is conserved."""
    features, weights = FEATURES["powers"]
    model = tf_febm.FEBM(Features(features, -weights), Features(features, weights), "kl")
    model.build((None, 1))
    result = stability(model, POINTS, POINTS)
    constant_moves, sum_of_biases = np.array([[0, 0, 1.0, 0, 0, -1], [0, 0, 1, 0, 0, 1]])
    np.testing.assert_allclose(result.jacobian @ constant_moves, 0, atol=1e-12)
    np.testing.assert_allclose(sum_of_biases @ result.jacobian, 0, atol=1e-12)
    assert np.sum(np.abs(result.eigenvalues) < 1e-5) == 2
    assert np.linalg.matrix_rank(result.jacobian) == 5
    assert not (result.is_stable or result.energy_block_is_positive_definite)
    assert result.bound_real > 0


def test_moments_of_a_network_are_those_of_single_examples():
    """A convolutional energy in float32, data and samples of unequal number, ragged batches."""
    keras.utils.set_random_seed(1)
    networks = [tf_febm.networks.conv((4, 4, 1), 2, 3, name=name) for name in "eh"]
    model = tf_febm.FEBM(*networks, "js")
    rng = np.random.default_rng(0)
    data, samples = (rng.random((n, 4, 4, 1), dtype=np.float32) for n in (9, 14))
    result = stability(model, data, samples, batch_size=5)

    def gradients(network):
        rows = []
        for x in np.concatenate([data, samples]):
            with tf.GradientTape() as tape:
                value = network(x[np.newaxis])
            parts = tape.gradient(value, [v.value for v in network.trainable_variables])
            rows.append(np.concatenate([np.ravel(part) for part in parts]))
        return np.array(rows, np.float64)

    e, h = gradients(networks[0]), gradients(networks[1])
    mean_e, mean_h = e.mean(axis=0), h.mean(axis=0)
    expected = e.T @ e / 23 - 2 * np.outer(mean_e, mean_e)
    np.testing.assert_allclose(result.energy_block, expected, atol=1e-6)
    np.testing.assert_allclose(result.cross_block, np.outer(mean_e, mean_h), atol=1e-6)
    np.testing.assert_allclose(result.variational_block, h.T @ h / 23, atol=1e-6)
    size = len(mean_e)
    np.testing.assert_array_equal(result.jacobian[:size, size:], 0.5 * result.cross_block)
    assert np.all(np.diff(result.eigenvalues.real) <= 0)
    # 23 gradients span no more than 23 of the dimensions.
    assert not result.variational_block_is_positive_definite

    whole = stability(model, data, samples, batch_size=100)
    np.testing.assert_allclose(result.jacobian, whole.jacobian, atol=1e-7)
    assert result.energy_residual == pytest.approx(whole.energy_residual, rel=1e-5)
    assert result.variational_residual == pytest.approx(whole.variational_residual, rel=1e-5)


def test_float32_networks_are_as_good_as_their_rounding():
    model, points = equilibrium_model("js"), POINTS.astype(np.float32)
    result = stability(model, points, points)
    assert result.jacobian.dtype == np.float64 and result.eigenvalues.dtype == np.complex128
    np.testing.assert_allclose(result.jacobian, exact_jacobian("js"), rtol=0, atol=1e-5)
    assert result.is_stable
    assert result.log_ratio_rms < 1e-6
