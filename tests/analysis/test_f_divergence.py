"""Divergences by quadrature against closed forms and against an independent integration."""

import functools
import logging
import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tf_febm import analysis, divergences
from tf_febm.analysis import ground_truth

tfd = tfp.distributions
INF = math.inf

# q f(p/q) from log p and log q, as the textbook has it; JS is twice the mean of the two KLs.
TEXTBOOK = {
    "kl": lambda p, q: np.exp(p) * (p - q),
    "reverse_kl": lambda p, q: np.exp(q) * (q - p),
    "js": lambda p, q: (
        np.exp(p) * (math.log(2) - np.logaddexp(0, q - p))
        + np.exp(q) * (math.log(2) - np.logaddexp(0, p - q))
    ),
    "squared_hellinger": lambda p, q: (np.exp(p / 2) - np.exp(q / 2)) ** 2,
    "pearson_chi2": lambda p, q: np.exp(2 * p - q) - 2 * np.exp(p) + np.exp(q),
    "neyman_chi2": lambda p, q: np.exp(2 * q - p) - 2 * np.exp(q) + np.exp(p),
    "alpha:0.9": lambda p, q: (
        (0.9 * np.exp(p) + 0.1 * np.exp(q) - np.exp(0.9 * p + 0.1 * q)) / 0.09
    ),
    "alpha:-0.5": lambda p, q: (
        (np.exp(1.5 * q - 0.5 * p) + 0.5 * np.exp(p) - 1.5 * np.exp(q)) / 0.75
    ),
    "le_cam": lambda p, q: (np.exp(p) - np.exp(q)) * np.tanh((p - q) / 2),
}
LE_CAM = divergences.from_generator(lambda u: (u - 1.0) ** 2 / (u + 1.0), "le_cam")


# Log densities by hand: QUADPACK asks point by point, where scipy.stats takes 50 µs each.
def normal(mean, scale):
    return lambda x: -0.5 * ((x - mean) / scale) ** 2 - math.log(scale * math.sqrt(2 * math.pi))


def laplace(mean, scale):
    return lambda x: -abs(x - mean) / scale - math.log(2 * scale)


def student(freedom):
    factor = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)
    factor -= 0.5 * math.log(freedom * math.pi)
    return lambda x: factor - 0.5 * (freedom + 1) * math.log1p(x * x / freedom)


def mixture(weights, means, scales):
    parts = [normal(*part) for part in zip(means, scales, strict=True)]
    logs = [math.log(weight) for weight in weights]
    return lambda x: functools.reduce(
        np.logaddexp, [log + part(x) for log, part in zip(logs, parts, strict=True)]
    )


def c(*values):
    return [tf.constant(value, tf.float64) for value in values]


def measure(name, p, q):
    return analysis.f_divergence(LE_CAM if name == "le_cam" else name, p, q).numpy()


def integral(name, log_p, log_q, edges):
    """Integrate by QUADPACK between the edges; both densities must be positive there."""
    pieces = []
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        value, error = scipy.integrate.quad(
            lambda x: TEXTBOOK[name](log_p(x), log_q(x)), low, high, epsabs=1e-13, epsrel=1e-13
        )
        # The truth must be better than what is asked of us.
        assert error < 1e-10, (name, low, high, error)
        pieces.append(value)
    return math.fsum(pieces)


def heavy_integral(name, log_p, log_q):
    """Integrate over the whole line in t = asinh x, in which power laws are exponentials."""

    def density(log):
        return lambda t: log(math.sinh(t)) + math.log(math.cosh(t))

    return integral(name, density(log_p), density(log_q), np.linspace(-44.0, 44.0, 177))


def assert_exact(value, truth):
    # What the docstring promises: 1e-8·max(1, D).
    np.testing.assert_allclose(value, truth, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", TEXTBOOK)
class TestEachDivergence:
    """Every divergence between densities that are smooth, kinked, and of several modes."""

    def test_the_paper_s_mixture(self, name):
        p = analysis.gaussian_mixture([0.33, 0.67], [-1.0, 2.0], [0.0625, 2.0])
        log_p = mixture([0.33, 0.67], [-1.0, 2.0], [0.25, math.sqrt(2.0)])
        truth = integral(name, log_p, normal(1.2, 1.7), np.arange(-15.0, 17.0))
        assert_exact(measure(name, p, tfd.Normal(*c(1.2, 1.7))), truth)

    def test_three_components(self, name):
        weights, means, scales = [0.2, 0.5, 0.3], [-6.0, 0.0, 5.0], [0.5, 1.0, 0.2]
        p = analysis.gaussian_mixture(weights, means, np.square(scales))
        # Neyman's χ² grows like exp((x/s)²) between the modes: q must not be too wide there.
        q = (0.0, 3.0) if name not in ("neyman_chi2", "alpha:-0.5") else (0.0, 0.9)
        edges = np.sort([*np.linspace(-24, 24, 49), -5.8, -6.2, 4.8, 5.2])
        truth = integral(name, mixture(weights, means, scales), normal(*q), edges)
        assert_exact(measure(name, p, tfd.Normal(*c(*q))), truth)

    def test_separate_modes(self, name):
        """Modes 200 widths from each other do not overlap: D = Σ_k b_k f(a_k/b_k)."""
        a, b = np.array([0.3, 0.7]), np.array([0.6, 0.4])
        p, q = (analysis.gaussian_mixture(w, [-20.0, 20.0], [0.01, 0.01]) for w in (a, b))
        assert_exact(measure(name, p, q), TEXTBOOK[name](np.log(a), np.log(b)).sum())

    def test_laplace_has_a_kink(self, name):
        """At 0.2, and where the densities cross."""
        p, q = laplace(0.2, 0.9), laplace(-0.3, 0.7)
        truth = integral(name, p, q, np.sort([*np.arange(-60.0, 61.0, 4.0), -0.3, 0.2]))
        assert_exact(measure(name, tfd.Laplace(*c(0.2, 0.9)), tfd.Laplace(*c(-0.3, 0.7))), truth)

    def test_laplace_and_normal(self, name):
        if name == "pearson_chi2":
            truth = INF
        else:
            p, q = laplace(0.2, 0.9), normal(-0.1, 1.1)
            truth = integral(name, p, q, np.sort([*np.arange(-36.0, 37.0, 2.0), 0.2]))
        assert_exact(measure(name, tfd.Laplace(*c(0.2, 0.9)), tfd.Normal(*c(-0.1, 1.1))), truth)

    def test_beta_within_uniform(self, name):
        """Poles of 1/p at both ends where p vanishes: q²/p = 1/p diverges for Beta(2, 3)."""
        if name == "neyman_chi2":
            truth = INF
        elif name == "alpha:-0.5":
            # ∫ p^(−½) has a pole of order 1 at x = 1 and diverges there.
            truth = INF
        else:
            edges = [0.0, *np.geomspace(1e-12, 0.5, 20)]
            edges = np.concatenate([edges, 1.0 - np.array(edges[-2::-1])])

            def log_beta(x):
                return math.log(12.0 * x) + 2.0 * math.log1p(-x)

            truth = integral(name, log_beta, lambda x: 0.0, edges)
        assert_exact(measure(name, tfd.Beta(*c(2.0, 3.0)), tfd.Uniform(*c(0.0, 1.0))), truth)

    def test_student_t_and_normal(self, name):
        if name == "pearson_chi2":
            truth = INF
        else:
            p, q = student(3.0), normal(0.5, 1.3)
            truth = heavy_integral(name, p, q)
        assert_exact(
            measure(name, tfd.StudentT(*c(3.0, 0.0, 1.0)), tfd.Normal(*c(0.5, 1.3))), truth
        )

    def test_cauchy_and_normal(self, name):
        if name in ("kl", "pearson_chi2"):
            truth = INF
        else:
            p, q = student(1.0), normal(0.5, 1.3)
            truth = heavy_integral(name, p, q)
        assert_exact(measure(name, tfd.Cauchy(*c(0.0, 1.0)), tfd.Normal(*c(0.5, 1.3))), truth)

    def test_normal_and_cauchy(self, name):
        if name in ("reverse_kl", "neyman_chi2", "alpha:-0.5"):
            truth = INF
        else:
            p, q = normal(0.5, 1.3), student(1.0)
            truth = heavy_integral(name, p, q)
        assert_exact(measure(name, tfd.Normal(*c(0.5, 1.3)), tfd.Cauchy(*c(0.0, 1.0))), truth)


# These two are of the panels, which know nothing of the divergence but how its integrand falls.
PANELS = pytest.mark.parametrize("name", ["kl", "js", "pearson_chi2", "neyman_chi2"])


@PANELS
def test_shift_and_scale_do_not_matter(name):
    """To 2e-8, twice what is promised of each."""
    p, q = (lambda a, b: tfd.Logistic(*c(b, a))), (lambda a, b: tfd.Normal(*c(b, 1.5 * a)))
    if name == "pearson_chi2":  # Infinite the other way round.
        p, q = q, p
    values = [measure(name, p(a, b), q(a, b)) for a, b in ((1, 0), (1e-3, 7), (30, -1e4))]
    np.testing.assert_allclose(values[1:], values[0], rtol=2e-8, atol=2e-8)
    assert values[0] > 0.01 and np.isfinite(values[0])


@PANELS
def test_a_batch_equals_a_loop(name):
    # Pearson's is infinite where q has the lighter tails.
    p = tfd.Normal(*c(0.0, 1.0)) if name == "pearson_chi2" else tfd.Laplace(*c(0.0, 1.0))
    means, scales = np.array([-1.0, 25.0]), np.array([[0.4], [3.0]])
    batch = measure(name, p, tfd.Normal(*c(means[None], scales)))
    loop = [[measure(name, p, tfd.Normal(*c(m, s))) for m in means] for s in scales[:, 0]]
    # Members of a batch share panels, which are those of each and more.
    np.testing.assert_allclose(batch, loop, rtol=1e-12, atol=1e-12)
    assert batch.shape == (2, 2)


UNIFORMS = [
    # p's ends; then of each q: its ends, q(inside), p and q elsewhere, and the ratio inside.
    (
        (0.0, 1.0),
        [
            ((2.0, 3.0), 0.0, 1.0, 1.0, 1.0),
            ((0.5, 1.5), 0.5, 0.5, 0.5, 1.0),
            ((0.25, 0.5), 1.0, 0.75, 0.0, 0.25),
        ],
    ),
    ((0.25, 0.5), [((0.0, 1.0), 0.25, 0.0, 0.75, 4.0)]),
]


@pytest.mark.parametrize("name", TEXTBOOK)
def test_uniforms(name):
    """D = q(inside) f(ratio) + q_only f(0) + p_only f'(∞), from areas alone."""
    f_zero, slope = {
        "kl": (0.0, INF),
        "reverse_kl": (INF, 0.0),
        "js": (math.log(2), math.log(2)),
        "squared_hellinger": (1.0, 1.0),
        "pearson_chi2": (1.0, INF),
        "neyman_chi2": (INF, 1.0),
        # With f'(1) = 0: f(0) = 1/α, f'(∞) = 1/(1 − α).
        "alpha:0.9": (1 / 0.9, 10.0),
        "alpha:-0.5": (INF, 1 / 1.5),
        "le_cam": (1.0, 1.0),
    }[name]
    for p_ends, rows in UNIFORMS:
        ends, truths = [row[0] for row in rows], []
        for _, inside, p_only, q_only, ratio in rows:
            truth = inside * TEXTBOOK[name](math.log(ratio), 0.0)
            truth += q_only * f_zero if q_only else 0.0
            truth += p_only * slope if p_only else 0.0
            truths.append(truth)
        q = tfd.Uniform(*c(*np.transpose(ends)))
        assert_exact(measure(name, tfd.Uniform(*c(*p_ends)), q), truths)


def test_kl_between_arcsine_and_uniform():
    """Beta(½, ½) has a pole at either end; its entropy is log(π/4)."""
    arcsine, uniform = tfd.Beta(*c(0.5, 0.5)), tfd.Uniform(*c(0.0, 1.0))
    assert_exact(measure("kl", arcsine, uniform), -math.log(math.pi / 4))
    assert_exact(measure("reverse_kl", arcsine, uniform), math.log(math.pi) - 1.0)


def test_closed_forms_between_gaussians():
    """KL both ways and squared Hellinger, for three q at once."""
    means, scales = np.array([0.0, 1.0, -2.0]), np.array([1.0, 0.7, 1.5])
    m, s = 0.5, 1.2
    p, q = tfd.Normal(*c(m, s)), tfd.Normal(*c(means, scales))
    total = s**2 + scales**2
    overlap = np.sqrt(2 * s * scales / total) * np.exp(-((m - means) ** 2) / (4 * total))
    kl = np.log(scales / s) + (s**2 + (m - means) ** 2) / (2 * scales**2) - 0.5
    reverse = np.log(s / scales) + (scales**2 + (m - means) ** 2) / (2 * s**2) - 0.5
    assert_exact(measure("kl", p, q), kl)
    assert_exact(measure("reverse_kl", p, q), reverse)
    assert_exact(measure("squared_hellinger", p, q), 2 - 2 * overlap)


def test_separate_modes_from_a_wide_gaussian():
    """KL(p‖q) = E_p[log p] − E_p[log q], both known where components do not overlap."""
    weights, means, scale, width = np.array([0.3, 0.7 - 1e-6, 1e-6]), [-20.0, 20.0, 90.0], 0.1, 25.0
    p = analysis.gaussian_mixture(weights, means, [scale**2] * 3)
    negentropy = np.sum(weights * np.log(weights)) - math.log(scale)
    square = np.sum(weights * np.square(means)) + scale**2
    truth = negentropy - 0.5 + math.log(width) + square / (2 * width**2)
    assert_exact(measure("kl", p, tfd.Normal(*c(0.0, width))), truth)


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
