"""Quality figures of samples in the features of a classifier."""

import dataclasses

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.frechet import (
    fit_gaussian,
    frechet_distance,
    gaussian_distance,
    one_blas_thread,
)
from tf_febm.evaluation.scale import to_unit_interval
from tf_febm.evaluation.simple_images import gaussian_images, noise_images
from tf_febm.renamed import warn_of_earlier

__all__ = ["SampleQuality", "sample_quality"]

NUM_RESAMPLES = 50


@dataclasses.dataclass(frozen=True)
class SampleQuality:
    """The quality figures of a set of samples.

    Attributes:
        frechet_to_held_out: Fréchet distance of samples from the held-out split.
        frechet_train_to_held_out: Of the whole training split from the held-out split.
        frechet_ratio: The first over the second; lower is better.
        frechet_ratio_resampled: The mean of the same ratio for `num_samples` training images drawn
            with replacement: what a perfect sampler of the training data reaches.
        frechet_ratio_resampled_std: Its standard deviation from draw to draw.
        frechet_ratio_gaussian: The same ratio for as many draws of a Gaussian with the mean and the
            covariance of the training pixels: what needs no network.
        frechet_ratio_noise: The same ratio for as many images of uniform noise.
        class_shares: num_classes numbers that add up to one, the share of the samples that the
            classifier assigns to each class.
        min_class_share: In [0, 1].
        max_class_share: In [0, 1].
        mean_confidence: In [0, 1], mean over samples of the largest class probability.
        held_out_confidence: In [0, 1], the same for the held-out images.
        held_out_accuracy: In [0, 1], of the classifier.
        num_samples: int.
        num_train: Images in the training split.
        num_held_out: Images in the held-out split.
        reference: What the samples are compared with: "test", the held-out split.
        feature_network: The name of the features. The distance is not the "FID", which belongs to
            another network.
    """

    frechet_to_held_out: float
    frechet_train_to_held_out: float
    frechet_ratio: float
    frechet_ratio_resampled: float
    frechet_ratio_resampled_std: float
    frechet_ratio_gaussian: float
    frechet_ratio_noise: float
    class_shares: list[float]
    min_class_share: float
    max_class_share: float
    mean_confidence: float
    held_out_confidence: float
    held_out_accuracy: float
    num_samples: int
    num_train: int
    num_held_out: int
    reference: str
    feature_network: str

    @property
    def frechet_distance(self) -> float:
        """Return `frechet_to_held_out`, by its earlier name."""
        warn_of_earlier("SampleQuality.frechet_distance", "frechet_to_held_out")
        return self.frechet_to_held_out

    @property
    def frechet_distance_train(self) -> float:
        """Return `frechet_train_to_held_out`, by its earlier name."""
        warn_of_earlier("SampleQuality.frechet_distance_train", "frechet_train_to_held_out")
        return self.frechet_train_to_held_out

    def as_dict(self) -> dict:
        """Convert to a dict of str, int, float and list, ready for `json.dumps`."""
        return dataclasses.asdict(self)


@arguments.checking({"train": arguments.IMAGES, "held_out": arguments.IMAGES})
def sample_quality(
    samples: arguments.Array,
    train: arguments.Data,
    held_out: arguments.Data,
    classifier: arguments.Classifier,
) -> SampleQuality:
    """Measure the quality of samples against real data, in the features of a classifier.

    With D the Fréchet distance between features, the ratio is D(samples, held-out) / D(train,
    held-out): how many times further from unseen data than the training data are. Samples and real
    images are brought to one scale by `to_unit_interval`.

    How to read the ratio:

    - One is *not* what perfect samples reach. D is biased upwards by sampling noise, more so for
      fewer samples, and where the two real splits are stratified their class shares agree exactly,
      which those of independent samples never do. `frechet_ratio_resampled` is the value to
      compare with, for 1,000 samples about 1.6 ± 0.3 on the digits and 5.8 ± 1.6 on MNIST; its
      standard deviation tells which differences mean something.
    - `frechet_ratio_gaussian` and `frechet_ratio_noise` are the other end of the scale. Samples
      beyond the first are worse than a Gaussian fit to the pixels.
    - It sees what the classifier sees. On digits pixel noise of standard deviation 0.05 passes
      unnoticed: look at the pictures too.
    - Copies of the training data reach the best values: see `nearest_neighbours`.
    - High confidence speaks of clean samples only together with even class shares; a single good
      image repeated is confident as well. Confidence on images far from the data is no guarantee
      of anything.

    Args:
        samples: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 2.
        train: The split that the model (and the classifier) was trained on: an object with `images`
            uint8 [m, height, width, channels], `labels` int [m] and `num_classes`, such as
            `tf_febm.data.ImageData`.
        held_out: Likewise, of images that neither has seen.
        classifier: A Classifier for these images and classes.

    Returns:
        A SampleQuality.

    Raises:
        ValueError: Image shapes or numbers of classes differ, the held-out split has not one
            label for each image, a set has fewer than two images, or the two splits agree in their
            moments.

    Warns:
        UserWarning: A set has no more images than there are features.

    Source: Heusel et al., 2017, for the distance in the features of a network.
    """
    for name, data in (("train", train), ("held_out", held_out)):
        if data.num_classes != classifier.num_classes:
            raise ValueError(
                f"{name} and classifier must have the same number of classes; received "
                f"{data.num_classes} and {classifier.num_classes}."
            )
    if np.shape(held_out.labels) != np.shape(held_out.images)[:1]:
        raise ValueError(
            "held_out must have one label for each image; received labels of shape "
            f"{np.shape(held_out.labels)} for images of shape {np.shape(held_out.images)}."
        )
    for name, images in (
        ("samples", samples),
        ("train.images", train.images),
        ("held_out.images", held_out.images),
    ):
        shape = np.shape(images)
        if len(shape) != 4 or shape[0] < 2 or tuple(shape[1:]) != classifier.image_shape:
            raise ValueError(
                f"{name} must be at least two images of shape {classifier.image_shape}; received "
                f"shape {shape}."
            )

    samples = to_unit_interval(samples, "samples")
    features, probabilities = classifier.features_and_probabilities(samples)
    train_features = classifier.features(train.images)
    held_out_features, held_out_probabilities = classifier.features_and_probabilities(
        held_out.images
    )
    distance = frechet_distance(features, held_out_features)
    distance_train = frechet_distance(train_features, held_out_features)
    # Equal sets come out at the square of the rounding error, not at exactly zero.
    if distance_train <= 1e-20 * np.sum(held_out_features.var(axis=0)):
        raise ValueError(
            "train and held_out must be different images; received a Fréchet distance of "
            f"{distance_train:.3g} between them."
        )
    simple = {
        "gaussian": gaussian_images(train.images, len(samples)),
        "noise": noise_images(classifier.image_shape, len(samples)),
    }
    with one_blas_thread():
        held_out_gaussian = fit_gaussian(held_out_features)
        ratios = {
            name: gaussian_distance(fit_gaussian(classifier.features(images)), held_out_gaussian)
            / distance_train
            for name, images in simple.items()
        }
    resampled = _resampled_distances(train_features, held_out_features, len(samples))
    shares = np.bincount(probabilities.argmax(axis=1), minlength=classifier.num_classes)
    shares = (shares / len(samples)).tolist()
    correct = held_out_probabilities.argmax(axis=1) == np.asarray(held_out.labels)
    return SampleQuality(
        frechet_to_held_out=distance,
        frechet_train_to_held_out=distance_train,
        frechet_ratio=distance / distance_train,
        frechet_ratio_resampled=float(resampled.mean() / distance_train),
        frechet_ratio_resampled_std=float(resampled.std(ddof=1) / distance_train),
        frechet_ratio_gaussian=ratios["gaussian"],
        frechet_ratio_noise=ratios["noise"],
        class_shares=shares,
        min_class_share=min(shares),
        max_class_share=max(shares),
        mean_confidence=_mean_confidence(probabilities),
        held_out_confidence=_mean_confidence(held_out_probabilities),
        held_out_accuracy=float(correct.mean()),
        num_samples=len(samples),
        num_train=len(train_features),
        num_held_out=len(held_out_features),
        reference="test",
        feature_network=classifier.feature_network,
    )


def _mean_confidence(probabilities):
    return float(probabilities.max(axis=1).mean(dtype=np.float64))


def _resampled_distances(train_features, held_out_features, num_samples):
    """Measure distances to the held-out split of training images drawn with replacement."""
    # A fixed seed: the figure belongs to the data, and equal inputs give equal results.
    generator = np.random.default_rng(0)
    train_features = train_features.astype(np.float64)
    distances = np.empty(NUM_RESAMPLES)
    with one_blas_thread():
        held_out = fit_gaussian(held_out_features.astype(np.float64))
        for i in range(NUM_RESAMPLES):
            rows = generator.integers(len(train_features), size=num_samples)
            distances[i] = gaussian_distance(fit_gaussian(train_features[rows]), held_out)
    return distances
