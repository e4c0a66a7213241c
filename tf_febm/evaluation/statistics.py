"""Features of a set of images with their moments, kept in a folder between calls."""

import hashlib
import re
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tf_febm.evaluation.feature_arrays import checked_features
from tf_febm.evaluation.feature_network import squashed
from tf_febm.evaluation.frechet import Gaussian, fit_gaussian, one_blas_thread
from tf_febm.files import write_atomically

__all__ = ["FeatureStatistics", "feature_statistics"]


class FeatureStatistics(NamedTuple):
    """Hold the features of a set of images and the Gaussian fitted to them.

    Attributes:
        features: float32 array [n, d].
        gaussian: `frechet.Gaussian` with float64 moments.
    """

    features: np.ndarray
    gaussian: Gaussian


def feature_statistics(images, network, cache_dir=None):
    """Compute the features and moments of images, or find them in a cache.

    The name of a file in the cache is a hash of the images, byte for byte with dtype and shape, of
    the network's name and of its weights: whatever changes one of them finds another file. A file
    that is damaged, cut short or of another shape is reported, and computed anew. Files are
    written whole or not at all, so that several runs may share a folder. Nothing is ever removed;
    a file takes 4·n·d + 8·d² bytes.

    Args:
        images: array [n, height, width, channels], n ≥ 2; uint8, or float in [0, 1].
        network: `FeatureNetwork`.
        cache_dir: str or path-like, a folder that is made if it is missing; None keeps nothing.

    Returns:
        `FeatureStatistics`.

    Raises:
        ValueError: if images do not suit the network, or a feature is not finite.
        OSError: if the cache can not be written.

    Warns:
        UserWarning: if a file in the cache is damaged.
    """
    if cache_dir is None:
        return _compute(images, network)
    path = Path(cache_dir) / _file_name(images, network)
    if path.exists():
        try:
            return _read(path, len(images))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(
                f"The cached statistics {path} are damaged ({squashed(error)}); computing them "
                "anew.",
                stacklevel=2,
            )
    found = _compute(images, network)
    arrays = {"features": found.features, "mean": found.gaussian.mean}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: np.savez(file, **arrays, factor=found.gaussian.factor))
    except OSError as error:
        raise OSError(f"Can not write statistics to {path}: {error.strerror}.") from None
    return found


def _compute(images, network):
    features = checked_features(network.features(images), "the features of images")
    features = features.astype(np.float32, copy=False)
    with one_blas_thread():
        return FeatureStatistics(features, fit_gaussian(features))


def _file_name(images, network):
    images = np.ascontiguousarray(images)
    digest = hashlib.sha256()
    for text in (network.feature_network, network.fingerprint, images.dtype.str, images.shape):
        digest.update(f"{text}\0".encode())
    digest.update(images.data.cast("B"))
    name = re.sub(r"[^a-z0-9]+", "-", network.feature_network.lower()).strip("-")
    return f"{name[:60]}-{digest.hexdigest()[:32]}.npz"


def _read(path, count):
    with np.load(path) as arrays:
        features, mean, factor = (arrays[key] for key in ("features", "mean", "factor"))
    (width,) = features.shape[1:]
    for name, array, dtype, shape in (
        ("features", features, np.float32, (count, width)),
        ("mean", mean, np.float64, (width,)),
        ("factor", factor, np.float64, (width, width)),
    ):
        if array.dtype != dtype or array.shape != shape:
            raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    return FeatureStatistics(features, Gaussian(mean, factor))
