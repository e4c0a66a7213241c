"""Tests of multi-scale denoising score matching, against closed forms."""

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
from test_recovery import LevelQuadratic

import tf_febm
from tf_febm import divergences, networks, samplers

SIGMAS = (0.2, 0.6, 2.0)
MEAN, DEVIATION = 1.0, 0.5


def quadratic_model(**settings):
    """Return a model of numbers relative to N(0, 1), two levels, with a quadratic f of each."""
    energy = LevelQuadratic()
    energy.build([(None, 1), (None, 2)])
    energy.pairs = False
    reference = networks.GaussianReference.from_moments([0.0], [1.0])
    settings = {"levels": SIGMAS, "seed": 0, **settings}
    model = tf_febm.MultiscaleScoreMatching(energy, reference, **settings)
    model.build((None, 1))
    return model


def exact_table(levels):
    """Return the coefficients with which E is that of N(MEAN, DEVIATION² + σ²) at each level.

    By what f is a function of: y = x/√(σ² + 1), times a factor.
    """
    rows = tf.eye(2)
    gain, table = levels.gain(rows).numpy(), []
    for t in range(2):
        variance = DEVIATION**2 + SIGMAS[t] ** 2
        scale = np.sqrt(SIGMAS[t] ** 2 + 1.0)
        linear, square = -MEAN / variance, 0.5 / variance - 0.5 / (1.0 + SIGMAS[t] ** 2)
        table.append([linear * scale / gain[t], square * scale**2 / gain[t]])
    return np.array(table)


def objective_of(model, x, seed=(1, 2)):
    each = model._objective(lambda rows: model._energy_given(rows), tf.constant(x), None, seed)
    return float(tf.reduce_mean(each))


def test_the_reference_leaves_one_half_of_its_own_data():
    """Posterior means of the Gaussian leave d² of the variance: the objective is ½."""
    model = quadratic_model()
    x = np.random.default_rng(0).normal(size=(200_000, 1)).astype("float32")
    # The standard deviation of ½ of a squared normal number is 0.71; five standard errors.
    assert objective_of(model, x) == pytest.approx(0.5, abs=5 * 0.71 / np.sqrt(len(x)))


def test_the_objective_is_least_at_the_energy_of_the_noisy_data():
    """At the exact energies it is the variance that no posterior mean explains, and its slope is 0.

    Of N(m, v) with noise σ the posterior variance is vσ²/(v + σ²), of the reference's σ²/(1 + σ²).
    """
    model = quadratic_model()
    rng = np.random.default_rng(0)
    x = rng.normal(MEAN, DEVIATION, (200_000, 1)).astype("float32")
    model.energy_network.table.assign(exact_table(model.levels))
    v, s = DEVIATION**2, np.square(SIGMAS[:2])
    wanted = np.mean(0.5 * (v * s / (v + s)) / (s / (1.0 + s)))
    assert objective_of(model, x) == pytest.approx(wanted, rel=0.02)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model._objective(model._energy_given, tf.constant(x), None, (1, 2)))
    at_best = tape.gradient(loss, model.energy_network.table.value).numpy()
    model.energy_network.table.assign(np.zeros((2, 2)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model._objective(model._energy_given, tf.constant(x), None, (1, 2)))
    at_start = tape.gradient(loss, model.energy_network.table.value).numpy()
    assert np.abs(at_best).max() < 0.02 * np.abs(at_start).max()


def test_exact_energies_are_walked_down_to_the_data():
    """Samples of exact energies have the moments of the level of the data."""
    model = quadratic_model(sampler=samplers.Langevin.exponential(0.3, 30))
    model.energy_network.table.assign(exact_table(model.levels))
    drawn = model.sample(20_000, seed=0).numpy()
    # The last level is taken for that of the reference, N(0, 1 + 2²). Of its error MEAN each level
    # keeps the slope of the posterior mean, v_t/v_{t+1}.
    variances = DEVIATION**2 + np.square(SIGMAS)
    kept = np.prod(variances[:-1] / variances[1:])
    standard_error = np.sqrt(variances[0] / len(drawn))
    # Steps of ε = 0.3 in chains of 30 keep e^(−4.5) of where they start, and have a bias of their
    # own in the variance.
    assert drawn.mean() == pytest.approx(MEAN * (1.0 - kept), abs=5 * standard_error)
    assert drawn.var() == pytest.approx(variances[0], rel=0.1)
    for t in range(2):
        variance = DEVIATION**2 + SIGMAS[t] ** 2
        np.testing.assert_allclose(
            model.score([[0.3]], level=t), [[-(0.3 - MEAN) / variance]], rtol=1e-4
        )


def test_training_finds_a_mixture_that_chains_would_not():
    """Two narrow modes of weights 0.7 and 0.3: score at the data, and shares of the samples."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    right = rng.random(4000) < 0.3
    x = np.where(right, 3.0, -3.0)[:, None] + 0.3 * rng.normal(size=(4000, 1))
    x = x.astype("float32")
    reference = networks.GaussianReference().adapt(x)
    levels = 12
    energy = networks.mlp((1,), (64, 64), "swish", num_classes=levels)
    model = tf_febm.MultiscaleScoreMatching(
        energy, reference, levels=levels, seed=0, average_decay=0.99,
        sampler=samplers.Langevin.exponential(20.0, 2),
    )  # fmt: skip
    steps = 1500
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps)))
    data = tf.data.Dataset.from_tensor_slices(x).shuffle(4000, seed=0).repeat().batch(128)
    model.fit(data, epochs=1, steps_per_epoch=steps, verbose=0)
    with model.averaged_weights():
        drawn = model.sample(2000, seed=0).numpy()
        points = np.array([[-3.4], [-3.0], [-2.6], [2.7], [3.2]], "float32")
        score = model.score(points, level=3).numpy()[:, 0]
    # Chains of the energy itself from noise keep the share of the basins, about a half.
    assert np.mean(drawn > 0.0) == pytest.approx(right.mean(), abs=0.06)
    assert np.abs(drawn).mean() == pytest.approx(3.0, abs=0.1)
    # The score of the noisy mixture, by hand; its scale at these points is 1/deviation.
    own = model.levels.sigmas[3] * float(reference.units[0])
    deviation = np.hypot(0.3, own)
    parts = [
        share * scipy.stats.norm.pdf(points[:, 0], mean, deviation)
        for share, mean in ((1 - right.mean(), -3.0), (right.mean(), 3.0))
    ]
    slopes = [(mean - points[:, 0]) / deviation**2 for mean in (-3.0, 3.0)]
    wanted = (parts[0] * slopes[0] + parts[1] * slopes[1]) / (parts[0] + parts[1])
    np.testing.assert_allclose(score, wanted, atol=0.5 / deviation)


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "js", "squared_hellinger", "pearson"])
def test_every_divergence_of_close_gaussians_is_one_squared_distance(name):
    """D_f(N(δ, 1), N(0, 1))/δ² tends to f''(1)/2: what recovery becomes where levels are close."""
    divergence, delta = divergences.get(name), 0.02

    def integrand(x):
        log_ratio = scipy.stats.norm.logpdf(x, delta) - scipy.stats.norm.logpdf(x)
        value = divergence.generator(tf.constant([log_ratio], tf.float64))
        return float(value[0]) * scipy.stats.norm.pdf(x)

    found = scipy.integrate.quad(integrand, -12.0, 12.0, epsabs=1e-14)[0]
    # f''(1) of the definitions in the paper's Table 1.
    second = {"kl": 1.0, "reverse_kl": 1.0, "js": 0.5, "squared_hellinger": 0.5, "pearson": 2.0}
    assert found / delta**2 == pytest.approx(second[name] / 2.0, rel=0.02)


def test_it_is_saved_exported_and_taken_up_by_recovery(tmp_path):
    """A conditional model: files draw what it draws, and `Recovery` goes on with it."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 2)).astype("float32"), np.arange(64) % 2
    reference = networks.GaussianReference().adapt(x)
    energy = networks.mlp((2,), (8, 8), "swish", num_classes=5)
    settings = {"levels": 3, "num_classes": 2, "seed": 1}
    model = tf_febm.MultiscaleScoreMatching(energy, reference, average_decay=0.9, **settings)
    model.compile()
    history = model.fit(x, y, validation_data=(x, y), verbose=0)
    assert np.isfinite(history.history[model.monitor]).all()
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    labels = np.array([0, 1, 1])
    np.testing.assert_array_equal(loaded.sample(3, labels, seed=5), model.sample(3, labels, seed=5))
    np.testing.assert_array_equal(loaded.energy(x, y, level=2), model.energy(x, y, level=2))

    other = tf_febm.Recovery(
        networks.mlp((2,), (8, 8), "swish", num_classes=5),
        networks.mlp((4,), (8, 8), "swish", num_classes=5),
        "js",
        reference=reference,
        **settings,
    )
    other.compile()
    other.energy_network.set_weights(model.energy_network.get_weights())
    # Of all examples, as the energy relative to the Gaussian of the level of the data.
    np.testing.assert_allclose(other.energy(x, y), model.energy(x, y), rtol=1e-6)
    np.testing.assert_allclose(
        other.energy(x, y) - other.reference.energy(x),
        other._evaluate(other.energy_network, other._as_batch(x, y)),
        atol=1e-4,
    )
    assert np.isfinite(other.fit(x, y, verbose=0).history["loss"]).all()


def test_the_network_is_a_sum_over_places():
    """Parts of the image that no convolution of the network joins add up: by NumPy, one layer."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    layer = networks.SumOfPlaces()
    layer.build((None, 3, 4, 5))
    linear, square = rng.normal(size=(2, 5)).astype("float32")
    layer.linear.assign(linear)
    layer.square.assign(square)
    seen = x / (1.0 + np.exp(-x))
    wanted = (seen * linear + seen**2 * square).sum((1, 2, 3))
    np.testing.assert_allclose(layer(x)[:, 0], wanted, rtol=1e-4)
    modulation = networks.Modulation()
    condition = rng.normal(size=(2, 6)).astype("float32")
    found = modulation([x, condition])
    scale, shift = np.split(condition @ modulation.kernel.numpy(), 2, axis=1)
    np.testing.assert_allclose(
        found, x * (1 + scale[:, None, None]) + shift[:, None, None], rtol=1e-4, atol=1e-5
    )
    # A row in the middle, by the definition of the waves.
    row = np.eye(4, dtype="float32")[[1]]
    waves = np.concatenate([f(np.pi * np.arange(1, 3) / 4) for f in (np.sin, np.cos)])
    np.testing.assert_allclose(
        networks.IndexFeatures(2)(row), [[*row[0], *waves]], rtol=1e-5, atol=1e-6
    )


def guided_model(**settings):
    """Return levels of σ = 0.2 and 30, whose classes have slopes of their own."""
    energy = LevelQuadratic()
    energy.build([(None, 1), (None, 3)])
    energy.pairs = False
    model = tf_febm.MultiscaleScoreMatching(
        energy, networks.GaussianReference.from_moments([0.0], [1.0]), levels=(0.2, 30.0),
        num_classes=2, seed=0, **settings,
    )  # fmt: skip
    model.build((None, 1))
    gain, scale = float(model.levels.gain(tf.ones([1, 1]))[0]), np.sqrt(0.2**2 + 1.0)
    # E(x) is that of N(0, 1 + 0.2²) plus a slope times x: −0.5 for all together, and −1 or +0.5.
    slopes = np.array([-0.5, -0.5, 1.0]) * scale / gain
    energy.table.assign(np.stack([slopes, np.zeros(3)], axis=1))
    return model


@pytest.mark.parametrize("guidance", [0.0, 0.8])
def test_guided_samples_follow_the_tilted_gaussian(guidance):
    """(1 + w)·slope of the class − w·slope of all is that of a Gaussian; its mean is −slope·v."""
    model = guided_model(label_dropout=0.1, guidance=guidance)
    labels = np.repeat([0, 1], 5000)
    drawn = model.sample(10_000, labels=labels, seed=1).numpy()[:, 0]
    variance, noise = 1.0 + 0.2**2, 30.0**2 - 0.2**2
    # x_0 given x_1 keeps v/(v + noise) of where it comes from, whose mean is 0.
    kept = noise / (variance + noise)
    for label, slope in enumerate([-1.0, 0.5]):
        whole = (1.0 + guidance) * slope - guidance * -0.5
        mean, error = drawn[labels == label].mean(), np.sqrt(variance / 5000)
        assert mean == pytest.approx(-whole * variance * kept, abs=5 * error)
    # Energies are those of the class.
    energy = model.energy([[1.0], [0.0]], [0, 0]).numpy()
    assert energy[0] - energy[1] == pytest.approx(-1.0 + 0.5 / variance, rel=1e-4)


def test_labels_are_hidden_in_training_alone():
    model, rows = guided_model(label_dropout=0.3), []
    given = model._energy_given

    def watched(labels, training=False):
        rows.append(labels.numpy())
        return given(labels, training)

    model._energy_given = watched
    data = tf_febm.models.chains.Batch(tf.zeros([4000, 1]), tf.zeros([4000], tf.int32))
    for training in (True, False):
        model._loss(data, tf.constant([1, 2]), training)
    trained, measured = rows
    assert measured[:, 1:].sum(1).min() == 1.0
    hidden = (trained[:, 1:].sum(1) == 0.0).mean()
    # Five standard errors of a share of 0.3 among 4,000.
    assert hidden == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 4000))
    assert (trained[:, :1] == 1.0).all()


def test_guidance_needs_the_energy_of_all_classes():
    with pytest.raises(ValueError, match="guidance=0.5 needs .* label_dropout above 0"):
        guided_model(guidance=0.5)
    with pytest.raises(ValueError, match=r"label_dropout must lie in \[0, 1\)"):
        guided_model(label_dropout=1.0)
    model = guided_model(label_dropout=0.1)
    plain = model.sample(4, seed=0).numpy()
    model.guidance = 2.0
    assert np.abs(model.sample(4, seed=0).numpy() - plain).max() > 0.1
