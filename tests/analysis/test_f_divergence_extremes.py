"""Divergences at the ends of floating numbers, of odd supports, and where there is none."""

import logging
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
from divergence_truths import (
    assert_exact,
    c,
    heavy_integral,
    measure,
    student,
)

from tf_febm import analysis, divergences
from tf_febm.analysis import ground_truth

tfd = tfp.distributions
INF = math.inf


@pytest.mark.parametrize("ratio", [1.2, 1.41, 1.42, 1.5])
def test_pearson_between_gaussians(ratio):
    """∫p²/q is finite only if var p < 2 var q."""
    value = measure("pearson_chi2", tfd.Normal(*c(0.0, ratio)), tfd.Normal(*c(0.0, 1.0)))
    truth = 1 / (ratio * math.sqrt(2 - ratio**2)) - 1 if ratio**2 < 2 else INF
    assert_exact(value, truth)


@pytest.mark.parametrize("shift", [-1.0, -0.5, 0.5, 0.69, 0.7, 1.0])
def test_tails_that_leave_the_range_of_float64_together(shift):
    """Both log densities of two Gumbel distributions fall like −exp(−x); χ² = 1/(a(2 − a)) − 1."""
    p, q = tfd.Gumbel(*c(0.0, 1.0)), tfd.Gumbel(*c(shift, 1.0))
    a = math.exp(shift)
    assert_exact(measure("pearson_chi2", p, q), 1 / (a * (2 - a)) - 1 if a < 2 else INF)


def test_what_rounding_decides_raises():
    """With a = 2 above, 2 log p − log q is the rounding of two large numbers."""
    with pytest.raises(ValueError, match="could not be integrated to 1e-8"):
        measure("pearson_chi2", tfd.Gumbel(*c(0.0, 1.0)), tfd.Gumbel(*c(math.log(2), 1.0)))


@pytest.mark.parametrize("name", ["js", "squared_hellinger", "le_cam"])
def test_one_tail_leaves_the_range_of_float64_and_one_is_heavy(name):
    """Gumbel's log density is −∞ in float64 from x = −710 on, where Cauchy's tail still counts."""
    gumbel, cauchy = tfd.Gumbel(*c(0.0, 1.0)), tfd.Cauchy(*c(0.0, 1.0))

    def log_gumbel(x):
        return -x - math.exp(min(-x, 700.0))

    truth = heavy_integral(name, log_gumbel, student(1.0))
    assert_exact(measure(name, gumbel, cauchy), truth)
    assert_exact(measure(name, cauchy, gumbel), truth)


def test_a_batch_may_hold_finite_and_infinite_members():
    values = measure("kl", tfd.Uniform(*c(0.0, 1.0)), tfd.Uniform(*c([-1.0, 0.5], [1.0, 1.5])))
    np.testing.assert_allclose(values, [math.log(2), INF])


def test_a_linear_term_of_the_generator_does_not_matter():
    """u log u + 3(u − 1) is KL, though not through the same numbers."""
    shifted = divergences.from_generator(lambda u: u * tf.math.log(u) + 3.0 * (u - 1.0), "shifted")
    p, q = tfd.Normal(*c(0.0, 1.0)), tfd.Logistic(*c(0.3, 0.6))
    value = float(analysis.f_divergence(shifted, p, q))
    assert_exact(value, measure("kl", p, q))
    assert value > 0.01


def test_numbers_in_float32_are_taken_as_they_are():
    low, high = np.float32(0.1), np.float64(np.float32(0.1))
    p, q = tfd.Normal(*c(0.0, 1.0)), tfd.Normal(*c(high, 1.0))
    value = measure("kl", p, tfd.Normal(low, np.float32(1.0)))
    assert value.dtype == np.float64
    assert value == measure("kl", p, q) != pytest.approx(0.1**2 / 2, rel=1e-9)


@pytest.mark.parametrize("width, is_finite", [(0.5, True), (0.9, True), (1.1, False)])
def test_one_log_density_leaves_the_range_of_float64(width, is_finite):
    """q log(q/p) is +∞ in float64 where Gumbel's log p is −∞; E_q[e^(−x)] = 1/(1 − b²) if b < 1."""
    p, q = tfd.Gumbel(*c(0.0, 1.0)), tfd.Laplace(*c(0.0, width))
    truth = 1 / (1 - width**2) - 1 - math.log(2 * width) if is_finite else INF
    assert_exact(measure("reverse_kl", p, q), truth)


def test_mass_farther_than_floating_numbers_square():
    """Beyond 1e150, where the nodes end, Pareto(0.1) has 1e-15 of its mass, Pareto(0.05) 3e-8."""
    p, q = tfd.Pareto(*c(0.1, 1.0)), tfd.Pareto(*c(0.2, 1.0))
    assert_exact(measure("kl", p, q), math.log(0.5) + 2.0 - 1.0)
    with pytest.raises(ValueError, match="p integrates to 0.9999999684, not to 1"):
        measure("kl", tfd.Pareto(*c(0.05, 1.0)), p)


def test_a_batch_of_many_supports(monkeypatch):
    """Members that do not fit together are integrated apart: KL(U(0, 1) ‖ U(0, b)) = log b."""
    monkeypatch.setattr(ground_truth, "_MAX_TOGETHER", 10)
    width = np.linspace(1.0, 3.0, 6).reshape(3, 2)
    value = measure("kl", tfd.Uniform(*c(0.0, 1.0)), tfd.Uniform(*c(0.0, width)))
    assert_exact(value, np.log(width))


def test_a_steep_pole_beside_zero():
    """Beta(0.2, 0.2) has 1 % of its mass within 1e-9 of 1; KL to the uniform is −its entropy."""
    uniform = tfd.Uniform(*c(0.0, 1.0))
    truth = -scipy.stats.beta(0.2, 0.2).entropy()
    assert_exact(measure("kl", tfd.Beta(*c(0.2, 0.2)), uniform), truth)
    with pytest.raises(ValueError, match="p integrates to"):
        measure("kl", tfd.Beta(*c(0.05, 0.05)), uniform)


def test_features_too_narrow_for_their_place_raise():
    """At 1e9 floating numbers are 1e-7 apart."""
    p, q = tfd.Normal(*c(1e9, 1e-6)), tfd.Normal(*c(1e9, 2e-6))
    with pytest.raises(ValueError, match="integrates to|could not be integrated"):
        measure("kl", p, q)


def test_distributions_without_quantiles():
    """tfp has none for Pareto: KL(Pareto(a) ‖ Pareto(b)) = log(a/b) + b/a − 1."""
    p, q = tfd.Pareto(*c(3.0, 1.0)), tfd.Pareto(*c([1.5, 3.0], 1.0))
    assert_exact(measure("kl", p, q), [math.log(2) + 0.5 - 1.0, 0.0])


def test_batches_of_many_shapes_do_not_retrace():
    """TensorFlow warns when tfp's sampler of Gamma is traced anew for each shape of a batch."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    tf.get_logger().addHandler(handler)
    try:
        for size in range(1, 9):
            shapes = np.linspace(2.0, 3.0, size)
            measure("js", tfd.Gamma(*c(3.0, 1.0)), tfd.Gamma(*c(shapes, 1.0)))
    finally:
        tf.get_logger().removeHandler(handler)
    assert not [record for record in records if "retracing" in record.getMessage()]


class _Unsampled(tfd.Distribution):
    """Know only a log density."""

    def __init__(self):
        super().__init__(tf.float64, tfd.NOT_REPARAMETERIZED, False, True, {})

    def _log_prob(self, x):
        return -0.5 * x**2 - 0.5 * math.log(2 * math.pi)

    def _event_shape(self):
        return tf.TensorShape([])

    def _batch_shape(self):
        return tf.TensorShape([])


class _Unnormalised(tfd.Normal):
    def _log_prob(self, x):
        return super()._log_prob(x) + 1e-6


def test_what_cannot_be_integrated_raises():
    normal = tfd.Normal(*c(0.0, 1.0))
    with pytest.raises(TypeError, match="p must be a tfp distribution"):
        analysis.f_divergence("kl", 3.0, normal)
    with pytest.raises(TypeError, match="floating scalars"):
        analysis.f_divergence("kl", normal, tfd.Bernoulli(*c(0.0)))
    with pytest.raises(ValueError, match="p must be one distribution"):
        analysis.f_divergence("kl", tfd.Normal(*c([0.0], 1.0)), normal)
    with pytest.raises(ValueError, match="q cannot be integrated: .* quantile or sample"):
        analysis.f_divergence("kl", normal, _Unsampled())
    with pytest.raises(ValueError, match="integrates to 1.000001"):
        analysis.f_divergence("kl", _Unnormalised(*c(0.0, 1.0)), normal)
