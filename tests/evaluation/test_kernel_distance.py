"""The kernel distance against a double loop, closed forms, and its own unbiasedness."""

import importlib
import math

import numpy as np
import pytest

from tf_febm import evaluation

# The package exports the function under the name of its module.
module = importlib.import_module("tf_febm.evaluation.kernel_distance")


def kernel(x, y):
    return (float(np.dot(x, y)) / len(x) + 1) ** 3


def double_loop(a, b):
    """The definition, term by term."""
    n, m = len(a), len(b)
    within_a = sum(kernel(a[i], a[j]) for i in range(n) for j in range(n) if i != j)
    within_b = sum(kernel(b[i], b[j]) for i in range(m) for j in range(m) if i != j)
    between = sum(kernel(x, y) for x in a for y in b)
    return within_a / (n * (n - 1)) + within_b / (m * (m - 1)) - 2 * between / (n * m)


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (17, 30, 4), (25, 8, 40)])
@pytest.mark.parametrize("block", [1, 100, 4_000_000])
def test_agrees_with_a_double_loop(n, m, d, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_VALUES", block)
    generator = np.random.default_rng(n)
    a, b = generator.normal(size=(n, d)), generator.normal(0.5, 2.0, size=(m, d))
    assert evaluation.squared_mmd(a, b) == pytest.approx(double_loop(a, b), rel=1e-10)


def gaussian_moments(mean, std):
    return (1.0, mean, mean**2 + std**2, mean**3 + 3 * mean * std**2)


def expected_kernel(p, q):
    """E k(x, y) = Σ binom(3, i) E xⁱ E yⁱ for independent scalars."""
    return sum(math.comb(3, i) * p[i] * q[i] for i in range(4))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 1.0), (0.0, 1.5)])
def test_is_unbiased_for_gaussians(mean, std):
    """400 independent estimates from few points average to the exact squared MMD."""
    p, q = gaussian_moments(0.0, 1.0), gaussian_moments(mean, std)
    exact = expected_kernel(p, p) + expected_kernel(q, q) - 2 * expected_kernel(p, q)
    generator = np.random.default_rng(3)
    estimates = [
        evaluation.squared_mmd(
            generator.normal(size=(30, 1)), generator.normal(mean, std, size=(20, 1))
        )
        for _ in range(400)
    ]
    error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - exact) < 4 * error
    assert exact == 0 or exact > 5 * error


def test_one_law_is_at_zero_within_the_error_of_subsets():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 4000, 8))
    found = evaluation.kernel_distance(a, b, num_subsets=40, subset_size=100)
    # Subsets of one fortieth hardly overlap.
    assert abs(found.mean) < 4 * found.std / np.sqrt(found.num_subsets)
    shifted = evaluation.kernel_distance(a, b + 0.5, num_subsets=40, subset_size=100)
    assert shifted.mean > 10 * found.std / np.sqrt(found.num_subsets)


def test_subsets_are_subsets():
    """Constant sets have the same distance in every subset."""
    a, b = np.full((50, 3), 1.0), np.full((40, 3), 2.0)
    found = evaluation.kernel_distance(a, b, num_subsets=5, subset_size=10)
    expected = 2.0**3 + 5.0**3 - 2 * 3.0**3
    assert found == (pytest.approx(expected), pytest.approx(0, abs=1e-12), 5, 10)


def test_default_size_and_the_whole_of_both_sets():
    generator = np.random.default_rng(1)
    a, b = generator.normal(size=(2, 60, 4)).astype(np.float32)
    whole = evaluation.kernel_distance(a, b)
    assert whole.mean == pytest.approx(evaluation.squared_mmd(a, b), rel=1e-9)
    assert math.isnan(whole.std) and whole.num_subsets == 1 and whole.subset_size == 60
    part = evaluation.kernel_distance(a, b[:50])
    assert part.subset_size == 50 and part.num_subsets == 100 and part.std > 0
    large = generator.normal(size=(2, 1100, 2))
    assert evaluation.kernel_distance(*large, num_subsets=1).subset_size == 1000


def test_seed_decides():
    a, b = np.random.default_rng(1).normal(size=(2, 60, 4))
    first, again, other = (
        evaluation.kernel_distance(a, b, num_subsets=3, subset_size=10, seed=s) for s in (0, 0, 1)
    )
    assert first == again and first.mean != other.mean


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset_size": 1}, r"subset_size must lie in \[2, 5\]; received 1"),
        ({"subset_size": 6}, r"subset_size must lie in \[2, 5\]; received 6"),
        ({"num_subsets": 0}, "num_subsets must be a whole number ≥ 1; received 0"),
    ],
)
def test_settings_are_validated(options, message):
    with pytest.raises(ValueError, match=message):
        evaluation.kernel_distance(np.zeros((9, 2)), np.zeros((5, 2)), **options)


def test_features_are_validated():
    with pytest.raises(ValueError, match=r"\(5, 2\) and \(5, 3\)"):
        evaluation.squared_mmd(np.zeros((5, 2)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="features_b must be finite; received 1"):
        evaluation.squared_mmd(np.zeros((2, 1)), np.array([[0.0], [np.nan]]))
    with pytest.raises(ValueError, match=r"features_a .* n ≥ 2 .*received shape \(1, 2\)"):
        evaluation.kernel_distance(np.zeros((1, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="real numbers; received dtype complex128"):
        evaluation.squared_mmd(np.zeros((5, 2), complex), np.zeros((5, 2)))
