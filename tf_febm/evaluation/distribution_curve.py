"""Precision and recall for distributions: a curve between two histograms, F scores along it."""

import warnings
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tf_febm import arguments
from tf_febm.evaluation.feature_arrays import checked_pair

__all__ = ["DistributionScores", "PrecisionRecallCurve", "distribution_scores", "prd_curve"]

# Slopes are tangents of angles that stay so far from 0 and π/2.
MARGIN = 1e-10


@arguments.checked
class PrecisionRecallCurve(NamedTuple):
    """Precision and recall for distributions: two float64 arrays [num_angles], in [0, 1].

    Attributes:
        precision: α(λ), rising with λ.
        recall: β(λ), falling.
    """

    precision: np.ndarray
    recall: np.ndarray

    def f_score(self, beta: float) -> float:
        """Return the largest F_β on the curve, in [0, 1].

            F_β = (1 + β²) α β' / (β² α + β'),   α precision, β' recall

        which tends to recall as β → ∞ and to precision as β → 0.

        Args:
            beta: β, positive.

        Raises:
            ValueError: β is not positive.
        """
        square = arguments.number("beta", beta, above=True) ** 2
        weighted = square * self.precision + self.recall
        both = (1.0 + square) * self.precision * self.recall
        return float(np.divide(both, weighted, out=np.zeros_like(both), where=weighted > 0).max())


class DistributionScores(NamedTuple):
    """The two scores with the mean curve that they belong to.

    Attributes:
        f8: F_8, in [0, 1]: weighs recall; low where a part of the data is not sampled.
        f1_8: F_1/8, in [0, 1]: weighs precision; low where samples are unlike the data.
        num_rows: How many of each set were used.
        num_clusters: int.
        num_runs: int.
        curve: A PrecisionRecallCurve.
    """

    f8: float
    f1_8: float
    num_rows: int
    num_clusters: int
    num_runs: int
    curve: PrecisionRecallCurve


@arguments.checked
def prd_curve(
    real: arguments.Reals, samples: arguments.Array, num_angles: int = 1001
) -> PrecisionRecallCurve:
    """Compute the curve of precision and recall between two discrete distributions.

        α(λ) = Σ min(λ P, Q),   β(λ) = Σ min(P, Q/λ),   λ = tan(angle)

    over equally spaced angles between 0 and π/2. The curve bounds what part of Q can be had from P
    (precision) while what part of P is had from Q (recall).

    Args:
        real: P, non-negative [k], of the data; scaled to sum to one.
        samples: Q, likewise, of the model.
        num_angles: Points of the curve, at least 3; odd, so that λ = 1 is among them.

    Returns:
        A PrecisionRecallCurve.

    Raises:
        ValueError: The two are not such vectors of one length, or num_angles is even or small.

    Source: Sajjadi et al., "Assessing generative models via precision and recall", 2018, Eq. 6–7.
    """
    if arguments.whole_number("num_angles", num_angles, 3) % 2 == 0:
        raise ValueError(f"num_angles must be odd; received {num_angles}.")
    real, samples = _shares("real", real), _shares("samples", samples)
    if real.shape != samples.shape:
        raise ValueError(
            "real and samples must have one length; received shapes "
            f"{real.shape} and {samples.shape}."
        )
    slopes = np.tan(np.linspace(MARGIN, np.pi / 2 - MARGIN, num_angles))[:, None]
    # Rounding may end a hair above one.
    precision = np.minimum(slopes * real, samples).sum(axis=1).clip(0.0, 1.0)
    recall = np.minimum(real, samples / slopes).sum(axis=1).clip(0.0, 1.0)
    return PrecisionRecallCurve(precision, recall)


@arguments.checked
def distribution_scores(
    real: arguments.Reals,
    samples: arguments.Array,
    *,
    num_clusters: int = 20,
    num_runs: int = 10,
    num_angles: int = 1001,
    max_rows: int = 10_000,
    seed: int = 0,
) -> DistributionScores:
    """Measure F_8 and F_1/8 of samples, both from the curve of precision and recall.

    K-means on both sets together makes bins of the features; the shares of either set in the bins
    are two distributions, and `prd_curve` is taken between them. The curves of several runs, each
    with starts of its own, are averaged, and the scores are the largest on the mean curve. Equal
    numbers of both sets are used: of the larger one a random subset.

    Not guaranteed: the scores see shares of bins only, and nothing within a bin. Two sets of one
    law stay below one, the more so the fewer rows they have, and values for different numbers of
    rows or clusters do not compare.

    Args:
        real: Real [m, d], finite.
        samples: Real [n, d], finite.
        num_clusters: Bins, at least 2; no more than rows of both sets together.
        num_runs: Clusterings that are averaged, at least 1.
        num_angles: See `prd_curve`.
        max_rows: The most rows of each set that are used, at least 1; 10,000 in the source.
        seed: At least 0, of the subset and the clusterings. Equal arguments give equal results.

    Returns:
        A DistributionScores.

    Raises:
        ValueError: A rank is not 2, the numbers of features differ, a value is not finite, or a
            setting is out of range.

    Source: Sajjadi et al. 2018, with its numbers of clusters, runs and angles.
    """
    # Slow to import, and nothing that a model needs.
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    real, samples = checked_pair(real, samples, ("real", "samples"), least=1)
    num_runs = arguments.whole_number("num_runs", num_runs, 1)
    rows = min(len(real), len(samples), arguments.whole_number("max_rows", max_rows, 1))
    num_clusters = arguments.whole_number("num_clusters", num_clusters, 2)
    if num_clusters > 2 * rows:
        raise ValueError(
            f"num_clusters must be at most the {2 * rows} rows of both sets; received "
            f"{num_clusters}."
        )
    generator = np.random.default_rng(arguments.whole_number("seed", seed))
    both = np.concatenate([_some_rows(part, rows, generator) for part in (real, samples)])
    # K-means takes differences of squares: a common offset would drown them.
    both = both - both.mean(axis=0, dtype=np.float64).astype(both.dtype)
    curves = []
    for state in generator.integers(2**31, size=num_runs):
        kmeans = MiniBatchKMeans(num_clusters, n_init=10, random_state=int(state))
        # One thread: sums in another order would be other numbers on another machine.
        with threadpool_limits(1), warnings.catch_warnings():
            # Fewer distinct rows than clusters leave clusters empty, which changes no curve.
            warnings.simplefilter("ignore", ConvergenceWarning)
            labels = kmeans.fit(both).labels_
        of_real, of_samples = (
            np.bincount(part, minlength=num_clusters) for part in np.split(labels, [rows])
        )
        curves.append(prd_curve(of_real, of_samples, num_angles))
    precision, recall = np.mean(curves, axis=0)
    curve = PrecisionRecallCurve(precision, recall)
    return DistributionScores(
        curve.f_score(8.0), curve.f_score(1 / 8), rows, num_clusters, num_runs, curve
    )


def _some_rows(features, count: int, generator):
    """Return `count` rows, drawn without replacement; all in their order if there are no more."""
    if len(features) == count:
        return features
    return features[np.sort(generator.permutation(len(features))[:count])]


def _shares(name: str, histogram):
    histogram = np.asarray(histogram, np.float64)
    total = histogram.sum()
    if histogram.ndim != 1 or not total > 0.0 or not np.isfinite(total) or histogram.min() < 0.0:
        raise ValueError(
            f"{name} must be a vector of non-negative numbers that are not all zero; received "
            f"shape {histogram.shape}, sum {total}."
        )
    return histogram / total
