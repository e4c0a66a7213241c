"""Chains in standardised units: moments in raw units, and the chain that it stands for."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, samplers

MEAN, SCALE = np.array([1000.0, -3.0]), np.array([50.0, 0.01])
UNITS = networks.GaussianReference.from_moments(MEAN, SCALE)


def energy(x):
    """A Gaussian with these moments."""
    return 0.5 * tf.reduce_sum(tf.square((x - MEAN.astype("f4")) / SCALE.astype("f4")), axis=1)


def test_moments_in_raw_units():
    epsilon = 0.4
    sampler = samplers.Preconditioned(samplers.Langevin.from_epsilon(epsilon, 60), UNITS)
    x = tf.function(sampler)(energy, sampler.fresh([20_000, 2], (1, 2)), (3, 4)).numpy()
    # The stationary variance of Eq. 5 for a unit Gaussian is 1/(1 − ε/4); deviations of 20,000
    # samples: 0.007 of the mean in units of scale, 0.5 % of the scale. Four of these.
    expected = SCALE / np.sqrt(1.0 - epsilon / 4.0)
    np.testing.assert_allclose((x.mean(0, dtype=np.float64) - MEAN) / SCALE, 0.0, atol=0.03)
    np.testing.assert_allclose(x.std(0, dtype=np.float64), expected, rtol=0.02)


def test_fresh_chains_are_spread_as_asked():
    sampler = samplers.Preconditioned(samplers.Langevin(), UNITS, spread=2.5)
    z = (sampler.fresh([10_000, 2], (1, 2)).numpy().astype(np.float64) - MEAN) / SCALE
    # A standard deviation of 10,000 numbers is off by 0.7 %; four of these.
    np.testing.assert_allclose(z.std(0), 2.5, rtol=0.03)


def test_it_is_the_chain_of_the_energy_of_z():
    inner = samplers.Langevin(0.1, 0.05, 5, grad_clip=0.5, bounds=None)
    sampler = samplers.Preconditioned(inner, UNITS)
    z0 = tf.random.stateless_normal([6, 2], (0, 1))
    start = tf.cast(MEAN, tf.float32) + tf.cast(SCALE, tf.float32) * z0
    mean, scale = (v.astype("f4") for v in (MEAN, SCALE))
    own = inner(lambda z: energy(mean + scale * z), (start - mean) / scale, (5, 6),
                return_trajectory=True, return_diagnostics=True)  # fmt: skip
    found = sampler(energy, start, (5, 6), return_trajectory=True, return_diagnostics=True)
    np.testing.assert_array_equal(found.samples, mean + scale * own.samples)
    np.testing.assert_array_equal(found.trajectory, mean + scale * own.trajectory)
    np.testing.assert_array_equal(found.gradient_norm, own.gradient_norm)


def test_a_model_of_raw_units_trains_samples_and_is_saved(tmp_path):
    keras.utils.set_random_seed(1)
    x = np.random.default_rng(0).normal(MEAN, SCALE, (256, 2)).astype(np.float32)
    energy_network, variational = (
        networks.standardised(networks.mlp(2, (8,), "swish", name=name), MEAN, SCALE)
        for name in ("energy", "variational")
    )
    sampler = samplers.Preconditioned(samplers.Langevin.from_epsilon(0.1, 5), UNITS)
    model = tf_febm.FEBM(
        energy_network, variational, sampler=sampler, buffer=tf_febm.ReplayBuffer(64), seed=1
    )
    model.compile()
    model.fit(x, batch_size=32, epochs=1, verbose=0)
    samples = model.sample(500, seed=2)
    z = (samples.numpy().astype(np.float64) - MEAN) / SCALE
    # Fresh chains of five small steps are still near where they began, N(0, 1) in these units.
    assert np.abs(z.mean(0)).max() < 0.5 and (z.std(0) > 0.5).all() and (z.std(0) < 2.0).all()
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.energy(x), model.energy(x))
    np.testing.assert_array_equal(loaded.sample(9, seed=3), model.sample(9, seed=3))


def test_other_shapes_are_refused_not_broadcast():
    sampler = samplers.Preconditioned(samplers.Langevin.from_epsilon(0.1, 2), UNITS)
    for bad in (np.zeros((4, 1), "f4"), np.zeros((4, 3), "f4"), np.zeros((4, 2), int), np.zeros(2)):
        with pytest.raises(ValueError, match=r"initial_state must be .*received (shape|dtype)"):
            sampler(energy, bad, 1)
    for shape in ((3,), (2, 2, 1)):
        model = tf_febm.ContrastiveDivergence(networks.mlp(shape, (4,)), sampler=sampler, seed=0)
        with pytest.raises(ValueError, match="reference"):
            model.sample(3)


# --- a full covariance: chains in white coordinates -----------------------------------------------

COVARIANCE = np.array([[4.0, 1.9], [1.9, 1.0]])


def correlated(n, seed=0):
    return np.random.default_rng(seed).multivariate_normal([3.0, -1.0], COVARIANCE, n)


@pytest.mark.parametrize(
    "inner",
    [
        samplers.Langevin.from_epsilon(0.2, 60),
        pytest.param(samplers.MALA(0.5, num_steps=40), marks=pytest.mark.thorough),
        samplers.HMC(0.5, num_leapfrog_steps=3, num_steps=15),
    ],
    ids=["langevin", "mala", "hmc"],
)
def test_a_correlated_gaussian_in_a_few_steps(inner):
    """Of correlation 0.95, where one step size for both coordinates would take hundreds."""
    reference = networks.GaussianReference("full", noise=0.0).adapt(correlated(100_000))
    sampler = samplers.Preconditioned(inner, reference, spread=2.0)
    precision = np.linalg.inv(COVARIANCE).astype("f4")

    def energy(x):
        centred = x - tf.constant([3.0, -1.0])
        return 0.5 * tf.einsum("ni,ij,nj->n", centred, precision, centred)

    x = tf.function(sampler)(energy, sampler.fresh([20_000, 2], (1, 2)), (3, 4)).numpy()
    # Eq. 5's own law has 1/(1 − ε/4) = 1.05 times the variance. A variance of 20,000 samples is off
    # by 1 %; the fit by 0.5 %. Four of both.
    factor = 1.0 / 0.95 if isinstance(inner, samplers.Langevin) else 1.0
    np.testing.assert_allclose(np.cov(x.T), factor * COVARIANCE, rtol=0.06)
    np.testing.assert_allclose(x.mean(0), [3.0, -1.0], atol=0.06)


def test_one_step_is_the_preconditioned_step_by_hand():
    reference = networks.GaussianReference("full", noise=0.0).adapt(correlated(1000))
    inner = samplers.Langevin(0.05, 0.0, 1, grad_clip=None, bounds=None)
    x = correlated(5, 1).astype("f4")
    found = samplers.Preconditioned(inner, reference)(lambda x: tf.reduce_sum(x**4, 1), x, 1)
    # Without noise: x − step Σ ∇E, Σ that of the 1,000 examples.
    sigma = np.cov(correlated(1000).T, bias=True)
    np.testing.assert_allclose(found, x - 0.05 * (4.0 * x**3) @ sigma, rtol=2e-4, atol=2e-3)


def test_what_cannot_be_a_reference():
    inner = samplers.Langevin.from_epsilon(0.1, 2)
    with pytest.raises(ValueError, match=r"call reference.adapt\(data\) first"):
        samplers.Preconditioned(inner, networks.GaussianReference())
    with pytest.raises(TypeError, match="reference must be a networks.GaussianReference"):
        samplers.Preconditioned(inner, [0.0, 1.0])


def test_a_file_of_version_0_1_loads():
    config = {
        "sampler": keras.saving.serialize_keras_object(samplers.Langevin.from_epsilon(0.1, 2)),
        "mean": [0.0, 1.0],
        "scale": [1.0, 2.0],
        "spread": 1.5,
    }
    loaded = samplers.Preconditioned.from_config(config)
    np.testing.assert_array_equal(loaded.reference.color(np.ones((1, 2))), [[1.0, 3.0]])
