"""Convolutions as matrices against TensorFlow's own convolution."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_febm.networks import convolution
from tf_febm.networks.convolution import convolution_matrix, multiply

# (height, width), kernel, stride, padding
CASES = [
    case
    for case in itertools.product(
        [(4, 4), (3, 4), (2, 3), (1, 1)],
        [(4, 4), (5, 3), (3, 5)],
        (1, 2, 3),
        ("SAME", "VALID"),
    )
    if case[0][0] * case[0][1] <= case[1][0] * case[1][1]
    and (case[3] == "SAME" or (case[0][0] >= case[1][0] and case[0][1] >= case[1][1]))
]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), CASES)
def test_values_and_gradients(size, kernel, stride, padding):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(5, *size, 3)))
    w = tf.constant(rng.normal(size=(*kernel, 3, 4)))
    plain = tf.nn.conv2d(x, w, stride, padding)
    upstream = tf.constant(rng.normal(size=plain.shape))

    def derivatives(convolve):
        with tf.GradientTape() as outer:
            outer.watch((x, w))
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(upstream * convolve(x, w) ** 2)
            slope = inner.gradient(total, x)
            curved = tf.reduce_sum(tf.sin(slope))
        return total, slope, *outer.gradient(curved, (x, w))

    def in_matrices(x, w):
        return multiply(x, convolution_matrix(w, stride, padding, size))

    found = derivatives(in_matrices)
    expected = derivatives(lambda x, w: tf.nn.conv2d(x, w, stride, padding))
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(
    ("kernel", "size"),
    [
        ((3, 3, 8, 8), (4, 4)),  # More pixels than taps.
        ((4, 4, 8, 8), (None, 4)),
        ((4, 4, 512, 512), (4, 4)),  # 8192 × 2048 elements.
    ],
)
def test_where_convolutions_stay(kernel, size):
    assert convolution_matrix(tf.zeros(kernel), 2, "SAME", size) is None


def test_a_chain_uses_the_matrix_and_other_sizes_do_not():
    w = tf.random.stateless_normal([4, 4, 3, 5], (0, 1))
    weights = convolution.Weights(w).for_chain(2, "SAME", (4, 4))
    assert weights.precomputed.outputs == (2, 2, 5)
    bias = tf.constant([1.0, 2.0, 3.0, 4.0, 5.0])
    for side in (4, 6):
        x = tf.random.stateless_normal([2, side, side, 3], (0, 2))
        mine = convolution.convolve(x, *weights, 2, "SAME", bias)
        np.testing.assert_allclose(mine, tf.nn.conv2d(x, w, 2, "SAME") + bias, rtol=1e-5, atol=1e-5)
