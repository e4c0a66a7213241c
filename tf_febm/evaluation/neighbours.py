"""Nearest neighbours of samples among the training data, by pixels or by features."""

from typing import NamedTuple

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.feature_arrays import checked_pair
from tf_febm.evaluation.images import image_grid
from tf_febm.evaluation.scale import to_bytes, to_unit_interval

__all__ = ["Neighbours", "nearest_in_features", "nearest_neighbours", "neighbours_grid"]


class Neighbours(NamedTuple):
    """The nearest reference images of each sample, the nearest first.

    Attributes:
        indices: int64 [n, k], rows of the reference.
        distances: float64 [n, k], Euclidean; over all pixels on the scale [0, 1], or over features.
    """

    indices: np.ndarray
    distances: np.ndarray


@arguments.checking({"reference": arguments.ARRAY})
def nearest_neighbours(
    samples: arguments.Array, reference: arguments.Reference, k: int = 1
) -> Neighbours:
    """Find the nearest reference images of each sample in pixel space; see `nearest_in_features`.

    Read it against the distances of held-out images to the same reference. A large distance does
    not prove that nothing was memorised: a copy shifted by one pixel is far away in pixel space.

    Args:
        samples: uint8, or float in [0, 1], [n, height, width, channels].
        reference: Likewise, [m, height, width, channels].
        k: Number of neighbours, in [1, m].

    Returns:
        A Neighbours, distances ascending along k.

    Raises:
        ValueError: The image shapes differ or k is out of its range.
    """
    samples = to_unit_interval(samples, "samples")
    reference = to_unit_interval(reference, "reference")
    _check_shapes(samples, reference)
    return nearest_in_features(
        samples.reshape(len(samples), -1), reference.reshape(len(reference), -1), k
    )


@arguments.checking({"reference": arguments.ARRAY})
def nearest_in_features(
    features: arguments.Reals, reference: arguments.Reference, k: int = 1
) -> Neighbours:
    """Find the nearest reference rows of each row, such as features of images.

    Distances in the features of a network see past shifts and shades that rule distances between
    pixels, and past everything else that the network ignores.

    The search is exhaustive. scikit-learn orders candidates by ‖x‖² − 2 x·y + ‖y‖², which loses
    small distances to cancellation; the distances of the k found are therefore computed again from
    the differences, so that an exact copy is at distance zero.

    Args:
        features: Real [n, d], n ≥ 1, finite.
        reference: Real [m, d], finite.
        k: Number of neighbours, in [1, m].

    Returns:
        A Neighbours, distances ascending along k.

    Raises:
        ValueError: A rank is not 2, the numbers of features differ, a value is not finite, or k
            is out of its range.
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
    return Neighbours(*(np.take_along_axis(found, order, axis=1) for found in (indices, distances)))


@arguments.checking({"reference": arguments.ARRAY})
def neighbours_grid(
    samples: arguments.Array,
    reference: arguments.Reference,
    indices: arguments.Array,
    padding: int = 1,
    upscale: int | None = None,
    background: int = 255,
) -> np.ndarray:
    """Show samples beside their nearest neighbours: a row each, the sample first.

    Args:
        samples: uint8, or float in [0, 1], [n, height, width, channels] with 1 or 3 channels.
        reference: Likewise, [m, height, width, channels].
        indices: Rows of the reference, int [n, k], such as `Neighbours.indices`.
        padding: See `image_grid`, as for all that follow.
        upscale: See there.
        background: See there.

    Returns:
        uint8 [height, width, channels]; see `image_grid`.

    Raises:
        ValueError: The shapes do not match.
        TypeError: Images are neither uint8 nor floating point.
    """
    samples = to_bytes(samples, "samples")
    indices = np.asarray(indices)
    if indices.ndim != 2 or len(indices) != len(samples) or not indices.size:
        raise ValueError(
            f"indices must have shape [{len(samples)}, k], a row for each sample; received shape "
            f"{indices.shape}."
        )
    _check_shapes(samples, reference)
    found = to_bytes(np.asarray(reference)[indices.ravel()], "reference")
    rows = np.concatenate([samples[:, None], found.reshape(*indices.shape, *found.shape[1:])], 1)
    flat = rows.reshape(-1, *found.shape[1:])
    return image_grid(flat, indices.shape[1] + 1, padding, upscale, background)


def _check_shapes(samples, reference) -> None:
    if np.shape(samples)[1:] != np.shape(reference)[1:]:
        raise ValueError(
            "samples and reference must have images of one shape; received shapes "
            f"{np.shape(samples)} and {np.shape(reference)}."
        )
