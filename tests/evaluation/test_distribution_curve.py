"""The curve and the F scores against distributions whose curve is known in closed form."""

import numpy as np
import pytest

from tf_febm import evaluation


def test_the_curve_of_a_half_that_is_missing():
    """P = (½, ½), Q = (1, 0): α(λ) = min(λ/2, 1), β(λ) = min(½, 1/λ), by hand."""
    curve = evaluation.prd_curve([0.5, 0.5], [1.0, 0.0])
    slopes = np.tan(np.linspace(1e-10, np.pi / 2 - 1e-10, 1001))
    np.testing.assert_allclose(curve.precision, np.minimum(slopes / 2, 1), rtol=1e-12)
    np.testing.assert_allclose(curve.recall, np.minimum(0.5, 1 / slopes), rtol=1e-12)


@pytest.mark.parametrize(
    ("real", "samples", "f8", "f1_8"),
    [
        ([0.3, 0.7], [0.3, 0.7], 1.0, 1.0),
        ([1.0, 0.0], [0.0, 1.0], 0.0, 0.0),
        # All samples are like data, and half of the data is not sampled: precision 1 and recall ½
        # meet at λ = 2. F = (1 + β²)·½/(β² + ½).
        ([0.5, 0.5], [1.0, 0.0], 65 * 0.5 / 64.5, (65 / 64) * 0.5 / (1 / 64 + 0.5)),
        # The other way round: half of the samples are unlike any data, at λ = ½.
        ([1.0, 0.0], [0.5, 0.5], 65 * 0.5 / (64 * 0.5 + 1), (65 / 64) * 0.5 / (0.5 / 64 + 1)),
        # Both: α = ½ min(λ, 1), β = ½ min(1, 1/λ), best at λ = 1, where both are ½.
        ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5], 0.5, 0.5),
    ],
)
def test_scores_by_hand(real, samples, f8, f1_8):
    # 1,001 angles hit λ = 1 exactly, ½ and 2 within π/2000: relative errors of λ below 0.4 %.
    curve = evaluation.prd_curve(real, samples)
    assert curve.f_score(8) == pytest.approx(f8, rel=2e-3)
    assert curve.f_score(1 / 8) == pytest.approx(f1_8, rel=2e-3)
    # With many angles, none of which need be at the corner.
    fine = evaluation.prd_curve(real, samples, 200_001)
    assert fine.f_score(8) == pytest.approx(f8, rel=1e-5)


def test_f_tends_to_recall_and_to_precision():
    curve = evaluation.prd_curve([0.2, 0.5, 0.3], [0.6, 0.1, 0.3])
    assert curve.f_score(1e6) == pytest.approx(curve.recall.max(), rel=1e-6)
    assert curve.f_score(1e-6) == pytest.approx(curve.precision.max(), rel=1e-6)


def test_the_curve_against_a_plain_loop():
    generator = np.random.default_rng(0)
    p, q = generator.dirichlet(np.ones(7)), generator.dirichlet(np.ones(7))
    curve = evaluation.prd_curve(10 * p, 3 * q, 11)
    for angle, precision, recall in zip(
        np.linspace(1e-10, np.pi / 2 - 1e-10, 11), *curve, strict=True
    ):
        slope = np.tan(angle)
        assert precision == pytest.approx(sum(min(slope * a, b) for a, b in zip(p, q, strict=True)))
        assert recall == pytest.approx(sum(min(a, b / slope) for a, b in zip(p, q, strict=True)))


def clumps(counts, centres, seed):
    """Return points in clumps so tight and so far apart that k-means has one solution."""
    generator = np.random.default_rng(seed)
    return np.concatenate(
        [c + 0.01 * generator.normal(size=(n, 3)) for n, c in zip(counts, centres, strict=True)]
    )


def test_features_in_clumps_have_the_scores_of_their_shares():
    centres = 10.0 * np.eye(3)
    real = clumps([60, 60, 0], centres, 0)
    covering_half = clumps([120, 0, 0], centres, 1)
    found = evaluation.distribution_scores(real, covering_half, num_clusters=2, num_runs=3)
    expected = evaluation.prd_curve([0.5, 0.5], [1.0, 0.0])
    assert found.f8 == pytest.approx(expected.f_score(8), rel=1e-12)
    assert found.f1_8 == pytest.approx(expected.f_score(1 / 8), rel=1e-12)
    # What leaves out half of the data fails recall, so F_8; what adds junk fails precision.
    assert found.f8 < 0.51 and found.f1_8 > 0.98
    junk = clumps([30, 30, 60], centres, 2)
    found = evaluation.distribution_scores(real, junk, num_clusters=3, num_runs=3)
    assert found.f1_8 < 0.51 and found.f8 > 0.98
    assert (found.num_rows, found.num_clusters, found.num_runs) == (120, 3, 3)


def test_of_the_larger_set_a_part_is_used():
    centres = 10.0 * np.eye(2, 3)
    real = clumps([4000, 4000], centres, 0)
    # In sorted order: the first rows alone would miss the second clump.
    found = evaluation.distribution_scores(real, clumps([50, 50], centres, 1), num_clusters=2)
    assert found.num_rows == 100
    # The shares of 100 of 8,000 rows have a standard deviation of 5 %.
    assert found.f8 > 0.8 and found.f1_8 > 0.8
    assert (
        evaluation.distribution_scores(real, real[:70], num_clusters=2, max_rows=30).num_rows == 30
    )


def test_equal_arguments_give_equal_results_and_an_offset_changes_nothing():
    generator = np.random.default_rng(3)
    a, b = generator.normal(size=(300, 5)), generator.normal(0.3, 1.0, size=(300, 5))
    first = evaluation.distribution_scores(a, b, num_runs=2, seed=4)
    again = evaluation.distribution_scores(a, b, num_runs=2, seed=4)
    assert (first.f8, first.f1_8) == (again.f8, again.f1_8)
    assert evaluation.distribution_scores(a, b, num_runs=2, seed=5).f8 != first.f8
    # Powers of two, so that the offset itself costs no precision.
    moved = evaluation.distribution_scores(a + 1024.0, b + 1024.0, num_runs=2, seed=4)
    assert moved.f8 == pytest.approx(first.f8, abs=0.01)


def test_copies_of_one_point(recwarn):
    same = np.ones((30, 2))
    found = evaluation.distribution_scores(same, same, num_clusters=5, num_runs=2)
    assert found.f8 == pytest.approx(1) and found.f1_8 == pytest.approx(1)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluation.prd_curve([0.5, 0.5], [1.0]), r"one length; received .*\(2,\) and"),
        (lambda: evaluation.prd_curve([0.0, 0.0], [1.0, 0.0]), "real must be a vector of non-neg"),
        (lambda: evaluation.prd_curve([1.0], [-1.0]), "samples must be a vector of non-negative"),
        (lambda: evaluation.prd_curve([1.0], [np.nan]), "sum nan"),
        (lambda: evaluation.prd_curve([1.0], [1.0], 10), "num_angles must be odd; received 10"),
        (lambda: evaluation.prd_curve([1.0], [1.0]).f_score(0), "beta"),
        (lambda: evaluation.distribution_scores(np.ones((3, 2)), np.ones((3, 2))), "at most the 6"),
        (
            lambda: evaluation.distribution_scores(np.ones((3, 2)), np.ones((3, 1))),
            "same number of features",
        ),
    ],
)
def test_arguments_are_validated(call, message):
    with pytest.raises(ValueError, match=message):
        call()
