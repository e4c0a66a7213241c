"""Precision, recall, density and coverage: hand-made sets, brute force, expectations."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from tf_febm import evaluation
from tf_febm.evaluation import precision_recall as module


def brute_force(real, samples, k):
    """All four figures from full matrices of exact distances."""

    def radii(points):
        distances = cdist(points, points)
        np.fill_diagonal(distances, np.inf)
        return np.sort(distances, axis=1)[:, k - 1]

    across = cdist(real, samples)
    in_real = across <= radii(real)[:, None]
    in_samples = across <= radii(samples)[None]
    return (
        in_real.any(axis=0).mean(),
        in_samples.any(axis=1).mean(),
        in_real.sum() / (k * len(samples)),
        in_real.any(axis=1).mean(),
    )


def all_four(real, samples, k):
    return (
        *evaluation.precision_and_recall(real, samples, k),
        *evaluation.density_and_coverage(real, samples, k),
    )


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("memory", [0.001, 32])
@pytest.mark.parametrize(("m", "n", "d"), [(60, 40, 2), (40, 70, 20)])
def test_agrees_with_brute_force(k, memory, m, n, d, monkeypatch):
    # A thousandth of a mebibyte holds the distances of 2 or 3 rows.
    monkeypatch.setattr(module, "WORKING_MEMORY", memory)
    generator = np.random.default_rng(k)
    real, samples = generator.normal(size=(m, d)), generator.normal(0.7, 0.8, size=(n, d))
    figures = all_four(real, samples, k)
    assert figures == pytest.approx(brute_force(real, samples, k), abs=1e-12)
    assert 0 < figures[0] <= 1 and 0 < figures[3] <= 1


def test_points_on_a_line():
    """Real 0, 1, 3, 7 with k = 1 have radii 1, 1, 2, 4; samples 1.5, 2.5, 20 have 1, 1, 17.5."""
    real = np.array([[0.0], [1.0], [3.0], [7.0]])
    samples = np.array([[1.5], [2.5], [20.0]])
    # 1.5 is within 1 of 1 and 2 of 3; 2.5 within 2 of 3; 20 in none: 3 balls, 2 of 3 samples.
    # The balls of 1 and 3 are met, those of 0 and 7 (3 … 11) are not.
    density, coverage = evaluation.density_and_coverage(real, samples, k=1)
    assert (density, coverage) == (pytest.approx(3 / 3), pytest.approx(2 / 4))
    # 1 is within 1 of 1.5; 3 within 1 of 2.5 and 17.5 of 20; 7 within 17.5 of 20; 0 in none.
    precision, recall = evaluation.precision_and_recall(real, samples, k=1)
    assert (precision, recall) == (pytest.approx(2 / 3), pytest.approx(3 / 4))


def test_an_outlier_among_samples_raises_recall_alone():
    generator = np.random.default_rng(0)
    real = generator.normal(size=(100, 2))
    # All samples in one spot, and one of them far away.
    samples = np.concatenate([generator.normal(0, 0.01, size=(99, 2)), [[50.0, 0.0]]])
    without = evaluation.precision_and_recall(real, samples[:99])
    with_outlier = evaluation.precision_and_recall(real, samples)
    # Its ball reaches the crowd, and holds all real points on its side.
    assert without.recall < 0.1 and with_outlier.recall > 0.4
    assert evaluation.density_and_coverage(real, samples).coverage < 0.3


def test_sets_that_are_equal_or_far_apart():
    """Each point lies in its own ball and in those of which it is one of the k nearest."""
    real = np.random.default_rng(0).normal(size=(50, 6)) + 1e3
    assert all_four(real, real, 4) == pytest.approx((1, 1, 5 / 4, 1), abs=1e-12)
    assert all_four(real, real + 1e3, 4) == (0, 0, 0, 0)


def test_a_dropped_mode_costs_recall_and_an_invented_one_precision():
    generator = np.random.default_rng(1)
    left, right = generator.normal(size=(2, 200, 3)) + np.array([[[-20.0]], [[20.0]]])
    both = np.concatenate([left, right])
    dropped = evaluation.precision_and_recall(both, left + generator.normal(0, 0.1, left.shape))
    assert dropped.precision > 0.95 and 0.45 < dropped.recall < 0.55
    invented = evaluation.precision_and_recall(left, both)
    assert invented.recall == 1 and invented.precision == pytest.approx(0.5, abs=0.02)


def test_expectations_for_one_law():
    """Naeem et al.: E density = 1, E coverage = 1 − Π (m − 1 − i)/(m + n − 1 − i)."""
    generator = np.random.default_rng(2)
    m, n, k = 40, 60, 3
    found = np.array(
        [
            evaluation.density_and_coverage(*np.split(generator.normal(size=(m + n, 2)), [m]), k)
            for _ in range(100)
        ]
    )
    expected = 1 - np.prod([(m - 1 - i) / (m + n - 1 - i) for i in range(k)])
    error = found.std(axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - [1.0, expected]) < 4 * error)


def test_copies_of_one_point_have_balls_of_radius_zero():
    real = np.full((10, 3), 0.1)
    assert all_four(real, real[:5], 2) == pytest.approx((1, 1, 5, 1))
    assert all_four(real, real[:5] + 0.1, 2) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("function", "m", "n", "k", "message"),
    [
        (evaluation.precision_and_recall, 5, 3, 3, "samples must have more than k = 3 rows"),
        (evaluation.precision_and_recall, 3, 5, 3, "real must have more than k = 3 rows"),
        (evaluation.density_and_coverage, 5, 9, 5, "real must have more than k = 5 rows"),
        (evaluation.density_and_coverage, 5, 9, 0, "k must be a whole number ≥ 1; received 0"),
    ],
)
def test_arguments_are_validated(function, m, n, k, message):
    with pytest.raises(ValueError, match=message):
        function(np.zeros((m, 2)), np.zeros((n, 2)), k)


def test_one_sample_is_enough_for_density():
    real = np.array([[0.0], [1.0], [3.0]])
    assert evaluation.density_and_coverage(real, [[0.5]], 1) == (2.0, pytest.approx(2 / 3))
