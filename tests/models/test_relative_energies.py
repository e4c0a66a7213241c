"""Energies relative to a Gaussian reference, and H = R − (slow average of E)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, objectives, samplers

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(64, 3)) @ [[2.0, 0.5, 0], [0, 0.1, 0.3], [0, 0, 5.0]] + 1.0).astype("f4")
IMAGES = RNG.random((48, 8, 8, 1)).astype("f4")


def linear(name, weights):
    """f(x) = w·x, without a bias."""
    network = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, use_bias=False)], name=name
    )
    network.set_weights([np.array(weights, np.float32)[:, None]])
    return network


def model_of(images=False, kind="febm", **settings):
    x = IMAGES if images else X
    reference = networks.GaussianReference().adapt(x)

    def network(name):
        if images:
            return networks.strided((8, 8, 1), 4, 8, whiten=reference, name=name)
        return networks.mlp(3, (8,), "swish", name=name)

    common = {"reference": reference, "l2_coeff": 0.0, "seed": 1, **settings}
    if kind == "bidirectional":
        generator = networks.generator_mlp(2, (3,))
        return tf_febm.BidirectionalEBM(network("energy"), generator, 2, **common)
    common["buffer"] = samplers.ReplayBuffer(64)
    if kind == "contrastive_divergence":
        return tf_febm.ContrastiveDivergence(network("energy"), **common)
    kinds = {"febm": tf_febm.FEBM, "dual": tf_febm.DualFEBM}
    return kinds[kind](network("energy"), network("variational"), "js", **common)


KINDS = ["febm", "dual", "contrastive_divergence", "bidirectional"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_energy_is_the_network_and_the_quadratic(kind):
    model = model_of(kind=kind)
    x = X[:9]
    relative = model.energy_network(x).numpy()[:, 0]
    mean, sigma = X.mean(0, dtype=np.float64), np.cov(X.T.astype(np.float64), bias=True)
    sigma += 0.04**2 * np.diag(np.diag(sigma))
    centred = x - mean
    quadratic = 0.5 * np.einsum("ni,ij,nj->n", centred, np.linalg.inv(sigma), centred)
    # Two parts of the order of 1 in float32 may cancel.
    np.testing.assert_allclose(model.energy(x), relative + quadratic, rtol=1e-4, atol=2e-6)
    np.testing.assert_array_equal(model(x), model.energy(x))
    # The score by central differences.
    step = 1e-2
    for i in range(3):
        e = np.eye(3, dtype="f4")[i] * step
        slope = (model.energy(x + e).numpy() - model.energy(x - e).numpy()) / (2 * step)
        np.testing.assert_allclose(-model.score(x)[:, i], slope, rtol=2e-2, atol=0.02)


def test_without_a_network_samples_are_the_gaussian_fit():
    network = linear("energy", [0.0, 0.0, 0.0])
    reference = networks.GaussianReference("full", noise=0.0).adapt(X)
    model = tf_febm.ContrastiveDivergence(network, reference=reference, seed=1)
    model.sampler = samplers.HMC(0.7, num_leapfrog_steps=3, num_steps=10)
    x = model.sample(20_000, seed=2).numpy().astype(np.float64)
    own = np.cov(X.T.astype(np.float64), bias=True)
    scale = np.sqrt(np.outer(np.diag(own), np.diag(own)))
    # Entries of a correlation matrix of 20,000 samples are off by 0.7 %; four of these.
    np.testing.assert_allclose(np.cov(x.T) / scale, own / scale, atol=0.04)


def test_chains_in_z_are_those_of_the_energy_of_z():
    """f and ½‖z‖² apart, with Aᵀ for the gradient, or E of x differentiated as a whole."""
    model = model_of()
    inner, reference = samplers.Langevin.from_epsilon(0.05, 4), model.reference
    assert isinstance(model.sampler, samplers.Preconditioned)
    model.sampler = inner
    found = model.sampler(model._energy_given(None), X[:6], (1, 2))

    def whole(z):
        return model.energy(reference.color(z))

    expected = reference.color(inner(whole, reference.whiten(tf.constant(X[:6])), (1, 2)))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


# What is exported is one function of energies for all of them: that of one is looked at.
@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_and_is_saved_whole(kind, tmp_path):
    images = kind == "dual"
    x = (IMAGES if images else X)[:16]
    settings = {"slow_energy_decay": 0.9} if kind == "febm" else {}
    model = model_of(images, kind, **settings)
    model.compile(run_eagerly=True)
    model.train_on_batch(x)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.energy(x), model.energy(x))
    np.testing.assert_array_equal(loaded.sample(3, seed=3), model.sample(3, seed=3))
    if kind != "febm":
        return
    served = tmp_path / "served"
    tf_febm.export(model, served, "saved_model")
    signatures = tf.saved_model.load(served).signatures
    energy = signatures["energy"](x=tf.constant(x))["energy"]
    # Another graph may add up in another order.
    np.testing.assert_allclose(energy, model.energy(x), rtol=1e-5, atol=1e-5)
    ratio = model.log_density_ratio(x)
    np.testing.assert_array_equal(loaded.log_density_ratio(x), ratio)
    found = signatures["log_density_ratio"](x=tf.constant(x))
    np.testing.assert_allclose(found["log_density_ratio"], ratio, rtol=1e-4, atol=1e-4)
    # It trains on as the one that was saved.
    for one in (model, loaded):
        one.train_on_batch(x)
    np.testing.assert_array_equal(loaded.energy(x), model.energy(x))


def test_one_step_with_the_slow_average_by_hand():
    start, variational, rate, decay = [0.3, -0.2, 0.1], [0.0, 0.1, -0.1], 0.05, 0.8
    model = tf_febm.FEBM(
        linear("energy", start), linear("variational", variational), "kl",
        sampler=samplers.Langevin.from_epsilon(0.01, 1), l2_coeff=0.0, warmup_steps=0,
        slow_energy_decay=decay, seed=1,
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(rate), keras.optimizers.SGD(rate), run_eagerly=True)
    data, fake = tf.constant(X[:8]), tf.constant(X[20:28])
    model.negative_batch = lambda *_, **__: tf_febm.models.chains.Batch(fake, None)
    slow, weights = np.array(start), np.array(start)
    for _ in range(3):
        before = model.variational_network.get_weights()[0][:, 0].astype(np.float64)
        # KL, f = u log u: the bound E_p[1 + r] − E_q[eʳ], whose gradient for ω is known.
        ratio = fake.numpy() @ (before + weights - slow)
        ascent = data.numpy().mean(0) - (np.exp(ratio)[:, None] * fake.numpy()).mean(0)
        after = before + rate * ascent
        with tf.GradientTape() as tape:
            w = tf.Variable(weights, dtype=tf.float32)
            energies = [tf.linalg.matvec(batch, w) for batch in (data, fake)]
            ratios = [
                energy + tf.constant(batch.numpy() @ (after - slow), tf.float32)
                for energy, batch in zip(energies, (data, fake), strict=True)
            ]
            divergence = tf_febm.divergences.get("kl")
            loss = objectives.energy_surrogate(divergence, *ratios, energies[1], leave_one_out=True)
        descent = tape.gradient(loss, w).numpy()
        model.train_step(data)
        found = model.energy_network.get_weights()[0][:, 0]
        np.testing.assert_allclose(found, weights - rate * descent, rtol=1e-4, atol=1e-6)
        own = model.variational_network.get_weights()[0][:, 0]
        np.testing.assert_allclose(own, after, rtol=1e-4, atol=1e-6)
        weights = found.astype(np.float64)
        slow = decay * slow + (1.0 - decay) * weights
        kept = model.slow_energy_network.get_weights()[0][:, 0]
        np.testing.assert_allclose(kept, slow, rtol=1e-5, atol=1e-7)


def test_a_reference_in_use_is_not_fitted_again():
    reference = networks.GaussianReference().adapt(X)
    model = tf_febm.ContrastiveDivergence(
        linear("energy", [0.1, 0.2, 0.3]), reference=reference, seed=1
    )
    before = model.energy(X[:5]).numpy()
    samples = model.sample(5, seed=2).numpy()
    with pytest.raises(ValueError, match="is fitted, and models or samplers may hold it"):
        reference.adapt(100.0 * X)
    np.testing.assert_array_equal(model.energy(X[:5]), before)
    np.testing.assert_array_equal(model.sample(5, seed=2), samples)


def test_errors():
    network = linear("energy", [0.0, 0.0, 0.0])
    reference = networks.GaussianReference().adapt(X)
    make = tf_febm.ContrastiveDivergence
    with pytest.raises(ValueError, match="call reference.adapt"):
        make(network, reference=networks.GaussianReference())
    with pytest.raises(TypeError, match="must be a networks.GaussianReference or None"):
        make(network, reference="full")
    with pytest.raises(ValueError, match="the bounds of x are no box.*received bounds"):
        make(network, reference=reference, sampler=samplers.Langevin())
    with pytest.raises(ValueError, match=r"of shape \(8, 8, 1\); the model's are of \(3,\)"):
        make(network, reference=networks.GaussianReference().adapt(IMAGES))
    other = networks.GaussianReference().adapt(X[:32])
    with pytest.raises(ValueError, match="preconditioned by another reference"):
        inner = samplers.Langevin.from_epsilon(0.1, 2)
        make(network, reference=reference, sampler=samplers.Preconditioned(inner, other))
    with pytest.raises(ValueError, match=r"slow_energy_decay must lie in \[0, 1\); received 1.0"):
        model_of(slow_energy_decay=1.0)
    with pytest.raises(AttributeError, match="reference of a ContrastiveDivergence is settled"):
        make(network, reference=reference).reference = other


def test_the_sampler_of_its_own_leaves_the_reference_as_it_is():
    """z ← (1 − δ) z + σ ξ keeps N(0, I) if (1 − δ)² + σ² = 1."""
    reference = networks.GaussianReference().adapt(X)
    sampler = tf_febm.ContrastiveDivergence(networks.mlp(3, (4,)), reference=reference).sampler
    inside = sampler.sampler
    assert (1.0 - inside.step_size) ** 2 + inside.noise_scale**2 == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("bounded", [False, True])
def test_images_of_other_units_are_refused_everywhere(bounded):
    """0 … 255 where the model is of 0 … 1: it used to get energies, far from all others."""
    if bounded:
        network = networks.strided((8, 8, 1), 4, 8, name="energy")
        model = tf_febm.ContrastiveDivergence(network, sampler=samplers.Langevin(bounds=(0.0, 1.0)))
        assert model.value_range == (0.0, 1.0)
    else:
        model = model_of(images=True, kind="contrastive_divergence")
        assert model.reference.value_range == (float(IMAGES.min()), float(IMAGES.max()))
        assert model.value_range == (0.0, 1.0)
    levels, traced = IMAGES[:4] * 255.0, tf.function(model.energy)
    for call in (model.energy, model.score, model):
        with pytest.raises(ValueError, match=r"x must have the units .*dequantise.* to 254"):
            call(levels)
    with pytest.raises(tf.errors.InvalidArgumentError, match="x must have the units"):
        traced(levels)
    with pytest.raises(ValueError, match="x must have the units"):
        model.predict(levels, verbose=0)
    with pytest.raises(ValueError, match="images must have the units"):
        tf_febm.applications.denoise(model, levels, 0.1)
    # Noise on images, and differences, are no other units; NaN is a row's own affair.
    noisy = IMAGES[:4] + np.random.default_rng(1).normal(size=(4, 8, 8, 1)).astype("f4")
    assert np.isfinite(model.energy(noisy)).all()
    # Nor are chains that have run away: those go below as well.
    assert np.isfinite(model.energy(1e4 * (noisy - 0.5))).all()
    noisy[0, 0, 0, 0] = np.nan
    assert np.isfinite(model.energy(noisy)).tolist() == [False, True, True, True]
    rows = tf.vectorized_map(lambda x: model.energy(x[None])[0], tf.constant(IMAGES[:4]))
    np.testing.assert_allclose(rows, model.energy(IMAGES[:4]), rtol=1e-5)
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    with pytest.raises(
        ValueError, match="must have the units" if not bounded else "outside the bounds"
    ):
        model.fit(IMAGES * 255.0, batch_size=24, verbose=0)


def test_the_range_of_the_images_is_saved(tmp_path):
    model = model_of(images=True, kind="contrastive_divergence")
    model.save(tmp_path / "m.keras")
    assert keras.saving.load_model(tmp_path / "m.keras").value_range == (0.0, 1.0)
