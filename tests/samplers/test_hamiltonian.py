"""MALA and HMC: their laws against closed forms and quadrature, their steps against tfp.mcmc."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import energies, randomness, samplers
from tf_febm.samplers.dual_averaging import DualAveraging
from tf_febm.samplers.metropolis import Proposal, leapfrog

KINDS = {
    "mala": lambda h, **k: samplers.MALA(0.5 * h**2, **k),
    "hmc": lambda h, **k: samplers.HMC(h, 4, **k),
}
LENGTHS = {"mala": 1, "hmc": 4}


def correlated(dimensions=5, seed=0):
    """Return an energy with a random precision matrix, and its covariance."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    precision = np.eye(dimensions) + matrix @ matrix.T
    constant = tf.constant(precision, tf.float32)
    return (
        lambda x: 0.5 * tf.einsum("ni,ij,nj->n", x, tf.cast(constant, x.dtype), x),
        np.linalg.inv(precision),
    )


def evaluated(energy, x):
    return Proposal(x, *energies.value_and_gradient(energy, x))


def covariance_error(x, truth):
    """Return the largest error of a covariance matrix, in standard errors of n normal draws."""
    found = x.T @ x / len(x)
    spread = np.sqrt((np.outer(np.diag(truth), np.diag(truth)) + truth**2) / len(x))
    return (np.abs(found - truth) / spread).max()


@pytest.mark.parametrize("kind", KINDS)
def test_exact_samples_stay_exact(kind):
    """20,000 chains that start in q must be in q after 15 steps: five standard errors.

    The steps are so long that a tenth or more are rejected, and that without the rejections the
    covariance is off by far more, which the same chains of `Langevin` show.
    """
    energy, truth = correlated()
    x = np.random.default_rng(1).multivariate_normal(np.zeros(5), truth, 20_000).astype(np.float32)
    size = {"mala": 0.9, "hmc": 0.8}[kind]
    sampler = KINDS[kind](size, num_steps=15)
    result = tf.function(lambda x: sampler(energy, x, (1, 2), return_diagnostics=True))(x)
    assert 0.3 < result.acceptance.numpy().mean() < 0.9
    assert covariance_error(result.samples.numpy(), truth) < 5.0
    if kind == "mala":
        unadjusted = samplers.Langevin.from_epsilon(size**2, 15)
        off = tf.function(lambda x: unadjusted(energy, x, seed=1))(x).numpy()
        assert covariance_error(off, truth) > 10.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_box_holds_the_truncated_law(kind):
    """q ∝ e^(−3x) on [0, 1]: mean and variance in closed form, from exact samples and from none."""
    rate, bounds = 3.0, (0.0, 1.0)
    mean = 1 / rate - 1 / np.expm1(rate)
    variance = 1 / rate**2 - np.exp(rate) / np.expm1(rate) ** 2
    uniform = np.random.default_rng(2).random((20_000, 2))
    exact = -np.log1p(uniform * np.expm1(-rate)) / rate
    sampler = KINDS[kind](0.5, bounds=bounds, num_steps=20)
    # 0.5 is half of the box: bounces, twice over for HMC, are the rule.
    run = tf.function(lambda x: sampler(lambda v: rate * tf.reduce_sum(v, 1), x, (3, 4)))
    for start in (exact, uniform):
        x = run(tf.constant(start)).numpy()
        assert x.min() >= 0.0
        assert x.max() <= 1.0
        assert abs(x.mean() - mean) < 5 * np.sqrt(variance / x.size)
        # The fourth central moment of any law on [0, 1] is at most 1/12.
        assert abs(x.var() - variance) < 5 * np.sqrt(1 / 12 / x.size)


@pytest.mark.parametrize("kind", KINDS)
def test_a_mixture_against_quadrature(kind):
    """Chains that start uniformly; 8000 independent ones, five standard errors."""
    weights, means, scales = np.array([0.3, 0.7]), np.array([-1.0, 1.2]), np.array([0.5, 0.8])
    grid = np.linspace(-8, 8, 20_001)

    def log_density(x):
        parts = np.log(weights / scales) - 0.5 * ((x[..., None] - means) / scales) ** 2
        return np.logaddexp.reduce(parts, axis=-1)

    density = np.exp(log_density(grid))
    density /= density.sum()
    moments = [np.sum(grid**k * density) for k in range(1, 7)]

    def energy(x):
        parts = np.log(weights / scales) - 0.5 * ((x - means) / scales) ** 2
        return -tf.reduce_logsumexp(parts, axis=-1)

    sampler = KINDS[kind](0.9, num_steps=150 // LENGTHS[kind], burn_in=20)
    start = np.random.default_rng(3).uniform(-3, 3, (8000, 1))
    x = tf.function(lambda x: sampler(energy, x, (5, 6)))(start).numpy()[:, 0]
    for k in (1, 2, 3):
        spread = np.sqrt((moments[2 * k - 1] - moments[k - 1] ** 2) / len(x))
        assert abs(np.mean(x**k) - moments[k - 1]) < 5 * spread


@pytest.mark.parametrize("kind", KINDS)
def test_a_hundred_dimensions_from_afar_with_adaptation(kind):
    """Variances from 0.25 to 4, from a start ten deviations off and steps ten times too short."""
    scales = np.linspace(0.5, 2.0, 100).astype(np.float32)
    target = {"mala": 0.574, "hmc": 0.651}[kind]
    steps = {"mala": 600, "hmc": 200}[kind]
    sampler = KINDS[kind](0.05, num_steps=steps, burn_in=steps // 2)

    @tf.function
    def run(x):
        return sampler(
            lambda v: 0.5 * tf.reduce_sum((v / scales) ** 2, 1), x, (7, 8), return_diagnostics=True
        )

    result = run(np.tile(10 * scales, (200, 1)))
    sizes = result.step_size.numpy()
    assert np.ptp(sizes[: steps // 2]) > 0.0
    np.testing.assert_array_equal(sizes[steps // 2 :], sizes[steps // 2])
    assert sizes[0] == pytest.approx(sampler.step_size, rel=1e-5)
    assert abs(result.acceptance.numpy()[steps // 2 :].mean() - target) < 0.05
    z = result.samples.numpy() / scales
    # Means of 100 coordinates over 200 chains; the largest of 100 is within five of its errors.
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(200)
    assert abs(z.var() - 1.0) < 5 * np.sqrt(2 / z.size)


class TestAgainstTfp:
    """One step of tfp's kernels in float64, whose proposal and acceptance ratio ours must find."""

    def one_step(self, kernel, energy, x):
        state, results = kernel.one_step(x, kernel.bootstrap_results(x), seed=(1, 2))
        return results.proposed_state, results.log_accept_ratio, results

    def test_mala(self):
        energy, _ = correlated()
        x, size = tf.random.stateless_normal([6, 5], (0, 1), dtype=tf.float64), 0.3
        # Its step size is ε.
        kernel = tfp.mcmc.MetropolisAdjustedLangevinAlgorithm(lambda x: -energy(x), 2 * size)
        proposed, log_ratio, _ = self.one_step(kernel, energy, x)
        start = evaluated(energy, x)
        noise = (proposed - x + size * start.gradient) / np.sqrt(2 * size)
        there, end = leapfrog(energy, start, noise, np.sqrt(2 * size), 1)
        mine = start.energy - there.energy + 0.5 * tf.reduce_sum(noise**2 - end**2, 1)
        np.testing.assert_allclose(there.state, proposed, rtol=1e-12)
        np.testing.assert_allclose(mine, log_ratio, rtol=1e-6, atol=1e-9)

    @pytest.mark.parametrize("length", [1, 3, 12])
    def test_hmc(self, length):
        energy, _ = correlated()
        x, size = tf.random.stateless_normal([6, 5], (0, 1), dtype=tf.float64), 0.4
        kernel = tfp.mcmc.HamiltonianMonteCarlo(lambda x: -energy(x), size, length)
        proposed, log_ratio, results = self.one_step(kernel, energy, x)
        (momentum,) = results.proposed_results.initial_momentum
        start = evaluated(energy, x)
        there, end = leapfrog(energy, start, momentum, tf.constant(size, tf.float64), length)
        mine = start.energy - there.energy + 0.5 * tf.reduce_sum(momentum**2 - end**2, 1)
        np.testing.assert_allclose(there.state, proposed, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(mine, log_ratio, rtol=1e-6, atol=1e-9)

    def test_the_step_size(self):
        energy, _ = correlated()
        x = tf.random.stateless_normal([50, 5], (0, 1), dtype=tf.float64)
        start = tf.constant(0.2, tf.float64)
        inner = tfp.mcmc.HamiltonianMonteCarlo(lambda x: -energy(x), start, 3)
        kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(inner, 100, target_accept_prob=0.7)
        results = kernel.bootstrap_results(x)
        mine = DualAveraging.start(0.2, tf.float64)
        for step in range(8):
            x, results = kernel.one_step(x, results, seed=(step, 3))
            log_ratio = results.inner_results.log_accept_ratio
            mine = mine.update(tf.reduce_mean(tf.exp(tf.minimum(log_ratio, 0.0))), 0.7)
            np.testing.assert_allclose(tf.exp(mine.log_size), results.new_step_size, rtol=1e-5)
            np.testing.assert_allclose(
                mine.log_average, results.log_averaging_step[0], rtol=1e-5, atol=1e-9
            )


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_by_hand(kind):
    """The proposal, the probability of Metropolis, and who stays."""
    energy, _ = correlated()
    x = tf.random.stateless_normal([200, 5], (0, 1), dtype=tf.float64)
    size = 0.9
    sampler = KINDS[kind](size, num_steps=1)
    result = sampler(energy, x, (4, 5), return_diagnostics=True, return_trajectory=True)
    noise_seed, choice_seed = randomness.split(randomness.as_seed((4, 5)), 2)
    momentum = randomness.normal([200, 5], noise_seed, tf.float64)
    if kind == "mala":
        # From the densities of the proposal, there and back.
        step = 0.5 * size**2

        def drift(x):
            return x - step * energies.value_and_gradient(energy, x)[1]

        def log_kernel(to, origin):
            return -tf.reduce_sum((to - drift(origin)) ** 2, 1) / (4 * step)

        there = drift(x) + size * momentum
        log_ratio = energy(x) - energy(there) + log_kernel(x, there) - log_kernel(there, x)
    else:
        point, end = leapfrog(energy, evaluated(energy, x), momentum, size, 4)
        there = point.state
        log_ratio = energy(x) - energy(there) + 0.5 * tf.reduce_sum(momentum**2 - end**2, 1)
    probability = np.minimum(1.0, np.exp(log_ratio))
    np.testing.assert_allclose(result.acceptance[0], probability, rtol=1e-8)
    accepted = randomness.uniform([200], choice_seed, dtype=tf.float64) < probability
    assert 20 < np.sum(accepted) < 190
    expected = np.where(np.reshape(accepted, [-1, 1]), there, x)
    np.testing.assert_allclose(result.samples, expected, rtol=1e-10)
    np.testing.assert_array_equal(result.trajectory[0], x)
    np.testing.assert_array_equal(result.trajectory[1], result.samples)
    np.testing.assert_allclose(result.energy[0], energy(x))


# mala takes one step of hmc's leapfrog.
@pytest.mark.parametrize("kind", [pytest.param("mala", marks=pytest.mark.thorough), "hmc"])
def test_equal_seeds_give_equal_chains_and_eager_agrees_with_compiled(kind):
    energy, _ = correlated()
    x = tf.random.stateless_normal([4, 5], (0, 1), dtype=tf.float64)
    sampler = KINDS[kind](0.5, num_steps=12, burn_in=6, bounds=(-1.0, 1.5))
    first, again = sampler(energy, x, seed=(1, 2)), sampler(energy, x, seed=(1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - sampler(energy, x, seed=(1, 3))).max() > 0.1

    @tf.function(input_signature=[tf.TensorSpec([None, 5], tf.float64)])
    def run(x):
        return sampler(energy, x, seed=(1, 2))

    np.testing.assert_allclose(run(x), first, rtol=1e-6)
    assert run(x[:3]).shape == (3, 5)
    assert run.experimental_get_tracing_count() == 1


def test_long_trajectories_run_in_a_loop():
    energy, _ = correlated()
    x = tf.random.stateless_normal([4, 5], (0, 1), dtype=tf.float64)
    start, momentum = evaluated(energy, x), tf.reverse(x, [0])
    whole, end = leapfrog(energy, start, momentum, 0.1, 15)
    half, middle = leapfrog(energy, start, momentum, 0.1, 7)
    other, last = leapfrog(energy, half, middle, 0.1, 8)
    np.testing.assert_allclose(whole.state, other.state, rtol=1e-10)
    np.testing.assert_allclose(end, last, rtol=1e-10)
    # And back to where it began.
    back, _ = leapfrog(energy, whole, -end, 0.1, 15)
    np.testing.assert_allclose(back.state, x, rtol=1e-8, atol=1e-10)


def test_states_without_an_energy_are_never_entered():
    def energy(x):
        inside = tf.abs(x[:, 0]) < 1.0
        return tf.where(inside, 0.5 * x[:, 0] ** 2, np.nan)

    x = samplers.MALA(0.5, num_steps=50)(energy, tf.zeros([500, 1]), seed=1)
    assert np.abs(x).max() < 1.0
    assert np.std(x) > 0.3


def test_no_steps_return_the_start():
    start = np.full([2, 3], 0.5)
    for kind in KINDS.values():
        np.testing.assert_array_equal(
            kind(0.1, num_steps=0)(lambda x: tf.reduce_sum(x, 1), start, seed=0), start
        )


@pytest.mark.parametrize("kind", [samplers.MALA, samplers.HMC])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size .* received 0"),
        ({"num_steps": -1}, "num_steps"),
        ({"burn_in": 1.5}, "burn_in .* received 1.5"),
        ({"target_acceptance": 1.0}, r"\(0, 1\); received 1.0"),
        ({"target_acceptance": 0.0}, "target_acceptance"),
        ({"bounds": (1.0, 0.0)}, "low < high"),
    ],
)
def test_settings_are_checked(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="num_leapfrog_steps .* received 0"):
        samplers.HMC(num_leapfrog_steps=0)
    with pytest.raises(ValueError, match="int32"):
        samplers.MALA()(lambda x: x, [[1, 2]], seed=0)


@pytest.mark.parametrize("sampler", [samplers.MALA(0.2, 7, 3, 0.5, (-1, 1)), samplers.HMC(0.3, 5)])
def test_round_trip(sampler):
    saved = keras.saving.serialize_keras_object(sampler)
    again = keras.saving.deserialize_keras_object(saved)
    assert type(again) is type(sampler)
    assert again.get_config() == sampler.get_config()
    assert repr(again) == repr(sampler)


@pytest.mark.thorough  # A run on the command line has it too: test_sampler_flags.
def test_models_take_them_in_the_place_of_langevin(make, images, tmp_path):
    model = make(sampler=samplers.HMC(0.05, 2, num_steps=3, bounds=(0.0, 1.0)))
    logs = model.fit(images, batch_size=16, epochs=1, verbose=0).history
    assert np.isfinite(logs["bound"]).all()
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    result = again.sample(5, seed=1, return_diagnostics=True)
    assert result.acceptance.shape == (3, 5)
    np.testing.assert_allclose(result.samples, model.sample(5, seed=1), rtol=1e-5)


@pytest.mark.parametrize("make", [samplers.MALA, samplers.HMC])
def test_chains_that_begin_where_the_energy_is_no_number(make):
    """They find a way out, or are NaN: a chain that never moved must not look like a sample."""

    def hole(x):
        energy = 0.5 * tf.reduce_sum(tf.square(x), axis=1)
        # tf.where has the gradient of both branches, so NaN stays in the energy alone.
        return tf.where(x[:, 0] < 0.0, float("nan"), energy)

    def wall(x):
        energy = 0.5 * tf.reduce_sum(tf.square(x), axis=1)
        return tf.where(x[:, 0] < -50.0, float("inf"), energy)

    start = tf.constant([[-0.01, 0.0], [0.5, 0.0], [-1e4, 0.0]])
    for energy in (hole, wall):
        sampler = make(step_size=0.3, num_steps=30)
        ends = tf.function(lambda x, e=energy, s=sampler: s(e, x, 0))(start).numpy()
        assert np.isfinite(ends[1]).all()
        finite = np.isfinite(ends).all(axis=1)
        assert np.isfinite(energy(tf.constant(ends[finite])).numpy()).all()
        stayed = (ends == start.numpy()).all(axis=1)
        assert not stayed[[0, 2]].any()
    np.testing.assert_array_equal(make(num_steps=0)(hole, start, 0), start)
