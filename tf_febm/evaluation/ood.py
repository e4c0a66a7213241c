"""Out-of-distribution detection: AUROC, average precision, false positive rate."""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments

__all__ = ["OODMetrics", "ood_metrics"]


class OODMetrics(NamedTuple):
    """Figures of a detector, in [0, 1].

    Attributes:
        auroc: Area under the receiver operating curve: the probability that an in-distribution
            example has the higher score, ties counting half. 0.5 is chance.
        aupr_in: Average precision with in-distribution examples as positives.
        aupr_out: Average precision with out-of-distribution examples as positives, by −score.
        fpr_at_95_tpr: Share of the out-of-distribution examples that pass the highest threshold
            which at least 95 % of the in-distribution examples pass. Lower is better.
    """

    auroc: float
    aupr_in: float
    aupr_out: float
    fpr_at_95_tpr: float


@arguments.checked
def ood_metrics(in_scores: arguments.Reals, out_scores: arguments.Reals) -> OODMetrics:
    """Measure how well a score separates in-distribution from out-of-distribution examples.

    A *higher* score means more in-distribution: give −E(x), or any log density, of an energy-based
    model. Examples with equal scores are never told apart: all four figures treat them as one step
    of the threshold, whatever their order. No interpolation is used: average precision is
    Σ (Rᵢ − Rᵢ₋₁) Pᵢ over thresholds.

    Both areas under the precision curve depend on the sizes of the two sets (chance is the share
    of the positives), the other two figures do not.

    Args:
        in_scores: Real [n], n ≥ 1; infinities are allowed, NaN is not.
        out_scores: Real [m], likewise.

    Returns:
        An OODMetrics.

    Raises:
        ValueError: A set is empty or not of rank 1, or a score is NaN or no real number.

    Source: Hendrycks & Gimpel, "A baseline for detecting misclassified and out-of-distribution
    examples in neural networks", 2017; for energies, Du & Mordatch, 2019.
    """
    from scipy.stats import rankdata
    from sklearn import metrics  # Slow to import.

    in_scores = _checked(in_scores, "in_scores")
    out_scores = _checked(out_scores, "out_scores")
    inside = np.repeat([True, False], [len(in_scores), len(out_scores)])
    # By ranks: scikit-learn takes no infinite scores. Equal scores have one rank.
    ranks = rankdata(np.concatenate([in_scores, out_scores]))
    false, true, _ = metrics.roc_curve(inside, ranks, drop_intermediate=False)
    return OODMetrics(
        auroc=float(metrics.roc_auc_score(inside, ranks)),
        aupr_in=float(metrics.average_precision_score(inside, ranks)),
        aupr_out=float(metrics.average_precision_score(~inside, -ranks)),
        fpr_at_95_tpr=float(false[np.argmax(true >= 0.95)]),
    )


def _checked(scores, name: str) -> np.ndarray:
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
