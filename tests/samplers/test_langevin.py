"""Langevin chains against their discretised stationary law and against plain NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm.samplers import ChainResult, Langevin


def gaussian(x):
    """E = ‖x‖²/2, the standard normal."""
    return 0.5 * tf.reduce_sum(tf.square(x), axis=list(range(1, x.shape.rank)))


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 1.0])
def test_stationary_variance_of_equation_5(epsilon):
    """x ← (1 − ε/2)x + √ε ξ settles at variance 1/(1 − ε/4), not at 1.

    200,000 independent numbers: the standard error of a variance is σ²√(2/200,000); four of them.
    """
    sampler = Langevin.from_epsilon(epsilon, num_steps=int(12 / epsilon))
    x = tf.random.stateless_normal([40_000, 5], seed=(1, 1))
    x = tf.function(lambda: sampler(gaussian, x, seed=(3, 4)))().numpy()
    variance = 1 / (1 - epsilon / 4)
    tolerance = 4 * variance * np.sqrt(2 / x.size)
    assert abs(x.var() - variance) < tolerance
    assert abs(x.mean()) < 4 * np.sqrt(variance / x.size)


def test_noise_first_is_measured_half_a_step_earlier():
    """The same alternation of noise and drift, looked at after the drift: (1 − ε/2)² times."""
    epsilon = 0.5
    sampler = Langevin.from_epsilon(epsilon, num_steps=40, noise_first=True)
    x = tf.random.stateless_normal([40_000, 5], seed=(1, 2))
    x = tf.function(lambda: sampler(gaussian, x, seed=(3, 5)))().numpy()
    variance = (1 - epsilon / 2) ** 2 / (1 - epsilon / 4)
    assert abs(x.var() - variance) < 4 * variance * np.sqrt(2 / x.size)


@pytest.mark.parametrize("epsilon", [0.2, 2.0])
def test_exponential_steps_are_exact_for_a_gaussian_that_is_shifted(epsilon):
    """½‖z‖² + b·z: N(−b, I) at any ε, and in one step e^(−ε/2) of the way is left.

    200,000 independent numbers, four standard errors of a variance, of a mean and of a mean again.
    """
    b = tf.constant([0.0, 1.0, -2.0, 3.0, 0.5])
    sampler = Langevin.exponential(epsilon, num_steps=int(12 / epsilon))

    def energy(z):
        return gaussian(z) + tf.linalg.matvec(z, b)

    start = tf.random.stateless_normal([40_000, 5], seed=(1, 1))
    z = tf.function(lambda: sampler(energy, start, seed=(3, 4)))().numpy() + b.numpy()
    assert abs(z.var() - 1.0) < 4 * np.sqrt(2 / z.size)
    assert np.abs(z.mean(0)).max() < 4 / np.sqrt(len(z))
    far = 10.0 + tf.random.stateless_normal([200_000, 1], seed=(1, 3))
    once = sampler(gaussian, far, seed=(3, 5), num_steps=1).numpy()
    assert abs(once.mean() - 10.0 * np.exp(-epsilon / 2)) < 4 / np.sqrt(len(once))
    assert abs(once.var() - 1.0) < 4 * np.sqrt(2 / len(once))


@pytest.mark.parametrize(
    "settings",
    [
        {"grad_clip": None, "bounds": None},
        {"grad_clip": 0.3},
        {"grad_clip": None, "grad_clip_norm": 0.5, "bounds": (-0.2, 0.4)},
        {"grad_clip": 0.3, "noise_first": False},
    ],
)
def test_noiseless_steps_against_numpy(settings):
    sampler = Langevin(step_size=0.7, noise_scale=0.0, num_steps=5, **settings)
    a = np.array([[1.0, -2.0, 0.5]])
    start = np.random.default_rng(0).uniform(0, 1, (6, 3))
    x = start.copy()
    for _ in range(5):
        gradient = np.cos(x) * a
        if sampler.grad_clip is not None:
            gradient = np.clip(gradient, -sampler.grad_clip, sampler.grad_clip)
        if sampler.grad_clip_norm is not None:
            norms = np.linalg.norm(gradient, axis=1, keepdims=True)
            gradient *= np.minimum(1.0, sampler.grad_clip_norm / norms)
        x = x - 0.7 * gradient
        if sampler.bounds is not None:
            x = np.clip(x, *sampler.bounds)
    result = sampler(lambda v: tf.reduce_sum(a * tf.sin(v), axis=1), start, seed=0)
    assert result.dtype == tf.float64
    np.testing.assert_allclose(result, x, rtol=1e-12)


def test_equal_seeds_give_equal_chains_and_eager_agrees_with_compiled():
    sampler = Langevin(step_size=0.1, noise_scale=0.3, num_steps=20, grad_clip=None, bounds=None)
    x = tf.random.stateless_normal([16, 4, 4, 1], seed=(0, 1))
    first, again = sampler(gaussian, x, seed=(1, 2)), sampler(gaussian, x, seed=(1, 2))
    other = sampler(gaussian, x, seed=(1, 3))
    compiled = tf.function(sampler)(gaussian, x, seed=(1, 2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, compiled, rtol=1e-5, atol=1e-6)
    assert np.abs(first - other).max() > 0.1


def test_steps_draw_different_noise():
    sampler = Langevin(step_size=1e-9, noise_scale=1.0, num_steps=2, grad_clip=None, bounds=None)
    result = sampler(gaussian, tf.zeros([1000, 1]), seed=5, return_trajectory=True)
    steps = np.diff(result.trajectory[:, :, 0], axis=0)
    # A correlation of independent normals has standard deviation 1/√1000.
    assert abs(np.corrcoef(steps)[0, 1]) < 4 / np.sqrt(1000)


def test_diagnostics_and_trajectory():
    sampler = Langevin(step_size=0.5, noise_scale=0.0, num_steps=3, grad_clip=0.8, bounds=None)
    start = np.array([[1.0, 0.1], [-0.5, 2.0]])
    run = tf.function(
        lambda x: sampler(gaussian, x, 1, return_diagnostics=True, return_trajectory=True)
    )
    result = run(start)
    assert isinstance(result, ChainResult)
    assert ChainResult._fields[0] == "samples"
    assert result.trajectory.shape == (4, 2, 2)
    np.testing.assert_array_equal(result.trajectory[0], start)
    np.testing.assert_array_equal(result.trajectory[-1], result.samples)
    # Without noise, step k looks at state k.
    before = result.trajectory[:-1].numpy()
    np.testing.assert_allclose(result.energy, 0.5 * (before**2).sum(-1), rtol=1e-12)
    np.testing.assert_allclose(result.gradient_norm, np.linalg.norm(before, axis=-1), rtol=1e-12)
    np.testing.assert_allclose(result.clipped_fraction, (np.abs(before) > 0.8).mean(-1))


def test_no_steps_return_the_start():
    start = np.ones([2, 3])
    np.testing.assert_array_equal(Langevin(num_steps=0)(gaussian, start, seed=0), start)
    np.testing.assert_array_equal(Langevin()(gaussian, start, seed=0, num_steps=0), start)


def test_energies_may_come_as_a_column_and_chains_in_any_number():
    sampler = Langevin.from_epsilon(0.1, 3)

    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def run(x):
        return sampler(lambda v: gaussian(v)[:, None], x, seed=(1, 2))

    for count in (1, 3):
        assert run(tf.ones([count, 2])).shape == (count, 2)
    assert run.experimental_get_tracing_count() == 1


def test_no_gradient_reaches_parameters_through_a_chain():
    weight = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        x = Langevin(num_steps=2)(lambda v: weight * gaussian(v), tf.ones([2, 2]), seed=0)
        loss = tf.reduce_sum(x)
    assert tape.gradient(loss, weight) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size .* received 0"),
        ({"step_size": float("nan")}, "step_size"),
        ({"noise_scale": -1.0}, "noise_scale .* received -1"),
        ({"num_steps": 2.5}, "num_steps .* received 2.5"),
        ({"num_steps": -1}, "num_steps"),
        ({"grad_clip": -0.1}, "grad_clip"),
        ({"grad_clip": 0.1, "grad_clip_norm": 0.1}, "not both"),
        ({"bounds": (1.0, 0.0)}, "low < high"),
        ({"bounds": (0.0, float("inf"))}, "two finite"),
        ({"bounds": (0.0, 1.0, 2.0)}, "two finite"),
        ({"bounds": 5}, "two finite"),
        ({"num_steps": float("inf")}, "num_steps"),
        ({"step_size": None}, "step_size"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Langevin(**settings)


def test_inputs_are_checked():
    with pytest.raises(ValueError, match="int32"):
        Langevin()(gaussian, [[1, 2]], seed=0)
    with pytest.raises(ValueError, match=r"one value per example.*received shape \(2, 3\)"):
        Langevin()(lambda x: x, tf.ones([2, 3]), seed=0)
    with pytest.raises(ValueError, match="no gradient"):
        Langevin()(lambda x: tf.zeros([2]), tf.ones([2, 3]), seed=0)
    for seed in ((1, 2, 3), 1.5, "x", (1.0, 2.0)):
        with pytest.raises(ValueError, match="seed"):
            Langevin()(gaussian, tf.ones([2, 3]), seed=seed)


def test_config_round_trip():
    sampler = Langevin(step_size=2.0, grad_clip=None, grad_clip_norm=1.5, bounds=(-1, 1))
    again = Langevin.from_config(sampler.get_config())
    assert again.get_config() == sampler.get_config()
