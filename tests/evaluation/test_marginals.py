"""Histograms of coordinates: what is drawn where, and what is refused."""

import numpy as np
import pytest

from tf_febm import evaluation


def halves(picture):
    """Return how much is coloured in the left and the right half of a chart."""
    ink = (picture.max(axis=2).astype(int) - picture.min(axis=2)) > 40
    middle = picture.shape[1] // 2
    return ink[:, :middle].sum(), ink[:, middle:].sum()


def test_samples_lie_where_they_are_beside_the_data():
    rng = np.random.default_rng(0)
    data = rng.uniform(0.0, 1.0, (500, 2))
    same = evaluation.marginals_picture(data, data)
    left = evaluation.marginals_picture(data * [0.2, 1.0], data)
    assert same.shape == left.shape == (200, 720, 3) and same.dtype == np.uint8
    # The first coordinate of the samples is at the left, and higher; the second as it was.
    one, other = halves(left[:, :360])
    assert one > 1.3 * other
    np.testing.assert_array_equal(same[:, 360:], left[:, 360:])


def test_outliers_do_not_squeeze_the_rest():
    data = np.random.default_rng(0).uniform(0.0, 1.0, (500, 1))
    far = np.concatenate([data, [[1e6], [np.nan], [-np.inf]]])
    drawn = evaluation.marginals_picture(far, data)
    assert min(halves(drawn)) > 500


@pytest.mark.parametrize(("d", "shape"), [(1, (200, 360)), (4, (400, 1080)), (30, (600, 1080))])
def test_sizes(d, shape):
    x = np.random.default_rng(0).normal(size=(20, d))
    assert evaluation.marginals_picture(x, x).shape == (*shape, 3)


@pytest.mark.parametrize(("n", "d", "m"), [(0, 2, 5), (5, 2, 0), (5, 0, 5)])
def test_bad_shapes(n, d, m):
    with pytest.raises(ValueError, match=r"samples and data must have shapes \[n, d\] and"):
        evaluation.marginals_picture(np.zeros((n, d)), np.zeros((m, d)))
    with pytest.raises(ValueError, match="limit"):
        evaluation.marginals_picture(np.zeros((2, 1)), np.zeros((2, 1)), limit=0)
