"""The published networks as Keras models.

What they compute is tested in tests/legacy; what all networks promise, in test_catalogue.py.
"""

import inspect

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import networks

SHAPES = {
    "resnet32": (8, 8, 3),
    "resnet32_large": (8, 9, 3),
    "resnet32_larger": (8, 8, 3),
    "resnet32_wider": (8, 8, 1),
    "resnet128": (32, 32, 3),
}


def build(name, attention=False, **options):
    if attention:
        options["use_attention"] = True
    return networks.get(name)(num_filters=4, image_shape=SHAPES[name], **options)


def disturb(network):
    """Give every weight, gamma and label weights among them, a value that matters."""
    rng = np.random.default_rng(0)
    network.set_weights(
        [w + 0.2 * rng.normal(size=w.shape).astype(w.dtype) for w in network.get_weights()]
    )


# The blocks that attention leaves, one fewer than there are, but for the last network.
BLOCKS = {
    "resnet32": 5,
    "resnet32_large": 8,
    "resnet32_larger": 14,
    "resnet32_wider": 8,
    "resnet128": 6,
}


@pytest.mark.parametrize("name", SHAPES)
def test_attention_starts_as_the_identity_in_the_place_of_a_block(name):
    attentive = build(name, attention=True)
    assert sum("_res_c1" in layer.name for layer in attentive.layers) == BLOCKS[name]
    x = tf.random.stateless_uniform([2, *SHAPES[name]], (1, 2))
    before = attentive(x)
    attentive.get_layer("atten").gamma.assign([2.0])
    assert np.abs(attentive(x) - before).max() > 1e-6


@pytest.mark.parametrize(
    ("name", "attention"),
    # With dropout of attention's scores too, and without attention.
    [("resnet32_wider", True), ("resnet128", False)],
)
def test_dropout_acts_in_training_alone(name, attention):
    network = build(name, attention=attention, dropout=0.5)
    disturb(network)
    x = tf.random.stateless_uniform([2, *SHAPES[name]], (1, 2))
    np.testing.assert_array_equal(network(x), network(x, training=False))
    assert np.abs(network(x, training=True) - network(x, training=True)).min() > 0
    without = build(name, attention=attention, dropout=0.0)
    without.set_weights([w for w in network.get_weights() if w.dtype == np.float32])
    np.testing.assert_array_equal(without(x, training=True), network(x))


def test_only_the_large_network_has_dropout_unless_asked():
    default = {
        name: parameters["dropout"].default
        for name in SHAPES
        if "dropout" in (parameters := inspect.signature(networks.get(name)).parameters)
    }
    assert default == {"resnet32_large": 0.5, "resnet32_wider": 0.0, "resnet128": 0.0}


def test_published_sizes():
    # Weights of ResNet32 with 128 filters and 10 classes, counted from its definition.
    width = [128, 128, 256, 256, 256, 256]
    before = [128, 128, 128, 256, 256, 256]
    count = 9 * 3 * 128 + 256 + 1
    for c_in, c_out in zip(before, width, strict=True):
        count += 9 * (c_in * c_out + c_out * c_out) + 10 * (c_in + 2 * c_out) + c_out
        count += 9 * c_in * c_out if c_in != c_out else 0
    network = networks.resnet32(num_classes=10)
    assert network.input_shape == [(None, 32, 32, 3), (None, 10)]
    assert sum(np.prod(v.shape) for v in network.trainable_variables) == count


@pytest.mark.parametrize(
    "call",
    [
        lambda: networks.resnet32(num_filters=0),
        lambda: networks.resnet32(num_classes=0),
        lambda: networks.resnet32(image_shape=(7, 32, 3)),
        lambda: networks.resnet32(image_shape=(32, 32)),
        lambda: networks.resnet128(image_shape=(128, 31, 3)),
        lambda: networks.resnet32_large(dropout=-0.5),
        lambda: networks.mnist_net(num_filters=2.5),
        lambda: networks.mnist_net(num_classes=-1),
    ],
)
def test_arguments_are_checked_and_echoed(call):
    with pytest.raises(ValueError, match="received"):
        call()
