"""Networks in raw units, quadratic wells and Fourier features."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import networks

MEAN, SCALE = np.array([100.0, -3.0]), np.array([20.0, 0.01])
Z = np.random.default_rng(0).normal(size=(7, 2))


def test_standardised_sees_z():
    keras.utils.set_random_seed(0)
    inner = networks.mlp(2, (8,))
    outer = networks.standardised(inner, MEAN, SCALE)
    x = tf.constant(MEAN + SCALE * Z, tf.float32)
    # float32 keeps seven digits of x: 300 times fewer of z in the second column.
    np.testing.assert_allclose(outer(x), inner(tf.constant(Z, tf.float32)), atol=2e-4)
    again = keras.models.clone_model(outer)
    again.set_weights(outer.get_weights())
    np.testing.assert_array_equal(again(x), outer(x))


def test_a_saved_network_keeps_its_units(tmp_path):
    network = networks.standardised(
        networks.with_confinement(networks.mlp(2, (8,)), 0.3), MEAN, SCALE
    )
    network.save(tmp_path / "n.keras")
    x = tf.constant(MEAN + SCALE * Z, tf.float32)
    loaded = keras.models.load_model(tmp_path / "n.keras")
    np.testing.assert_array_equal(loaded(x), network(x))


def test_confined_adds_a_parabola():
    inner = networks.mlp(2, (8,))
    x = tf.constant(Z, tf.float32)
    expected = inner(x)[:, 0] + 0.5 * 0.7 * np.square(Z).sum(1)
    np.testing.assert_allclose(networks.with_confinement(inner, 0.7)(x)[:, 0], expected, rtol=1e-5)


def test_labels_pass_through():
    inner = networks.mlp(2, (8,), num_classes=3)
    outer = networks.standardised(networks.with_confinement(inner, 0.0), MEAN, SCALE)
    labels = tf.one_hot([0, 1, 2, 0, 1, 2, 0], 3)
    x = tf.constant(MEAN + SCALE * Z, tf.float32)
    inside = inner((tf.constant(Z, tf.float32), labels))
    np.testing.assert_allclose(outer((x, labels)), inside, atol=2e-4)
    # What models read the number of classes from.
    assert [tuple(shape) for shape in outer.input_shape] == [(None, 2), (None, 3)]


def test_fourier_features_by_hand():
    layer = networks.FourierFeatures(4, 2.0, seed=5)
    x = tf.constant(Z, tf.float32)
    found = layer(x).numpy()
    angles = Z @ np.random.default_rng(5).normal(0.0, 2.0, (2, 4))
    expected = np.concatenate([Z, np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not layer.trainable_variables


@pytest.mark.parametrize(
    ("mean", "scale"),
    [([0.0], [1.0, 2.0]), ([0.0], [0.0]), ([0.0], [-1.0]), ([np.nan], [1.0]), (0.0, 1.0)],
)
def test_refuses_bad_units(mean, scale):
    with pytest.raises(ValueError, match="mean and scale must be"):
        networks.standardised(networks.mlp(1), mean, scale)


def test_refuses_other_mistakes():
    with pytest.raises(ValueError, match=r"x of shape \(2,\); received a mean of shape \(1,\)"):
        networks.standardised(networks.mlp(2), [0.0], [1.0])
    with pytest.raises(ValueError, match="network must be a functional Keras model"):
        networks.with_confinement(keras.layers.Dense(1), 1.0)
    with pytest.raises(ValueError, match="strength"):
        networks.with_confinement(networks.mlp(2), -1.0)
