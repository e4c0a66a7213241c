"""The bound against quadrature, and the surrogate's gradient against the true one."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import divergences, objectives

DIVERGENCES = [*divergences.names(), "alpha:-0.5", "alpha:0.5", "alpha:0.9"]
LE_CAM = divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="le_cam_of_objectives")

# A one-dimensional problem: p = 0.4 N(-1, 0.6²) + 0.6 N(1.2, 0.8²), E = ((x − μ)/σ)²/2 at
# θ = (μ, log σ), and a fixed H that leaves the log ratio r = H + E bounded, so that the variance of
# every estimator exists, the exponential ones included.
THETA = np.array([0.3, np.log(1.4)])
# The trapezoidal rule converges faster than any power here: spacing 0.01, widths from 0.6.
GRID = np.linspace(-14.0, 15.0, 2901)


def data_density(x):
    def normal(m, s):
        return np.exp(-0.5 * ((x - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))

    return 0.4 * normal(-1.0, 0.6) + 0.6 * normal(1.2, 0.8)


def energy(x, theta):
    return 0.5 * ((x - theta[0]) * np.exp(-theta[1])) ** 2


def variational(x):
    return 0.7 * np.sin(x) + 0.2 - energy(x, THETA)


def true_bound(divergence, theta):
    """L(θ) by quadrature, with q normalised: nothing of the surrogate is used."""
    x = GRID
    e = energy(x, theta)
    q = np.exp(-e) / np.trapezoid(np.exp(-e), x)
    r = variational(x) + e
    return np.trapezoid(
        data_density(x) * divergence.derivative(r).numpy() - q * divergence.conjugate(r).numpy(), x
    )


def true_gradient(divergence, step=1e-4):
    """dL/dθ by central differences of the quadrature."""
    return np.array(
        [
            (true_bound(divergence, THETA + s) - true_bound(divergence, THETA - s)) / (2 * step)
            for s in step * np.eye(2)
        ]
    )


def estimated_gradients(divergence, num_batches, batch, leave_one_out, seed=0):
    """One gradient of the surrogate per batch of exact samples, [num_batches, 2]."""
    rng = np.random.default_rng(seed)
    left = rng.random((num_batches, batch)) < 0.4
    noise = rng.standard_normal((num_batches, batch))
    x_data = np.where(left, -1.0 + 0.6 * noise, 1.2 + 0.8 * noise)
    x_model = THETA[0] + np.exp(THETA[1]) * rng.standard_normal((num_batches, batch))
    theta = tf.constant(THETA)

    def tf_energy(x, parameters):
        return 0.5 * tf.square((x - parameters[0]) * tf.exp(-parameters[1]))

    def tf_variational(x):
        return 0.7 * tf.sin(x) + 0.2 - tf_energy(x, theta)

    def gradient(pair):
        data, model = pair
        with tf.GradientTape() as tape:
            tape.watch(theta)
            energy_model = tf_energy(model, theta)
            value = objectives.energy_surrogate(
                divergence,
                tf.stop_gradient(tf_variational(data)) + tf_energy(data, theta),
                tf.stop_gradient(tf_variational(model)) + energy_model,
                energy_model,
                leave_one_out=leave_one_out,
            )
        return tape.gradient(value, theta)

    return tf.function(lambda a, b: tf.vectorized_map(gradient, (a, b)))(x_data, x_model).numpy()


def z_scores(gradients, truth):
    standard_error = gradients.std(axis=0, ddof=1) / np.sqrt(len(gradients))
    return (gradients.mean(axis=0) - truth) / standard_error


@pytest.mark.parametrize("name", DIVERGENCES)
def test_leave_one_out_gradient_is_unbiased_at_batch_8(name):
    """10,000 batches of 8; |z| < 4 has a false alarm in 16,000 for each of the parameters."""
    divergence = divergences.get(name)
    gradients = estimated_gradients(divergence, 10_000, 8, leave_one_out=True)
    scores = z_scores(gradients, true_gradient(divergence))
    assert np.all(np.abs(scores) < 4), scores


def test_plain_mean_shrinks_the_covariance_by_one_eighth():
    """Its expectation is the true gradient less 1/8 of cov(F, ∇E); at batch 8 that is visible."""
    divergence = divergences.get("pearson_chi2")
    x, e = GRID, energy(GRID, THETA)
    q = np.exp(-e) / np.trapezoid(np.exp(-e), x)
    conjugate = divergence.conjugate(variational(x) + e).numpy()
    slopes = np.stack(
        [-(x - THETA[0]) * np.exp(-2 * THETA[1]), -(((x - THETA[0]) * np.exp(-THETA[1])) ** 2)]
    )

    def mean(values):
        return np.trapezoid(q * values, x)

    covariance = np.array([mean(conjugate * s) - mean(conjugate) * mean(s) for s in slopes])
    truth = true_gradient(divergence)
    gradients = estimated_gradients(divergence, 40_000, 8, leave_one_out=False)
    assert np.all(np.abs(z_scores(gradients, truth - covariance / 8)) < 4)
    assert np.max(np.abs(z_scores(gradients, truth))) > 8


@pytest.mark.parametrize("name", DIVERGENCES)
def test_bound_is_the_divergence_at_the_optimal_ratio(name):
    """With r = log p/q the bound is D_f(p‖q); elsewhere it is smaller. Means become sums."""
    divergence = divergences.get(name)
    # Equal weights: p and q as multisets of points on which the ratio takes three values.
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.4, 0.2])
    log_ratio = np.log(p / q)
    divergence_value = np.sum(q * divergence.generator(log_ratio).numpy())

    def bound(r):
        of_p, of_q = np.repeat(r, [2, 5, 3]), np.repeat(r, [2, 2, 1])
        return float(objectives.variational_bound(divergence, of_p, of_q))

    assert bound(log_ratio) == pytest.approx(divergence_value, abs=1e-9)
    for shift in ([0.1, 0, 0], [0, -0.1, 0.05], [0.2, 0.2, 0.2]):
        assert bound(log_ratio + np.array(shift)) < divergence_value


def gradients_of_energies(divergence, h_data, h_model, e_data, e_model, **settings):
    """The surrogate's gradient for the energies at each sample, with H fixed."""
    e_data, e_model = tf.constant(e_data), tf.constant(e_model)
    with tf.GradientTape() as tape:
        tape.watch((e_data, e_model))
        value = objectives.energy_surrogate(
            divergence, h_data + e_data, h_model + e_model, e_model, energy_data=e_data, **settings
        )
    return [g.numpy() for g in tape.gradient(value, (e_data, e_model))]


def ratio_samples(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=n) for n in (7, 5, 7, 5)]


@pytest.mark.parametrize("name", [*DIVERGENCES, "le_cam"])
def test_a_constant_gets_no_gradient_if_asked(name):
    """The theorem's gradient of each sample, less its share in that of a constant."""
    divergence = divergences.get(name) if name != "le_cam" else LE_CAM
    h_data, h_model, e_data, e_model = ratio_samples(3)
    data, model = gradients_of_energies(divergence, h_data, h_model, e_data, e_model)
    np.testing.assert_allclose(data.sum() + model.sum(), 0.0, atol=1e-12)

    def true_bound_at(constant):
        r_data, r_model = h_data + e_data + constant, h_model + e_model + constant
        f_prime, conjugate = divergence.derivative(r_data), divergence.conjugate(r_model)
        return float(np.mean(f_prime) - np.mean(conjugate))

    slope = (true_bound_at(1e-5) - true_bound_at(-1e-5)) / 2e-5
    with tf.GradientTape() as tape:
        e_tensors = tf.constant(e_data), tf.constant(e_model)
        tape.watch(e_tensors)
        value = objectives.energy_surrogate(
            divergence, h_data + e_tensors[0], h_model + e_tensors[1], e_tensors[1]
        )
    for changed, plain in zip((data, model), tape.gradient(value, e_tensors), strict=True):
        np.testing.assert_allclose(plain - changed, slope / 2 / len(changed), rtol=1e-6, atol=1e-9)


def test_kl_without_the_constant_is_contrastive_divergence():
    h_data, h_model, e_data, e_model = ratio_samples(4)
    data, model = gradients_of_energies("kl", h_data, h_model, e_data, e_model, leave_one_out=False)
    weight = (1 + np.exp(h_model + e_model).mean()) / 2
    np.testing.assert_allclose(data, weight / 7, rtol=1e-12)
    np.testing.assert_allclose(model, -weight / 5, rtol=1e-12)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_constant_has_no_slope_at_the_optimum(name):
    """S = 0 where r = log p/q, so that taking it out leaves the expected gradient as it was."""
    divergence = divergences.get(name)
    p, q = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.4, 0.2])
    of_p, of_q = (np.repeat(np.log(p / q), counts) for counts in ([2, 5, 3], [2, 2, 1]))
    zero = np.zeros
    data, model = gradients_of_energies(divergence, of_p, of_q, zero(10), zero(5))
    e_data, e_model = tf.constant(zero(10)), tf.constant(zero(5))
    with tf.GradientTape() as tape:
        tape.watch((e_data, e_model))
        value = objectives.energy_surrogate(divergence, of_p + e_data, of_q + e_model, e_model)
    for mine, plain in zip((data, model), tape.gradient(value, (e_data, e_model)), strict=True):
        np.testing.assert_allclose(mine, plain, atol=1e-12)


def test_shapes_are_checked_not_broadcast():
    vector, column = tf.zeros([4]), tf.zeros([4, 1])
    with pytest.raises(ValueError, match=r"log_ratio_data .* received shape \(4, 1\)"):
        objectives.variational_bound("js", column, vector)
    with pytest.raises(ValueError, match="one length"):
        objectives.energy_surrogate("js", vector, vector, tf.zeros([3]))
    with pytest.raises(ValueError, match="at least 2"):
        objectives.energy_surrogate("js", vector, tf.zeros([1]), tf.zeros([1]))
    with pytest.raises(ValueError, match="log_ratio_data and energy_data must have one length"):
        objectives.energy_surrogate("js", vector, vector, vector, energy_data=tf.zeros([3]))


def test_a_single_sample_of_unknown_size_gives_no_covariance_and_no_nan():
    @tf.function(input_signature=[tf.TensorSpec([None])])
    def surrogate(energy_model):
        return objectives.energy_surrogate("js", energy_model, energy_model, energy_model)

    assert np.isfinite(float(surrogate(tf.constant([0.7]))))


def test_regulariser():
    value = objectives.energy_regulariser(tf.constant([1.0, -2.0]), tf.constant([3.0]))
    assert float(value) == pytest.approx(2.5 + 9.0)
