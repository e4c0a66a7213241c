"""Quality of samples and energies: distances, scores, likelihood, modes, neighbours, pictures."""

from tf_febm.evaluation import images as pictures
from tf_febm.evaluation.attacks import projected_gradient_attack
from tf_febm.evaluation.chain_figures import ChainFigures, chain_figures, readings_of_chains
from tf_febm.evaluation.charts import (
    histogram_chart,
    histogram_figure,
    line_chart,
    line_figure,
    marginal_figure,
    marginal_plots,
)
from tf_febm.evaluation.choosing import CLASSIFIED, FEATURES, find_feature_network
from tf_febm.evaluation.classification import (
    AttackedAccuracy,
    ClassificationFigures,
    classification_figures,
    expected_calibration_error,
    model_classification,
    refine_by_chains,
)
from tf_febm.evaluation.classifier import Classifier, train_classifier
from tf_febm.evaluation.density_charts import density_figure, density_plot
from tf_febm.evaluation.distribution_curve import (
    DistributionScores,
    PrecisionRecallCurve,
    distribution_scores,
    prd_curve,
)
from tf_febm.evaluation.feature_network import FeatureNetwork
from tf_febm.evaluation.figures_of_runs import run_figures
from tf_febm.evaluation.frechet import frechet_distance, frechet_distance_from_moments
from tf_febm.evaluation.history import history_figure
from tf_febm.evaluation.images import image_grid, save_png
from tf_febm.evaluation.inception_graph import InceptionGraph
from tf_febm.evaluation.inception_score import InceptionScore, inception_score
from tf_febm.evaluation.keras_networks import KerasInception, SqueezeNet
from tf_febm.evaluation.kernel_distance import KernelDistance, kernel_distance, squared_mmd
from tf_febm.evaluation.modes import ModeCoverage, mode_coverage
from tf_febm.evaluation.neighbours import (
    Neighbours,
    nearest_in_features,
    nearest_neighbours,
    neighbours_grid,
)
from tf_febm.evaluation.ood import OODMetrics, ood_metrics
from tf_febm.evaluation.pixel_quality import PixelQuality, pixel_quality
from tf_febm.evaluation.plane_quality import PlaneQuality, plane_quality
from tf_febm.evaluation.precision_recall import (
    DensityCoverage,
    PrecisionRecall,
    density_and_coverage,
    precision_and_recall,
)
from tf_febm.evaluation.quality import SampleQuality, sample_quality
from tf_febm.evaluation.reference_gain import ReferenceGain, gain_over_reference
from tf_febm.evaluation.sample_figures import SampleFigures, evaluate_samples
from tf_febm.evaluation.scale import to_bytes, to_unit_interval
from tf_febm.evaluation.stacked import StackedModes, expected_of_uniform, stacked_modes
from tf_febm.evaluation.statistics import FeatureStatistics, feature_statistics
from tf_febm.evaluation.stein import SteinDiscrepancy, kernel_stein_discrepancy
from tf_febm.evaluation.verdict import Reading, Verdict, readings, verdict
from tf_febm.partition import (
    AnnealedPartition,
    BracketedPartition,
    GridDivergence,
    GridPartition,
    HeldOutLogLikelihood,
    annealed_log_partition,
    bracketed_log_partition,
    divergence_on_grid,
    held_out_log_likelihood,
    log_partition_on_grid,
)
from tf_febm.renamed import earlier_names

__all__ = [
    "AnnealedPartition",
    "AttackedAccuracy",
    "BracketedPartition",
    "CLASSIFIED",
    "ChainFigures",
    "ClassificationFigures",
    "Classifier",
    "DensityCoverage",
    "DistributionScores",
    "FEATURES",
    "FeatureNetwork",
    "FeatureStatistics",
    "GridDivergence",
    "GridPartition",
    "HeldOutLogLikelihood",
    "InceptionGraph",
    "InceptionScore",
    "KerasInception",
    "KernelDistance",
    "ModeCoverage",
    "Neighbours",
    "OODMetrics",
    "PixelQuality",
    "PlaneQuality",
    "PrecisionRecall",
    "PrecisionRecallCurve",
    "Reading",
    "ReferenceGain",
    "SampleFigures",
    "SampleQuality",
    "SqueezeNet",
    "StackedModes",
    "SteinDiscrepancy",
    "Verdict",
    "annealed_log_partition",
    "bracketed_log_partition",
    "chain_figures",
    "classification_figures",
    "density_and_coverage",
    "density_figure",
    "density_plot",
    "distribution_scores",
    "divergence_on_grid",
    "evaluate_samples",
    "expected_calibration_error",
    "expected_of_uniform",
    "feature_statistics",
    "find_feature_network",
    "frechet_distance",
    "frechet_distance_from_moments",
    "gain_over_reference",
    "held_out_log_likelihood",
    "histogram_chart",
    "histogram_figure",
    "history_figure",
    "image_grid",
    "inception_score",
    "kernel_distance",
    "kernel_stein_discrepancy",
    "line_chart",
    "line_figure",
    "log_partition_on_grid",
    "marginal_figure",
    "marginal_plots",
    "mode_coverage",
    "model_classification",
    "nearest_in_features",
    "nearest_neighbours",
    "neighbours_grid",
    "ood_metrics",
    "pictures",
    "pixel_quality",
    "plane_quality",
    "prd_curve",
    "precision_and_recall",
    "projected_gradient_attack",
    "readings",
    "readings_of_chains",
    "refine_by_chains",
    "run_figures",
    "sample_quality",
    "save_png",
    "squared_mmd",
    "stacked_modes",
    "to_bytes",
    "to_unit_interval",
    "train_classifier",
    "verdict",
]

__getattr__ = earlier_names(
    __name__,
    {
        "keras_inception": "tf_febm.evaluation.keras_networks",
        "landscape": "tf_febm.evaluation.density_charts",
        "marginals": "tf_febm.evaluation.charts",
        "marginals_picture": "tf_febm.evaluation.charts:marginal_plots",
        "plane_picture": "tf_febm.evaluation.density_charts:density_plot",
        "squeezenet": "tf_febm.evaluation.keras_networks",
    },
)
