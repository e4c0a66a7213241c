"""All figures of a set of samples against real images, in the features of one network."""

import dataclasses

import numpy as np

from tf_febm import arguments
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
    """The figures of a set of samples.

    Attributes:
        frechet_distance: At least 0, see `frechet_distance`; lower is better.
        kernel_distance: See `kernel_distance`; lower is better.
        kernel_distance_std: From subset to subset.
        kernel_subsets: Distinct subsets.
        kernel_subset_size: Rows of each set in a subset.
        class_score: See `inception_score`; higher is better. None without classes.
        class_score_std: From split to split, or None.
        class_score_splits: int, or None.
        precision: In [0, 1], see `precision_and_recall`; higher is better.
        recall: In [0, 1].
        precision_recall_k: Neighbours.
        density: At least 0, see `density_and_coverage`; about 1 is best.
        coverage: In [0, 1].
        density_coverage_k: Neighbours.
        prd_f8: In [0, 1], see `distribution_scores`; weighs recall; higher is better.
        prd_f1_8: In [0, 1], likewise; weighs precision.
        prd_clusters: Bins of the two.
        prd_runs: Clusterings that were averaged.
        prd_rows: Rows of each set that were used.
        num_samples: int.
        num_real: int.
        reference: Which real images these are, such as "train"; None if unsaid.
        feature_network: Whose features. Belongs to every figure above.
        feature_network_fingerprint: A hash of its weights.
        published_names: Names of figures -> what the literature calls them, "FID", "KID",
            "Inception score"; empty for every network but the published one. It also takes the
            usual numbers, 50,000 samples, to compare with published values.
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

    def as_dict(self) -> dict:
        """Convert to a dict of str, int, float, None and dict, ready for `json.dumps`."""
        return dataclasses.asdict(self)


@arguments.checking({"network": arguments.FEATURE_NETWORK})
def evaluate_samples(
    samples: arguments.Array,
    real: arguments.Reals,
    network: arguments.Network,
    *,
    cache_dir: arguments.Path | None = None,
    num_subsets: int = 100,
    num_splits: int = 10,
    precision_recall_k: int = 3,
    density_coverage_k: int = 5,
    prd_clusters: int = 20,
    prd_runs: int = 10,
    seed: int = 0,
    reference: str | None = None,
) -> SampleFigures:
    """Measure samples against real images in the features of a network.

    Fréchet and kernel distance, precision and recall, density and coverage, F scores of the
    distributions, and, if the network has classes, the class score. Each is explained, with its
    biases, where it is defined; the same call with held-out images for samples tells what real
    images reach.

    Args:
        samples: uint8, or float in [0, 1], [n, height, width, channels], n > both k.
        real: Likewise, [m, height, width, channels], m > both k.
        network: A FeatureNetwork: `InceptionGraph`, `KerasInception`, `SqueezeNet`, `Classifier`,
            or anything like them.
        cache_dir: Folder for the statistics of the real images; None keeps nothing.
        num_subsets: Subsets of the kernel distance.
        num_splits: Splits of the class score; fewer if there are fewer samples.
        precision_recall_k: Neighbours for precision and recall.
        density_coverage_k: Neighbours for density and coverage.
        prd_clusters: Bins of F_8 and F_1/8; fewer if both sets together have fewer rows.
        prd_runs: Clusterings that these average.
        seed: At least 0, of subsets and clusterings. Equal arguments give equal results.
        reference: What the real images are; it is written beside the figures.

    Returns:
        A SampleFigures.

    Raises:
        ValueError: Image shapes differ or do not suit the network, a set is too small, or a
            setting is out of its range.
        TypeError: The dtype is neither uint8 nor floating point.
        OSError: The cache can not be written.

    Warns:
        UserWarning: A set has no more images than there are features, or the cache is damaged.
    """
    if np.shape(samples)[1:] != np.shape(real)[1:]:
        raise ValueError(
            "samples and real must have images of one shape; received shapes "
            f"{np.shape(samples)} and {np.shape(real)}."
        )
    features, probabilities = network.features_and_probabilities(samples)
    of_real, gaussian = feature_statistics(real, network, cache_dir)
    for name, rows in (("samples", features), ("real", of_real)):
        warn_if_few(rows, name, stacklevel=3)
    with one_blas_thread():
        frechet = gaussian_distance(fit_gaussian(features), gaussian)
    clusters = min(prd_clusters, 2 * min(len(features), len(of_real)))
    scores = distribution_scores(
        of_real, features, num_clusters=clusters, num_runs=prd_runs, seed=seed
    )
    score: tuple[float | None, float | None, int | None] = (None, None, None)
    if probabilities is not None:
        score = inception_score(probabilities, min(num_splits, len(probabilities)))
    return SampleFigures(
        frechet,
        *kernel_distance(features, of_real, num_subsets=num_subsets, seed=seed),
        *score,
        *precision_and_recall(of_real, features, precision_recall_k),
        precision_recall_k,
        *density_and_coverage(of_real, features, density_coverage_k),
        density_coverage_k,
        prd_f8=scores.f8,
        prd_f1_8=scores.f1_8,
        prd_clusters=scores.num_clusters,
        prd_runs=scores.num_runs,
        prd_rows=scores.num_rows,
        num_samples=len(features),
        num_real=len(of_real),
        reference=reference,
        feature_network=network.feature_network,
        feature_network_fingerprint=network.fingerprint,
        published_names=dict(PUBLISHED_NAMES) if network.published else {},
    )
