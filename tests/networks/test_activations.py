"""The library's swish against Keras' own: values, first and second derivatives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_febm.networks import activations

X = np.concatenate([np.linspace(-100, 100, 41), np.linspace(-4, 4, 33)])


def derivatives(function, x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        first = inner.gradient(y, x)
    return y, first, outer.gradient(first, x)


def test_against_the_closed_form():
    x = tf.constant(X, tf.float64)
    s = 1 / (1 + np.exp(-X))
    expected = X * s, s + X * s * (1 - s), s * (1 - s) * (2 + X * (1 - 2 * s))
    for mine, theirs in zip(derivatives(activations.swish, x), expected, strict=True):
        # Roundings of numbers up to 100.
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=100 * 2.0**-52)


@pytest.mark.parametrize(
    ("dtype", "eps"), [("float16", 2.0**-10), ("bfloat16", 2.0**-7), ("float32", 2.0**-23)]
)
def test_dtypes(dtype, eps):
    x = tf.cast(X, dtype)
    for mine, theirs in zip(
        derivatives(activations.swish, x), derivatives(keras.activations.swish, x), strict=True
    ):
        assert mine.dtype == dtype
        # A handful of roundings of numbers up to |x|.
        np.testing.assert_allclose(
            tf.cast(mine, tf.float64), tf.cast(theirs, tf.float64), rtol=8 * eps, atol=8 * eps
        )


def test_others_are_left_alone():
    assert (
        activations.fused_activation("swish")
        is activations.fused_activation("silu")
        is activations.swish
    )
    assert activations.fused_activation("tanh") is keras.activations.tanh
    assert activations.fused_activation(None) is keras.activations.linear


def test_it_is_saved_by_name():
    layer = keras.layers.Dense(2, activation=activations.swish)
    again = keras.layers.Dense.from_config(layer.get_config())
    assert again.activation is activations.swish


def test_in_a_functional_model():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, activations.swish(inputs))
    np.testing.assert_allclose(model(np.ones((2, 3))), 1 / (1 + np.exp(-1)), rtol=1e-6)
