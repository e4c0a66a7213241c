"""The kernel Stein discrepancy against what it is in closed form, and by TensorFlow's gradients."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from tf_febm import evaluation


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_shifted_gaussian(scale):
    """Of N(μ, 1) from N(0, 1) it is μ² E[(1 + z²/ℓ²)^(−1/2)], z ~ N(0, 2): scores differ by μ.

    Samples at the middles of 2,000 equal parts of the mass: the V-statistic is near the truth.
    """
    shift, count = 0.7, 2000
    density = stats.norm(0.0, np.sqrt(2.0)).pdf
    mean, _ = integrate.quad(lambda z: density(z) / np.sqrt(1 + (z / scale) ** 2), -20, 20)
    x = stats.norm(shift, 1.0).ppf((np.arange(count) + 0.5) / count)[:, None]
    found = evaluation.kernel_stein_discrepancy(x, -x, length_scale=scale)
    assert found.v_statistic == pytest.approx(shift**2 * mean, rel=0.003)
    assert found.p_value < 0.01


def test_estimates_of_independent_samples():
    """Over 40 sets of 80: the U-statistic is right on average, the V-statistic is too large.

    The p-values of samples of the law itself are as often below 0.2 as they may be.
    """
    rng, shift = np.random.default_rng(0), 0.5
    density = stats.norm(0.0, np.sqrt(2.0)).pdf
    truth = shift**2 * integrate.quad(lambda z: density(z) / np.sqrt(1 + z**2), -20, 20)[0]

    def found(mean):
        sets = rng.normal(mean, 1.0, (40, 80, 1))
        return [evaluation.kernel_stein_discrepancy(x, -x, length_scale=1.0) for x in sets]

    shifted, right = found(shift), found(0.0)
    for results, expected in ((shifted, truth), (right, 0.0)):
        u = np.array([each.u_statistic for each in results])
        assert abs(u.mean() - expected) < 4 * u.std(ddof=1) / np.sqrt(len(u))
        assert all(each.v_statistic > each.u_statistic for each in results)
    below = np.mean([each.p_value <= 0.2 for each in right])
    assert abs(below - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 40)
    assert np.mean([each.p_value <= 0.05 for each in shifted]) >= 0.9


def test_the_kernel_in_three_dimensions():
    """Sum of four parts of u, from TensorFlow's derivatives of k itself."""
    rng = np.random.default_rng(1)
    x, s = rng.normal(size=(2, 3, 3))
    scale = 1.3

    def u(a, b, score_a, score_b):
        a, b = tf.constant(a), tf.constant(b)
        with tf.GradientTape(persistent=True) as outer:
            outer.watch(b)
            with tf.GradientTape(persistent=True) as inner:
                inner.watch([a, b])
                k = (1 + tf.reduce_sum((a - b) ** 2) / scale**2) ** -0.5
            by_a = inner.gradient(k, a)
            by_b = inner.gradient(k, b)
        trace = np.trace(outer.jacobian(by_a, b, experimental_use_pfor=False))
        return score_a @ score_b * k + score_a @ by_b.numpy() + score_b @ by_a.numpy() + trace

    expected = np.mean([u(x[i], x[j], s[i], s[j]) for i, j in ((0, 1), (2, 0), (1, 2))])
    found = evaluation.kernel_stein_discrepancy(x, s, length_scale=scale)
    assert found.u_statistic == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("samples", "scores", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 1)), "of one shape"),
        (np.zeros((1, 2)), np.zeros((1, 2)), "n from 2"),
        (np.zeros((3, 2)), np.full((3, 2), np.nan), "scores must be finite"),
    ],
)
def test_what_is_refused(samples, scores, message):
    with pytest.raises(ValueError, match=message):
        evaluation.kernel_stein_discrepancy(samples, scores)
