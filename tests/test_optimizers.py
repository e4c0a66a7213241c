"""ClippedAdam against Adam written out in NumPy, FusedAdam against that of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import optimizers


def test_against_numpy():
    beta_1, beta_2, rate, epsilon = 0.5, 0.9, 0.1, 1e-7
    optimizer = optimizers.ClippedAdam(rate, beta_1, beta_2, epsilon)
    variable = keras.Variable([1.0, -1.0, 0.5])
    w, m, v = variable.numpy().astype(np.float64), np.zeros(3), np.zeros(3)
    gradients = [[0.05, 7.0, -3.0], [1.0, -0.2, 9.0], [30.0, 0.0, 0.1]]
    for t, gradient in enumerate(gradients, start=1):
        limit = 3.0 * np.sqrt(v / (1 - beta_2)) + 0.1
        g = np.clip(gradient, -limit, limit)
        m, v = beta_1 * m + (1 - beta_1) * g, beta_2 * v + (1 - beta_2) * g**2
        w -= rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)
        optimizer.apply([tf.constant(gradient)], [variable])
        np.testing.assert_allclose(variable.numpy(), w, rtol=1e-5)


def test_the_default_is_the_papers():
    config = optimizers.default().get_config()
    assert (config["beta_1"], config["beta_2"]) == (0.0, 0.999)
    assert abs(config["learning_rate"] - 3e-4) < 1e-9


def test_config_round_trip():
    serialised = keras.saving.serialize_keras_object(optimizers.default())
    assert type(keras.saving.deserialize_keras_object(serialised)) is optimizers.ClippedAdam


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta_1": 0.0, "epsilon": 1e-3},
        {"global_clipnorm": 0.3},
        {"clipnorm": 0.3},
        {"weight_decay": 0.1},
        {"amsgrad": True},
    ],
    ids=str,
)
def test_fused_adam_is_that_of_keras(settings):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 2), (4,))]
    ends = []
    for kind in (optimizers.FusedAdam, keras.optimizers.Adam):
        variables = [keras.Variable(value) for value in start]
        optimizer = kind(0.05, **settings)
        optimizer.build(variables)
        step = tf.function(optimizer.apply)
        draws = np.random.default_rng(1)
        for _ in range(20):
            step([tf.constant(draws.normal(size=v.shape), tf.float32) for v in variables])
        ends.append([v.numpy() for v in (*variables, *optimizer.variables)])
    for fused, plain in zip(*ends, strict=True):
        # Twenty updates of size 0.05, each rounded to float32.
        np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-6)


def test_one_variable_at_a_time():
    """Whoever calls `update_step` itself gets the update of Keras."""
    ends = []
    for kind in (optimizers.FusedAdam, keras.optimizers.Adam):
        variable = keras.Variable([1.0, -1.0, 0.5])
        optimizer = kind(0.05)
        optimizer.build([variable])
        for _ in range(3):
            optimizer.update_step(tf.constant([0.1, 3.0, -2.0]), variable, tf.constant(0.05))
            optimizer.iterations.assign_add(1)
        ends.append(variable.numpy())
    np.testing.assert_allclose(*ends, rtol=1e-5)
    assert np.abs(ends[0] - [1.0, -1.0, 0.5]).min() > 0.1
