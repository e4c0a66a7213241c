"""DualFEBM: one step by hand, the surrogate against quadrature, saving, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_objectives import (
    GRID,
    THETA,
    data_density,
    energy,
    true_gradient,
    variational,
    z_scores,
)

import tf_febm
from tf_febm import divergences, objectives


@pytest.fixture
def make_dual():
    """Return a factory of small compiled models."""

    def build(divergence="js", compile=True, eager=False, **settings):
        keras.utils.set_random_seed(7)
        classes = settings.pop("classes", None)
        networks = [
            tf_febm.networks.mlp((4, 4, 1), (16,), "swish", num_classes=classes, name=name)
            for name in ("energy", "variational")
        ]
        settings = {
            "sampler": tf_febm.samplers.Langevin(num_steps=3),
            "buffer": tf_febm.ReplayBuffer(100),
            "l2_coeff": 0.1,
            "seed": 3,
            **settings,
        }
        model = tf_febm.DualFEBM(*networks, divergence, **settings)
        if compile:
            model.compile(run_eagerly=eager)
        return model

    return build


@pytest.mark.parametrize(
    ("name", "leave_one_out", "eager"),
    [("js", True, False), ("js", False, True), ("kl", True, True), ("kl", False, True)],
)
def test_a_step_by_hand(make_dual, images, fixed_sampler, name, leave_one_out, eager):
    """One SGD step against Theorem 1, with the textbook forms of f' and F = f*(f')."""
    x_data, x_model = images[:8], images[8:16][:, ::-1].copy()
    rate, l2 = 0.05, 0.3
    model = make_dual(
        name,
        sampler=fixed_sampler(x_model),
        buffer=None,
        l2_coeff=l2,
        leave_one_out=leave_one_out,
        warmup_steps=0,
        compile=False,
    )
    sgd = keras.optimizers.SGD
    model.compile(sgd(rate), sgd(rate), run_eagerly=eager)
    e, v = model.energy_network, model.variational_network
    e0, v0 = ([w.copy() for w in network.get_weights()] for network in (e, v))
    model.train_on_batch(x_data)
    e1, v1 = e.get_weights(), v.get_weights()

    slope, conjugate = {
        "js": (
            lambda r: tf.math.log(2 * tf.exp(r) / (1 + tf.exp(r))),
            lambda r: tf.math.log((1 + tf.exp(r)) / 2),
        ),
        "kl": (lambda r: 1 + r, tf.exp),
    }[name]
    e.set_weights(e0), v.set_weights(v0)
    with tf.GradientTape() as tape:
        bound = tf.reduce_mean(slope(v(x_data))) - tf.reduce_mean(conjugate(v(x_model)))
        penalty = tf.reduce_mean(v(x_data) ** 2) + tf.reduce_mean(v(x_model) ** 2)
        loss = -bound + l2 * penalty
    for w, g in zip(v.trainable_variables, tape.gradient(loss, v.trainable_variables), strict=True):
        w.assign_sub(rate * g)
    for mine, theirs in zip(v.get_weights(), v1, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=2e-5, atol=1e-7)

    # The new V, and cov(F, ∇E) over the batch from the gradient of each energy.
    f_model = conjugate(v(x_model)[:, 0])
    with tf.GradientTape(persistent=True) as tape:
        e_data, e_model = e(x_data)[:, 0], e(x_model)[:, 0]
        penalty = tf.reduce_mean(e_data**2) + tf.reduce_mean(e_model**2)
        single = tf.unstack(e_model)
    zero = tf.UnconnectedGradients.ZERO
    for i, w in enumerate(e.trainable_variables):
        slopes = tf.stack([tape.gradient(one, w, unconnected_gradients=zero) for one in single])
        centred = tf.reshape(
            f_model - tf.reduce_mean(f_model), [-1] + [1] * (slopes.shape.rank - 1)
        )
        gradient = tf.reduce_sum(centred * slopes, 0) / (7 if leave_one_out else 8)
        gradient += l2 * tape.gradient(penalty, w)
        np.testing.assert_allclose(e1[i], e0[i] - rate * gradient, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["js", "kl", "pearson_chi2"])
def test_the_surrogate_is_unbiased_at_batch_8(name):
    """10,000 batches of exact samples of q; the truth is by differences of quadratures."""
    divergence = divergences.get(name)
    # V is a bounded function and does not move with θ; only q does.
    ratio = variational(GRID) + energy(GRID, THETA)

    def bound(theta):
        weight = np.exp(-energy(GRID, theta))
        q = weight / np.trapezoid(weight, GRID)
        of_data = data_density(GRID) * divergence.derivative(ratio).numpy()
        return np.trapezoid(of_data - q * divergence.conjugate(ratio).numpy(), GRID)

    truth = np.array([(bound(THETA + s) - bound(THETA - s)) / 2e-4 for s in 1e-4 * np.eye(2)])
    # It is not the gradient of Theorem 3, in which the ratio moves too.
    assert np.abs(truth - true_gradient(divergence)).max() > 0.01

    noise = np.random.default_rng(0).standard_normal((10_000, 8))
    x = tf.constant(THETA[0] + np.exp(THETA[1]) * noise)
    theta = tf.constant(THETA)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            energies = 0.5 * tf.square((x - theta[0]) * tf.exp(-theta[1]))
            ratios = 0.7 * tf.sin(x) + 0.2
            value = objectives.dual_surrogate(divergence, ratios, energies)
        return tape.gradient(value, theta)

    gradients = tf.function(lambda x: tf.vectorized_map(gradient, x))(x).numpy()
    scores = z_scores(gradients, truth)
    assert np.all(np.abs(scores) < 4), scores


def test_the_surrogate_checks_its_arguments():
    vector = tf.zeros([4])
    with pytest.raises(ValueError, match=r"log_ratio_model .* received shape \(4, 1\)"):
        objectives.dual_surrogate("js", tf.zeros([4, 1]), vector)
    with pytest.raises(ValueError, match="one length"):
        objectives.dual_surrogate("js", vector, tf.zeros([3]))
    with pytest.raises(ValueError, match="at least 2"):
        objectives.dual_surrogate("js", tf.zeros([1]), tf.zeros([1]))


def test_metrics_ratio_and_one_trace(make_dual, images, monkeypatch):
    model = make_dual()
    traces = []
    original = model.train_step
    monkeypatch.setattr(model, "train_step", lambda data: traces.append(1) or original(data))
    history = model.fit(images[:60], batch_size=16, epochs=2, verbose=0).history
    assert len(traces) == 1
    assert set(history) == {*model.METRICS} - {*model.EVALUATION_ONLY}
    assert all(np.isfinite(values).all() for values in history.values())
    v = model.variational_network(images)[:, 0]
    np.testing.assert_allclose(model.log_density_ratio(images), v, rtol=1e-6)
    assert "bound" in model.evaluate(images, verbose=0, return_dict=True)


def test_keras_file_round_trip(make_dual, images, labels, tmp_path):
    """A compiled one without labels would go the way of f-EBM."""
    batches = tf.data.Dataset.from_tensor_slices((images[:32], labels[:32])).batch(32)
    model = make_dual("kl", classes=3, log_ratio_clip=5.0, leave_one_out=False, eager=True)
    model.fit(batches, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert isinstance(loaded, tf_febm.DualFEBM)
    assert (loaded.divergence.name, loaded.leave_one_out) == (model.divergence.name, False)
    for one in (model, loaded):
        one.fit(batches, verbose=0)
    for mine, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_bad_arguments(make_dual):
    for settings, message in (
        ({"l2_coeff": -1.0}, "l2_coeff"),
        ({"divergence": "tv"}, "Unknown divergence"),
        ({"buffer": 3}, "buffer must be a ReplayBuffer"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            make_dual(**settings)
    network = tf_febm.networks.mlp((4, 4, 1))
    with pytest.raises(ValueError, match="two networks"):
        tf_febm.DualFEBM(network, network)
