"""Gradients of convolutions as convolutions, against TensorFlow's own."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from every_network import residual

from tf_febm import energies, networks, samplers
from tf_febm.networks import SpectralConv2D
from tf_febm.networks.convolution import block_size, convolve, gradient_kernel


def draw(*shape, seed=0, dtype=tf.float64):
    return tf.random.stateless_normal(shape, (seed, sum(shape)), dtype=dtype)


def gradients(function, *operands):
    """Return values, first gradients of a weighted sum, and gradients of the square of the first.

    The latter go through the gradient for x, as those of score matching do.
    """
    with tf.GradientTape() as outer:
        outer.watch(operands)
        with tf.GradientTape() as inner:
            inner.watch(operands)
            values = function(*operands)
            total = tf.reduce_sum(tf.sin(values))
        first = inner.gradient(total, operands)
        penalty = tf.reduce_sum(tf.square(first[0]))
    return values, *first, *outer.gradient(penalty, operands)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_all_gradients_are_those_of_tensorflow(stride, kernel_size, padding):
    """Rounding only: sums of some hundred numbers of order one in float64."""
    # Blocks of one pixel know no remainder.
    cases = [((7, 8), 1, 1), ((7, 8), 3, 2), ((9, 6), 1, 4), ((5, 5), 1, 2), ((5, 5), 3, 4)]
    for size, channels, factor in cases:
        x, kernel = draw(2, *size, channels), draw(kernel_size, kernel_size, channels, 4)
        bias = draw(4)
        precomputed = gradient_kernel(kernel, stride, padding, size, block=factor * stride)

        def ours(x, kernel, bias, size=size, block=factor * stride):
            precomputed = gradient_kernel(kernel, stride, padding, size, block)
            return convolve(x, kernel, precomputed, stride, padding, bias)

        def theirs(x, kernel, bias):
            return tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, padding), bias)

        assert precomputed.rows.block == factor * stride
        results = (gradients(f, x, kernel, bias) for f in (ours, theirs))
        for mine, truth in zip(*results, strict=True):
            np.testing.assert_allclose(mine, truth, rtol=1e-10, atol=1e-10, err_msg=f"{size}")


def test_the_gradient_of_one_channel_by_hand():
    """Each pixel gets the taps of the kernel at its distance from the outputs, times their sum."""
    kernel = draw(3, 3, 1, 2)
    upstream = draw(1, 3, 3, 2)
    x = tf.zeros([1, 6, 6, 1], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(x)
        precomputed = gradient_kernel(kernel, 2, "SAME", (6, 6), block=2)
        total = tf.reduce_sum(upstream * convolve(x, kernel, precomputed, 2, "SAME"))
    expected = np.zeros([7, 7])
    for i, j, a, b in itertools.product(range(3), repeat=4):
        expected[2 * i + a, 2 * j + b] += np.dot(kernel[a, b, 0], upstream[0, i, j])
    # An even side of stride 2 has its one row of padding at the end.
    np.testing.assert_allclose(tape.gradient(total, x)[0, :, :, 0], expected[:6, :6], rtol=1e-12)


def test_where_tensorflows_own_gradient_is_left():
    assert block_size(64, 2) is None
    assert block_size(2, 3) is None
    assert block_size(64, 2, 4, 64) is None and block_size(64, 2, 4, 128) == 2
    kernel = draw(3, 3, 64, 2)
    assert gradient_kernel(kernel, 2, "SAME", (8, 8)) is None
    assert gradient_kernel(kernel, 1, "SAME", (None, 8)) is None
    precomputed = gradient_kernel(kernel, 1, "SAME", (8, 8))
    # For images of another size: what TensorFlow does.
    x = draw(1, 6, 6, 64)
    results = (
        gradients(lambda x, given=given: convolve(x, kernel, given, 1, "SAME"), x)
        for given in (precomputed, None)
    )
    for mine, truth in zip(*results, strict=True):
        np.testing.assert_array_equal(mine, truth)


CHAIN_NETWORKS = {
    "conv_by_label": lambda: networks.conv((9, 8, 3), 4, 8, num_classes=3),
    "mnist": lambda: networks.mnist_net(4, image_shape=(10, 10, 1)),
    "residual": lambda: residual(filters=6),
    # Convolutions of sides of 32 pixels down to two.
    "resnet128": lambda: networks.resnet128(4, image_shape=(32, 32, 1)),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.thorough) if n == "resnet128" else n
        for n in CHAIN_NETWORKS
    ],
)
def test_energies_and_scores_of_networks(name):
    """Eagerly and compiled."""
    keras.utils.set_random_seed(1)
    network = CHAIN_NETWORKS[name]()
    for weight in network.trainable_variables:
        # Away from the values near zero at which some kernels start.
        weight.assign(weight + 0.1 * tf.random.stateless_normal(weight.shape, (3, 4)))
    images = network.inputs[0].shape[1:]
    x = tf.random.stateless_uniform([3, *images], (5, 6))
    labels = tf.one_hot([0, 2, 1], 3)

    def energy(x):
        return network((x, labels) if name.endswith("label") else x)

    def fast(x):
        with networks.cached_weights(network):
            return energies.value_and_gradient(energy, x)

    truths = energies.value_and_gradient(energy, x)
    for run in (fast, tf.function(fast, autograph=False)):
        for mine, truth in zip(run(x), truths, strict=True):
            scale = np.abs(truth).max()
            np.testing.assert_allclose(mine, truth, rtol=1e-4, atol=1e-5 * scale)


def test_a_step_of_a_chain_needs_no_gradient_of_a_kernel():
    network = networks.mnist_net(8, image_shape=(8, 8, 1))

    @tf.function(autograph=False)
    def run(x):
        with networks.cached_weights(network):
            return samplers.Langevin(num_steps=3)(network, x, seed=1)

    graph = run.get_concrete_function(tf.TensorSpec([2, 8, 8, 1])).graph.as_graph_def()
    (body,) = (f for f in graph.library.function if "while_body" in f.signature.name)
    nodes = {node.name: node for node in body.node_def}
    # TensorFlow runs what the results of the body depend on, and nothing else.
    waiting, needed = [*body.ret.values(), *body.control_ret.values()], set()
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in nodes and name not in needed:
            needed.add(name)
            waiting.extend(nodes[name].input)
    kinds = [nodes[name].op for name in needed]
    # Two convolutions forward and the gradient of one; the last two see 4×4 and 2×2 pixels and are
    # products of matrices, as the two dense layers are; the last gradient is the kernel itself.
    assert kinds.count("Conv2D") == 3
    assert kinds.count("Conv2DBackpropInput") == 1
    assert kinds.count("MatMul") == 7
    assert "Conv2DBackpropFilter" not in kinds
    # The gradient of a matrix would transpose what it is multiplied with.
    assert not any(nodes[name].attr["transpose_a"].b for name in needed)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strides": 2, "activation": "swish"},
        {"padding": "same", "use_bias": False},
        {"groups": 2},
        {"dilation_rate": 2, "padding": "same"},
        {"strides": (1, 2)},
    ],
    ids=str,
)
def test_the_layer_is_that_of_keras(settings):
    layers = [kind(4, 3, **settings) for kind in (networks.Conv2D, keras.layers.Conv2D)]
    x = draw(2, 7, 8, 2, dtype=tf.float32)
    for layer in layers:
        layer.build(x.shape)
        for weight in layer.weights:
            weight.assign(draw(*weight.shape, dtype=tf.float32))
    with networks.cached_weights(layers[0]):
        results = [gradients(layer, x) for layer in layers]
    for mine, truth in zip(*results, strict=True):
        np.testing.assert_allclose(mine, truth, rtol=1e-4, atol=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layers[0]))
    assert type(again) is networks.Conv2D
    assert again.get_config() == layers[0].get_config()


def test_layers_of_unknown_size_are_left_to_tensorflow():
    layer = SpectralConv2D(3)
    layer.build((None, None, None, 2))
    assert layer.compute_weights_for_chain().precomputed is None
    x = draw(1, 5, 6, 2, dtype=tf.float32)
    with networks.cached_weights(layer):
        result = layer(x)
    np.testing.assert_allclose(result, layer(x), rtol=1e-6)
