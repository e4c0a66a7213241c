"""BidirectionalEBM: a step by hand, the bounds through training, saving, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, samplers, training

RATE = 0.05
UNBOUNDED = samplers.Langevin.from_epsilon(0.01, 3)


@pytest.fixture
def data():
    """Sixty points of a bent Gaussian."""
    x = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)
    x[:, 1] += 0.5 * x[:, 0] ** 2
    return x


@pytest.fixture
def make():
    """Return a factory of small models, compiled with SGD where a rate is given."""

    def build(rate=None, d=2, size=2, batch_norm=False, eager=False, **settings):
        keras.utils.set_random_seed(5)
        energy = networks.mlp(size, (6,), name="energy")
        generator = networks.generator_mlp(d, size, (5,), "tanh", batch_norm=batch_norm)
        settings = {"sampler": UNBOUNDED, "seed": 3, **settings}
        model = tf_febm.BidirectionalEBM(energy, generator, d, **settings)
        sgd = keras.optimizers.SGD
        rates = () if rate is None else (sgd(rate), sgd(rate))
        model.compile(*rates, run_eagerly=eager)
        return model

    return build


class ByHand:
    """The step in NumPy and float64: closed forms of E, G and J, gradients by differences."""

    def __init__(self, model, x, z):
        self.theta, self.phi = (
            [w.astype(float) for w in network.get_weights()] for network in model.networks
        )
        self.model, self.x, self.z = model, x.astype(float), z.astype(float)

    @staticmethod
    def energy(x, theta):
        """Return E = tanh(x A + a) B + b, and its gradient."""
        hidden = np.tanh(x @ theta[0] + theta[1])
        gradient = ((1.0 - hidden**2) * theta[2][:, 0]) @ theta[0].T
        return (hidden @ theta[2] + theta[3])[:, 0], gradient

    @staticmethod
    def generator(z, phi):
        """Return G = tanh(z A + a) B + b, and J."""
        hidden = np.tanh(z @ phi[0] + phi[1])
        jacobian = np.einsum("ik,nk,kj->nji", phi[0], 1.0 - hidden**2, phi[2])
        return hidden @ phi[2] + phi[3], jacobian

    def log_volume(self, z, phi):
        values = np.linalg.svd(self.generator(z, phi)[1], compute_uv=False)
        if self.model.entropy == "logdet":
            return np.log(values).sum(axis=1)
        return 2.0 * np.log(values[:, -1])

    def log_density_gradient(self, h=1e-5):
        """Return ∇_z log p_g(G(z)), the volume's part by differences."""
        columns = [
            (self.log_volume(self.z + h * e, self.phi) - self.log_volume(self.z - h * e, self.phi))
            / (2.0 * h)
            for e in np.eye(2)
        ]
        return -self.z - np.stack(columns, axis=1)

    def penalty(self, theta):
        if self.model.penalty == "latent":
            samples, jacobian = self.generator(self.z, self.phi)
            pulled_back = np.einsum("nji,nj->ni", jacobian, self.energy(samples, theta)[1])
            total = pulled_back + self.log_density_gradient()
            return 0.5 * np.mean(np.sum(total**2, axis=1))
        if self.model.penalty == "data":
            return np.mean(np.sum(self.energy(self.x, theta)[1] ** 2, axis=1))
        return 0.0

    def energy_loss(self, theta):
        of_data = self.energy(self.x, theta)[0]
        of_samples = self.energy(self.generator(self.z, self.phi)[0], theta)[0]
        weighted = self.model.penalty_weight * self.penalty(theta) - self.model.penalty_threshold
        squares = np.mean(of_data**2) + np.mean(of_samples**2)
        return (
            np.mean(of_data) - np.mean(of_samples) + max(0.0, weighted)
            + self.model.l2_coeff * squares
        )  # fmt: skip

    def generator_loss(self, phi, theta):
        entropy = np.mean(self.log_volume(self.z, phi))
        samples = self.generator(self.z, phi)[0]
        return np.mean(self.energy(samples, theta)[0]) - self.model.entropy_weight * entropy

    @staticmethod
    def descend(loss, weights, h=1e-6):
        """Return the weights after one step of gradient descent, and the gradient's norm."""
        moved, squares = [], 0.0
        for k, weight in enumerate(weights):
            gradient = np.zeros_like(weight)
            for index in np.ndindex(weight.shape):
                ends = []
                for sign in (h, -h):
                    others = [w.copy() for w in weights]
                    others[k][index] += sign
                    ends.append(loss(others))
                gradient[index] = (ends[0] - ends[1]) / (2.0 * h)
            moved.append(weight - RATE * gradient)
            squares += np.sum(gradient**2)
        return moved, np.sqrt(squares)

    def step(self):
        theta, norm = self.descend(self.energy_loss, self.theta)
        phi, other = self.descend(lambda phi: self.generator_loss(phi, theta), self.phi)
        return theta, phi, norm, other


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"eager": False},
        {"penalty_weight": 0.3, "penalty_threshold": 0.1, "entropy_weight": 0.5, "l2_coeff": 0.2},
        {"penalty_weight": 0.3, "penalty_threshold": 1e3},
        {"entropy": "smallest_singular_value"},
        {"penalty": "data", "penalty_weight": 0.7, "entropy_weight": 0.0},
        {"penalty": None},
    ],
)
def test_a_step_by_hand(make, data, settings, monkeypatch):
    """SGD of both networks, φ after θ; tolerances are those of float32."""
    # Eagerly a single step is over before it would be compiled.
    model = make(RATE, **{"eager": True, **settings})
    z = np.random.default_rng(1).standard_normal((8, 2)).astype(np.float32)
    monkeypatch.setattr(model, "latents", lambda count, seed: tf.constant(z))
    by_hand = ByHand(model, data[:8], z)
    theta, phi, *norms = by_hand.step()
    history = model.fit(data[:8], batch_size=8, verbose=0).history
    for network, expected in zip(model.networks, (theta, phi), strict=True):
        for mine, theirs in zip(network.get_weights(), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=2e-4, atol=2e-6)
    measured = [history[f"{name}_gradient_norm"][0] for name in ("energy", "generator")]
    np.testing.assert_allclose(measured, norms, rtol=1e-3)
    if model.penalty is not None:
        np.testing.assert_allclose(history["penalty"], by_hand.penalty(by_hand.theta), rtol=1e-4)
    if settings.get("entropy_weight") == 0.0:
        assert not {"entropy", "lower_bound", "upper_bound"} & set(history)
        return
    expected = np.log(2.0 * np.pi) + 1.0 + np.mean(by_hand.log_volume(by_hand.z, by_hand.phi))
    np.testing.assert_allclose(history["entropy"], expected, rtol=1e-5)
    lower = history["energy_gap"][0] + expected
    np.testing.assert_allclose(history["lower_bound"], lower, rtol=1e-5)
    if model.penalty == "latent":
        weighted = model.penalty_weight * history["penalty"][0] - model.penalty_threshold
        np.testing.assert_allclose(history["upper_bound"], lower + max(0.0, weighted), rtol=1e-5)


def test_bounds_through_training():
    """A Gaussian energy and a linear generator: L in closed form lies between them all along.

    The weight is checked at its certified value, the inverse of the least eigenvalue of the
    pulled-back precision. Estimates over 40,000 points are good to about 0.02; in the end both
    bounds meet L, and the model its data.
    """
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(2)
    x = (rng.standard_normal((40_000, 2)) * [0.6, 1.8] + [1.0, -0.5]).astype(np.float32)
    energy = networks.quadratic(2)
    generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model = tf_febm.BidirectionalEBM(energy, generator, 2, sampler=UNBOUNDED, seed=1)
    adam = tf_febm.optimizers.FusedAdam
    model.compile(adam(0.01, beta_1=0.0), adam(0.01, beta_1=0.0))
    layer = energy.get_layer("gaussian")
    gaps = []
    for _ in range(6):
        found = model.evaluate(x, batch_size=20_000, verbose=0, return_dict=True)
        scale, matrix = np.array(layer.scale), np.array(generator.layers[0].kernel)
        log_z = np.log(2.0 * np.pi) + np.log(scale).sum()
        likelihood = np.mean(model.energy(x)) + log_z
        rho = np.linalg.eigvalsh(matrix @ np.diag(scale**-2.0) @ matrix.T)[0]
        upper = found["lower_bound"] + max(1.0, 1.0 / rho) * found["penalty"]
        assert found["lower_bound"] < likelihood + 0.03
        assert upper > likelihood - 0.03
        gaps.append((likelihood - found["lower_bound"], upper - likelihood))
        model.fit(x, batch_size=500, steps_per_epoch=80, verbose=0)
    assert min(gaps[0]) > 0.1 and max(gaps[-1]) < 0.1
    np.testing.assert_allclose(layer.mean, x.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(layer.scale, x.std(axis=0), rtol=0.15)


class TestBatchNormalisation:
    def test_one_function_everywhere(self, make, data):
        """Statistics move with training; the Jacobian is that of the map that makes samples."""
        model = make(batch_norm=True, eager=True)
        (layer,) = (
            part
            for part in model.generator_network.layers
            if isinstance(part, keras.layers.BatchNormalization)
        )
        before = np.array(layer.moving_variance)
        model.train_on_batch(data)
        assert np.abs(np.array(layer.moving_variance) - before).min() > 1e-4
        statistics = np.array(layer.moving_variance)
        z = model.latents(6, (1, 2))
        one_by_one = tf.concat([model.generate(z[i : i + 1]) for i in range(6)], axis=0)
        np.testing.assert_allclose(model.generate(z), one_by_one, rtol=1e-5, atol=1e-6)
        found = model._generated(z, (3, 4), with_entropy=True)
        matrices = tf_febm.entropy.jacobian(model.generate, z).numpy()
        volume = np.log(np.abs(np.linalg.det(matrices))).mean()
        expected = tf_febm.entropy.normal_entropy(2) + volume
        np.testing.assert_allclose(found.entropy, expected, rtol=1e-4)
        model.evaluate(data, batch_size=60, verbose=0)
        model.sample(5)
        np.testing.assert_array_equal(layer.moving_variance, statistics)


class TestSampling:
    def test_samples_are_the_generators(self, make):
        model = make()
        first, again = (model.sample(500, seed=4) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        # The pushforward of N(0, I): its quartiles, to four times their spread over 500 and 50,000.
        many = model.generate(model.latents(50_000, (0, 1))).numpy()
        for mine, theirs in zip(first.numpy().T, many.T, strict=True):
            share = np.mean(mine[:, None] < np.quantile(theirs, [0.25, 0.5, 0.75]), axis=0)
            np.testing.assert_allclose(share, [0.25, 0.5, 0.75], atol=0.09)

    def test_refining_is_a_chain_from_there(self, make):
        model = make()
        start = model.sample(7, seed=4)
        refined = model.sample(7, seed=4, refine_steps=3)
        np.testing.assert_array_equal(model.sample(7, seed=4, num_steps=3), refined)
        np.testing.assert_array_equal(model.sample(7, seed=4, refine_steps=0), start)
        assert 0.0 < np.abs(refined - start).max() < 1.0
        result = model.sample(7, seed=4, refine_steps=3, return_trajectory=True)
        np.testing.assert_array_equal(result.samples, refined)
        with pytest.raises(ValueError, match="refine_steps and num_steps are one"):
            model.sample(7, refine_steps=3, num_steps=2)

    def test_noise_is_what_other_models_start_from(self, make):
        model = make()
        noise = model.sample(4000, seed=1, initial="noise", num_steps=0)
        # N(0, I) to four times the spread of 4,000.
        np.testing.assert_allclose(np.std(noise, axis=0), 1.0, atol=0.05)
        with pytest.raises(ValueError, match="'generator' or 'noise'; received 'buffer'"):
            model.sample(3, initial="buffer")
        with pytest.raises(ValueError, match="labels were given"):
            model.sample(3, labels=[0, 1, 2])


def test_one_trace_and_directions_that_are_kept(make, data, monkeypatch):
    x = np.concatenate([data, data[::-1], data**2], axis=1)
    model = make(d=5, size=6, entropy="smallest_singular_value", entropy_iterations=2)
    traces = []
    original = model.train_step
    monkeypatch.setattr(model, "train_step", lambda batch: traces.append(1) or original(batch))
    before = model.directions.numpy()
    history = model.fit(x, batch_size=20, epochs=2, verbose=0).history
    assert len(traces) == 1
    assert set(history) == {*model.METRICS} - {*model.EVALUATION_ONLY}
    assert np.isfinite(list(history.values())).all()
    after = model.directions.numpy()
    # The ends of the last step come first; what was there before moves on.
    np.testing.assert_allclose(np.linalg.norm(after[:60], axis=1), 1.0, rtol=1e-5)
    assert np.abs(np.linalg.norm(before, axis=1) - 1.0).min() > 1e-4
    model.evaluate(x, batch_size=15, verbose=0)
    np.testing.assert_array_equal(model.directions, after)


def test_a_stored_model_trains_on_as_if_nothing_had_been(make, data, tmp_path):
    """In a file of Keras and in a checkpoint, with the state of the estimates of singular values.

    A compiled one goes on from checkpoints in the tests of continued runs.
    """
    x = np.concatenate([data, data[::-1]], axis=1)[:20]
    settings = {
        "d": 4, "size": 4, "entropy": "smallest_singular_value", "batch_norm": True,
        "average_decay": 0.9, "penalty_weight": 0.5, "penalty_threshold": 0.01,
        "entropy_weight": 0.9, "entropy_iterations": 3,
    }  # fmt: skip
    model = make(eager=True, **settings)
    for _ in range(2):
        model.train_on_batch(x)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for key in set(settings) - {"d", "size", "batch_norm"}:
        assert getattr(loaded, key) == getattr(model, key) == settings[key]
    training.Checkpoints(tmp_path / "c", model).save()
    restored = make(eager=True, **settings)
    assert training.Checkpoints(tmp_path / "c", restored).restore() == 2
    samples = model.sample(5, seed=1)
    model.train_on_batch(x)
    for other in (loaded, restored):
        np.testing.assert_array_equal(other.sample(5, seed=1), samples)
        other.train_on_batch(x)
        states = model.state_variables(), other.state_variables()
        for (name, mine), theirs in zip(states[0].items(), states[1].values(), strict=True):
            for a, b in zip(mine, theirs, strict=True):
                np.testing.assert_array_equal(a, b, err_msg=name)


def test_averaged_weights_are_those_of_both_networks(make, data):
    model = make(average_decay=0.5, eager=True)
    model.fit(data, batch_size=30, verbose=0)
    plain = model.sample(5, seed=1), model.energy(data)
    with model.averaged_weights():
        averaged = model.sample(5, seed=1), model.energy(data)
    for mine, theirs in zip(plain, averaged, strict=True):
        assert np.abs(mine - theirs).max() > 1e-5
    np.testing.assert_array_equal(model.sample(5, seed=1), plain[0])
    with pytest.raises(ValueError, match="average_decay"), make().averaged_weights():
        pass


def test_images(images):
    """Images within bounds, with convolutions and the default optimizers."""
    keras.utils.set_random_seed(0)
    model = tf_febm.BidirectionalEBM(
        networks.conv((4, 4, 1), 4, 8), networks.generator_dcgan(3, (4, 4, 1), 4), 3, seed=1
    )
    model.compile(run_eagerly=True)
    model.train_on_batch(images[:8])
    x = model.sample(5, refine_steps=2).numpy()
    assert x.shape == (5, 4, 4, 1) and x.min() >= 0.0 and x.max() <= 1.0
    assert model.evaluation_start == "generator"
    assert model.negative_batch(3).samples.shape == (3, 4, 4, 1)
    assert not hasattr(model, "log_density_ratio")


def test_auto_takes_the_whole_jacobian_of_few_dimensions():
    for d, expected in ((32, "logdet"), (33, "smallest_singular_value")):
        model = tf_febm.BidirectionalEBM(networks.mlp(40), networks.generator_mlp(d, 40), d)
        assert model.entropy == expected


def test_bad_arguments(make):
    network, generator = networks.mlp(2), networks.generator_mlp(2, 2)
    bidirectional = tf_febm.BidirectionalEBM
    for call, error, message in (
        (lambda: make(entropy="exact"), ValueError, "entropy must be .*; received 'exact'"),
        (lambda: make(penalty="gp"), ValueError, "penalty must be .*; received 'gp'"),
        (lambda: make(penalty_weight=-1.0), ValueError, "penalty_weight"),
        (lambda: make(penalty_threshold=-1.0), ValueError, "penalty_threshold"),
        (lambda: make(entropy_weight=np.nan), ValueError, "entropy_weight"),
        (lambda: make(entropy_iterations=2.5), ValueError, "entropy_iterations"),
        (lambda: make(l2_coeff=-1.0), ValueError, "l2_coeff"),
        (lambda: bidirectional(network, tf.identity, 2), TypeError, "generator must be a Keras"),
        (lambda: bidirectional(network, network, 2), ValueError, "two networks"),
        (lambda: bidirectional(network, generator, 3), ValueError, r"must take \[n, 3\]"),
        (
            lambda: bidirectional(networks.mlp(3), generator, 2),
            ValueError,
            r"examples of shape \(3,\); received \(2,\)",
        ),
        (
            lambda: bidirectional(network, networks.generator_mlp(3, 2), 3),
            ValueError,
            "latent_dim must be at most 2",
        ),
        (
            lambda: bidirectional(networks.mlp(2, num_classes=4), generator, 2),
            ValueError,
            "unconditional.* of 4 classes",
        ),
    ):
        with pytest.raises(error, match=message):
            call()
    model = make()
    with pytest.raises(ValueError, match="two objects"):
        one = keras.optimizers.Adam()
        model.compile(one, one)
    with pytest.raises(ValueError, match="takes none"):
        model.fit(np.zeros((8, 2), np.float32), np.zeros(8, np.int32), verbose=0)


def test_a_replica_without_examples_is_refused(make, data, monkeypatch):
    """The last batch of an epoch may be smaller than the number of replicas."""
    from tf_febm.models import bidirectional

    monkeypatch.setattr(bidirectional.parallel, "replicas", lambda: 2)
    assert int(bidirectional._count(data[:3])) == 3
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer examples than there are rep"):
        bidirectional._count(data[:0])
