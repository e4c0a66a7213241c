"""The score of class probabilities on cases that can be worked out by hand."""

import numpy as np
import pytest

from tf_febm import evaluation


@pytest.mark.parametrize("classes", [2, 10, 1008])
def test_certain_and_even_predictions_score_the_number_of_classes(classes):
    score = evaluation.inception_score(np.eye(classes), num_splits=1)
    assert score.mean == pytest.approx(classes, rel=1e-12) and score.std == 0


def test_equal_predictions_score_one():
    row = np.array([0.5, 0.3, 0.2, 0.0])
    score = evaluation.inception_score(np.tile(row, (20, 1)), num_splits=4)
    assert score == (pytest.approx(1.0, abs=1e-12), pytest.approx(0.0, abs=1e-12), 4)


def test_certain_predictions_score_the_exponential_of_the_entropy():
    """With certain predictions the mutual information is the entropy of the class shares."""
    probabilities = np.eye(3)[[0] * 5 + [1] * 3 + [2] * 2]
    shares = np.array([0.5, 0.3, 0.2])
    expected = np.exp(-np.sum(shares * np.log(shares)))
    assert evaluation.inception_score(probabilities, 1).mean == pytest.approx(expected, rel=1e-12)


def test_two_predictions_by_hand():
    """Rows (3/4, 1/4) and (1/4, 3/4): KL from (1/2, 1/2) is 3/4 log 3/2 + 1/4 log 1/2 for each."""
    rows = np.array([[0.75, 0.25], [0.25, 0.75]], np.float32)
    expected = 1.5**0.75 * 0.5**0.25
    assert evaluation.inception_score(rows, 1).mean == pytest.approx(expected, rel=1e-7)


def test_splits_are_contiguous_and_whole():
    """One split sees one class, the other four: scores 1 and 4."""
    probabilities = np.eye(4)[[0, 0, 0, 0, 0, 1, 2, 3]]
    score = evaluation.inception_score(probabilities, num_splits=2)
    assert score == (pytest.approx(2.5), pytest.approx(1.5), 2)
    # Eleven rows in three splits: nothing is left out, as a class met only in the last row shows.
    late = evaluation.inception_score(np.eye(2)[[0] * 10 + [1]], num_splits=3)
    assert late.mean > 1.0


def test_agrees_with_entropies():
    """Mutual information is H(mean) − mean H, another route to the same number."""
    probabilities = np.random.default_rng(0).dirichlet(np.full(7, 0.3), size=200)

    def entropy(p):
        return -np.sum(p * np.log(p), axis=-1)

    expected = np.exp(entropy(probabilities.mean(axis=0)) - entropy(probabilities).mean())
    assert evaluation.inception_score(probabilities, 1).mean == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("probabilities", "splits", "message"),
    [
        (np.ones(4), 1, r"received shape \(4,\)"),
        (np.eye(3), 4, r"num_splits must lie in \[1, 3\]; received 4"),
        (np.eye(3), 0, r"num_splits must lie in \[1, 3\]; received 0"),
        (np.full((4, 2), 0.6), 1, "sums from 1.2 to 1.2"),
        (np.array([[1.5, -0.5]]), 1, "values from -0.5"),
        (np.full((4, 2), np.nan), 1, "values from nan"),
    ],
)
def test_arguments_are_validated(probabilities, splits, message):
    with pytest.raises(ValueError, match=message):
        evaluation.inception_score(probabilities, splits)
