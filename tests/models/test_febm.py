"""FEBM: one step by hand, the metrics, the surface, labels."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tf_febm
from tf_febm import divergences

METRICS = {
    "loss",
    "bound",
    "energy_data",
    "energy_model",
    "energy_gap",
    "log_ratio_mean",
    "log_ratio_std",
    "energy_gradient_norm",
    "variational_gradient_norm",
    "buffer_fill",
}


def weights(network):
    return [w.copy() for w in network.get_weights()]


class TestTrainStep:
    """One SGD step against the formulas of the paper, written out with no code of the library."""

    # Every two of the settings meet; one of them is compiled, as all are in the table of crossings.
    @pytest.mark.parametrize(
        ("name", "leave_one_out", "steps", "l2_omega", "eager"),
        [
            ("js", True, 1, None, True),
            ("js", False, 3, 0.7, True),
            ("kl", True, 3, 0.7, False),
            ("kl", False, 1, None, True),
            ("alpha:-0.5", True, 3, 0.7, True),
            ("alpha:-0.5", False, 1, None, True),
        ],
    )
    def test_against_algorithm_1_by_hand(
        self, make, images, fixed_sampler, name, leave_one_out, steps, l2_omega, eager
    ):
        x_data, x_model = images[:8], images[8:16][:, ::-1].copy()
        rate, l2 = 0.05, 0.3
        model = make(
            name,
            sampler=fixed_sampler(x_model),
            buffer=None,
            l2_coeff=l2,
            leave_one_out=leave_one_out,
            warmup_steps=0,
            variational_steps=steps,
            variational_l2_coeff=l2_omega,
            compile=False,
        )
        sgd = keras.optimizers.SGD
        model.compile(sgd(rate), sgd(rate), run_eagerly=eager)
        e, h = model.energy_network, model.variational_network
        e0, h0 = weights(e), weights(h)
        model.train_on_batch(x_data)
        e1, h1 = weights(e), weights(h)

        # By hand, with the textbook forms of f' and F.
        slope, conjugate = {
            "js": (
                lambda r: tf.math.log(2 * tf.exp(r) / (1 + tf.exp(r))),
                lambda r: tf.math.log((1 + tf.exp(r)) / 2),
            ),
            "kl": (lambda r: 1 + r, tf.exp),
            "alpha:-0.5": (
                lambda r: (tf.exp(-1.5 * r) - 1) / -1.5,
                lambda r: (tf.exp(-0.5 * r) - 1) / -0.5,
            ),
        }[name]
        e.set_weights(e0), h.set_weights(h0)
        for _ in range(steps):
            with tf.GradientTape() as tape:
                r_data, r_model = h(x_data) + e(x_data), h(x_model) + e(x_model)
                bound = tf.reduce_mean(slope(r_data)) - tf.reduce_mean(conjugate(r_model))
                penalty = tf.reduce_mean(h(x_data) ** 2) + tf.reduce_mean(h(x_model) ** 2)
                loss = -bound + (l2_omega or l2) * penalty
            gradients = tape.gradient(loss, h.trainable_variables)
            for w, g in zip(h.trainable_variables, gradients, strict=True):
                w.assign_sub(rate * g)
        for mine, theirs in zip(h.get_weights(), h1, strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=2e-5, atol=1e-7)

        with tf.GradientTape(persistent=True) as tape:
            e_data, e_model = e(x_data)[:, 0], e(x_model)[:, 0]
            f_data = slope(tf.stop_gradient(h(x_data)[:, 0]) + e_data)
            f_model = conjugate(tf.stop_gradient(h(x_model)[:, 0]) + e_model)
            direct = tf.reduce_mean(f_data) - tf.reduce_mean(f_model)
            penalty = tf.reduce_mean(e_data**2) + tf.reduce_mean(e_model**2)
            single = tf.unstack(e_model)
        centre = tf.reduce_mean(f_model)
        for i, w in enumerate(e.trainable_variables):
            gradient = tape.gradient(direct, w) + l2 * tape.gradient(penalty, w)
            # cov(F, ∇E) over the batch, from the gradient of each energy.
            zero = tf.UnconnectedGradients.ZERO
            slopes = tf.stack([tape.gradient(one, w, unconnected_gradients=zero) for one in single])
            centred = tf.reshape(f_model - centre, [-1] + [1] * (slopes.shape.rank - 1))
            gradient += tf.reduce_sum(centred * slopes, 0) / (7 if leave_one_out else 8)
            np.testing.assert_allclose(e1[i], e0[i] - rate * gradient, rtol=2e-5, atol=1e-7)

    def test_warm_up_trains_on_the_penalty_alone(self, make, images, fixed_sampler):
        """With the objective silent, networks that are zero everywhere stay so."""

        def run(steps):
            model = make(
                sampler=fixed_sampler(1 - images[:8]), buffer=None, warmup_steps=2, compile=False
            )
            for network in model.networks:
                network.set_weights([np.zeros_like(w) for w in network.get_weights()])
                network.layers[-1].set_weights([np.ones((16, 1)), np.zeros(1)])
            sgd = keras.optimizers.SGD
            model.compile(sgd(0.1), sgd(0.1), run_eagerly=True)
            for _ in range(steps):
                model.train_on_batch(images[:8])
            return sum(np.abs(w).sum() for n in model.networks for w in n.layers[-2].get_weights())

        assert run(2) == 0.0
        assert run(3) > 0.0

    def test_one_trace_and_the_metrics(self, make, images, monkeypatch):
        """One trace of the step for a whole fit, over epochs, fits and odd last batches.

        Its metrics say what happened, and an evaluation changes neither buffer nor weights.
        """
        model = make()
        traces = []
        original = model.train_step
        monkeypatch.setattr(model, "train_step", lambda data: traces.append(1) or original(data))
        history = model.fit(images[:60], batch_size=16, epochs=2, verbose=0).history
        model.fit(images[:60], batch_size=16, verbose=0)
        assert len(traces) == 1
        assert set(history) == METRICS
        assert np.isfinite([history[name] for name in METRICS]).all()
        assert history["buffer_fill"][-1] > history["buffer_fill"][0]
        gap = np.array(history["energy_data"]) - history["energy_model"]
        np.testing.assert_allclose(history["energy_gap"], gap, atol=1e-5)

        before = model.buffer.state(), weights(model)
        evaluated = model.evaluate(images, batch_size=16, verbose=0, return_dict=True)
        assert set(evaluated) == {*METRICS, "sample_distance"} - {
            "energy_gradient_norm",
            "variational_gradient_norm",
        }
        np.testing.assert_array_equal(model.buffer.samples[:64], before[0]["samples"][:64])
        assert int(model.buffer.written) == before[0]["written"]
        for mine, theirs in zip(model.get_weights(), before[1], strict=True):
            np.testing.assert_array_equal(mine, theirs)

    def test_sampling_traces_once_for_any_number_of_chains(self, make):
        model = make()
        for count in (2, 3, 5):
            model.sample(count, seed=1)
        model.sample(2)
        assert model._compiled_chain.experimental_get_tracing_count() == 1

    def test_every_divergence_trains(self, make, images):
        """Each of them assigned to one model, whose weights are set back before it."""
        model = make(eager=True, warmup_steps=0)
        start = model.get_weights()
        for name in [*divergences.names(), "alpha:0.5"]:
            model.set_weights(start)
            model.divergence = name
            logs = model.train_on_batch(images[:16], return_dict=True)
            assert np.isfinite(logs["bound"]), name
            assert logs["variational_gradient_norm"] > 0.0, name
            assert all(np.isfinite(w).all() for w in model.get_weights()), name

    def test_same_seed_same_run(self, make, images):
        def run(seed):
            model = make(seed=seed, eager=True, warmup_steps=0)
            for _ in range(2):
                model.train_on_batch(images[:8])
            made = model.negative_batch(4).samples.numpy()
            return np.concatenate([w.ravel() for w in model.get_weights()]), made

        (w1, x1), (w2, x2), (w3, x3) = run(5), run(5), run(6)
        np.testing.assert_array_equal(w1, w2)
        np.testing.assert_array_equal(x1, x2)
        assert np.abs(w1 - w3).max() > 0 and np.abs(x1 - x3).max() > 0


def test_finds_a_gaussian():
    """With exact samples, f-EBM with a quadratic energy finds the data's mean and scale.

    The data is N(1, 0.5²), the divergence squared Hellinger. The tolerance is ten times the spread
    of the sample mean of the last 100 batches of 1,000, 0.5/√(100,000) = 0.0016.
    """
    keras.utils.set_random_seed(0)
    energy = tf_febm.networks.quadratic(1)
    gaussian = energy.get_layer("gaussian")

    def exact(energy_fn, initial_state, seed):
        noise = tf.random.stateless_normal(tf.shape(initial_state), seed)
        return gaussian.mean + gaussian.scale * noise

    model = tf_febm.FEBM(
        energy,
        tf_febm.networks.mlp(1, (32, 32)),
        "squared_hellinger",
        sampler=exact,
        l2_coeff=0.0,
        seed=1,
    )
    decay = [keras.optimizers.schedules.CosineDecay(0.02, 400) for _ in range(2)]
    model.compile(keras.optimizers.Adam(decay[0]), keras.optimizers.Adam(decay[1]))
    data = tfp.distributions.Normal(1.0, 0.5).sample((50_000, 1), seed=2).numpy()
    model.fit(data, batch_size=1000, epochs=8, verbose=0)
    assert float(gaussian.mean[0]) == pytest.approx(1.0, abs=0.016)
    assert float(gaussian.scale[0]) == pytest.approx(0.5, abs=0.016)
    # At the optimum the learned log ratio vanishes where the data is.
    assert np.abs(model.log_density_ratio(data[:1000])).mean() < 0.05


class TestSurface:
    def test_score_against_finite_differences(self, make, images):
        model = make()
        x = images[:3].astype(np.float64)
        score = model.score(images[:3]).numpy()
        rng = np.random.default_rng(0)
        for _ in range(5):
            direction = rng.standard_normal(x.shape)
            ahead, behind = (
                model.energy((x + s * 1e-2 * direction).astype(np.float32)).numpy() for s in (1, -1)
            )
            slope = -np.sum(score * direction, axis=(1, 2, 3))
            np.testing.assert_allclose((ahead - behind) / 2e-2, slope, rtol=2e-2, atol=1e-4)

    def test_energies_and_ratios(self, make, images):
        model = make()
        e, h = (network(images)[:, 0] for network in model.networks)
        np.testing.assert_allclose(model.energy(images), e, rtol=1e-6)
        np.testing.assert_allclose(model.log_density_ratio(images), e + h, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(model(images), e, rtol=1e-6)
        np.testing.assert_allclose(
            model.predict(images, batch_size=10, verbose=0), e, rtol=1e-5, atol=1e-7
        )

    def test_sample(self, make, images):
        model = make()
        x = model.sample(5, seed=(1, 2))
        assert x.shape == (5, 4, 4, 1) and x.dtype == tf.float32
        assert float(tf.reduce_min(x)) >= 0.0 and float(tf.reduce_max(x)) <= 1.0
        np.testing.assert_array_equal(x, model.sample(5, seed=(1, 2)))
        assert np.abs(model.sample(5).numpy() - model.sample(5).numpy()).max() > 0
        result = model.sample(5, seed=1, num_steps=7, return_diagnostics=True)
        assert result.energy.shape == (7, 5)
        with pytest.raises(ValueError, match="samples in it"):
            model.sample(5, initial="buffer")
        model.train_step(images[:16])
        assert model.sample(5, initial="buffer").shape == (5, 4, 4, 1)

    @pytest.mark.parametrize("kind", ["sequential", "subclassed", "layer"])
    def test_networks_of_any_keras_kind(self, make, images, kind):
        class Net(keras.Model):
            def __init__(self):
                super().__init__()
                self.flatten, self.out = keras.layers.Flatten(), keras.layers.Dense(1)

            def call(self, x):
                return self.out(self.flatten(x))[:, 0]

        def network():
            if kind == "sequential":
                return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
            return Net() if kind == "subclassed" else keras.layers.Dense(1)

        if kind == "layer":
            images = images.reshape(64, 16)
        # The one that is compiled has layers that are built within it.
        model = make(networks=(network(), network()), eager=kind != "subclassed")
        assert not model.built
        dataset = tf.data.Dataset.from_tensor_slices(images).batch(32)
        history = model.fit(dataset, verbose=0).history
        assert np.isfinite(history["bound"]).all()
        assert len(model.optimizer.variables) > 2

    def test_datasets_arrays_and_callbacks(self, make, images, tmp_path):
        model = make(eager=True)
        seen = []
        model.fit(
            tf.data.Dataset.from_tensor_slices(images).batch(16).repeat(),
            steps_per_epoch=1,
            epochs=2,
            validation_data=tf.data.Dataset.from_tensor_slices(images[:16]).batch(16),
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs)),
                keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            ],
            verbose=0,
        )
        assert {"bound", "val_bound", "val_energy_gap"} <= set(seen[-1])
        assert "val_bound" in (tmp_path / "log.csv").read_text()

    def test_a_new_sampler_takes_effect(self, make, images):
        model = make(eager=True)
        other = make(sampler=tf_febm.samplers.Langevin(num_steps=9))
        other.set_weights(model.get_weights())
        before = model.sample(3, seed=1)
        model.sampler = other.sampler
        np.testing.assert_array_equal(model.sample(3, seed=1), other.sample(3, seed=1))
        assert np.abs(model.sample(3, seed=1) - before).max() > 0

    def test_a_sampler_of_other_bounds_does_not_fit_the_buffer(self, make, images):
        """What is stored has their dtype, and could not be loaded again."""
        model = make(buffer=tf_febm.ReplayBuffer(32), eager=True)
        model.negative_batch(16)
        with pytest.raises(ValueError, match=r"holds samples with bounds \(0.0, 1.0\); .* None"):
            model.sampler = tf_febm.samplers.MALA(0.1, num_steps=2)
        assert isinstance(model.sampler, tf_febm.samplers.Langevin)

    def test_a_function_as_sampler_must_be_registered_to_be_saved(self, make, tmp_path):
        def still(energy_fn, initial_state, seed, **options):
            return initial_state

        model = make(sampler=still)
        with pytest.raises(TypeError, match="sampler is the function .*still cannot be saved"):
            model.save(tmp_path / "m.keras")

    @pytest.mark.parametrize("method", ["evaluate", "train_on_batch", "predict"])
    def test_unbuilt_networks_need_no_fit_first(self, make, images, method):
        networks = [
            keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)]) for _ in range(2)
        ]
        model = make(networks=networks, eager=True, buffer=None)
        result = getattr(model, method)(images[:16])
        assert np.isfinite(result).all()
        if method == "train_on_batch":
            # Without a buffer chains start afresh.
            assert result[model.METRICS.index("buffer_fill")] == 0.0


class TestConditional:
    def test_labels_go_through_training_and_sampling(self, make, images, labels):
        model = make(classes=3, eager=True)
        assert model.num_classes == 3
        dataset = tf.data.Dataset.from_tensor_slices((images, labels)).batch(32)
        model.fit(dataset.take(1), verbose=0)
        model.fit(images[:32], labels[:32], verbose=0)
        model.train_on_batch(images[:8], keras.utils.to_categorical(labels[:8], 3))
        assert set(model.buffer.labels.numpy()) <= {0, 1, 2}
        batch = model.sample_batch(6, seed=1)
        assert batch.labels.shape == (6,)
        by_class = [model.energy(images[:4], [k] * 4).numpy() for k in range(3)]
        assert np.abs(by_class[0] - by_class[1]).max() > 0
        rows = model.energy(images[:4], np.eye(3)[[2, 2, 2, 2]])
        np.testing.assert_allclose(rows, by_class[2], rtol=1e-6)
        assert model.sample(2, labels=[0, 2]).shape == (2, 4, 4, 1)
        assert model.score(images[:2], [0, 1]).shape == (2, 4, 4, 1)
        assert model.predict((images, keras.utils.to_categorical(labels, 3)), verbose=0).shape == (
            64,
        )

    def test_the_chain_descends_the_energy_of_its_own_label(self, make):
        """E(x, y) = 20 (mean x − y)²: chains of class 0 go dark, those of class 1 bright."""
        x, y = keras.Input((4, 4, 1)), keras.Input((2,))
        mean = keras.layers.Flatten()(keras.layers.GlobalAveragePooling2D()(x))
        bright = keras.ops.take(y, [1], axis=1)
        energy = keras.Model((x, y), 20.0 * keras.ops.square(mean - bright))
        other = tf_febm.networks.mlp((4, 4, 1), (4,), num_classes=2)
        sampler = tf_febm.samplers.Langevin(step_size=1.0, num_steps=60, grad_clip=None)
        model = make(networks=(energy, other), sampler=sampler)
        samples = model.sample(6, labels=[0, 1, 0, 1, 0, 1], seed=1).numpy().mean((1, 2, 3))
        np.testing.assert_allclose(samples, [0, 1, 0, 1, 0, 1], atol=0.02)

    def test_bad_labels(self, make, images, labels):
        model = make(classes=3, eager=True)
        with pytest.raises(ValueError, match="needs labels"):
            model.energy(images)
        with pytest.raises(ValueError, match="let the data yield"):
            model.fit(images, batch_size=16, verbose=0)
        with pytest.raises(ValueError, match="received values from 0 to 3"):
            model.energy(images[:2], [0, 3])
        with pytest.raises(ValueError, match="received 3"):
            model.energy(images[:2], [0, 1, 2])
        with pytest.raises(ValueError, match="float32"):
            model.energy(images[:2], [0.0, 1.0])
        with pytest.raises(ValueError, match="labels outside 0 to 2"):
            model.fit(images, labels + 1, batch_size=16, verbose=0)
        with pytest.raises(ValueError, match="vector"):
            model.energy(images[:2], 1)
        with pytest.raises(ValueError, match="no distribution"):
            model.fit(images, np.full((64, 3), 0.7, np.float32), batch_size=16, verbose=0)
        with pytest.raises(ValueError, match="takes none"):
            make().energy(images[:2], [0, 1])
        with pytest.raises(ValueError, match="takes none"):
            make(eager=True).fit(images, labels, verbose=0)
        with pytest.raises(ValueError, match="takes none"):
            make().sample(2, labels=[0, 1])
