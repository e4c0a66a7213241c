"""Every model, with all that can be put into it, is saved and goes on in another process."""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tests.launch import forks
from tf_febm import divergences, networks, optimizers, samplers

SHAPE = (4, 4, 1)


def own_network(name):
    """A network of the user's: a functional Keras model with batch statistics and dropout."""
    x = keras.Input(SHAPE)
    y = keras.layers.Conv2D(3, 3, activation="elu")(x)
    y = keras.layers.LayerNormalization()(y)
    y = keras.layers.Dropout(0.25, seed=1)(keras.layers.Flatten()(y))
    return keras.Model(x, keras.layers.Dense(1)(y), name=name)


def mlps(classes=None):
    return [networks.mlp(SHAPE, (6,), num_classes=classes, name=n) for n in ("energy", "other")]


def spectral(name):
    x = keras.Input(SHAPE)
    y = keras.layers.Flatten()(networks.SpectralConv2D(3, 3)(x))
    return keras.Model(x, networks.SpectralDense(1)(keras.activations.swish(y)), name=name)


def schedule():
    return keras.optimizers.schedules.ExponentialDecay(0.05, 3, 0.5)


def chains(**further):
    return samplers.Langevin(num_steps=2, noise_scale=0.1, **further)


def febm():
    model = tf_febm.FEBM(
        *mlps(), "kl", sampler=chains(), buffer=tf_febm.ReplayBuffer(50), average_decay=0.5, seed=1
    )
    model.compile()
    return model


def own_networks_and_divergence():
    model = tf_febm.FEBM(
        own_network("energy"),
        own_network("other"),
        "le_cam",
        variational_divergence="js",
        sampler=chains(grad_clip=None, grad_clip_norm=0.5),
        seed=2,
    )
    model.compile(keras.optimizers.SGD(schedule(), momentum=0.9), keras.optimizers.AdamW(0.01))
    return model


def of_labels():
    model = tf_febm.FEBM(
        *mlps(3), "alpha:-0.5", sampler=chains(), buffer=tf_febm.ReplayBuffer(20), seed=3
    )
    model.compile(optimizers.FusedAdam(schedule()), optimizers.ClippedAdam(0.01, beta_1=0.5))
    return model


def dual():
    model = tf_febm.DualFEBM(
        spectral("energy"), spectral("other"), sampler=chains(bounds=(0.0, 2.0)), seed=4
    )
    model.compile(keras.optimizers.Lion(1e-3), keras.optimizers.RMSprop(1e-3))
    return model


def contrastive_divergence():
    model = tf_febm.ContrastiveDivergence(
        mlps()[0], sampler=chains(), buffer=tf_febm.PersistentChains(24), average_decay=0.9, seed=5
    )
    model.compile(keras.optimizers.Adam(schedule(), amsgrad=True))
    return model


def bidirectional():
    generator = networks.generator_mlp(2, SHAPE, (5,), batch_norm=True)
    model = tf_febm.BidirectionalEBM(
        mlps()[0],
        generator,
        2,
        entropy="smallest_singular_value",
        sampler=chains(),
        average_decay=0.9,
        seed=6,
    )
    model.compile(keras.optimizers.Adam(schedule()), keras.optimizers.SGD(0.01, momentum=0.9))
    return model


# Contrastive divergence with labels is saved in its own tests.
BUILDERS = (
    *(febm, own_networks_and_divergence, of_labels, dual),
    *(contrastive_divergence, bidirectional),
)
MODELS = {build.__name__: build for build in BUILDERS}


@pytest.fixture(scope="module")
def le_cam():
    """A registered divergence, which is gone after the tests."""
    generator = divergences.from_generator(lambda u: (u - 1) ** 2 / (u + 1), name="le_cam")
    divergences.register(generator)
    yield
    for table in (divergences.base._REGISTRY, divergences.base._ALIASES):
        del table["le_cam"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.random((16, *SHAPE), dtype=np.float32), rng.integers(0, 3, 16).astype(np.int32)


def batches(data, conditional):
    arrays = data if conditional else data[0]
    return tf.data.Dataset.from_tensor_slices(arrays).batch(16)


def trained(build, data):
    keras.utils.set_random_seed(1)
    model = build()
    # A compiled one is stored and goes on in the tests of each method.
    model.run_eagerly = True
    model.fit(batches(data, model.conditional), epochs=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def models(le_cam, data):
    """Every model, by name, after two epochs."""
    return {name: trained(build, data) for name, build in MODELS.items()}


@pytest.fixture(scope="module")
def elsewhere(models, data, tmp_path_factory):
    """Save every model, let one other process load them and train on.

    Returns name -> (the model, gone on here as well, and what the other process found).
    """
    folder = tmp_path_factory.mktemp("models")
    np.savez(folder / "given.npz", x=data[0], labels=data[1])
    for name, model in models.items():
        model.save(folder / f"{name}.keras")
    script = Path(__file__).with_name("loads_models.py")
    command = [sys.executable, str(script), str(folder), *models]
    result = forks.run(command)
    assert result.returncode == 0, result.stderr
    return {name: (model, dict(np.load(folder / f"{name}.npz"))) for name, model in models.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_in_another_process(elsewhere, data, name):
    model, found = elsewhere[name]
    labels = data[1] if model.conditional else None
    np.testing.assert_array_equal(found["energy"], model.energy(data[0], labels))
    np.testing.assert_array_equal(found["samples"], model.sample(4, seed=1))
    # The random state has gone along: what comes next is the same too.
    np.testing.assert_array_equal(found["next"], model.sample(4))
    assert found["steps"] == int(model.optimizer.iterations) == 2
    history = model.fit(batches(data, model.conditional), verbose=0).history
    assert {f"metric {name}" for name in history} == {n for n in found if n.startswith("metric")}
    for metric, values in history.items():
        np.testing.assert_allclose(found[f"metric {metric}"], values, rtol=1e-5, err_msg=metric)
    for i, weight in enumerate(model.get_weights()):
        np.testing.assert_allclose(found[f"weight {i}"], weight, rtol=1e-5, atol=1e-7)


# Of each method one: weights of other networks go the same way.
@pytest.mark.parametrize("name", ["febm", "dual", "contrastive_divergence", "bidirectional"])
def test_weights_only(models, data, name, tmp_path):
    model = models[name]
    model.save_weights(tmp_path / "m.weights.h5")
    keras.utils.set_random_seed(99)
    other = MODELS[name]()
    labels = data[1] if model.conditional else None
    assert np.abs(other.energy(data[0], labels) - model.energy(data[0], labels)).max() > 1e-6
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(other.energy(data[0], labels), model.energy(data[0], labels))
    np.testing.assert_array_equal(other.sample(4, seed=1), model.sample(4, seed=1))


def test_how_it_was_compiled(data, tmp_path):
    model = febm()
    model.compile(run_eagerly=True, steps_per_execution=2)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.run_eagerly and loaded.steps_per_execution == 2 and not loaded.jit_compile
