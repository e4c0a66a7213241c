"""NoiseContrastive: Gaussians whose log density it must learn, weights, labels, saving."""

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

import tf_febm
from tf_febm import NoiseContrastive, divergences, networks, samplers

# Of the data, and of the noise.
MEAN, SCALE, NOISE_SCALE = 1.0, 0.7, 1.5
SAMPLER = samplers.Langevin.from_epsilon(0.01, 10)


def quadratic_network() -> keras.Model:
    """Return E(x) = a·x + b·x², zero at first, without a constant of its own."""
    x = keras.Input((1,))
    features = keras.layers.Concatenate()([x, keras.layers.Lambda(lambda x: x**2)(x)])
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    return keras.Model(x, dense(features))


def gaussian_noise():
    return networks.GaussianReference.from_moments(np.zeros(1, "f4"), np.full(1, NOISE_SCALE, "f4"))


class Quantiles:
    """The noise's quantiles as its samples: expectations without the error of sampling."""

    def __init__(self, scale: float = NOISE_SCALE):
        self.scale = scale

    def sample(self, count, seed=None):
        count = tf.cast(count, tf.float64)
        places = (tf.range(count, dtype=tf.float64) + 0.5) / count
        normal = np.sqrt(2.0) * tf.math.erfinv(2.0 * places - 1.0)
        return tf.cast(self.scale * normal[:, None], tf.float32)

    def log_prob(self, x):
        return -0.5 * tf.square(x[:, 0] / self.scale) - np.log(self.scale * np.sqrt(2 * np.pi))


def quantiles(count: int, mean: float = MEAN, scale: float = SCALE) -> np.ndarray:
    places = (np.arange(count) + 0.5) / count
    return scipy.stats.norm(mean, scale).ppf(places).astype("f4")[:, None]


@pytest.mark.parametrize("divergence", divergences.names())
def test_the_density_of_the_data_is_the_optimum(divergence):
    """At −E − c = log p no gradient is left, and there is some a little beside it."""
    mean, scale, width = 0.2, 1.3, 1.35
    # E + c = ½((x − m)/s)² + log(s √(2π)).
    slopes = np.array([[-mean / scale**2], [0.5 / scale**2]])
    constant = 0.5 * (mean / scale) ** 2 + np.log(scale * np.sqrt(2 * np.pi))
    model = NoiseContrastive(
        quadratic_network(), Quantiles(width), divergence, sampler=SAMPLER, noise_ratio=1
    )
    model.compile(keras.optimizers.SGD(1e-9))
    x = quantiles(50_000, mean, scale)

    def norm_and_bound(slopes, constant):
        model.set_weights([constant, slopes])
        found = model.train_on_batch(x, return_dict=True)
        model.reset_metrics()
        return found["energy_gradient_norm"], found["bound"]

    at, bound = norm_and_bound(slopes, constant)
    for moved in ((slopes + [[0.1], [0.0]], constant), (slopes * 1.1, constant)):
        assert at < 0.05 * norm_and_bound(*moved)[0]
    assert at < 0.05 * norm_and_bound(slopes, constant + 0.1)[0]
    if divergence == "kl":
        kl = np.log(width / scale) + (scale**2 + mean**2) / (2 * width**2) - 0.5
        assert bound == pytest.approx(kl, rel=1e-3)


def test_learns_the_log_density_of_a_gaussian():
    """−E − c becomes log p, constant included, and the log ratio that of two Gaussians."""
    model = NoiseContrastive(quadratic_network(), Quantiles(), sampler=SAMPLER, seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    data = tf.data.Dataset.from_tensors(quantiles(500)).repeat()
    for rate in (0.05, 0.005):
        model.optimizer.learning_rate = rate
        model.fit(data, steps_per_epoch=400, verbose=0)
    x = np.linspace(-0.5, 2.5, 13)
    density = scipy.stats.norm(MEAN, SCALE).logpdf(x)
    # Midpoint rules of 500 and 2,000 quantiles leave out tails of 1/1000: some 0.01 nats.
    np.testing.assert_allclose(model.log_prob(x[:, None].astype("f4")), density, atol=0.03)
    expected = density - scipy.stats.norm(0.0, NOISE_SCALE).logpdf(x)
    np.testing.assert_allclose(model.log_noise_ratio(x[:, None].astype("f4")), expected, atol=0.03)


def test_a_reference_is_the_noise():
    """Relative to it the log ratio is −f − c, 0 at first; log_prob is then that of the Gaussian."""
    model = NoiseContrastive(quadratic_network(), reference=gaussian_noise(), seed=0)
    x = np.linspace(-3, 3, 7, dtype="f4")[:, None]
    np.testing.assert_array_equal(model.log_noise_ratio(x), 0.0)
    expected = scipy.stats.norm(0.0, NOISE_SCALE).logpdf(x[:, 0])
    np.testing.assert_allclose(model.log_prob(x), expected, atol=1e-5)
    given = NoiseContrastive(quadratic_network(), gaussian_noise(), sampler=SAMPLER, seed=0)
    np.testing.assert_allclose(given.log_noise_ratio(x), -expected, atol=1e-5)
    model.compile(keras.optimizers.Adam(0.05))
    data = tf.data.Dataset.from_tensors(quantiles(1000)).repeat()
    model.fit(data, steps_per_epoch=200, verbose=0)
    density = scipy.stats.norm(MEAN, SCALE).logpdf(np.linspace(0, 2, 5))
    # 200 batches of 4,000 draws of the noise: a few hundredths.
    np.testing.assert_allclose(
        model.log_prob(np.linspace(0, 2, 5, dtype="f4")[:, None]), density, atol=0.15
    )
    assert tf_febm.evaluation.gain_over_reference(model, quantiles(500)).log_partition == (
        pytest.approx(0.0, abs=0.1)
    )


def test_examples_count_by_their_weights():
    """A weight of 3 is the example three times."""
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(6, 1)).astype("f4"), np.array([1, 3, 1, 1, 2, 1], "f4")

    def trained(x, weights):
        model = NoiseContrastive(
            quadratic_network(), Quantiles(), "js", sampler=SAMPLER, noise_ratio=1, seed=0
        )
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(x, sample_weight=weights, batch_size=len(x), epochs=3, verbose=0)
        return model

    weighted = trained(np.repeat(x, 100, axis=0), np.repeat(weights, 100))
    repeated = trained(np.repeat(x, (100 * weights).astype(int), axis=0), None)
    # The noise is 600 and 900 quantiles.
    for one, other in zip(weighted.get_weights()[:2], repeated.get_weights()[:2], strict=True):
        np.testing.assert_allclose(one, other, rtol=0.02, atol=1e-3)


class Other(Quantiles):
    """Noise that is not one float32 density for each example."""

    def __init__(self, shape=(1,), each=False, dtype=tf.float32):
        self.shape, self.each, self.dtype = shape, each, dtype

    def sample(self, count, seed=None):
        return tf.zeros([count, *self.shape], self.dtype)

    def log_prob(self, x):
        assert x.dtype == self.dtype
        return -x if self.each else -x[:, 0]


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (Other((2,)), r"sample\(2\) must be floating numbers of shape \(2, 1\).* received shape"),
        (Other(()), r"sample\(2\) must be floating numbers of shape \(2, 1\)"),
        (Other(dtype=tf.int32), "must be floating .* dtype int32"),
        # One number of each would be spread over all by broadcasting.
        (Other(each=True), r"one number for each example.* give tfp.distributions.Independent\(no"),
    ],
)
def test_noise_that_has_not_one_density_of_each_example_is_refused(noise, message):
    with pytest.raises(ValueError, match=message):
        NoiseContrastive(quadratic_network(), noise, sampler=SAMPLER)


def test_noise_is_asked_in_its_own_dtype():
    model = NoiseContrastive(quadratic_network(), Other(dtype=tf.float64), sampler=SAMPLER)
    np.testing.assert_array_equal(model.log_noise_ratio(np.ones((2, 1), "f4")), [1.0, 1.0])


def test_labels_go_with_the_noise():
    """Each class has its own density."""
    x, label = keras.Input((1,)), keras.Input((2,))
    features = keras.layers.Concatenate()([x, keras.layers.Lambda(lambda x: x**2)(x)])
    by_label = keras.layers.Dense(3, use_bias=False, kernel_initializer="zeros")(label)
    one = keras.layers.Concatenate()([features, keras.layers.Lambda(lambda x: 0 * x + 1)(x)])
    network = keras.Model([x, label], keras.layers.Dot(1)([one, by_label]))
    model = NoiseContrastive(network, gaussian_noise(), "js", sampler=SAMPLER, seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    data = np.concatenate([quantiles(400), -quantiles(400)])
    labels = np.repeat([0, 1], 400)
    model.fit(tf.data.Dataset.from_tensors((data, labels)).repeat(), steps_per_epoch=300, verbose=0)
    x = np.linspace(0, 2, 5, dtype="f4")[:, None]
    density = scipy.stats.norm(MEAN, SCALE).logpdf(x[:, 0])
    # As above, with half as many draws for each class.
    np.testing.assert_allclose(model.log_prob(x, np.zeros(5, "i4")), density, atol=0.2)
    np.testing.assert_allclose(model.log_prob(-x, np.ones(5, "i4")), density, atol=0.2)


def test_is_saved_with_its_noise(tmp_path):
    x = np.linspace(-1, 1, 5, dtype="f4")[:, None]
    network = networks.mlp((1,), (8,))
    for made in (
        NoiseContrastive(
            network,
            gaussian_noise(),
            "kl",
            sampler=SAMPLER,
            noise_ratio=2,
            average_decay=0.9,
            seed=0,
        ),
        NoiseContrastive(networks.mlp((1,), (8,)), reference=gaussian_noise(), seed=0),
    ):
        made.compile(keras.optimizers.Adam(1e-2))
        made.fit(x, epochs=2, verbose=0)
        made.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(loaded.log_noise_ratio(x), made.log_noise_ratio(x), rtol=1e-5)
        assert (loaded.noise is loaded.reference) == (made.noise is made.reference)
        assert len(made.weights) == 5
        for model in (made, loaded):
            model.fit(x, epochs=1, verbose=0)
        np.testing.assert_array_equal(loaded.log_prob(x), made.log_prob(x))
    model = NoiseContrastive(networks.mlp((1,), (8,)), Quantiles())
    with pytest.raises(TypeError, match="cannot be saved as a whole: give a networks.Gaussian"):
        model.save(tmp_path / "other.keras")


def test_samples_are_not_weighed_by_a_ratio_to_the_noise():
    """Weights of samples of q are made of log p/q, which is another ratio."""
    model = NoiseContrastive(quadratic_network(), reference=gaussian_noise(), seed=0)
    with pytest.raises((TypeError, AttributeError, ValueError), match="log_density_ratio"):
        tf_febm.applications.importance_weights(model, np.zeros((4, 1), "f4"))
    assert (
        tf_febm.applications.ood_scores(model, np.zeros((4, 1), "f4"))
        .keys()
        .isdisjoint({"negative_log_density_ratio"})
    )


def test_says_what_it_needs():
    network = networks.mlp((1,), (8,))
    with pytest.raises(ValueError, match="Give noise, a density that is known, or a reference"):
        NoiseContrastive(network)
    with pytest.raises(TypeError, match=r"noise must have sample\(n, seed=\) and log_prob"):
        NoiseContrastive(network, "gaussian")
    with pytest.raises(ValueError, match="The noise has no fit yet"):
        NoiseContrastive(network, networks.GaussianReference())
    with pytest.raises(ValueError, match="noise_ratio must be a whole number ≥ 1"):
        NoiseContrastive(network, Quantiles(), noise_ratio=0)
    model = NoiseContrastive(network, Quantiles(), "kl", log_ratio_clip=5.0)
    model.divergence = "js"
    assert model.divergence.log_ratio_clip == 5.0
    assert model.divergence.name == divergences.get("js").name
    model.log_ratio_clip = None
    assert (model.divergence.log_ratio_clip, model.log_ratio_clip) == (None, None)
    assert divergences.get("js", None) is model.divergence
