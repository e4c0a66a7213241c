"""Detection figures against counting and the closed form of two Gaussians."""

import numpy as np
import pytest
from scipy.stats import norm

from tf_febm import evaluation


def by_counting(inside, outside):
    """All four figures by their definitions, threshold by threshold."""

    def average_precision(positive, negative):
        total, recall = 0.0, 0.0
        for threshold in np.unique(positive)[::-1]:
            true, false = np.sum(positive >= threshold), np.sum(negative >= threshold)
            total += (true / len(positive) - recall) * true / (true + false)
            recall = true / len(positive)
        return total

    pairs = inside[:, None] - outside
    passed = [t for t in inside if 100 * np.sum(inside >= t) >= 95 * len(inside)]
    return (
        np.mean((pairs > 0) + 0.5 * (pairs == 0)),
        average_precision(inside, outside),
        average_precision(-outside, -inside),
        np.mean(outside >= max(passed)),
    )


@pytest.mark.parametrize("decimals", [8, 1, 0])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (40, 3), (500, 333)])
def test_agrees_with_counting(n, m, decimals):
    """Rounded to whole numbers nearly all scores are tied."""
    generator = np.random.default_rng(n)
    inside = generator.normal(0.8, 1.0, n).round(decimals)
    outside = generator.normal(0.0, 1.5, m).round(decimals)
    found = evaluation.ood_metrics(inside, outside)
    assert found == pytest.approx(by_counting(inside, outside), abs=1e-12)


def test_two_gaussians():
    """N(δ, s²) against N(0, 1): AUROC Φ(δ/√(1 + s²)); FPR Φ(s z − δ) with z of 95 %."""
    shift, scale, count = 1.5, 0.7, 200_000
    generator = np.random.default_rng(0)
    found = evaluation.ood_metrics(
        generator.normal(shift, scale, count), generator.normal(size=count)
    )
    assert found.auroc == pytest.approx(norm.cdf(shift / np.hypot(1, scale)), abs=0.003)
    expected = norm.cdf(scale * norm.ppf(0.95) - shift)
    assert found.fpr_at_95_tpr == pytest.approx(expected, abs=0.006)
    # Precision and recall of the same two laws, by quadrature.
    thresholds = np.linspace(-6, 8, 20_001)
    recall = norm.sf(thresholds, shift, scale)
    precision = recall / (recall + norm.sf(thresholds))
    assert found.aupr_in == pytest.approx(-np.trapezoid(precision, recall), abs=0.003)


def test_perfect_useless_and_inverted_scores():
    low, high = np.arange(20.0), np.arange(30.0, 60.0)
    assert evaluation.ood_metrics(high, low) == pytest.approx((1, 1, 1, 0), abs=1e-12)
    inverted = evaluation.ood_metrics(low, high)
    assert inverted.auroc == 0 and inverted.fpr_at_95_tpr == 1
    constant = evaluation.ood_metrics(np.zeros(30), np.zeros(10))
    assert constant == pytest.approx((0.5, 0.75, 0.25, 1), abs=1e-12)


def test_threshold_keeps_at_least_95_percent():
    """Of 20 scores 19 must pass: the threshold is the second lowest; of 21, twenty must."""
    outside = np.array([0.5, 1.5, 2.5])
    assert evaluation.ood_metrics(np.arange(20), outside).fpr_at_95_tpr == pytest.approx(2 / 3)
    assert evaluation.ood_metrics(np.arange(19), outside).fpr_at_95_tpr == 1


def test_infinite_scores_are_ranked():
    found = evaluation.ood_metrics([np.inf, 1.0], [-np.inf, 0.0])
    assert found == pytest.approx((1, 1, 1, 0), abs=1e-12)


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        ([], [1.0], r"in_scores must be real numbers of shape \[n\] with n ≥ 1"),
        ([1.0], [[1.0]], r"out_scores .* received float64 \[1, 1\]"),
        (["a"], [1.0], "in_scores must be real numbers"),
        ([1.0], [np.nan, 1.0, np.nan], "out_scores must not be NaN; received 2"),
    ],
)
def test_arguments_are_validated(inside, outside, message):
    with pytest.raises(ValueError, match=message):
        evaluation.ood_metrics(inside, outside)
