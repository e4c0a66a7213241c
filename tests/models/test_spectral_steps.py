"""Spectral normalisation in training: one power iteration per step, one norm within a step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import networks, samplers
from tf_febm.networks import SpectralConv2D, SpectralDense

SHAPE = (4, 4, 1)


def network(name):
    """Return a small network with both kinds of normalised layers."""
    x = inputs = keras.Input(SHAPE)
    x = keras.layers.Activation("swish")(SpectralConv2D(5)(x))
    x = keras.layers.Activation("swish")(SpectralConv2D(6, 3, 2, bounded=True)(x))
    x = keras.layers.Activation("swish")(SpectralDense(4)(keras.layers.Flatten()(x)))
    return keras.Model(inputs, keras.layers.Dense(1)(x), name=name)


def spectral_layers(model):
    kinds = (SpectralConv2D, SpectralDense)
    return [layer for n in model.networks for layer in n.layers if isinstance(layer, kinds)]


def vectors(model):
    return [layer.vector.numpy() for layer in spectral_layers(model)]


def following_vectors(model):
    """Return what one power iteration makes of each vector, in NumPy."""
    found = []
    for layer in spectral_layers(model):
        w = layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1]).astype(np.float64)
        v = layer.vector.numpy() @ w.T
        u = v / np.linalg.norm(v) @ w
        found.append(u / np.linalg.norm(u))
    return found


def disturb(model):
    """Move bounded kernels away from zero, where a power iteration is cut off."""
    for layer in spectral_layers(model):
        layer.kernel.assign_add(0.1 * tf.random.stateless_normal(layer.kernel.shape, (3, 4)))


def make(kind, **settings):
    keras.utils.set_random_seed(11)
    energy, variational = network("energy"), network("variational")
    settings = {
        "sampler": samplers.Langevin(num_steps=2),
        "buffer": tf_febm.ReplayBuffer(50),
        "l2_coeff": 0.1,
        "seed": 3,
        **settings,
    }
    if kind is tf_febm.ContrastiveDivergence:
        model = kind(energy, **settings)
    else:
        model = kind(energy, variational, **settings)
    disturb(model)
    return model


KINDS = (tf_febm.FEBM, tf_febm.DualFEBM, tf_febm.ContrastiveDivergence)


# What makes the iteration is around the steps of all methods: one of them is compiled too.
@pytest.mark.parametrize(
    ("kind", "eager"),
    [(tf_febm.FEBM, True), (tf_febm.DualFEBM, True), (tf_febm.ContrastiveDivergence, False)],
)
def test_each_step_makes_one_power_iteration(kind, eager, images):
    model = make(kind)
    model.compile(run_eagerly=eager)
    for _ in range(2):
        expected, weights = following_vectors(model), model.get_weights()
        model.train_on_batch(images[:8])
        assert len(expected) == 3 * len(model.networks)
        for mine, theirs in zip(vectors(model), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
        changed = [np.abs(a - b).max() for a, b in zip(model.get_weights(), weights, strict=True)]
        assert max(changed) > 1e-4


# Whatever a method adds to them, evaluations are those of their common base.
@pytest.mark.parametrize("kind", [tf_febm.FEBM])
def test_nothing_else_changes_the_vectors(kind, images):
    model = make(kind)
    model.compile(run_eagerly=True)
    before = vectors(model)
    model.energy(images[:8])
    model.score(images[:8])
    model.sample(4, seed=1)
    model.negative_batch(4)
    model(images[:8], training=True)
    model.predict(images[:8], verbose=0)
    model.evaluate(images[:8], verbose=0)
    if hasattr(model, "log_density_ratio"):
        model.log_density_ratio(images[:8])
    for mine, theirs in zip(vectors(model), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)


class Spy:
    """Record the energies of fixed points as the chain of each step sees them."""

    bounds = None

    def __init__(self, points):
        self.points, self.seen = points, []

    def __call__(self, energy_fn, initial_state, seed):
        self.seen.append(energy_fn(self.points).numpy())
        return initial_state


@pytest.mark.parametrize("kind", [tf_febm.FEBM, tf_febm.ContrastiveDivergence])
def test_chains_and_batches_of_a_step_see_the_energy_before_it(kind, images):
    spy = Spy(tf.constant(images[:8]))
    model = make(kind, sampler=spy, buffer=None)
    model.compile(run_eagerly=True)
    for _ in range(2):
        before = model.energy(images[:8]).numpy()
        model.reset_metrics()
        logs = model.train_on_batch(images[:8], return_dict=True)
        np.testing.assert_allclose(spy.seen[-1], before, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(logs["energy_data"], before.mean(), rtol=1e-5)
        assert np.abs(model.energy(images[:8]) - before).max() > 1e-5


def test_samplers_get_cached_kernels(monkeypatch, images):
    computed, compute = [], SpectralConv2D.compute_weights
    monkeypatch.setattr(
        SpectralConv2D, "compute_weights", lambda layer: computed.append(layer) or compute(layer)
    )
    model = make(tf_febm.FEBM, sampler=samplers.Langevin(num_steps=5))
    convolutions = 2
    del computed[:]
    model.negative_batch(4)
    assert len(computed) == convolutions
    # Once in the trace, and not once more in that of the loop's body.
    model.sample(4, seed=1)
    assert len(computed) == 2 * convolutions


def test_a_saved_model_has_its_vectors_and_trains_on(images, tmp_path):
    model = make(tf_febm.ContrastiveDivergence)
    model.compile(run_eagerly=True)
    model.train_on_batch(images[:8])
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for mine, theirs in zip(vectors(loaded), vectors(model), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(loaded.energy(images), model.energy(images))
    for one in (model, loaded):
        one.train_on_batch(images[:8])
    np.testing.assert_array_equal(loaded.energy(images), model.energy(images))


PUBLISHED = {
    "mnist_net": (8, 8, 1),
    "resnet32": (8, 8, 1),
    "resnet32_large": (8, 8, 1),
    "resnet32_larger": (8, 8, 1),
    "resnet32_wider": (8, 8, 1),
    "resnet128": (32, 32, 1),
}


def published(name, **settings):
    """Return a model of a published network of 3 classes, with images and labels for it."""
    shape, rng = PUBLISHED[name], np.random.default_rng(0)
    model = tf_febm.ContrastiveDivergence(
        networks.get(name)(num_filters=2, num_classes=3, image_shape=shape),
        sampler=samplers.Langevin(num_steps=1),
        buffer=tf_febm.ReplayBuffer(50),
        initial="noise",
        **settings,
    )
    return model, rng.random((6, *shape), dtype=np.float32), tf.constant(rng.integers(0, 3, 6))


# Three networks stand for the rest, whose gradients are held against the originals' elsewhere.
THOROUGH = ("resnet32_large", "resnet32_larger", "resnet32_wider")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.thorough if n in THOROUGH else ()) for n in PUBLISHED],
)
def test_a_step_changes_every_weight_of_a_published_network(name):
    model, x, labels = published(name)
    # As they begin, residual branches end in kernels near zero, and what is before them rests.
    disturb(model)
    model.compile(run_eagerly=True)
    before = [network.get_weights() for network in model.networks]
    logs = model.train_on_batch(x, labels, return_dict=True)
    assert np.isfinite(list(logs.values())).all()
    for network, weights in zip(model.networks, before, strict=True):
        for variable, old in zip(network.weights, weights, strict=True):
            assert np.any(variable.numpy() != old), variable.path


# Compiling, averages and files of spectral networks are shown by themselves above.
@pytest.mark.thorough
def test_a_published_network_trains_compiled_and_is_saved(tmp_path):
    model, x, labels = published("mnist_net", average_decay=0.9)
    model.compile()
    history = model.fit(x, labels, batch_size=3, epochs=2, verbose=0).history
    assert np.isfinite(list(history.values())).all()
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.energy(x, labels), model.energy(x, labels))
    with model.averaged_weights():
        assert model.sample(2, labels[:2], seed=1).shape == (2, *x.shape[1:])
