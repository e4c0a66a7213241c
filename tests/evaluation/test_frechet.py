"""The Fréchet distance against closed forms and against scipy's matrix square root."""

import warnings

import numpy as np
import pytest
from scipy.linalg import sqrtm

from tf_febm import evaluation

pytestmark = pytest.mark.filterwarnings("error")


def random_features(seed, rows, columns):
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(columns, columns)) / np.sqrt(columns)
    return generator.normal(size=(rows, columns)) @ mixing + generator.normal(size=columns)


def standardised(rows, columns, seed=0):
    """Data whose sample mean is 0 and whose unbiased sample covariance is the identity."""
    data = np.random.default_rng(seed).normal(size=(rows, columns))
    orthonormal, _ = np.linalg.qr(data - data.mean(axis=0))
    return orthonormal * np.sqrt(rows - 1)


def moments(features):
    return features.mean(axis=0), np.cov(features, rowvar=False)


def reference_distance(a, b):
    (mean_a, cov_a), (mean_b, cov_b) = moments(a), moments(b)
    root = sqrtm(cov_a @ cov_b)
    return np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b) - 2 * np.trace(root).real


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("columns", [1, 5, 30])
def test_agrees_with_matrix_square_root(seed, columns):
    a, b = random_features(seed, 300, columns), random_features(seed + 100, 200, columns)
    expected = reference_distance(a, b) if columns > 1 else one_dimensional_distance(a, b)
    assert evaluation.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    if columns > 1:
        from_moments = evaluation.frechet_distance_from_moments(*moments(a), *moments(b))
        assert from_moments == pytest.approx(expected, rel=1e-6)


def one_dimensional_distance(a, b):
    return (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2


def test_diagonal_covariances():
    scale_a, scale_b = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 0.0])
    shift = np.array([1.0, -2.0, 0.0])
    data = standardised(50, 3)
    expected = np.sum((scale_a - scale_b) ** 2) + np.sum(shift**2)
    distance = evaluation.frechet_distance(data * scale_a, data * scale_b + shift)
    assert distance == pytest.approx(expected, rel=1e-12)
    distance = evaluation.frechet_distance_from_moments(
        np.zeros(3), np.diag(scale_a**2), shift, np.diag(scale_b**2)
    )
    assert distance == pytest.approx(expected, rel=1e-12)


def test_commuting_covariances():
    rotation, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))
    values_a, values_b = np.arange(1.0, 7.0), np.array([4.0, 0.1, 9.0, 2.0, 1e-6, 3.0])
    distance = evaluation.frechet_distance_from_moments(
        np.zeros(6),
        rotation @ np.diag(values_a) @ rotation.T,
        np.zeros(6),
        rotation @ np.diag(values_b) @ rotation.T,
    )
    assert distance == pytest.approx(np.sum((np.sqrt(values_a) - np.sqrt(values_b)) ** 2), rel=1e-9)


def test_singular_covariances_from_two_points_each():
    """Two points m ± v/√2 have covariance v vᵀ; tr((Σa Σb)^½) = |a·b| for two such."""
    generator = np.random.default_rng(4)
    a, b = generator.normal(size=(2, 40))
    shift = generator.normal(size=40)
    signs = np.array([[1.0], [-1.0]]) / np.sqrt(2)
    expected = shift @ shift + a @ a + b @ b - 2 * abs(a @ b)
    with pytest.warns(UserWarning, match="2 rows for 40 features") as caught:
        distance = evaluation.frechet_distance(signs * a, signs * b + shift)
    assert len(caught) == 2
    assert all("\n" not in str(warning.message) for warning in caught)
    assert caught[0].filename == __file__
    assert distance == pytest.approx(expected, rel=1e-12)
    distance = evaluation.frechet_distance_from_moments(
        np.zeros(40), np.outer(a, a), shift, np.outer(b, b)
    )
    assert distance == pytest.approx(expected, rel=1e-12)


def test_singular_covariances_of_orthogonal_supports():
    """Without overlap the root vanishes and all variance counts."""
    data = standardised(30, 4)
    a, b = data * [1, 2, 0, 0], data * [0, 0, 3, 4]
    assert evaluation.frechet_distance(a, b) == pytest.approx(1 + 4 + 9 + 16, rel=1e-12)


def test_fewer_rows_than_features_agrees_with_the_lower_dimensional_problem():
    """Features in a subspace: rotating them out of it changes nothing."""
    a, b = random_features(5, 12, 6), random_features(6, 15, 6)
    basis, _ = np.linalg.qr(np.random.default_rng(7).normal(size=(20, 6)))
    with pytest.warns(UserWarning, match="singular"):
        distance = evaluation.frechet_distance(a @ basis.T, b @ basis.T)
    assert distance == pytest.approx(evaluation.frechet_distance(a, b), rel=1e-10)


def test_translation():
    data = random_features(8, 100, 7)
    shift = np.linspace(-1, 2, 7)
    distance = evaluation.frechet_distance(data, data + shift)
    assert distance == pytest.approx(shift @ shift, rel=1e-10)


def test_symmetry_and_order_of_rows():
    a, b = random_features(9, 60, 8), random_features(10, 80, 8)
    distance = evaluation.frechet_distance(a, b)
    assert evaluation.frechet_distance(b, a) == pytest.approx(distance, rel=1e-12)
    assert evaluation.frechet_distance(a[::-1], b) == pytest.approx(distance, rel=1e-12)


def test_zero_for_identical_sets():
    data = random_features(11, 60, 8)
    assert 0 <= evaluation.frechet_distance(data, data) < 1e-24
    assert 0 <= evaluation.frechet_distance(data, data[::-1]) < 1e-24


def test_no_cancellation_for_nearly_identical_sets():
    """Stretching centred data by 1 + δ is at distance δ² tr Σ, far below the rounding of tr Σ."""
    data = standardised(100, 5)
    stretch = 1e-9
    distance = evaluation.frechet_distance(data, data * (1 + stretch))
    assert distance == pytest.approx(5 * stretch**2, rel=1e-3)


def test_float32_features_are_taken_in_float64():
    a, b = random_features(12, 90, 6), random_features(13, 90, 6)
    a, b = (x.astype(np.float32) + 1000 for x in (a, b))
    exact = evaluation.frechet_distance(a.astype(np.float64), b.astype(np.float64))
    assert evaluation.frechet_distance(a, b) == exact
    assert isinstance(exact, float)


def test_warning_begins_where_rows_equal_features():
    with pytest.warns(UserWarning, match="features_b has 5 rows for 5 features"):
        evaluation.frechet_distance(random_features(0, 6, 5), random_features(0, 5, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation.frechet_distance(random_features(0, 6, 5), random_features(0, 6, 5))


GOOD = np.random.default_rng(0).normal(size=(10, 3))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (GOOD[0], GOOD, r"features_a .*received shape \(3,\)"),
        (GOOD, GOOD[:1], r"features_b .*n ≥ 2.*received shape \(1, 3\)"),
        (GOOD, GOOD[:, :2], r"same number of features.*\(10, 3\) and \(10, 2\)"),
        (np.where(GOOD > 1, np.nan, GOOD), GOOD, "features_a must be finite; received"),
        (GOOD, GOOD + 1j, "real numbers; received dtype complex128"),
    ],
)
def test_features_are_validated(a, b, message):
    with pytest.raises(ValueError, match=message):
        evaluation.frechet_distance(a, b)


@pytest.mark.parametrize(
    ("cov", "message"),
    [
        (np.eye(2), r"shapes \[d\] and \[d, d\]; received shapes \(3,\) and \(2, 2\)"),
        (np.eye(3) + np.triu(np.ones((3, 3)), 1), "symmetric; received a largest asymmetry of 1"),
        (np.diag([1.0, 1.0, -0.5]), "semi-definite; received one with an eigenvalue of -0.5"),
        (np.diag([1.0, 1.0, np.inf]), "cov_a must be finite; received 1 value"),
    ],
)
def test_moments_are_validated(cov, message):
    with pytest.raises(ValueError, match=message):
        evaluation.frechet_distance_from_moments(np.zeros(3), cov, np.zeros(3), np.eye(3))


def test_moments_of_different_dimension_are_refused():
    with pytest.raises(ValueError, match=r"same shape; received shapes \(3,\) and \(2,\)"):
        evaluation.frechet_distance_from_moments(np.zeros(3), np.eye(3), np.zeros(2), np.eye(2))


def test_blocks_of_rows_change_nothing(monkeypatch):
    """The factor of many blocks is the factor of the whole, up to signs of rows."""
    from tf_febm.evaluation import frechet

    features = random_features(5, 1000, 12).astype(np.float32)
    whole = frechet.fit_gaussian(features)
    monkeypatch.setattr(frechet, "BLOCK_ROWS", 1)
    blocks = frechet.fit_gaussian(features)
    mean, covariance = moments(features.astype(np.float64))
    for found in (whole, blocks):
        np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(
            found.factor.T @ found.factor, covariance, rtol=1e-10, atol=1e-12
        )


def test_samples_of_known_gaussians_tend_to_the_closed_form():
    """N(0, 1) and N(1, 4) in each of three directions are at distance 3·(1 + 1)."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(200_000, 3)), generator.normal(1.0, 2.0, size=(200_000, 3))
    assert evaluation.frechet_distance(a, b) == pytest.approx(6.0, abs=0.05)
