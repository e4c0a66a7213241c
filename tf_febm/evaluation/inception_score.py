"""The Inception score, and the same figure for other classifiers."""

from typing import NamedTuple

import numpy as np
from scipy.special import rel_entr

from tf_febm import arguments

__all__ = ["InceptionScore", "inception_score"]


class InceptionScore(NamedTuple):
    """An Inception score, or that of another classifier.

    Attributes:
        mean: Over the splits, in [1, classes].
        std: Population standard deviation from split to split, as the literature has it.
        num_splits: int.
    """

    mean: float
    std: float
    num_splits: int


@arguments.checked
def inception_score(probabilities: arguments.Reals, num_splits: int = 10) -> InceptionScore:
    """Measure exp(mean KL(p(y | x) ‖ p(y))) over class probabilities of images, split by split.

    It is the exponential of the mutual information between image and predicted class: 1 if all
    images get the same prediction, the number of classes if each image is given to one class with
    certainty and all classes come up equally often. With the probabilities of the published
    Inception network it is *the* Inception score; with any other classifier report it under that
    classifier's name: it says only as much as its classes mean for the images.

    Each split has its own p(y), so the score of few images per split is biased: it can not exceed
    their number. Nothing is learned from it about copies, or about variety within a class.

    Args:
        probabilities: Real [n, classes], rows that add up to one.
        num_splits: Contiguous splits, in [1, n]; the literature has 10, of 5,000 images each.
            Shuffle images that are sorted by class first.

    Returns:
        An InceptionScore.

    Raises:
        ValueError: The rank is not 2, a value is negative or not finite, a row does not add up
            to one within 1e-3, or the number of splits is out of its range.

    Source: Salimans et al., "Improved techniques for training GANs", 2016.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim != 2 or 0 in probabilities.shape:
        raise ValueError(
            f"probabilities must have shape [n, classes]; received shape {probabilities.shape}."
        )
    if not 1 <= num_splits <= len(probabilities):
        raise ValueError(
            f"num_splits must lie in [1, {len(probabilities)}]; received {num_splits}."
        )
    probabilities = probabilities.astype(np.float64)
    sums = probabilities.sum(axis=1)
    # NaN fails both comparisons.
    if not (probabilities.min() >= 0 and np.abs(sums - 1).max() <= 1e-3):
        raise ValueError(
            "probabilities must not be negative and each row must add up to one; received values "
            f"from {probabilities.min():.3g} and sums from {sums.min():.6g} to {sums.max():.6g}."
        )
    scores = [
        np.exp(rel_entr(part, part.mean(axis=0)).sum(axis=1).mean())
        for part in np.array_split(probabilities / sums[:, None], num_splits)
    ]
    return InceptionScore(float(np.mean(scores)), float(np.std(scores)), num_splits)
