"""Features of a set of images with their moments, kept in a folder between calls."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.array_cache import cached_arrays
from tf_febm.evaluation.feature_arrays import checked_features
from tf_febm.evaluation.feature_network import fingerprint_of
from tf_febm.evaluation.frechet import Gaussian, fit_gaussian, one_blas_thread

__all__ = ["FeatureStatistics", "feature_statistics"]


class FeatureStatistics(NamedTuple):
    """The features of a set of images and the Gaussian fitted to them.

    Attributes:
        features: float32 [n, d].
        gaussian: A `frechet.Gaussian` with float64 moments.
    """

    features: np.ndarray
    gaussian: Gaussian


@arguments.checking({"network": arguments.FEATURE_NETWORK})
def feature_statistics(
    images: arguments.Array, network: arguments.Network, cache_dir: arguments.Path | None = None
) -> FeatureStatistics:
    """Compute the features and moments of images, or find them in a cache.

    The name of a file in the cache is a hash of the images, byte for byte with dtype and shape, of
    the network's name and of its weights: whatever changes one of them finds another file. A file
    that is damaged, cut short or of another shape is reported, and computed anew. Files are
    written whole or not at all, so that several runs may share a folder. Nothing is ever removed;
    a file takes 4·n·d + 8·d² bytes.

    Args:
        images: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 2.
        network: A FeatureNetwork.
        cache_dir: A folder that is made if it is missing; None keeps nothing.

    Returns:
        A FeatureStatistics.

    Raises:
        ValueError: Images do not suit the network, or a feature is not finite.
        OSError: The cache can not be written.

    Warns:
        UserWarning: A file in the cache is damaged.
    """

    def compute():
        features = checked_features(network.features(images), "the features of images")
        features = features.astype(np.float32, copy=False)
        with one_blas_thread():
            return {"features": features, **fit_gaussian(features)._asdict()}

    def check(arrays):
        (width,) = arrays["features"].shape[1:]
        for name, dtype, shape in (
            ("features", np.float32, (len(images), width)),
            ("mean", np.float64, (width,)),
            ("factor", np.float64, (width, width)),
        ):
            array = arrays[name]
            if array.dtype != dtype or array.shape != shape or not np.isfinite(array).all():
                raise ValueError(f"{name} is {array.dtype} {list(array.shape)}, or not finite")

    if cache_dir is None:
        arrays = compute()
    else:
        name = re.sub(r"[^a-z0-9]+", "-", network.feature_network.lower()).strip("-")[:60]
        key = fingerprint_of([network.feature_network, network.fingerprint, images])
        arrays = cached_arrays(Path(cache_dir) / f"{name}-{key[:32]}.npz", compute, check)
    return FeatureStatistics(arrays["features"], Gaussian(arrays["mean"], arrays["factor"]))
