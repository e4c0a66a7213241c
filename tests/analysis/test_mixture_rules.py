"""The rules of Section 6.1: the published loop by hand in NumPy, and the rule for tails."""

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import analysis, divergences
from tf_febm.analysis import mixture_fit, mixture_rules, mixture_tails

MIXTURE = ((0.33, 0.67), (-1.0, 2.0), (0.0625, 2.0))


def options(rule, **changes):
    return {"mixture": MIXTURE, "sampler": "exact", "rule": rule, "seed": 3, **changes}


def test_the_published_loop_by_hand(monkeypatch):
    """One alternating step: ω by the bound of reverse KL, θ = (μ, σ) by Theorem 3 and the new ω."""
    model = mixture_rules.build("febm", "reverse_kl", options("paper"), chunk=1)
    for layer in model.variational_network.layers[1:]:
        assert np.abs(layer.kernel).max() <= layer.kernel.shape[0] ** -0.5
        assert np.abs(layer.bias).max() > 0.0
    rng = np.random.default_rng(0)
    data, drawn = (rng.normal(size=(5, 1)).astype(np.float32) for _ in range(2))
    model.sampler = lambda energy_fn, initial_state, seed: tf.constant(drawn)

    def h(x):
        return model.variational_network(x).numpy()[:, 0]

    weights = model.variational_network.trainable_variables
    x, y = data[:, 0], drawn[:, 0]
    with tf.GradientTape() as tape:
        bound = tf.reduce_mean(
            -tf.exp(-(model.variational_network(data)[:, 0] + 0.5 * x**2))
        ) - tf.reduce_mean(model.variational_network(drawn)[:, 0] + 0.5 * y**2 - 1.0)
    slopes = tape.gradient(bound, [w.value for w in weights])
    expected = [w.numpy() + 0.01 * g.numpy() for w, g in zip(weights, slopes, strict=True)]
    model.train_on_batch(data)
    for weight, value in zip(weights, expected, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, atol=1e-6)

    def slope(x):  # Of E at μ = 0, σ = 1, for either weight.
        return np.stack([-x, -(x**2)])

    r_data, r_model = h(data) + 0.5 * x**2, h(drawn) + 0.5 * y**2
    conjugate = r_model - 1.0
    gradient = (np.exp(-r_data) * slope(x)).mean(1) - slope(y).mean(1)
    gradient += (conjugate * slope(y)).mean(1) - conjugate.mean() * slope(y).mean(1)
    layer = model.energy_network.get_layer("gaussian")
    found = layer.mean.numpy()[0], layer.deviation.numpy()[0]
    np.testing.assert_allclose(found, [0.0, 1.0] - 0.01 * gradient, atol=1e-6)


def test_exponents_are_cut_as_published():
    r = np.array([-8.0, -1.0, 2.0, 2.9, 3.5, 7.0])
    kl, chi2 = map(mixture_rules.published_divergence, ("kl", "pearson_x2"))
    np.testing.assert_allclose(kl.conjugate(r), np.exp(np.minimum(r, 3.0)), rtol=1e-6)
    np.testing.assert_allclose(kl.derivative(r), 1.0 + r, rtol=1e-6)
    np.testing.assert_allclose(chi2.conjugate(r), np.exp(np.minimum(2.0 * r, 6.0)) - 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        chi2.derivative(r), 2.0 * np.exp(np.minimum(r, 6.0)) - 2.0, rtol=1e-6
    )
    assert mixture_rules.published_divergence("js") is divergences.get("js")


def test_plain_batches_have_the_parts_of_the_mixture():
    target = analysis.gaussian_mixture((0.3, 0.7), (-50.0, 50.0), (1.0, 4.0))
    data = mixture_rules.stream(target, 1000, seed=1, stratified=False)
    batches = np.stack([batch.numpy()[:, 0] for batch in data.take(40)])
    low = batches < 0.0
    assert (np.abs(low.sum(axis=1) - 300) <= 1).all()
    # Independent within a part: means have the spread that chance gives them.
    means = np.array([b[k].mean() for b, k in zip(batches, ~low, strict=True)])
    assert means.std() == pytest.approx(2.0 / np.sqrt(700), rel=0.4)
    assert batches[low].mean() == pytest.approx(-50.0, abs=0.05)


def test_tempered_samples_give_the_gradient_of_the_divergence(monkeypatch):
    """At the true ratio, one stratified batch has the gradient of D by quadrature."""
    model = mixture_rules.build("febm", "alpha:-0.5", options("tails"), chunk=1)
    target, count = analysis.gaussian_mixture(*MIXTURE), 4000
    layer = model.energy_network.get_layer("gaussian")
    mixture_rules.place(layer, 1.2, 1.4)
    batch = model._negatives_of(mixture_tails.Batch(tf.zeros([count, 1]), None), seed=(0, 1))
    x, weights = batch.samples[:, 0], batch.weights
    assert float(tf.math.reduce_std(x)) == pytest.approx(1.4 * np.sqrt(2.0), rel=0.01)
    assert float(tf.reduce_mean(weights * x)) == pytest.approx(1.2, abs=0.01)
    log_q = -0.5 * ((x - 1.2) / 1.4) ** 2 - np.log(1.4 * np.sqrt(2 * np.pi))
    ratio = tf.cast(target.log_prob(tf.cast(x, tf.float64)), tf.float32) - log_q
    variables = [layer.mean.value, layer.log_scale.value]
    with tf.GradientTape() as tape:
        energy = model.energy_network(batch.samples)[:, 0]
        loss = model._energy_surrogate(ratio, ratio, energy, energy, {"weights_model": weights})
    found = [float(g[0]) for g in tape.gradient(loss, variables)]
    expected = analysis.reach("alpha:-0.5", target, 1.2, 1.4).gradient
    np.testing.assert_allclose(found, expected, atol=0.01 * np.abs(expected).max())


def test_the_quadratic_part_begins_at_zero_and_is_a_parabola():
    network = mixture_rules.networks.mlp(1, (4,), "tanh")
    whole = mixture_tails.with_quadratic_part(network)
    x = np.array([[-30.0], [0.5], [40.0]], np.float32)
    np.testing.assert_array_equal(whole(x), network(x))
    whole.get_layer("parabola").set_weights([np.array([[2.0], [-0.5]])])
    np.testing.assert_allclose(whole(x), network(x) + 2.0 * x - 0.5 * x**2, rtol=1e-5)


@pytest.mark.parametrize("rule", ["paper", "tails"])
def test_a_fit_by_each_rule_comes_nearer(rule):
    target = analysis.gaussian_mixture(*MIXTURE)
    settings = options(rule, batch_size=200, steps=100)
    fit = mixture_fit.Fit(mixture_rules.build("febm", "kl", settings), target, settings)
    assert np.hypot(fit.mean - 1.01, fit.scale - 1.83) < 0.7 * np.hypot(1.01, 0.83)
