"""Quality of samples: distances, class shares, neighbours and pictures."""

from tf_febm.evaluation import images as pictures
from tf_febm.evaluation.classifier import Classifier, train_classifier
from tf_febm.evaluation.frechet import frechet_distance, frechet_distance_from_moments
from tf_febm.evaluation.images import image_grid, save_png
from tf_febm.evaluation.neighbours import Neighbours, nearest_neighbours
from tf_febm.evaluation.quality import SampleQuality, sample_quality
from tf_febm.evaluation.scale import to_unit_interval

__all__ = [
    "Classifier",
    "Neighbours",
    "SampleQuality",
    "frechet_distance",
    "frechet_distance_from_moments",
    "image_grid",
    "nearest_neighbours",
    "pictures",
    "sample_quality",
    "save_png",
    "to_unit_interval",
    "train_classifier",
]
