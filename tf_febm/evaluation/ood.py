"""How well a score tells data of one kind from all other: out-of-distribution detection."""

from typing import NamedTuple

import numpy as np

__all__ = ["OODMetrics", "ood_metrics"]


class OODMetrics(NamedTuple):
    """Hold the figures of a detector, floats in [0, 1].

    Attributes:
        auroc: area under the receiver operating curve: the probability that an in-distribution
            example has the higher score, ties counting half. 0.5 is chance.
        aupr_in: average precision with in-distribution examples as positives.
        aupr_out: average precision with out-of-distribution examples as positives, by −score.
        fpr_at_95_tpr: share of the out-of-distribution examples that pass the highest threshold
            which at least 95 % of the in-distribution examples pass. Lower is better.
    """

    auroc: float
    aupr_in: float
    aupr_out: float
    fpr_at_95_tpr: float


def ood_metrics(in_scores, out_scores):
    """Measure how well a score separates in-distribution from out-of-distribution examples.

    A *higher* score means more in-distribution: give −E(x), or any log density, of an energy-based
    model. Examples with equal scores are never told apart: all four figures treat them as one step
    of the threshold, whatever their order. No interpolation is used: average precision is
    Σ (Rᵢ − Rᵢ₋₁) Pᵢ over thresholds.

    Both areas under the precision curve depend on the sizes of the two sets (chance is the share
    of the positives), the other two figures do not.

    Args:
        in_scores: array [n] of real numbers, n ≥ 1; infinities are allowed, NaN is not.
        out_scores: array [m], as `in_scores`.

    Returns:
        `OODMetrics`.

    Raises:
        ValueError: if a set is empty or not of rank 1, or a score is NaN or no real number.

    Source: Hendrycks & Gimpel, "A baseline for detecting misclassified and out-of-distribution
    examples in neural networks", 2017; for energies, Du & Mordatch, 2019.
    """
    in_scores = _checked(in_scores, "in_scores")
    out_scores = _checked(out_scores, "out_scores")
    ordered = np.sort(out_scores)
    below = np.searchsorted(ordered, in_scores, side="left")
    not_above = np.searchsorted(ordered, in_scores, side="right")
    # In whole numbers: 0.95 n in floating point may land above an integer.
    passing = -(-95 * len(in_scores) // 100)
    threshold = np.sort(in_scores)[len(in_scores) - passing]
    return OODMetrics(
        auroc=float(np.mean(below + not_above) / 2 / len(out_scores)),
        aupr_in=_average_precision(in_scores, out_scores),
        aupr_out=_average_precision(-out_scores, -in_scores),
        fpr_at_95_tpr=float(np.mean(out_scores >= threshold)),
    )


def _average_precision(positive, negative):
    """Sum precision × gain in recall over all thresholds, from the highest down."""
    thresholds, positives = np.unique(positive, return_counts=True)
    # Negatives that pass each threshold; thresholds without a positive gain no recall.
    false = len(negative) - np.searchsorted(np.sort(negative), thresholds, side="left")
    true = np.cumsum(positives[::-1])[::-1]
    return float(np.sum(positives * (true / (true + false))) / len(positive))


def _checked(scores, name):
    scores = np.asarray(scores)
    if scores.dtype.kind not in "fiu" or scores.ndim != 1 or not scores.size:
        raise ValueError(
            f"{name} must be real numbers of shape [n] with n ≥ 1; received {scores.dtype} "
            f"{list(scores.shape)}."
        )
    scores = scores.astype(np.float64)
    if np.isnan(scores).any():
        raise ValueError(f"{name} must not be NaN; received {int(np.isnan(scores).sum())} of them.")
    return scores
