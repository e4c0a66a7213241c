"""All figures of a set of samples against real images, in the features of one network."""

import dataclasses

import numpy as np

from tf_febm.evaluation.distribution_curve import distribution_scores
from tf_febm.evaluation.feature_arrays import warn_if_few
from tf_febm.evaluation.frechet import fit_gaussian, gaussian_distance, one_blas_thread
from tf_febm.evaluation.inception_score import inception_score
from tf_febm.evaluation.kernel_distance import kernel_distance
from tf_febm.evaluation.precision_recall import density_and_coverage, precision_and_recall
from tf_febm.evaluation.statistics import feature_statistics

__all__ = ["SampleFigures", "evaluate_samples"]

# What the literature calls the figures of the published network, and of no other.
PUBLISHED_NAMES = {
    "frechet_distance": "FID",
    "kernel_distance": "KID",
    "class_score": "Inception score",
}


@dataclasses.dataclass(frozen=True)
class SampleFigures:
    """Hold the figures of a set of samples.

    Attributes:
        frechet_distance: float ≥ 0, see `frechet_distance`; lower is better.
        kernel_distance: float, see `kernel_distance`; lower is better.
        kernel_distance_std: float, from subset to subset.
        kernel_subsets: int, distinct subsets.
        kernel_subset_size: int, rows of each set in a subset.
        class_score: float, see `inception_score`; higher is better. None without classes.
        class_score_std: float, from split to split, or None.
        class_score_splits: int, or None.
        precision: float in [0, 1], see `precision_and_recall`; higher is better.
        recall: float in [0, 1].
        precision_recall_k: int, neighbours.
        density: float ≥ 0, see `density_and_coverage`; about 1 is best.
        coverage: float in [0, 1].
        density_coverage_k: int, neighbours.
        prd_f8: float in [0, 1], see `distribution_scores`; weighs recall; higher is better.
        prd_f1_8: float in [0, 1], likewise; weighs precision.
        prd_clusters: int, bins of the two.
        prd_runs: int, clusterings that were averaged.
        prd_rows: int, rows of each set that were used.
        num_samples: int.
        num_real: int.
        reference: str that says which real images these are, such as "train"; None if unsaid.
        feature_network: str, whose features. Belongs to every figure above.
        feature_network_fingerprint: str, a hash of its weights.
        published_names: dict from the names of figures to what the literature calls them, "FID",
            "KID", "Inception score"; empty for every network but the published one. It also takes
            the usual numbers, 50,000 samples, to compare with published values.
    """

    frechet_distance: float
    kernel_distance: float
    kernel_distance_std: float
    kernel_subsets: int
    kernel_subset_size: int
    class_score: float | None
    class_score_std: float | None
    class_score_splits: int | None
    precision: float
    recall: float
    precision_recall_k: int
    density: float
    coverage: float
    density_coverage_k: int
    prd_f8: float
    prd_f1_8: float
    prd_clusters: int
    prd_runs: int
    prd_rows: int
    num_samples: int
    num_real: int
    reference: str | None
    feature_network: str
    feature_network_fingerprint: str
    published_names: dict[str, str]

    def as_dict(self):
        """Convert to a dict of str, int, float, None and dict, ready for `json.dumps`."""
        return dataclasses.asdict(self)


def evaluate_samples(
    samples,
    real,
    network,
    *,
    cache_dir=None,
    num_subsets=100,
    num_splits=10,
    precision_recall_k=3,
    density_coverage_k=5,
    prd_clusters=20,
    prd_runs=10,
    seed=0,
    reference=None,
):
    """Measure samples against real images in the features of a network.

    Fréchet and kernel distance, precision and recall, density and coverage, F scores of the
    distributions, and, if the network has classes, the class score. Each is explained, with its
    biases, where it is defined; the same call with held-out images for samples tells what real
    images reach.

    Args:
        samples: array [n, height, width, channels], n > both k; uint8, or float in [0, 1].
        real: array [m, height, width, channels], m > both k, as `samples`.
        network: `FeatureNetwork`: `InceptionGraph`, `KerasInception`, `SqueezeNet`, `Classifier`,
            or anything like them.
        cache_dir: folder for the statistics of the real images; None keeps nothing.
        num_subsets: subsets of the kernel distance.
        num_splits: splits of the class score; fewer if there are fewer samples.
        precision_recall_k: neighbours for precision and recall.
        density_coverage_k: neighbours for density and coverage.
        prd_clusters: bins of F_8 and F_1/8; fewer if both sets together have fewer rows.
        prd_runs: clusterings that these average.
        seed: int ≥ 0, of subsets and clusterings. Equal arguments give equal results.
        reference: str, what the real images are; it is written beside the figures.

    Returns:
        `SampleFigures`.

    Raises:
        ValueError: if image shapes differ or do not suit the network, a set is too small, or a
            setting is out of range.
        TypeError: if the dtype is neither uint8 nor floating point.
        OSError: if the cache can not be written.

    Warns:
        UserWarning: if a set has no more images than there are features, or the cache is damaged.
    """
    if np.shape(samples)[1:] != np.shape(real)[1:]:
        raise ValueError(
            "samples and real must have images of one shape; received shapes "
            f"{np.shape(samples)} and {np.shape(real)}."
        )
    features, probabilities = network.features_and_probabilities(samples)
    statistics = feature_statistics(real, network, cache_dir)
    for name, rows in (("samples", features), ("real", statistics.features)):
        warn_if_few(rows, name, stacklevel=2)
    with one_blas_thread():
        frechet = gaussian_distance(fit_gaussian(features), statistics.gaussian)
    kernel = kernel_distance(features, statistics.features, num_subsets=num_subsets, seed=seed)
    fidelity = precision_and_recall(statistics.features, features, precision_recall_k)
    covering = density_and_coverage(statistics.features, features, density_coverage_k)
    rows = min(len(features), len(statistics.features))
    scores = distribution_scores(
        statistics.features,
        features,
        num_clusters=min(prd_clusters, 2 * rows),
        num_runs=prd_runs,
        seed=seed,
    )
    score = (None, None, None)
    if probabilities is not None:
        score = inception_score(probabilities, min(num_splits, len(probabilities)))
    return SampleFigures(
        frechet_distance=frechet,
        kernel_distance=kernel.mean,
        kernel_distance_std=kernel.std,
        kernel_subsets=kernel.num_subsets,
        kernel_subset_size=kernel.subset_size,
        class_score=score[0],
        class_score_std=score[1],
        class_score_splits=score[2],
        precision=fidelity.precision,
        recall=fidelity.recall,
        precision_recall_k=precision_recall_k,
        density=covering.density,
        coverage=covering.coverage,
        density_coverage_k=density_coverage_k,
        prd_f8=scores.f8,
        prd_f1_8=scores.f1_8,
        prd_clusters=scores.num_clusters,
        prd_runs=scores.num_runs,
        prd_rows=scores.num_rows,
        num_samples=len(features),
        num_real=len(statistics.features),
        reference=reference,
        feature_network=network.feature_network,
        feature_network_fingerprint=network.fingerprint,
        published_names=dict(PUBLISHED_NAMES) if network.published else {},
    )
