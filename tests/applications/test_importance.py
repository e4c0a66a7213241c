"""Importance weights against closed forms: q = N(0, I), p = N(mean, scale²) in every coordinate.

Estimates are allowed four standard errors, which are the closed-form asymptotic ones; with the
fixed seeds nothing is left to chance.
"""

import math

import numpy as np
import pytest
import tensorflow as tf

from tf_febm import randomness
from tf_febm.applications import ImportanceWeights, importance_weights

MEAN, SCALE = 0.2, 0.9
SHAPES = [(1,), (3,), (8, 8, 1)]
# In 64 dimensions the same p would leave an effective sample size of 1 in 200.
MOMENTS = {(1,): (MEAN, SCALE), (3,): (MEAN, SCALE), (8, 8, 1): (0.05, 0.98)}


class Given:
    """A model whose log ratios are given, whatever the samples."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def log_density_ratio(self, x, labels=None):
        return self.values


def moment(k, mean, scale):
    """E_q[(p/q)^k] in one dimension: the Gaussian integral of p^k q^(1−k)."""
    precision = k / scale**2 + 1 - k
    peak = (k * mean / scale**2) ** 2 / precision - k * (mean / scale) ** 2
    return math.exp(0.5 * peak) / (scale**k * math.sqrt(precision))


def tilted(mean, scale):
    """Mean and variance of p²/q, normalised, in one dimension."""
    variance = 1 / (2 / scale**2 - 1)
    return 2 * mean / scale**2 * variance, variance


def test_the_closed_forms_agree_with_quadrature():
    x = np.linspace(-12, 12, 200_001)
    q = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
    ratio = np.exp(0.5 * x**2 - 0.5 * ((x - MEAN) / SCALE) ** 2) / SCALE
    for k in (1, 2, 3, 4):
        assert np.trapezoid(q * ratio**k, x) == pytest.approx(moment(k, MEAN, SCALE), rel=1e-9)
    density = q * ratio**2 / moment(2, MEAN, SCALE)
    centre, variance = tilted(MEAN, SCALE)
    assert np.trapezoid(x * density, x) == pytest.approx(centre, rel=1e-9)
    assert np.trapezoid((x - centre) ** 2 * density, x) == pytest.approx(variance, rel=1e-9)


class TestEstimates:
    N = 20_000

    def weigh(self, exact, samples_of_q, shape, **settings):
        mean, scale = MOMENTS[shape]
        x = samples_of_q(shape, self.N)
        return x, importance_weights(exact(shape, (1.0,), (mean,), (scale,)), x, **settings)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_means_and_variances(self, exact, samples_of_q, shape):
        """The asymptotic variance of Σ w v is E_q[(p/q)² (v − E_p v)²]/n."""
        x, weights = self.weigh(exact, samples_of_q, shape)
        mean, scale = MOMENTS[shape]
        dimension = math.prod(shape)
        centre, variance = tilted(mean, scale)
        mass = moment(2, mean, scale) ** dimension
        shift = centre - mean
        spread = mass * (variance + shift**2)
        # E (z + shift)⁴ and the rest of E ((z + shift)² − scale²)², z ~ N(0, variance).
        fourth = 3 * variance**2 + 6 * variance * shift**2 + shift**4
        spread_of_square = mass * (fourth - 2 * scale**2 * (variance + shift**2) + scale**4)
        estimate = weights.expectation(x)
        assert estimate.shape == shape and estimate.dtype == np.float64
        # Four standard errors in each of up to 64 coordinates: one seed in 250 would miss.
        np.testing.assert_allclose(estimate, mean, atol=4 * math.sqrt(spread / self.N))
        np.testing.assert_allclose(
            weights.expectation((x - mean) ** 2),
            scale**2,
            atol=4 * math.sqrt(spread_of_square / self.N),
        )
        # The weights must be what does it.
        one = (0,) * len(shape)
        assert abs(x.mean(0)[one] - mean) > 4 * math.sqrt(spread / self.N)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_effective_sample_size(self, exact, samples_of_q, shape):
        """ESS/n → 1/E_q[(p/q)²]; its standard error by the delta method from four moments."""
        _, weights = self.weigh(exact, samples_of_q, shape)
        dimension = math.prod(shape)
        second, third, fourth = (moment(k, *MOMENTS[shape]) ** dimension for k in (2, 3, 4))
        variance = (
            4 * (second - 1) / second**2
            - 4 * (third - second) / second**3
            + (fourth - second**2) / second**4
        )
        error = 4 * math.sqrt(variance / self.N)
        assert error < 0.15 / second
        assert weights.effective_sample_size / self.N == pytest.approx(1 / second, abs=error)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_log_normaliser(self, exact, samples_of_q, shape):
        _, weights = self.weigh(exact, samples_of_q, shape)
        second = moment(2, *MOMENTS[shape]) ** math.prod(shape)
        error = 4 * math.sqrt((second - 1) / self.N)
        assert weights.log_normaliser == pytest.approx(0.0, abs=error)

    def test_the_weights_are_the_normalised_ratios(self, exact, samples_of_q):
        x, weights = self.weigh(exact, samples_of_q, (1,))
        ratio = np.exp(0.5 * x[:, 0] ** 2 - 0.5 * ((x[:, 0] - MEAN) / SCALE) ** 2.0)
        np.testing.assert_allclose(weights.weights, ratio / ratio.sum(), rtol=1e-5)
        assert weights.weights.dtype == np.float64
        assert weights.weights.sum() == pytest.approx(1.0, abs=1e-12)

    def test_labels(self, exact, samples_of_q):
        """p(y) = (0.3, 0.7) with q uniform over y, and class means −1 and 1."""
        model = exact((1,), (0.3, 0.7), (-1.0, 1.0), (0.8, 0.8), conditional=True)
        x = samples_of_q((1,), self.N)
        y = np.repeat([0, 1], self.N // 2)
        weights = importance_weights(model, x, y)
        # E_q[(p/q)² (v − E_p v)²] = Σ_y 2 p(y)² E_q[(p(x|y)/q(x))² (v − E_p v)²].
        second = moment(2, 1.0, 0.8)
        spread = 2 * second * (0.3**2 * 0.7**2 + 0.7**2 * 0.3**2)
        share = weights.expectation(y == 1)
        assert share == pytest.approx(0.7, abs=4 * math.sqrt(spread / self.N))
        centre, variance = tilted(1.0, 0.8)
        spread = (
            2
            * second
            * sum(
                share**2 * (variance + (sign * centre - 0.4) ** 2)
                for share, sign in ((0.3, -1), (0.7, 1))
            )
        )
        mean = weights.expectation(x[:, 0])
        assert mean == pytest.approx(0.4, abs=4 * math.sqrt(spread / self.N))
        rows = importance_weights(model, x, np.eye(2)[y])
        np.testing.assert_allclose(rows.weights, weights.weights, rtol=1e-6)


class TestNumbers:
    def test_a_constant_ratio_gives_uniform_weights(self, exact, samples_of_q):
        weights = importance_weights(exact((3,), offset=1.5), samples_of_q((3,), 7))
        np.testing.assert_allclose(weights.weights, np.full(7, 1 / 7), rtol=1e-6)
        assert weights.effective_sample_size == pytest.approx(7.0)
        assert weights.effective_sample_size <= 7.0
        assert weights.log_normaliser == pytest.approx(1.5, abs=1e-6)

    @pytest.mark.parametrize("offset", [1000.0, -1000.0])
    def test_a_constant_in_the_ratio_changes_nothing_but_the_normaliser(
        self, exact, samples_of_q, offset
    ):
        """exp(±1000) is out of range; float32 keeps r + 1000 to 6e-5."""
        x = samples_of_q((1,), 1000)
        plain, shifted = (
            importance_weights(exact((1,), (1.0,), (MEAN,), (SCALE,), offset=c), x)
            for c in (0.0, offset)
        )
        np.testing.assert_allclose(shifted.weights, plain.weights, rtol=1e-4)
        assert shifted.effective_sample_size == pytest.approx(plain.effective_sample_size, rel=1e-4)
        assert shifted.log_normaliser - plain.log_normaliser == pytest.approx(offset, abs=1e-3)

    def test_one_sample_that_outweighs_all(self, exact):
        """r at 0 exceeds r at 50 by 1250 (1/0.01² − 1): the others' weights are 0, not NaN."""
        model = exact((1,), (1.0,), (0.0,), (0.01,))
        weights = importance_weights(model, np.array([[0.0], [50.0], [-50.0]], np.float32))
        np.testing.assert_array_equal(weights.weights, [1.0, 0.0, 0.0])
        assert weights.effective_sample_size == 1.0
        assert weights.log_normaliser == pytest.approx(math.log(100 / 3), abs=1e-5)

    def test_rounding_keeps_the_effective_sample_size_within_its_limits(self):
        """1/Σ(1/n)² rounds to more than n for some n, 3 among them."""
        for n in range(1, 200):
            weights = importance_weights(Given(np.zeros(n)), np.zeros((n, 1)))
            assert n - 1e-9 < weights.effective_sample_size <= n

    def test_one_sample(self, exact):
        weights = importance_weights(exact((1,)), [[0.5]])
        assert weights.weights.tolist() == [1.0] and weights.effective_sample_size == 1.0

    def test_batches_bound_the_memory_and_change_nothing(self, exact, samples_of_q, monkeypatch):
        model = exact((3,), (1.0,), (MEAN,), (SCALE,))
        x = samples_of_q((3,), 25)
        whole = importance_weights(model, tf.constant(x))
        sizes, ratio = [], model.log_density_ratio
        monkeypatch.setattr(
            model, "log_density_ratio", lambda x, y=None: sizes.append(len(x)) or ratio(x, y)
        )
        parts = importance_weights(model, x, batch_size=10)
        assert sizes == [10, 10, 5]
        np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-6)


class TestResample:
    WEIGHTS = np.array([0.0, 0.27, 0.5, 0.0, 0.23, 0.0])

    @pytest.fixture
    def weights(self):
        return ImportanceWeights(self.WEIGHTS, 1 / np.sum(self.WEIGHTS**2), 0.0)

    @pytest.mark.parametrize("count", [1, 3, 10, 1000])
    def test_copies_are_the_expected_ones_up_to_rounding(self, weights, count):
        for seed in range(20):
            indices = weights.resample(count, seed)
            assert indices.shape == (count,) and (np.diff(indices) >= 0).all()
            copies = np.bincount(indices, minlength=6)
            assert (np.abs(copies - count * self.WEIGHTS) < 1 + 1e-9).all()

    def test_unbiased(self, weights):
        """Copies of one draw are 0 or 1: the mean of 400 has a standard error of at most 0.025."""
        copies = np.mean(
            [np.bincount(weights.resample(1, s), minlength=6) for s in range(400)], axis=0
        )
        np.testing.assert_allclose(copies, self.WEIGHTS, atol=0.1)

    def test_resampled_samples_have_the_moments_of_p(self, exact, samples_of_q):
        x = samples_of_q((1,), 20_000)
        weights = importance_weights(exact((1,), (1.0,), (MEAN,), (SCALE,)), x)
        drawn = x[weights.resample(20_000, (1, 2))]
        # Systematic resampling of n samples adds less than the spread of one sample over √n.
        assert drawn.mean() == pytest.approx(float(weights.expectation(x)[0]), abs=0.007)
        assert drawn.std() == pytest.approx(SCALE, abs=0.03)

    def test_seeds(self, weights):
        many = [weights.resample(1, s).tolist() for s in range(20)]
        assert many == [weights.resample(1, s).tolist() for s in range(20)]
        assert len({tuple(m) for m in many}) > 1

    @pytest.mark.parametrize("count", [1, 10])
    def test_rounding_at_the_end_of_the_weights(self, monkeypatch, count):
        """Ten times 0.1 cumulate to less than 1, and (offset + 9)/10 rounds to 1."""
        largest = tf.constant(np.nextafter(1.0, 0.0))
        monkeypatch.setattr(randomness, "uniform", lambda *args, **kwargs: largest)
        weights = ImportanceWeights(np.full(10, 0.1), 10.0, 0.0)
        assert weights.resample(count, 0).max() == 9

    def test_the_least_uniform_number_does_not_draw_a_weight_of_zero(self, monkeypatch, weights):
        monkeypatch.setattr(randomness, "uniform", lambda *a, **k: tf.constant(0.0, tf.float64))
        assert weights.resample(1, 0) == [1]

    def test_bad_arguments(self, weights):
        with pytest.raises(ValueError, match="count must be a whole number ≥ 1; received 0"):
            weights.resample(0, 1)
        with pytest.raises(ValueError, match="seed is an int"):
            weights.resample(1, None)


class TestBadInput:
    def test_no_ratio(self, samples_of_q):
        class Plain:
            log_density_ratio = None

        for model in (Plain(), object()):
            with pytest.raises(TypeError, match=r"has no log_density_ratio.*FEBM"):
                importance_weights(model, samples_of_q((1,), 2))

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_ratios_that_are_not_finite(self, bad):
        with pytest.raises(ValueError, match=r"must be finite; 1 of the 3 values"):
            importance_weights(Given([0.0, bad, 1.0]), np.zeros((3, 1)))

    def test_the_message_tells_where(self, exact, samples_of_q):
        x = samples_of_q((1,), 30)
        x[25] = np.nan
        with pytest.raises(ValueError, match=r"must be finite; 1 of the 10 values from sample 20"):
            importance_weights(exact((1,)), x, batch_size=10)

    def test_shapes(self, exact, samples_of_q):
        model = exact((3,))
        for x in (np.zeros((0, 3), np.float32), np.float32(1.0)):
            with pytest.raises(ValueError, match=r"\[n, …\], n ≥ 1"):
                importance_weights(model, x)
        with pytest.raises(ValueError, match=r"\('n', 3\); received \(5, 2\)"):
            importance_weights(model, samples_of_q((2,), 5))
        with pytest.raises(TypeError, match="floating"):
            importance_weights(model, np.zeros((5, 3), int))
        with pytest.raises(ValueError, match="batch_size must be a whole number ≥ 1; received 0"):
            importance_weights(model, samples_of_q((3,), 5), batch_size=0)

    def test_a_ratio_of_another_shape(self):
        with pytest.raises(ValueError, match=r"shape \(4,\); received shape \(4, 1\)"):
            importance_weights(Given(np.zeros((4, 1))), np.zeros((4, 2)))

    def test_labels(self, exact, samples_of_q):
        conditional = exact((1,), (0.5, 0.5), (0.0, 0.0), (1.0, 1.0), conditional=True)
        x = samples_of_q((1,), 20)
        with pytest.raises(ValueError, match="needs labels"):
            importance_weights(conditional, x)
        # Too many labels: in batches of ten each sample would have one.
        with pytest.raises(ValueError, match=r"one per sample, shape \[20\].*received shape \(30,"):
            importance_weights(conditional, x, [0] * 30, batch_size=10)
        with pytest.raises(ValueError, match=r"received shape \(\)"):
            importance_weights(conditional, x, 1)
        with pytest.raises(ValueError, match="received values from 2 to 2"):
            importance_weights(conditional, x, [2] * 20)
        with pytest.raises(ValueError, match="takes none"):
            importance_weights(exact((1,)), x, [0] * 20)

    def test_values(self, exact, samples_of_q):
        weights = importance_weights(exact((1,)), samples_of_q((1,), 5))
        assert weights.expectation(np.arange(5)) == pytest.approx(2.0)
        # Large integers keep their last digit.
        assert weights.expectation(np.full(5, 2**30 + 1)) == pytest.approx(2**30 + 1, abs=1e-3)
        assert weights.expectation(tf.ones((5, 2, 3))).shape == (2, 3)
        for values in (np.zeros(4), 1.0, np.array(["a"] * 5)):
            with pytest.raises(ValueError, match=r"real numbers, shape \[5, …\]"):
                weights.expectation(values)
