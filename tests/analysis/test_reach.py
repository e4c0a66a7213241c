"""What keeps samples from the best Gaussian: against quadrature, Monte Carlo and formulas."""

import numpy as np
import pytest
import scipy.optimize
from tensorflow_probability import distributions as tfd

from tf_febm import analysis

MIXTURE = ((0.3, 0.7), (-1.5, 1.5), (0.09, 1.5))


@pytest.fixture(scope="module")
def target():
    return analysis.gaussian_mixture(*MIXTURE)


def gaussian(place):
    return tfd.Normal(np.float64(place[0]), np.exp(np.float64(place[1])))


@pytest.mark.parametrize("name", ["js", "alpha:-0.5", "pearson_chi2"])
def test_gradient_and_hessian_are_those_of_the_divergence(target, name):
    place = np.array([0.9, np.log(1.45)])
    found = analysis.reach(name, target, place[0], np.exp(place[1]))

    def value(x):
        return float(analysis.f_divergence(name, target, gaussian(x)))

    gradient = scipy.optimize.approx_fprime(place, value, 1e-5)
    np.testing.assert_allclose(found.gradient, gradient, atol=2e-4 * np.abs(gradient).max())
    steps = 1e-3 * np.eye(2)
    (a, b), centre = steps, value(place)
    second = [value(place + s) - 2.0 * centre + value(place - s) for s in steps]
    mixed = value(place + a + b) - value(place + a - b) - value(place - a + b)
    mixed = (mixed + value(place - a - b)) / 4.0
    hessian = 1e6 * np.array([[second[0], mixed], [mixed, second[1]]])
    np.testing.assert_allclose(found.hessian, hessian, atol=2e-3 * np.abs(hessian).max())


def test_the_deviation_is_that_of_samples(target):
    mean, scale = 1.0, 1.5
    z = np.random.default_rng(0).normal(size=400_000)
    x = mean + scale * z
    r = target.log_prob(x).numpy() - (-0.5 * z**2 - np.log(scale * np.sqrt(2.0 * np.pi)))
    value = r - 1.0
    slopes = np.stack([-z / scale, -(z**2)])
    terms = (value - value.mean()) * (slopes - slopes.mean(axis=1, keepdims=True))
    expected = np.sqrt(np.square(terms).mean(axis=1))
    found = analysis.reach("reverse_kl", target, mean, scale)
    np.testing.assert_allclose(found.deviation, expected, rtol=0.03)


@pytest.mark.parametrize("alpha", [-1.0, -0.5, 0.25, 0.75, 2.0])
def test_moments_are_finite_where_the_exponents_say(target, alpha):
    """∫ p^a q^b is finite where a/v + b/σ² > 0: squares of Theorem 3's terms at the optimal H."""
    name, widest = f"alpha:{alpha}", 1.5
    for share in (0.3, 0.7, 1.2, 1.4, 1.9, 2.5):
        found = analysis.reach(name, target, 1.0, np.sqrt(share * widest))
        data = (2.0 * alpha - 1.0) + (2.0 - 2.0 * alpha) / share > 0.0
        model = 2.0 * alpha + (1.0 - 2.0 * alpha) / share > 0.0
        assert found.covariance_is_finite == model
        assert found.theorem_3_is_finite == (model and data)
        assert np.isfinite(found.deviation).all() == model


def test_what_is_unseen_is_how_far_the_optimum_moves(target):
    """The Gaussian that somebody finds who freezes log p/q beyond quantiles, by another solver."""
    best, share = analysis.best_normal("reverse_kl", target), 1e-4
    found = analysis.reach("reverse_kl", target, best.mean, best.scale, share)
    x = np.linspace(-20.0, 20.0, 40_001)
    cdf, log_p = target.cdf(x).numpy(), target.log_prob(x).numpy()
    seen = np.flatnonzero((cdf > share) & (cdf < 1.0 - share))

    def gradient(place):
        z = (x - place[0]) * np.exp(-place[1])
        log_q = -0.5 * z**2 - place[1] - 0.5 * np.log(2.0 * np.pi)
        ratio = log_p - log_q
        ratio[: seen[0]], ratio[seen[-1] :] = ratio[seen[0]], ratio[seen[-1]]
        q = np.exp(log_q) / np.exp(log_q).sum()
        slopes = np.stack([-z * np.exp(-place[1]), -(z**2)])
        return (q * (ratio - (q * ratio).sum()) * slopes).sum(axis=1)

    moved = scipy.optimize.root(gradient, [best.mean, np.log(best.scale)]).x
    shift = max(abs(moved[0] - best.mean), abs(np.exp(moved[1]) - best.scale))
    assert 0.005 < shift < 0.015 and found.unseen == pytest.approx(shift, rel=0.1)


def test_bad_shares(target):
    for share in (0.0, 0.5):
        with pytest.raises(ValueError, match="share"):
            analysis.reach("kl", target, 1.0, 1.5, share)
