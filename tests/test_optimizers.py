"""ClippedAdam against Adam written out in NumPy."""

import keras
import numpy as np
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
