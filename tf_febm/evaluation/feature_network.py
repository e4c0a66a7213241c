"""What a feature network is, and what those trained on photographs share."""

import hashlib
import warnings
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from tf_febm.evaluation.scale import to_bytes

__all__ = ["FeatureNetwork", "PhotographNetwork", "fingerprint_of", "load_weights", "squashed"]


@runtime_checkable
class FeatureNetwork(Protocol):
    """Describe what the figures of this package need of a network; anything with these will do.

    Attributes:
        feature_network: str, the name that every figure in these features is reported with.
        fingerprint: str, a hash of the weights. Figures compare only if it is the same; the cache
            of features relies on it.
        published: bool, whether this is the network of the published FID and Inception scores.
    """

    feature_network: str
    fingerprint: str
    published: bool

    def features(self, images) -> np.ndarray:
        """Compute float32 [n, d] of images [n, height, width, channels], uint8 or in [0, 1]."""

    def features_and_probabilities(self, images) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute features and class probabilities float32 [n, classes]; None without classes."""


class PhotographNetwork:
    """Base of the networks that were trained on colour photographs of 8 bits.

    Floats are brought to 8 bits, as they would be in an image file, and grey images to three equal
    channels. A subclass gives `_forward`.

    Attributes:
        feature_network: str that names the features.
        fingerprint: str, a hash of the weights.
        published: bool, see `FeatureNetwork`.
    """

    published = False

    def __init__(self, feature_network, fingerprint, batch_size):
        """Set the names.

        Args:
            feature_network: str that names the features.
            fingerprint: str, a hash of the weights.
            batch_size: number of images in one forward pass, ≥ 1.

        Raises:
            ValueError: if the batch size is below 1.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; received {batch_size}.")
        self.feature_network = feature_network
        self.fingerprint = fingerprint
        self._batch_size = batch_size

    def _forward(self, pixels):
        """Map float32 [n, height, width, 3] in 0 … 255 to (features, probabilities or None)."""
        raise NotImplementedError

    def features_and_probabilities(self, images):
        """Run the network once for both outputs, batch by batch.

        Args:
            images: array [n, height, width, channels], n ≥ 1, with 1 or 3 channels, of any size;
                uint8, or float in [0, 1].

        Returns:
            Pair: features, float32 array [n, d], and class probabilities, float32 array
            [n, classes], or None if the network has no classes.

        Raises:
            ValueError: if the shape or a value is out of range.
            TypeError: if the dtype is neither uint8 nor floating point.
        """
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
            raise ValueError(
                "images must have shape [n, height, width, 1 or 3] without empty dimensions; "
                f"received shape {images.shape}."
            )
        features, probabilities = [], []
        for start in range(0, len(images), self._batch_size):
            # A batch at a time: a whole data set as floats is four times its size in bytes.
            pixels = to_bytes(images[start : start + self._batch_size]).astype(np.float32)
            if pixels.shape[3] == 1:
                pixels = np.repeat(pixels, 3, axis=3)
            batch_features, batch_probabilities = self._forward(pixels)
            features.append(np.asarray(batch_features))
            probabilities.append(batch_probabilities)
        if probabilities[0] is None:
            return np.concatenate(features), None
        return np.concatenate(features), np.concatenate([np.asarray(p) for p in probabilities])

    def features(self, images):
        """Compute the features, float32 [n, d]; see `features_and_probabilities`."""
        return self.features_and_probabilities(images)[0]


def fingerprint_of(arrays):
    """Hash arrays.

    Args:
        arrays: iterable of arrays, such as the weights of a network in their order.

    Returns:
        str, the SHA-256 over dtypes, shapes and contents, in hexadecimal digits.
    """
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def load_weights(model, path, what, accepted):
    """Load all weights of a Keras model from a local file, or say what is wrong with it.

    Args:
        model: Keras model.
        path: str or path-like, a weights file.
        what: what the weights are, for messages.
        accepted: what the file may be, for messages.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold the weights of the model, all of them.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}; accepted is {accepted}.")
    try:
        with warnings.catch_warnings():
            # Keras only warns of layers that it does not find, and leaves them random.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(path)
    except Exception as error:
        raise ValueError(
            f"{path} does not hold {what} ({squashed(error)}); accepted is {accepted}."
        ) from None


def squashed(error):
    """Put the message of a foreign exception on one line.

    Args:
        error: exception.

    Returns:
        str, its class and the first 200 characters of its text.
    """
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
