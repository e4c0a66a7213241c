"""Networks: what they compute where it is known, and what they accept."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import networks

FACTORIES = {
    "conv": (lambda **k: networks.conv((8, 8, 1), num_filters=4, dense_units=6, **k), (8, 8, 1)),
    "conv_odd": (lambda **k: networks.conv((13, 10, 3), 4, 6, **k), (13, 10, 3)),
    "mlp": (lambda **k: networks.mlp(3, **k), (3,)),
    "mlp_images": (lambda **k: networks.mlp((4, 4, 1), (8,), "swish", **k), (4, 4, 1)),
    "quadratic": (lambda: networks.quadratic(3), (3,)),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_one_number_per_example_and_a_serialisable_model(name):
    factory, shape = FACTORIES[name]
    network = factory()
    x = tf.random.stateless_uniform([5, *shape], (1, 2))
    energy = network(x)
    assert energy.shape == (5, 1)
    again = keras.models.clone_model(network)
    again.set_weights(network.get_weights())
    np.testing.assert_array_equal(again(x), energy)
    # One example's energy does not depend on the others.
    np.testing.assert_allclose(network(x[2:3]), energy[2:3], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["conv", "mlp", "mlp_images"])
def test_conditional_networks_see_the_label(name):
    factory, shape = FACTORIES[name]
    network = factory(num_classes=3)
    x = tf.random.stateless_uniform([4, *shape], (1, 2))
    energies = [network((x, tf.one_hot([k] * 4, 3))).numpy() for k in range(3)]
    assert energies[0].shape == (4, 1)
    assert np.abs(energies[0] - energies[1]).min() > 0


def test_quadratic_is_a_gaussian_up_to_its_constant():
    network = networks.quadratic(2, mean=0.5, scale=1.7)
    x = tf.random.stateless_normal([6, 2], (0, 1))
    log_density = tfp.distributions.MultivariateNormalDiag([0.5, 0.5], [1.7, 1.7]).log_prob(x)
    total = network(x)[:, 0] + log_density
    np.testing.assert_allclose(total, np.full(6, total[0]), rtol=1e-5)
    np.testing.assert_allclose(network.get_layer("gaussian").scale, [1.7, 1.7], rtol=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: networks.conv((8, 8)),
        lambda: networks.conv((8, 8, 0)),
        lambda: networks.conv((8, 8, 1), num_filters=0),
        lambda: networks.mlp((2, 0)),
        lambda: networks.mlp(2, hidden_units=(0,)),
        lambda: networks.mlp(2, num_classes=0),
        lambda: networks.quadratic(2, scale=0.0),
    ],
)
def test_arguments_are_checked_and_echoed(call):
    with pytest.raises(ValueError, match="received"):
        call()
