"""Nearest neighbours, of pixels or of features: are the samples copies of the training data?"""

from typing import NamedTuple

import numpy as np

from tf_febm.evaluation.feature_arrays import checked_pair
from tf_febm.evaluation.images import image_grid
from tf_febm.evaluation.scale import to_bytes, to_unit_interval

__all__ = ["Neighbours", "nearest_in_features", "nearest_neighbours", "neighbours_grid"]


class Neighbours(NamedTuple):
    """Hold the nearest reference images of each sample, the nearest first.

    Attributes:
        indices: int64 array [n, k], rows of the reference.
        distances: float64 array [n, k], Euclidean; over all pixels on the scale [0, 1], or over
            features.
    """

    indices: np.ndarray
    distances: np.ndarray


def nearest_neighbours(samples, reference, k=1):
    """Find the nearest reference images of each sample in pixel space.

    The search is exhaustive and runs in chunks. scikit-learn orders candidates by
    ‖x‖² − 2 x·y + ‖y‖², which loses small distances to cancellation; the distances of the k found
    are therefore computed again from the differences, so that an exact copy is at distance zero.

    Read it against the distances of held-out images to the same reference. A large distance does
    not prove that nothing was memorised: a copy shifted by one pixel is far away in pixel space.

    Args:
        samples: array [n, height, width, channels]; float in [0, 1], or uint8, which
            `to_unit_interval` maps.
        reference: array [m, height, width, channels], as `samples`.
        k: number of neighbours, 1 ≤ k ≤ m.

    Returns:
        `Neighbours` with indices and distances [n, k], distances ascending along k.

    Raises:
        ValueError: if the image shapes differ or k is out of range.
    """
    samples = to_unit_interval(samples, "samples")
    reference = to_unit_interval(reference, "reference")
    if samples.shape[1:] != reference.shape[1:]:
        raise ValueError(
            "samples and reference must have images of one shape; received shapes "
            f"{samples.shape} and {reference.shape}."
        )
    return nearest_in_features(
        samples.reshape(len(samples), -1), reference.reshape(len(reference), -1), k
    )


def nearest_in_features(features, reference, k=1):
    """Find the nearest reference rows of each row, such as features of images.

    Distances in the features of a network see past shifts and shades that rule distances between
    pixels, and past everything else that the network ignores. As exact as `nearest_neighbours`.

    Args:
        features: float array [n, d], n ≥ 1, finite.
        reference: float array [m, d], finite.
        k: number of neighbours, 1 ≤ k ≤ m.

    Returns:
        `Neighbours` with indices and distances [n, k], distances ascending along k.

    Raises:
        ValueError: if a rank is not 2, the numbers of features differ, a value is not finite, or k
            is out of range.
    """
    features, reference = checked_pair(features, reference, ("features", "reference"), least=1)
    if not 1 <= k <= len(reference):
        raise ValueError(f"k must lie in [1, {len(reference)}]; received {k}.")
    from sklearn.neighbors import NearestNeighbors  # Slow to import.

    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference)
    indices = search.kneighbors(features, return_distance=False)
    distances = np.stack(
        [
            np.linalg.norm(reference[found].astype(np.float64) - row, axis=1)
            for row, found in zip(features, indices, strict=True)
        ]
    )
    order = np.argsort(distances, axis=1, kind="stable")
    return Neighbours(
        indices=np.take_along_axis(indices, order, axis=1),
        distances=np.take_along_axis(distances, order, axis=1),
    )


def neighbours_grid(samples, reference, indices, **options):
    """Show samples beside their nearest neighbours: a row each, the sample first.

    Args:
        samples: array [n, height, width, channels] with 1 or 3 channels; uint8, or float in [0, 1].
        reference: array [m, height, width, channels], as `samples`.
        indices: int array [n, k] of rows of the reference, such as `Neighbours.indices`.
        **options: of `image_grid`, except the columns.

    Returns:
        uint8 array, the picture; see `image_grid`.

    Raises:
        ValueError: if the shapes do not match.
        TypeError: if images are neither uint8 nor floating point.
    """
    samples = to_bytes(samples, "samples")
    indices = np.asarray(indices)
    if indices.ndim != 2 or len(indices) != len(samples) or not indices.size:
        raise ValueError(
            f"indices must have shape [{len(samples)}, k], a row for each sample; received shape "
            f"{indices.shape}."
        )
    found = to_bytes(np.asarray(reference)[indices.ravel()], "reference")
    if found.shape[1:] != samples.shape[1:]:
        raise ValueError(
            "samples and reference must have images of one shape; received shapes "
            f"{samples.shape} and {np.shape(reference)}."
        )
    found = found.reshape(*indices.shape, *samples.shape[1:])
    rows = np.concatenate([samples[:, None], found], axis=1)
    return image_grid(rows.reshape(-1, *samples.shape[1:]), columns=indices.shape[1] + 1, **options)
