"""Products, mixtures, negations and temperatures of models, against Gaussians in closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import tf_febm
from tf_febm import compose, networks, samplers

MEANS, SCALES = np.array([[0.0, 1.0], [2.0, -1.0]]), np.array([[1.0, 0.5], [2.0, 1.0]])
# log Z of ½‖z‖².
LOG_Z = np.log(2.0 * np.pi) + np.log(SCALES).sum(axis=1)
X = np.random.default_rng(0).normal(0.0, 2.0, (50, 2)).astype(np.float32)


def gaussian(mean, scale):
    """A model whose law is N(mean, scale²), of a network that is 0."""
    network = networks.mlp((2,), (4,), name="energy")
    network.set_weights([0.0 * w for w in network.get_weights()])
    reference = networks.GaussianReference.from_moments(mean, scale)
    sampler = samplers.MALA(step_size=0.8, num_steps=40)
    return tf_febm.ContrastiveDivergence(network, sampler=sampler, reference=reference, seed=1)


@pytest.fixture(scope="module")
def two():
    return [gaussian(m, s) for m, s in zip(MEANS, SCALES, strict=True)]


def law(k):
    return stats.multivariate_normal(MEANS[k], np.diag(SCALES[k] ** 2))


def differs_by_a_constant(energy, log_density, atol=1e-4):
    total = np.asarray(energy, np.float64) + log_density
    np.testing.assert_allclose(total, total.mean(), atol=atol)


def of_product(weights):
    """Mean and variance of the normalised Π N_k^w_k."""
    precision = (np.array(weights)[:, None] / SCALES**2).sum(axis=0)
    mean = (np.array(weights)[:, None] * MEANS / SCALES**2).sum(axis=0) / precision
    return mean, 1.0 / precision


def check_samples(model, mean, variance):
    """Four standard errors of 2,000 independent samples."""
    x = model.sample(2000, seed=3).numpy()
    np.testing.assert_array_less(np.abs(x.mean(axis=0) - mean), 4.0 * np.sqrt(variance / 2000))
    error = 4.0 * variance * np.sqrt(2.0 / 2000)
    np.testing.assert_array_less(np.abs(x.var(axis=0) - variance), error)


@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.5, 2.0]])
def test_a_product_of_gaussians_is_gaussian(two, weights):
    model = compose.product(*two, weights=weights, seed=2)
    mean, variance = of_product(weights)
    expected = stats.multivariate_normal(mean, np.diag(variance)).logpdf(X)
    differs_by_a_constant(model.energy(X), expected)
    np.testing.assert_allclose(model.score(X), (mean - X) / variance, atol=1e-4)
    check_samples(model, mean, variance)


def test_a_mixture_is_normalised_by_log_partitions(two):
    model = compose.mixture(*two, weights=[0.3, 0.7], log_partitions=LOG_Z)
    expected = np.log(0.3 * law(0).pdf(X) + 0.7 * law(1).pdf(X))
    differs_by_a_constant(model.energy(X), expected)
    # Without them each part has the share of its own Z.
    share = np.exp(LOG_Z[0]) / np.exp(LOG_Z).sum()
    expected = np.log(share * law(0).pdf(X) + (1.0 - share) * law(1).pdf(X))
    differs_by_a_constant(compose.mixture(*two).energy(X), expected)


def known(mean, scale):
    """A model that knows log Z, as learned, which is 0 beside that of its Gaussian."""
    network = networks.mlp((len(mean),), (4,), name="energy")
    network.set_weights([0.0 * w for w in network.get_weights()])
    reference = networks.GaussianReference.from_moments(mean, scale)
    return tf_febm.NoiseContrastive(network, reference=reference)


def test_a_mixture_takes_the_log_partitions_that_its_parts_know(two):
    """As learned, or as fitted; and not if one of the parts knows none."""
    learned = [known(mean, scale) for mean, scale in zip(MEANS, SCALES, strict=True)]
    learned[1].fit_log_partition(method="learned", num_chains=2)
    density = 0.3 * law(0).pdf(X) + 0.7 * law(1).pdf(X)
    found = compose.mixture(*learned, weights=[0.3, 0.7])
    np.testing.assert_allclose(-found.energy(X), np.log(density), atol=1e-4)
    one_unknown = compose.mixture(learned[0], two[1]).energy(X)
    np.testing.assert_allclose(one_unknown, compose.mixture(*two).energy(X), atol=1e-5)


def test_a_part_of_a_mixture_may_have_any_log_partition():
    """Of 400 deviations of 1/10 and of 1, log Z differ by 921: e to that power is no float."""
    scales, mean = (0.1, 1.0), np.zeros(400)
    parts = [known(mean, np.full(400, scale)) for scale in scales]
    x = np.stack([np.full(400, scale, np.float32) for scale in scales])
    found = -compose.mixture(*parts).energy(x).numpy()
    laws = [stats.norm(0.0, scale).logpdf(x).sum(axis=1) for scale in scales]
    np.testing.assert_allclose(found, np.logaddexp(*laws) - np.log(2.0), rtol=1e-5)


def test_a_negation_takes_away(two):
    # N_0 without half of N_1 is Gaussian still.
    model = compose.product(two[0], compose.negation(two[1]), weights=[1.0, 0.5])
    mean, variance = of_product([1.0, -0.5])
    expected = stats.multivariate_normal(mean, np.diag(variance)).logpdf(X)
    differs_by_a_constant(model.energy(X), expected)
    np.testing.assert_array_equal(compose.negation(two[1]).energy(X), -two[1].energy(X))


@pytest.mark.parametrize("temperature", [0.25, 3.0])
def test_a_temperature_scales_the_variance(two, temperature):
    # Steps and starts are those of z: as much smaller as the law is.
    inner = samplers.MALA(step_size=0.8 * np.sqrt(temperature), num_steps=80)
    sampler = samplers.Preconditioned(inner, two[0].reference, spread=np.sqrt(temperature))
    model = compose.temper(two[0], temperature, sampler=sampler)
    check_samples(model, MEANS[0], temperature * SCALES[0] ** 2)


@pytest.fixture(scope="module")
def conditional():
    keras.utils.set_random_seed(0)
    network = networks.mlp((2,), (8,), num_classes=3, name="energy")
    sampler = samplers.Langevin(num_steps=2, bounds=None)
    return tf_febm.ContrastiveDivergence(network, sampler=sampler)


def test_labels(conditional, two):
    """A class is taken, or asked for; one of each of the same model is a product as well."""
    one = np.full(len(X), 1)
    expected = conditional.energy(X, one) + conditional.energy(X, np.full(len(X), 2))
    model = compose.product(conditional, conditional, labels=[1, 2])
    assert not model.conditional
    np.testing.assert_allclose(model.energy(X), expected, atol=1e-5)
    model = compose.product(conditional, two[0], weights=[2.0, 1.0], labels=[None, None])
    assert model.num_classes == 3
    expected = 2.0 * conditional.energy(X, one) + two[0].energy(X)
    np.testing.assert_allclose(model.energy(X, one), expected, rtol=1e-5)
    assert model.sample(4, labels=[0, 1, 2, 0], seed=1).shape == (4, 2)
    tempered = compose.temper(conditional, 2.0, label=1)
    np.testing.assert_allclose(tempered.energy(X), 0.5 * conditional.energy(X, one), rtol=1e-5)


def test_it_is_saved_exported_and_trains(conditional, two, tmp_path):
    model = compose.mixture(conditional, two[0], weights=[1.0, 2.0], labels=[1, None])
    model.compile()
    model.calibrate(X)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.energy(X), model.energy(X))
    np.testing.assert_array_equal(loaded.p_value(X), model.p_value(X))
    tf_febm.export(model, tmp_path / "served")
    served = tf.saved_model.load(str(tmp_path / "served")).signatures
    np.testing.assert_allclose(
        served["energy"](x=tf.constant(X))["energy"], model.energy(X), atol=1e-5
    )
    before = [w.numpy() for w in loaded.energy_network.trainable_variables]
    loaded.run_eagerly = True
    loaded.fit(X, epochs=1, verbose=0)
    moved = [np.abs(a - b).max() for a, b in
             zip(before, loaded.energy_network.trainable_variables, strict=True)]  # fmt: skip
    # Both networks: the kernels of the zero one have no gradient but at its last layer.
    assert len(before) == 8 and np.sum(np.array(moved) > 0.0) > 4
    again = compose.product(loaded, loaded)
    np.testing.assert_allclose(again.energy(X), 2.0 * loaded.energy(X), rtol=1e-5)


def of_levels():
    reference = tf_febm.networks.GaussianReference.from_moments(np.zeros(2), np.ones(2))
    network = tf_febm.networks.mlp(2, (4,), num_classes=2)
    return tf_febm.MultiscaleScoreMatching(network, reference, levels=2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a, b, c: compose.product(), ValueError, "models must be one at least"),
        (lambda a, b, c: compose.product(a, "b"), TypeError, "models must be models of tf_febm"),
        (lambda a, b, c: compose.product(a, b, weights=[1.0]), ValueError, "weights must be 2"),
        (lambda a, b, c: compose.product(a, weights={0.5}), TypeError, "weights must be a seq"),
        (lambda a, b, c: compose.product(a, weights={0.5: 1}), TypeError, "weights must be a seq"),
        (lambda a, b, c: compose.temper(of_levels(), 2.0), TypeError, "a MultiscaleScoreMatching"),
        (lambda a, b, c: compose.product(a, b, weights=[0, 1]), ValueError, "must not be 0"),
        (lambda a, b, c: compose.mixture(a, b, weights=[-1, 1]), ValueError, "weights must be a"),
        (lambda a, b, c: compose.product(a, labels=[1]), ValueError, r"labels\[0\] must be None"),
        (lambda a, b, c: compose.product(c, labels=[3]), ValueError, r"labels\[0\] must be"),
        (lambda a, b, c: compose.temper(a, 0.0), ValueError, "temperature must be"),
    ],
)
def test_bad_arguments(two, conditional, call, error, message):
    with pytest.raises(error, match=message):
        call(*two, conditional)
