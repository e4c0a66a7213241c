"""ContrastiveDivergence: one step by hand, where its chains start, saving, what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm

METRICS = {
    "loss",
    "energy_data",
    "energy_model",
    "energy_gap",
    "energy_gradient_norm",
    "buffer_fill",
}


class Still:
    """Chains that end where they start, or a fixed step from there."""

    bounds = None

    def __init__(self, step=0.0):
        self.step = step
        self.starts = []

    def __call__(self, energy_fn, initial_state, seed, **options):
        if tf.executing_eagerly():
            self.starts.append(initial_state.numpy())
        return initial_state + self.step


@pytest.fixture
def make_cd():
    """Return a factory of small models, compiled with SGD where a rate is given."""

    def build(rate=None, classes=None, eager=False, **settings):
        keras.utils.set_random_seed(7)
        energy = tf_febm.networks.mlp((4, 4, 1), (16,), "swish", num_classes=classes)
        settings = {"sampler": tf_febm.samplers.Langevin(num_steps=3), "seed": 3, **settings}
        model = tf_febm.ContrastiveDivergence(energy, **settings)
        model.compile(None if rate is None else keras.optimizers.SGD(rate), run_eagerly=eager)
        return model

    return build


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_a_step_by_hand(make_cd, images, fixed_sampler, l2):
    """One SGD step along E_p[∇E] − E_q[∇E] + l2·∇(E_p[E²] + E_q[E²])."""
    x_data, x_model = images[:8], images[8:16][:, ::-1].copy()
    # One of the two is compiled.
    model = make_cd(0.05, sampler=fixed_sampler(x_model), l2_coeff=l2, eager=l2 == 0.0)
    network = model.energy_network
    with tf.GradientTape(persistent=True) as tape:
        e_data, e_model = network(x_data)[:, 0], network(x_model)[:, 0]
        squares = tf.reduce_mean(e_data**2) + tf.reduce_mean(e_model**2)
        means = tf.reduce_mean(e_data), tf.reduce_mean(e_model)
    expected = []
    for w in network.trainable_variables:
        of_data, of_model = (tape.gradient(mean, w) for mean in means)
        expected.append(w - 0.05 * (of_data - of_model + l2 * tape.gradient(squares, w)))
    history = model.fit(x_data, batch_size=8, verbose=0).history
    for mine, theirs in zip(expected, network.get_weights(), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=2e-5, atol=1e-7)
    assert set(history) == METRICS
    np.testing.assert_allclose(history["energy_data"], tf.reduce_mean(e_data), rtol=1e-5)
    np.testing.assert_allclose(history["energy_model"], tf.reduce_mean(e_model), rtol=1e-5)


class TestStarts:
    @pytest.mark.parametrize("classes", [None, 3])
    def test_cd_starts_at_the_data(self, make_cd, images, labels, classes):
        """Chains that do not move leave no gradient; so the labels are the data's too."""
        y = None if classes is None else labels
        settings = {"sampler": Still(), "classes": classes, "l2_coeff": 0.0, "eager": True}
        model = make_cd(0.1, **settings)
        before = [w.copy() for w in model.get_weights()]
        some = images[:16], None if y is None else y[:16]
        logs = model.train_on_batch(*some, return_dict=True)
        assert logs["energy_gradient_norm"] == pytest.approx(0.0, abs=1e-7)
        for mine, theirs in zip(model.get_weights(), before, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=1e-7)
        noisy = make_cd(0.1, **settings, initial="noise")
        assert noisy.train_on_batch(*some, return_dict=True)["energy_gradient_norm"] > 0.01

    @pytest.mark.parametrize("initial", ["data", "noise"])
    def test_restarts(self, make_cd, images, initial):
        buffer = tf_febm.ReplayBuffer(64, restart_probability=1.0)
        sampler = Still(1.0)
        model = make_cd(sampler=sampler, buffer=buffer, initial=initial, eager=True)
        for first in (0, 8):
            model.train_on_batch(images[first : first + 8])
        at_data = np.array_equal(sampler.starts[-1], images[8:16])
        assert at_data == (initial == "data")

    def test_persistent_chains_continue_where_they_ended(self, make_cd, images):
        """6 chains, 4 per step: the windows are 0–3, 4 5 0 1, 2–5, and each moves by 1."""
        chains, sampler = tf_febm.PersistentChains(6), Still(1.0)
        model = make_cd(sampler=sampler, buffer=chains, eager=True)
        for first in (0, 4, 8):
            model.train_on_batch(images[first : first + 4])
        np.testing.assert_array_equal(sampler.starts[0], images[:4])
        np.testing.assert_array_equal(sampler.starts[1][:2], images[4:6])
        np.testing.assert_array_equal(sampler.starts[1][2:], images[:2] + 1.0)
        np.testing.assert_array_equal(sampler.starts[2][:2], images[2:4] + 1.0)
        np.testing.assert_array_equal(sampler.starts[2][2:], images[4:6] + 1.0)
        np.testing.assert_array_equal(chains.samples[2:], sampler.starts[2] + 1.0)

    def test_labels_in_a_buffer(self, make_cd, images, labels):
        """Integer and one-hot labels are kept as the class of their chain."""
        for y in (labels, np.eye(3, dtype=np.float32)[labels]):
            chains = tf_febm.PersistentChains(32)
            model = make_cd(sampler=Still(), buffer=chains, classes=3, eager=True)
            model.fit(images[:32], y[:32], batch_size=16, shuffle=False, verbose=0)
            np.testing.assert_array_equal(chains.labels, labels[:32])
            np.testing.assert_array_equal(chains.samples, images[:32])

    def test_evaluating_leaves_no_trace(self, make_cd, images):
        model = make_cd(buffer=tf_febm.PersistentChains(20), eager=True)
        for _ in range(2):
            model.train_on_batch(images[:16])
        before = model.buffer.state()
        # More examples than chains are fine where nothing is written.
        result = model.evaluate(images[:32], batch_size=32, verbose=0, return_dict=True)
        assert set(result) == {*METRICS, "sample_distance"} - {"energy_gradient_norm"}
        np.testing.assert_array_equal(model.buffer.samples, before["samples"])
        assert int(model.buffer.written) == before["written"]
        with pytest.raises(ValueError, match="more examples than the 20 persistent chains"):
            make_cd(buffer=tf_febm.PersistentChains(20)).fit(images[:48], batch_size=32, verbose=0)


def test_finds_a_gaussian():
    """With exact samples it is maximum likelihood: the mean and scale of N(1, 0.5²).

    The tolerance is ten times the spread of the mean of 100 batches of 1,000, 0.5/√(100,000).
    """
    keras.utils.set_random_seed(0)
    energy = tf_febm.networks.quadratic(1)
    gaussian = energy.get_layer("gaussian")

    def exact(energy_fn, initial_state, seed):
        noise = tf.random.stateless_normal(tf.shape(initial_state), seed)
        return gaussian.mean + gaussian.scale * noise

    model = tf_febm.ContrastiveDivergence(energy, sampler=exact, l2_coeff=0.0, seed=1)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.02, 400)))
    data = np.random.default_rng(0).normal(1.0, 0.5, (50_000, 1)).astype(np.float32)
    model.fit(data, batch_size=1000, epochs=8, verbose=0)
    assert float(gaussian.mean[0]) == pytest.approx(data.mean(), abs=0.016)
    assert float(gaussian.scale[0]) == pytest.approx(data.std(), abs=0.016)


# A replay buffer's is in the tests of f-EBM.
@pytest.mark.parametrize("kind", ["none", "persistent"])
def test_one_trace_for_two_epochs_and_samples(make_cd, images, monkeypatch, kind):
    buffer = {"none": None, "persistent": tf_febm.PersistentChains(40)}[kind]
    model = make_cd(buffer=buffer)
    traces = []
    original = model.train_step
    monkeypatch.setattr(model, "train_step", lambda data: traces.append(1) or original(data))
    history = model.fit(images[:60], batch_size=16, epochs=2, verbose=0).history
    assert len(traces) == 1
    assert np.isfinite([history[name] for name in METRICS]).all()
    assert history["buffer_fill"][-1] == (0.0 if buffer is None else 1.0)
    initial = "noise" if buffer is None else "buffer"
    assert model.sample(5, initial=initial).shape == (5, 4, 4, 1)
    assert not hasattr(model, "log_density_ratio")


@pytest.mark.parametrize(
    # Compiled ones are saved and go on in the tests of f-EBM.
    ("kind", "classes"),
    [("none", None), ("persistent", 3)],
)
def test_keras_file_round_trip(make_cd, images, labels, tmp_path, kind, classes):
    data = images if classes is None else (images, labels)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(32)
    buffer = None if kind == "none" else tf_febm.PersistentChains(48)
    model = make_cd(
        buffer=buffer, classes=classes, initial="noise", l2_coeff=0.2, average_decay=0.9,
        eager=True,
    )  # fmt: skip
    model.fit(batches, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert (loaded.initial, loaded.l2_coeff) == ("noise", 0.2)
    assert int(loaded.optimizer.iterations) == 2
    for one in (model, loaded):
        one.fit(batches, verbose=0)
    for mine, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    if buffer is not None:
        assert isinstance(loaded.buffer, tf_febm.PersistentChains)
        np.testing.assert_array_equal(loaded.buffer.samples, model.buffer.samples)


def test_bad_arguments(make_cd, images):
    for settings, message in (
        ({"initial": "buffer"}, "initial must be 'data' or 'noise'; received 'buffer'"),
        ({"l2_coeff": -1.0}, "l2_coeff"),
        ({"buffer": 40}, "buffer must be a ReplayBuffer, PersistentChains or None"),
        ({"sampler": 3}, "sampler must be callable"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            make_cd(**settings)
    with pytest.raises(ValueError, match="bad batch: NaN or Inf in x"):
        make_cd(eager=True).fit(np.full_like(images, np.nan), batch_size=16, verbose=0)
