"""PseudoSpherical: its gradient by quadrature, γ = 0, classes, replicas, outliers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

GRID = np.linspace(-6.0, 6.0, 601).astype("f4")[:, None]


def network(x, form):
    """Return Σ wᵢ φᵢ(x), a small energy whose weights are one vector."""
    features = keras.layers.Lambda(form)(x)
    dense = keras.layers.Dense(1, use_bias=False, name="weights")
    return keras.Model(x, dense(features))


def quartic():
    x = keras.Input((1,))
    model = network(x, lambda x: tf.concat([x, x**2, x**4], -1))
    model.set_weights([np.array([[0.3], [-0.4], [0.05]], "f4")])
    return model


def objective(weights, gamma, density):
    """The exact objective on the grid, in float64."""
    x = GRID.astype("f8")
    energy = (np.concatenate([x, x**2, x**4], 1) @ weights)[:, 0]
    step = GRID[1, 0] - GRID[0, 0]
    of_data = -np.log(np.sum(density * np.exp(-gamma * energy)) * step) / gamma
    return of_data + np.log(np.sum(np.exp(-(gamma + 1) * energy)) * step) / (gamma + 1)


def by_weight(density, count=20_000):
    """Return as many points of the grid as the density says, nearly."""
    places = (np.arange(count) + 0.5) / count
    return GRID[np.searchsorted(np.cumsum(density) / density.sum(), places)]


def gradient(model, x):
    """Return minus the step of an SGD of rate 1."""
    before = model.energy_network.get_weights()[0].copy()
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=True)
    model.train_on_batch(x)
    found = before - model.energy_network.get_weights()[0]
    model.energy_network.set_weights([before])
    return found[:, 0]


@pytest.mark.parametrize("gamma", [0.25, 1.0, 3.0])
def test_the_gradient_of_the_exact_objective(fixed_sampler, gamma):
    """Against finite differences of two integrals."""
    density = np.exp(-0.5 * (GRID[:, 0].astype("f8") - 1.0) ** 2 / 1.44)
    density /= density.sum() * (GRID[1, 0] - GRID[0, 0])
    energy = quartic()
    own = np.exp(-energy(GRID)[:, 0].numpy().astype("f8"))
    model = tf_febm.PseudoSpherical(
        energy, gamma, sampler=fixed_sampler(by_weight(own)), l2_coeff=0.0
    )
    found = gradient(model, by_weight(density))
    weights = energy.get_weights()[0].astype("f8")
    expected = []
    for i in range(3):
        up, down = weights.copy(), weights.copy()
        up[i] += 1e-4
        down[i] -= 1e-4
        expected.append((objective(up, gamma, density) - objective(down, gamma, density)) / 2e-4)
    # Points of the grid stand for the densities: 600 cells of 0.02.
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.02)


def make(kind, gamma=None, classes=None, **settings):
    keras.utils.set_random_seed(2)
    energy = tf_febm.networks.mlp(2, (8,), "swish", num_classes=classes)
    settings = {"sampler": tf_febm.samplers.Langevin.from_epsilon(0.05, 3), "seed": 1, **settings}
    own = {} if gamma is None else {"gamma": gamma}
    model = kind(energy, **own, **settings)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    return model


def plane(count=32, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 2)).astype("f4")


@pytest.mark.parametrize("case", ["plain", "weights", "classes", "reference"])
def test_without_gamma_it_is_contrastive_divergence(case):
    """Bit for bit."""
    x = plane()
    settings = {"classes": 3} if case == "classes" else {}
    if case == "reference":
        settings = {"reference": tf_febm.networks.GaussianReference().adapt(x), "sampler": None}
    given = {"y": np.arange(32) % 3} if case == "classes" else {}
    if case in ("weights", "classes"):
        given["sample_weight"] = (np.arange(32) % 4).astype("f4")
    logs, weights = [], []
    for kind, gamma in ((tf_febm.PseudoSpherical, 0.0), (tf_febm.ContrastiveDivergence, None)):
        model = make(kind, gamma, **settings)
        logs.append(model.train_on_batch(x, **given, return_dict=True))
        weights.append(model.energy_network.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert {name: logs[0][name] for name in logs[1]} == logs[1]
    if case == "plain":
        assert logs[0]["effective_data"] == logs[0]["effective_model"] == 1.0


def test_a_constant_of_a_class_does_not_matter(fixed_sampler):
    """Energies of two classes have no common zero."""
    x, made, labels = plane(), plane(seed=1), np.arange(32) % 2
    found = []
    for shift in (0.0, 40.0):
        keras.utils.set_random_seed(2)
        plain = tf_febm.networks.mlp(2, (8,), "swish", num_classes=2)
        moved = plain(plain.inputs) + keras.layers.Dense(
            1, use_bias=False, kernel_initializer=keras.initializers.Constant([[0.0], [shift]])
        )(plain.inputs[1])
        energy = keras.Model(plain.inputs, moved)
        energy.layers[-2].trainable = False
        model = tf_febm.PseudoSpherical(
            energy, 0.7, sampler=fixed_sampler(made), l2_coeff=0.0, num_classes=2
        )
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        model.train_on_batch(x, labels)
        found.append(plain.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_energies_far_from_zero(fixed_sampler):
    """Where e^(−γE) has no float32: the step is that of the energy without the constant."""
    found = []
    for constant in (0.0, 500.0):
        model = make(
            tf_febm.PseudoSpherical, 1.0, sampler=fixed_sampler(plane(seed=1)), l2_coeff=0.0
        )
        kernel, bias = model.energy_network.layers[-1].get_weights()
        model.energy_network.layers[-1].set_weights([kernel, bias + constant])
        model.train_on_batch(plane())
        found.append([*model.energy_network.get_weights()[:-1]])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(
    ("share", "gamma"), [pytest.param(0.05, 0.5, marks=pytest.mark.thorough), (0.2, 1.0)]
)
def test_outliers_pull_the_mean_of_contrastive_divergence_alone(share, gamma):
    """N(0, 1) with outliers at 6: likelihood's mean is 6·share, the robust one is near 0.

    The truth of γ > 0 is the minimum of the exact objective over Gaussians, by a grid.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 1)).astype("f4")
    x[: int(2000 * share)] = 6.0 + 0.3 * rng.normal(size=(int(2000 * share), 1))

    def trained(gamma):
        energy = tf_febm.networks.quadratic(1)
        gaussian = energy.get_layer("gaussian")

        def exact(energy_fn, initial_state, seed, **options):
            noise = tf.random.stateless_normal(tf.shape(initial_state), seed)
            return gaussian.mean + gaussian.scale * noise

        model = tf_febm.PseudoSpherical(energy, gamma, sampler=exact, l2_coeff=0.0, seed=1)
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.03, 300)))
        model.fit(tf.data.Dataset.from_tensors(x).repeat(), steps_per_epoch=300, verbose=0)
        return float(gaussian.mean[0]), float(gaussian.scale[0])

    pulled, wide = trained(0.0)
    assert pulled == pytest.approx(x.mean(), abs=0.05)
    assert wide == pytest.approx(x.std(), abs=0.06)
    mean, scale = trained(gamma)
    best = _best_gaussian(x[:, 0].astype("f8"), gamma)
    np.testing.assert_allclose((mean, scale), best, atol=0.05)
    assert abs(mean) < 0.15 * pulled


def _best_gaussian(x, gamma):
    """Return the mean and deviation that minimise L: ∫ e^(−(γ+1)E) is closed for a Gaussian."""
    means, scales = np.meshgrid(np.linspace(-0.3, 0.5, 81), np.linspace(0.8, 1.5, 71))
    energy = 0.5 * ((x - means[..., None]) / scales[..., None]) ** 2
    of_data = -np.log(np.exp(-gamma * energy).mean(-1)) / gamma
    loss = of_data + 0.5 * np.log(2 * np.pi * scales**2 / (gamma + 1)) / (gamma + 1)
    best = np.unravel_index(loss.argmin(), loss.shape)
    return means[best], scales[best]


def test_says_what_counts(fixed_sampler):
    model = make(tf_febm.PseudoSpherical, 50.0, l2_coeff=0.0)
    logs = model.train_on_batch(plane(), return_dict=True)
    assert 1 / 32 <= logs["effective_data"] < 0.8
    with pytest.raises(ValueError, match="gamma must be a finite number ≥ 0; received -1"):
        tf_febm.PseudoSpherical(tf_febm.networks.mlp(2, (4,)), -1.0)
