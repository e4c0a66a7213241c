"""EnergyDiscrepancy: its value and gradient, and both limits, by quadrature; what it refuses."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import tf_febm
from tf_febm import samplers

SAMPLER = samplers.Langevin.from_epsilon(0.05, 2)
DATA = scipy.stats.norm(0.5, 0.6)
WEIGHTS = np.array([0.5, 1.0, 0.1])
NODES, SHARES = np.polynomial.hermite_e.hermegauss(60)
SHARES = SHARES / SHARES.sum()


def features(x):
    return np.stack([x, x**2, x**4], -1)


def discrepancy(weights, noise):
    """E_p[E] − E_p[U(x + σξ′)], by Gauss–Hermite rules for x, ξ′ and ξ."""
    x = DATA.mean() + DATA.std() * NODES
    moved = x[:, None, None] + noise * (NODES[:, None] + NODES)
    potential = -scipy.special.logsumexp(-features(moved) @ weights, axis=-1, b=SHARES)
    return SHARES @ (features(x) @ weights - potential @ SHARES)


def likelihood(weights):
    """E_p[E] + log Z."""
    grid = np.linspace(-8, 8, 4001)
    log_partition = scipy.special.logsumexp(-features(grid) @ weights) + np.log(grid[1] - grid[0])
    return SHARES @ features(DATA.mean() + DATA.std() * NODES) @ weights + log_partition


def score_matching(weights, share=1.0):
    """E_p[share·½E'² − E'']."""
    x = DATA.mean() + DATA.std() * NODES
    slope = np.stack([np.ones_like(x), 2 * x, 4 * x**3], -1) @ weights
    curvature = np.stack([0 * x, 2 + 0 * x, 12 * x**2], -1) @ weights
    return SHARES @ (share * 0.5 * slope**2 - curvature)


def slopes(of):
    """Return the derivatives of a function of the weights."""
    return np.array([(of(WEIGHTS + d) - of(WEIGHTS - d)) / 2e-4 for d in 1e-4 * np.eye(3)])


def estimate(noise, neighbours, count, stabilisation=0.0):
    """Return the model's value and gradient on quantiles of the data."""
    x = keras.Input((1,))
    form = keras.layers.Lambda(lambda x: tf.concat([x, x**2, x**4], -1))
    network = keras.Model(x, keras.layers.Dense(1, use_bias=False)(form(x)))
    network.set_weights([WEIGHTS[:, None]])
    model = tf_febm.EnergyDiscrepancy(
        network, noise, num_neighbours=neighbours, stabilisation=stabilisation, sampler=SAMPLER,
        seed=1,
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    data = DATA.ppf((np.arange(count) + 0.5) / count)[:, None].astype("f4")
    logs = model.train_on_batch(data, return_dict=True)
    return logs["objective"], WEIGHTS - network.get_weights()[0][:, 0]


def test_value_and_gradient():
    """At a moderate σ, with many neighbours; 20,000 draws of ξ′ leave some 1/140 of a slope."""
    value, gradient = estimate(0.5, 200, 20_000)
    assert value == pytest.approx(discrepancy(WEIGHTS, 0.5), abs=0.02)
    np.testing.assert_allclose(gradient, slopes(lambda w: discrepancy(w, 0.5)), atol=0.15)
    # The truth is that of the limits, too.
    small, large = slopes(lambda w: discrepancy(w, 0.02)) / 0.02**2, slopes(score_matching)
    np.testing.assert_allclose(small, large, rtol=0.01)


def test_small_noise_is_score_matching():
    """Over t, and with M neighbours, E'² has the share 1 − 1/M, from the expansion in σ."""
    noise, neighbours = 0.05, 4
    value, gradient = estimate(noise, neighbours, 1_000_000)
    share = 1 - 1 / neighbours
    expected = slopes(lambda w: score_matching(w, share))
    # ξ′ leaves |∂E'|/(σ √n), 0.02 per unit of slope, which x, x², x⁴ have 1, 2 and 5 of.
    assert (np.abs(gradient / noise**2 - expected) < [0.07, 0.15, 0.5]).all()
    assert (np.abs(expected) > [1.0, 0.5, 2.0]).all()
    assert value / noise**2 == pytest.approx(score_matching(WEIGHTS, share), abs=0.15)


def test_large_noise_is_maximum_likelihood():
    """Twenty deviations of the data wide: neighbours there are few, and so there must be many."""
    _, gradient = estimate(12.0, 10_000, 250)
    expected = slopes(likelihood)
    np.testing.assert_allclose(gradient, expected, atol=0.05)
    assert (np.abs(expected) > [0.5, 0.1, 0.4]).all()


def test_stabilisation_bounds_the_estimate_from_below():
    """log(w/M + …) ≥ log(w/M), and more than without."""
    plain, _ = estimate(0.5, 4, 500)
    stable, _ = estimate(0.5, 4, 500, stabilisation=2.0)
    assert stable > max(plain, np.log(2.0 / 4))


def test_labels_weights_and_files(tmp_path):
    """A weight of 2 is the example twice, but for the noise; files bring the same back."""
    keras.utils.set_random_seed(3)
    x = np.random.default_rng(0).normal(size=(8, 2)).astype("f4")
    y = np.arange(8) % 2
    network = tf_febm.networks.mlp(2, (8,), "swish", num_classes=2)
    reference = tf_febm.networks.GaussianReference("diagonal").adapt(x)
    model = tf_febm.EnergyDiscrepancy(network, 0.3, reference=reference, seed=4, l2_coeff=0.1)
    model.compile(keras.optimizers.SGD(0.05), run_eagerly=True)
    first = model.test_on_batch(x, y, return_dict=True)["objective"]
    model.reset_metrics()
    # Examples of weight 0 leave nothing.
    weights = np.array([1, 1, 1, 1, 0, 0, 0, 0], "f4")
    half = model.test_on_batch(x, y, sample_weight=weights, return_dict=True)["objective"]
    model.reset_metrics()
    moved = np.concatenate([x[:4], x[4:] + 3.0])
    again = model.test_on_batch(moved, y, sample_weight=weights, return_dict=True)["objective"]
    assert half == pytest.approx(again, rel=1e-6) and half != pytest.approx(first, rel=1e-3)
    assert model.test_on_batch(x, 1 - y, return_dict=True)["objective"] != first
    model.train_on_batch(x, y)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for one in (model, loaded):
        one.train_on_batch(x, y)
    np.testing.assert_array_equal(model.energy(x, y), loaded.energy(x, y))


def test_says_what_it_needs():
    network = tf_febm.networks.mlp(2, (4,))
    for settings, message in (
        ({"noise_stddev": 0.0}, "noise_stddev must be a finite number > 0"),
        ({"num_neighbours": 0}, "num_neighbours must be a whole number ≥ 1"),
        ({"stabilisation": -1.0}, "stabilisation must be a finite number ≥ 0"),
    ):
        with pytest.raises(ValueError, match=message):
            tf_febm.EnergyDiscrepancy(network, sampler=SAMPLER, **settings)
