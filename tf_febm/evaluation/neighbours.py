"""Nearest neighbours in pixel space: are the samples copies of the training data?"""

from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from tf_febm.evaluation.scale import to_unit_interval

__all__ = ["Neighbours", "nearest_neighbours"]


class Neighbours(NamedTuple):
    """Hold the nearest reference images of each sample, the nearest first.

    Attributes:
        indices: int64 array [n, k], rows of the reference.
        distances: float64 array [n, k], Euclidean over all pixels on the scale [0, 1].
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
    if not 1 <= k <= len(reference):
        raise ValueError(f"k must lie in [1, {len(reference)}]; received {k}.")
    samples = samples.reshape(len(samples), -1)
    reference = reference.reshape(len(reference), -1)
    search = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference)
    indices = search.kneighbors(samples, return_distance=False)
    distances = np.stack(
        [
            np.linalg.norm(reference[found].astype(np.float64) - sample, axis=1)
            for sample, found in zip(samples, indices, strict=True)
        ]
    )
    order = np.argsort(distances, axis=1, kind="stable")
    return Neighbours(
        indices=np.take_along_axis(indices, order, axis=1),
        distances=np.take_along_axis(distances, order, axis=1),
    )
