"""A rare class with a large weight counts as its copies would: on average over batches, not less.

One example in a hundred lies at +1, with weight 99; the others lie at −1. The weighted mean is 0.
Divided by the sum of the weights in each batch of 64 it would be −0.38: Σ_k Binomial(k; 64, 0.01)
99k/(99k + 64 − k) = 0.31 is then the share of the rare class.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tf_febm
from tf_febm import randomness

RARE = np.arange(6400) % 100 == 0
X = np.where(RARE, 1.0, -1.0)[:, None].astype("float32")
WEIGHTS = np.where(RARE, 99.0, 1.0).astype("float32")
SPREAD = 1.0


def exact_sampler(gaussian):
    """Return a sampler that draws from the Gaussian energy itself, so that no chain is to blame."""

    def sample(energy_fn, initial_state, seed):
        return gaussian.mean + gaussian.scale * randomness.normal(tf.shape(initial_state), seed)

    return sample


def model_of(method, classes=None):
    keras.utils.set_random_seed(0)
    energy = tf_febm.networks.quadratic(1)
    gaussian = energy.get_layer("gaussian")
    gaussian.mean.assign([-0.4])
    sampler = exact_sampler(gaussian)
    if method == "contrastive_divergence":
        model = tf_febm.ContrastiveDivergence(
            energy, sampler=sampler, initial="noise", l2_coeff=0.0, average_decay=0.996, seed=0
        )
        model.compile(keras.optimizers.SGD(0.02))
        return model
    variational = tf_febm.networks.mlp(1, (16,), "tanh")
    model = tf_febm.FEBM(
        energy, variational, "kl", sampler=sampler, l2_coeff=0.0, shift_invariant=True,
        average_decay=0.996, seed=0,
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(0.02), keras.optimizers.Adam(0.01))
    return model


def learned_mean(model):
    with model.averaged_weights():
        return float(model.energy_network.get_layer("gaussian").mean[0])


@pytest.mark.parametrize(
    ("method", "source"),
    [
        *(("contrastive_divergence", source) for source in ("stream", "arrays")),
        # Its steps take weights as exactly in the tests of weighted data.
        pytest.param("febm", "arrays", marks=pytest.mark.thorough),
    ],
)
def test_the_mean_of_a_rare_class_with_a_large_weight(method, source):
    """1,000 steps; the average of the last 250 or so has a spread of some 0.07."""
    model = model_of(method)
    if source == "arrays":
        model.fit(X, sample_weight=WEIGHTS, batch_size=64, epochs=10, verbose=0)
    else:
        data = tf.data.Dataset.from_tensor_slices((X, np.zeros((len(X), 0)), WEIGHTS))
        model.fit(data.shuffle(6400, seed=1).batch(64), epochs=10, verbose=0)
    assert abs(learned_mean(model)) < 0.2


def test_the_mean_weight_is_saved(tmp_path):
    data = tf.data.Dataset.from_tensor_slices((X, np.zeros((len(X), 0)), WEIGHTS)).batch(64)
    networks = [tf_febm.networks.mlp(1, (4,), name=name) for name in "ab"]
    sampler = tf_febm.samplers.Langevin(num_steps=1, bounds=None)
    model = tf_febm.FEBM(*networks, sampler=sampler, seed=0)
    model.compile(run_eagerly=True)
    model.fit(data.take(3), verbose=0)
    np.testing.assert_allclose(model.mean_weight.sums, [WEIGHTS[:192].sum(), 192.0], rtol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.mean_weight.sums, model.mean_weight.sums)
    assert "mean_weight" in model.state_variables()


def test_batches_that_do_not_count_change_nothing():
    networks = [tf_febm.networks.mlp(1, (4,), name=name) for name in "ab"]
    sampler = tf_febm.samplers.Langevin(num_steps=1, bounds=None)
    model = tf_febm.FEBM(*networks, sampler=sampler, warmup_steps=0, seed=0)
    model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), run_eagerly=True)
    model.train_on_batch(X[:8], sample_weight=np.ones(8))
    before = [w.numpy() for w in model.energy_network.weights]
    logs = model.train_on_batch(X[:8], sample_weight=np.zeros(8), return_dict=True)
    for weight, value in zip(model.energy_network.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert np.isfinite([*logs.values()]).all()
    with pytest.raises(ValueError, match="all sample_weight are 0"):
        model.fit(X, sample_weight=np.zeros(len(X)), verbose=0)


@pytest.mark.parametrize("method", ["febm", "bidirectional"])
def test_the_level_of_the_weights_does_not_matter(method):
    """Weights of 1 and of 5 are the same density."""
    x = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")
    found = []
    for level in (1.0, 5.0):
        keras.utils.set_random_seed(1)
        energy = tf_febm.networks.mlp(2, (4,), name="energy")
        sampler = tf_febm.samplers.Langevin(num_steps=1, bounds=None)
        if method == "febm":
            other = tf_febm.networks.mlp(2, (4,), name="other")
            model = tf_febm.FEBM(energy, other, sampler=sampler, warmup_steps=0, seed=0)
        else:
            other = tf_febm.networks.generator_mlp(2, 2)
            model = tf_febm.BidirectionalEBM(energy, other, 2, sampler=sampler, seed=0)
        model.compile(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1), run_eagerly=True)
        history = model.fit(x, sample_weight=np.full(32, level), batch_size=32, verbose=0)
        found.append((model.energy_network.get_weights(), history.history["loss"]))
    for first, second in zip(*(weights for weights, _ in found), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-7)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)
