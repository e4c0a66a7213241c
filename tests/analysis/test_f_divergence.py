"""Divergences by quadrature against closed forms and against an independent integration."""

import math

import numpy as np
import pytest
import tensorflow_probability as tfp
from divergence_truths import (
    TEXTBOOK,
    assert_exact,
    c,
    heavy_integral,
    integral,
    laplace,
    measure,
    mixture,
    normal,
    student,
)

from tf_febm import analysis

tfd = tfp.distributions
INF = math.inf


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
