"""Networks: what they compute where it is known, and what they accept."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import networks


def test_odd_sides_of_images():
    x = tf.random.stateless_uniform([5, 13, 10, 3], (1, 2))
    network = networks.conv((13, 10, 3), 4, 6)
    assert network(x).shape == (5, 1)
    # One example's energy does not depend on the others.
    np.testing.assert_allclose(network(x[2:3]), network(x)[2:3], rtol=1e-4, atol=1e-6)


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
