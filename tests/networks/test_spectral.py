"""Spectral normalisation: the norm, its gradient, and its state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm import networks
from tf_febm.networks import SpectralConv2D, SpectralDense
from tf_febm.networks.spectral import normalise

SHAPES = {"convolution": (3, 3, 4, 6), "wide": (2, 2, 2, 11), "dense": (7, 5)}


def kernel_and_vector(shape, dtype=np.float64):
    rng = np.random.default_rng(5)
    return tf.constant(rng.normal(size=shape), dtype), tf.constant(
        rng.normal(size=(1, shape[-1])), dtype
    )


def largest_singular_value(kernel):
    return np.linalg.svd(np.reshape(kernel, [-1, kernel.shape[-1]]), compute_uv=False)[0]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_norm_after_many_iterations_is_the_largest_singular_value(shape):
    kernel, vector = kernel_and_vector(shape)
    exact = largest_singular_value(kernel)
    first = normalise(kernel, vector).sigma
    assert first < 0.999 * exact
    step = tf.function(lambda vector: normalise(kernel, vector).vector, autograph=False)
    for _ in range(500):
        vector = step(vector)
    result = normalise(kernel, vector)
    np.testing.assert_allclose(result.sigma, exact, rtol=1e-9)
    np.testing.assert_allclose(largest_singular_value(result.kernel), 1.0, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(result.vector), 1.0, rtol=1e-9)


def test_one_iteration_by_hand():
    kernel, vector = kernel_and_vector((3, 3, 4, 6))
    w, u = np.reshape(kernel, [-1, 6]), vector.numpy()[0]
    v = w @ u / np.linalg.norm(w @ u)
    result = normalise(kernel, vector)
    np.testing.assert_allclose(result.sigma, np.linalg.norm(v @ w), rtol=1e-12)
    np.testing.assert_allclose(result.vector[0], v @ w / np.linalg.norm(v @ w), rtol=1e-12)
    np.testing.assert_allclose(result.kernel, kernel / np.linalg.norm(v @ w), rtol=1e-12)


@pytest.mark.parametrize("scale", [0.01, 0.2, 3.0])
def test_bounded_kernels_keep_small_norms(scale):
    kernel, vector = kernel_and_vector((3, 3, 4, 6))
    for _ in range(200):
        vector = normalise(kernel, vector).vector
    kernel *= scale / largest_singular_value(kernel)
    bounded = normalise(kernel, vector, bounded=True).kernel
    np.testing.assert_allclose(largest_singular_value(bounded), min(scale, 1.0), rtol=2e-6)


def test_a_kernel_of_zeros_does_no_harm():
    kernel, vector = tf.zeros([3, 3, 2, 4]), tf.ones([1, 4])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        total = tf.reduce_sum(normalise(kernel, vector, bounded=True).kernel)
    assert float(total) == 0.0
    assert np.isfinite(tape.gradient(total, kernel)).all()


@pytest.mark.parametrize("scale", [0.1, 1.0], ids=["below_one", "above_one"])
@pytest.mark.parametrize("bounded", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_gradient_against_finite_differences(shape, bounded, scale):
    kernel, vector = kernel_and_vector(shape)
    kernel = scale * kernel
    rng = np.random.default_rng(6)
    weights, direction = (tf.constant(rng.normal(size=shape)) for _ in range(2))

    # u and v as constants: those that the iteration finds at the unperturbed kernel.
    matrix = tf.reshape(kernel, [-1, shape[-1]])
    v = tf.math.l2_normalize(vector @ tf.transpose(matrix))
    u = tf.math.l2_normalize(v @ matrix)

    def value(w):
        sigma = tf.reduce_sum(v @ tf.reshape(w, [-1, shape[-1]]) * u) + (1e-6 if bounded else 0.0)
        return tf.reduce_sum(weights * w / sigma) * (tf.minimum(sigma, 1.0) if bounded else 1.0)

    with tf.GradientTape() as tape:
        tape.watch(kernel)
        result = normalise(kernel, vector, bounded)
        total = tf.reduce_sum(weights * result.kernel)
    gradient = tape.gradient(total, kernel)
    np.testing.assert_allclose(total, value(kernel), rtol=1e-12)
    slope = (value(kernel + 1e-6 * direction) - value(kernel - 1e-6 * direction)) / 2e-6
    np.testing.assert_allclose(tf.reduce_sum(gradient * direction), slope, rtol=1e-6)
    # Scaling a kernel changes nothing, unless it is bounded and left as it is.
    along = float(tf.reduce_sum(gradient * kernel))
    assert (abs(along) < 1e-4 * tf.norm(gradient)) == (not (bounded and result.sigma < 1.0))


LAYERS = {
    "conv": (lambda **k: SpectralConv2D(5, 3, **k), (2, 6, 5, 3)),
    "conv_strided": (lambda **k: SpectralConv2D(5, 4, 2, **k), (2, 7, 6, 3)),
    "dense": (lambda **k: SpectralDense(5, **k), (2, 4)),
}


@pytest.mark.parametrize("name", LAYERS)
class TestLayers:
    def test_output_and_shape(self, name):
        make, shape = LAYERS[name]
        layer = make(use_bias=True)
        x = tf.random.stateless_normal(shape, (0, 1))
        assert layer.compute_output_shape(shape) == tuple(layer(x).shape)
        layer.bias.assign(np.arange(5.0))
        kernel = normalise(layer.kernel.value, layer.vector.value).kernel
        plain = x @ kernel if name == "dense" else tf.nn.conv2d(x, kernel, layer.strides, "SAME")
        np.testing.assert_allclose(layer(x), plain + np.arange(5.0), rtol=1e-5, atol=1e-5)

    def test_only_power_iteration_changes_the_vector(self, name):
        make, shape = LAYERS[name]
        layer = make()
        x = tf.random.stateless_normal(shape, (0, 1))
        layer(x)
        before, expected = layer.vector.numpy(), layer.normalised().vector
        assert np.abs(before - expected).max() > 0.1
        for training in (False, True):
            layer(x, training=training)
        np.testing.assert_array_equal(layer.vector, before)
        with networks.power_iteration(layer):
            np.testing.assert_array_equal(layer.vector, before)
        np.testing.assert_array_equal(layer.vector, expected)

    def test_nothing_is_stored_after_an_error(self, name):
        make, shape = LAYERS[name]
        layer = make()
        layer.build(shape)
        before = layer.vector.numpy()
        with pytest.raises(RuntimeError), networks.power_iteration(layer):
            raise RuntimeError
        np.testing.assert_array_equal(layer.vector, before)

    def test_configuration(self, name):
        make, shape = LAYERS[name]
        layer = make(bounded=True, name="a")
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
        layer.build(shape)
        again.build(shape)
        again.set_weights(layer.get_weights())
        x = tf.random.stateless_normal(shape, (0, 1))
        np.testing.assert_array_equal(again(x), layer(x))

    def test_normalisation_keeps_the_precision_of_the_weights(self, name):
        make, shape = LAYERS[name]
        layer = make(dtype="mixed_bfloat16")
        x = tf.random.stateless_normal(shape, (0, 1))
        assert layer(x).dtype == tf.bfloat16
        exact = normalise(layer.kernel.value, layer.vector.value).kernel
        assert exact.dtype == tf.float32
        computed = layer.compute_weights()
        kernel = computed if name == "dense" else computed.kernel
        np.testing.assert_array_equal(kernel, tf.cast(exact, tf.bfloat16))


def test_vectors_are_no_trainable_weights():
    network = networks.mnist_net(num_filters=2)
    names = [v.path.rpartition("/")[2] for v in network.trainable_variables]
    assert "vector" not in names
    assert len(network.non_trainable_variables) == 5


def test_bounded_kernels_start_near_zero():
    layer = SpectralConv2D(3, bounded=True)
    x = tf.random.stateless_normal([1, 4, 4, 2], (0, 1))
    assert 0.0 < float(tf.reduce_max(tf.abs(layer(x)))) < 1e-7


@pytest.mark.parametrize(
    "call",
    [
        lambda: SpectralConv2D(0),
        lambda: SpectralConv2D(2, 0),
        lambda: SpectralConv2D(2, 3, 0),
        lambda: SpectralDense(0),
        lambda: networks.SelfAttention(0),
    ],
)
def test_arguments_are_checked_and_echoed(call):
    with pytest.raises(ValueError, match="received 0"):
        call()


def test_attention_starts_as_the_identity_and_mixes_positions_later():
    layer = networks.SelfAttention(3)
    x = tf.random.stateless_normal([2, 4, 5, 6], (0, 1))
    np.testing.assert_array_equal(layer(x), x)
    layer.gamma.assign([1.0])
    # A change in one corner is felt in the other, and in no other example.
    moved = tf.tensor_scatter_nd_add(x, [[0, 0, 0]], 3.0 * tf.ones([1, 6]))
    change = np.abs(layer(moved) - layer(x))
    assert change[0, 3, 4].max() > 1e-4
    assert change[1].max() == 0.0
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))
