"""Modes of stacked images that samples find."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from tf_febm import arguments

__all__ = ["StackedModes", "expected_of_uniform", "stacked_modes"]


class StackedModes(NamedTuple):
    """Which combinations of classes samples show.

    Attributes:
        found: Combinations that at least one sample shows.
        total: Combinations that there are, classes^channels.
        kl: KL(shares‖uniform) in nats; 0 where all have one share, log(total) where only one
            is found.
        num_samples: int.
    """

    found: int
    total: int
    kl: float
    num_samples: int


@arguments.checked
def stacked_modes(samples: arguments.Array, classifier: arguments.Classifier) -> StackedModes:
    """Count the modes of stacked images, by a classifier of their channels.

    Every image counts for the combination that the classifier finds most likely, whatever it looks
    like: noise falls into some modes as well, so look at the pictures and at the mean confidence
    too. How many modes are found depends on the number of samples, and `kl` is not 0 for samples
    of the truth; compare both with `expected_of_uniform`.

    Args:
        samples: uint8, or float in [0, 1], [n, height, width, channels].
        classifier: A `Classifier` of images [height, width, 1].

    Returns:
        A StackedModes.

    Raises:
        ValueError: There is no sample, or the shapes do not fit.

    Source: Metz et al. 2017; 26,000 samples are usual since Lin et al. 2018 (PacGAN).
    """
    samples = np.asarray(samples)
    if samples.ndim != 4 or not samples.size or classifier.image_shape != (*samples.shape[1:3], 1):
        raise ValueError(
            "samples must be [n, height, width, channels] with channels like the classifier's "
            f"images {classifier.image_shape}; received shape {list(samples.shape)}."
        )
    modes = np.zeros(len(samples), np.int64)
    for channel in range(samples.shape[3]):
        probabilities = classifier.probabilities(samples[..., channel : channel + 1])
        modes = classifier.num_classes * modes + probabilities.argmax(axis=1)
    total = classifier.num_classes ** samples.shape[3]
    _, counts = np.unique(modes, return_counts=True)
    shares = counts / len(samples)
    kl = float(np.sum(shares * np.log(shares * total)))
    return StackedModes(len(counts), total, kl, len(samples))


@arguments.checked
def expected_of_uniform(num_samples: int, total: int) -> tuple[float, float]:
    """Return what `found` and `kl` are on average for samples of the uniform distribution.

    Args:
        num_samples: n, at least 1.
        total: K modes, at least 1.

    Returns:
        K(1 − (1 − 1/K)ⁿ), and K·E[(c/n) log(Kc/n)] of a binomial c, near (K − 1)/(2n) for n ≫ K.
    """
    num_samples = arguments.whole_number("num_samples", num_samples, 1)
    total = arguments.whole_number("total", total, 1)
    count = np.arange(1, num_samples + 1)
    probability = stats.binom.pmf(count, num_samples, 1.0 / total)
    share = count / num_samples
    kl = total * np.sum(probability * share * np.log(total * share))
    return float(total * (1.0 - (1.0 - 1.0 / total) ** num_samples)), float(kl)
