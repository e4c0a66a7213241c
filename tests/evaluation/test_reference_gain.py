"""Gain over the Gaussian reference, against closed forms of Gaussians tilted by a quadratic."""

import keras
import numpy as np
import pytest

from tf_febm import ContrastiveDivergence, evaluation, networks, training

MEAN, SCALE = np.array([1.0, -2.0, 0.5], "f4"), np.array([0.5, 2.0, 1.0], "f4")


def tilted(precision: float, offset: float = 0.0):
    """Return a model with f(x) = offset + ½ c ‖z‖²: the Gaussian with the covariance Σ/(1 + c)."""
    reference = networks.GaussianReference.from_moments(MEAN, SCALE)
    inputs = keras.Input((3,))
    z = keras.layers.Lambda(lambda x: (x - MEAN) / SCALE)(inputs)
    energy = keras.layers.Lambda(
        lambda z: offset + 0.5 * precision * keras.ops.sum(z**2, axis=1, keepdims=True)
    )(z)
    # A weight, so that there is something to train.
    slope = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")(z)
    network = keras.Model(inputs, energy + slope)
    return ContrastiveDivergence(network, reference=reference)


@pytest.mark.parametrize(("precision", "offset"), [(0.0, 3.0), (0.5, -1.0), (-0.3, 20.0)])
def test_agrees_with_two_gaussians(precision, offset):
    x = MEAN + 0.7 * SCALE * np.random.default_rng(0).normal(size=(500, 3)).astype("f4")
    found = evaluation.gain_over_reference(tilted(precision, offset), x, num_samples=40_000)
    squared = np.square((x - MEAN) / SCALE).sum(axis=1)
    # log N(z; 0, I/(1 + c)) − log N(z; 0, I) at each x.
    exact = 1.5 * np.log1p(precision) - 0.5 * precision * squared.mean()
    over_samples = np.sqrt(found.standard_error**2 - np.var(0.5 * precision * squared) / 500)
    assert abs(found.gain - exact) < 5.0 * max(over_samples, 1e-5)
    # E[w]²/E[w²] of the weights e^(−f): (1 + 2c)^½/(1 + c) for each coordinate.
    share = (np.sqrt(1.0 + 2.0 * precision) / (1.0 + precision)) ** 3
    assert found.effective_sample_size / 40_000 == pytest.approx(share, rel=0.05)
    assert found.log_partition == pytest.approx(-offset - 1.5 * np.log1p(precision), abs=0.05)


def test_says_what_it_needs():
    model = tilted(0.0)
    with pytest.raises(ValueError, match="x must be at least 2 examples of shape .3,.; "):
        evaluation.gain_over_reference(model, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="num_samples must be a whole number ≥ 2"):
        evaluation.gain_over_reference(model, np.zeros((5, 3)), num_samples=1)
    bare = ContrastiveDivergence(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))
    with pytest.raises(ValueError, match="must have a reference"):
        evaluation.gain_over_reference(bare, np.zeros((5, 3)))


def test_a_fit_ends_with_the_weights_that_gained_most():
    rng = np.random.default_rng(1)
    train = MEAN + SCALE * rng.normal(size=(64, 3)).astype("f4")
    held_out = MEAN + SCALE * rng.normal(size=(200, 3)).astype("f4")
    # Data of the reference itself: steps this large can only lose.
    model = tilted(0.0)
    model.compile(keras.optimizers.SGD(0.5))
    before = model.get_weights()
    stop = keras.callbacks.EarlyStopping("held_out_gain", mode="max", patience=3)
    gain = training.HeldOutGain(held_out, num_samples=2000, restore_best_weights=True)
    gains = model.fit(train, epochs=20, batch_size=64, verbose=0, callbacks=[gain, stop]).history[
        "held_out_gain"
    ]
    now = evaluation.gain_over_reference(model, held_out, num_samples=2000)
    assert now.gain == pytest.approx(gain.best_gain, abs=1e-5)
    assert gain.best_gain == pytest.approx(max([0.0, *gains]), abs=1e-6)
    assert len(gains) < 20
    if max(gains) <= 0.0:
        for one, other in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
    # Data beside it: the mean of the data is gained by a slope.
    model.optimizer.learning_rate = 0.02
    gain = training.HeldOutGain(held_out + SCALE, num_samples=2000)
    history = model.fit(train + SCALE, epochs=4, verbose=0, callbacks=[gain]).history
    assert history["held_out_gain"][-1] > history["held_out_gain"][0]
