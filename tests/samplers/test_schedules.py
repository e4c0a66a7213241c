"""Schedules of steps: what they are, that a constant one is none, that calibrated laws stay."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import samplers
from tf_febm.samplers.schedules import factor

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def energy(x):
    return 0.5 * tf.reduce_sum(tf.square(x), 1)


@keras.saving.register_keras_serializable(package="tests")
def halved(step):
    return tf.pow(0.5, tf.cast(step, tf.float32))


@pytest.mark.parametrize("constant", ["constant", lambda step: 1.0])
def test_a_constant_schedule_is_the_plain_kernel_bit_for_bit(constant):
    for plain in (
        *(samplers.Langevin(0.1, 0.2, 6), samplers.Langevin.from_epsilon(0.1, 6)),
        *(samplers.MALA(0.1, 6), samplers.HMC(0.1, 3, 6, burn_in=2)),
    ):
        settings = dict.fromkeys(plain.SCHEDULED, constant)
        other = type(plain)(**{**plain.get_config(), **settings})
        np.testing.assert_array_equal(other(energy, X, 3), plain(energy, X, 3))
        found, expected = tf.function(
            lambda s=plain, o=other: (o(energy, X, 3), s(energy, X, 3)), autograph=False
        )()
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "middle"),
    [("linear", 0.505), ("cosine", 0.505), ("geometric", 0.1), ("constant", 1.0)],
)
def test_named_ones_fall_to_a_hundredth(name, middle):
    found = [float(factor(name, k, 5, tf.float64)) for k in (0, 2, 4)]
    assert found == pytest.approx([1.0, middle, 1.0 if name == "constant" else 0.01])
    assert float(factor(name, 0, 1, tf.float32)) == 1.0


@pytest.mark.parametrize("noise", [None, halved])
def test_steps_by_hand(noise):
    """Of step k: ε ½ᵏ, or noise of deviation √ε ½ᵏ where that has a schedule of its own."""
    sampler = samplers.Langevin.from_epsilon(0.2, 4, schedule=halved, noise_schedule=noise)
    result = sampler(energy, X, 3, return_trajectory=True)
    states = result.trajectory.numpy()
    # The same noise as of the plain kernel, whose steps are known.
    plain = samplers.Langevin.from_epsilon(0.2, 4)
    others = plain(energy, X, 3, return_trajectory=True).trajectory.numpy()
    for k in range(4):
        xi = (others[k + 1] - 0.9 * others[k]) / math.sqrt(0.2)
        scale = 0.5**k if noise else 0.5 ** (k / 2)
        expected = states[k] * (1 - 0.1 * 0.5**k) + math.sqrt(0.2) * scale * xi
        np.testing.assert_allclose(states[k + 1], expected, atol=1e-5)
    # And so of a step by itself.
    one, _ = sampler.step(energy, tf.constant(X), (0, 1), 2)
    small = samplers.Langevin.from_epsilon(0.05, 1)
    if noise is None:
        np.testing.assert_allclose(one, small.step(energy, tf.constant(X), (0, 1))[0], atol=1e-6)


CALIBRATED = {
    "mala": lambda **given: samplers.MALA(0.3, 7, **given),
    "hmc": lambda **given: samplers.HMC(0.5, 2, 7, **given),
    "tempered": lambda **given: samplers.ParallelTempering(0.3, 7, (1.0, 0.5), **given),
}


@pytest.mark.parametrize("kind", CALIBRATED)
@pytest.mark.parametrize("burn_in", [0, 3])
def test_calibrated_steps_are_multiplied_once_they_have_adapted(kind, burn_in):
    plain, scheduled = (
        CALIBRATED[kind](burn_in=burn_in, schedule=schedule)(
            energy, X, 3, return_diagnostics=True
        ).step_size.numpy()
        for schedule in (None, halved)
    )
    expected = plain * 0.5 ** np.maximum(np.arange(7) - burn_in, 0)
    np.testing.assert_allclose(scheduled, expected, rtol=1e-5)
    assert (np.ptp(plain) > 0.0) == (burn_in > 0)


@keras.saving.register_keras_serializable(package="tests")
def in_turns(step):
    return tf.where(step % 2 == 0, 1.0, 0.3)


@pytest.mark.parametrize("kind", CALIBRATED)
def test_calibrated_chains_keep_their_law(kind):
    """20,000 samples of N(0, 1) after 7 long and short steps by turns: five standard errors."""
    sampler = CALIBRATED[kind](schedule=in_turns)
    sampler.step_size *= 4.0
    x = np.random.default_rng(1).normal(size=(20_000, 1)).astype(np.float32)
    if kind == "tempered":
        # Its replicas all start where the chain does, and only the coldest of them in its law.
        sampler.inverse_temperatures = (1.0, 1.0)
    result = sampler(energy, x, 5, return_diagnostics=True)
    assert result.acceptance.numpy()[0].mean() < 0.9 < result.acceptance.numpy()[1].mean()
    assert abs(result.samples.numpy().var() - 1.0) < 5 * math.sqrt(2 / 20_000)


def test_kept_in_configs():
    cosine = keras.optimizers.schedules.CosineDecay(1.0, 60)
    for schedule in (halved, cosine, "linear"):
        sampler = samplers.Langevin(num_steps=3, schedule=schedule, noise_schedule=schedule)
        stored = keras.saving.serialize_keras_object(sampler)
        again = keras.saving.deserialize_keras_object(stored)
        np.testing.assert_array_equal(again(energy, X, 3), sampler(energy, X, 3))
        assert "schedule=" in repr(sampler)
        hmc = samplers.HMC(0.5, 2, 3, schedule=schedule)
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(hmc))
        np.testing.assert_array_equal(again(energy, X, 3), hmc(energy, X, 3))
    unknown = samplers.Langevin(schedule=lambda step: 1.0)
    assert "lambda" in repr(unknown)
    with pytest.raises(TypeError, match="schedule is the function .*lambda.* cannot be saved"):
        unknown.get_config()
    with pytest.raises(ValueError, match="schedule must be one of constant, linear, .*'cosin'"):
        samplers.Langevin(schedule="cosin")
