"""Feature networks: their interface and shared helpers."""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, runtime_checkable

import keras
import numpy as np
import tensorflow as tf

from tf_febm import arguments
from tf_febm.evaluation.scale import to_bytes

__all__ = [
    "BatchedNetwork",
    "FeatureNetwork",
    "PhotographNetwork",
    "compiled",
    "fingerprint_of",
    "one_line",
    "plain_settings",
]


@runtime_checkable
class FeatureNetwork(Protocol):
    """What the figures of this package need of a network; anything with these will do.

    Attributes:
        feature_network: str, the name that every figure in these features is reported with.
        fingerprint: str, a hash of the weights. Figures compare only if it is the same; the cache
            of features relies on it.
        published: Whether this is the network of the published FID and Inception scores.
    """

    feature_network: str
    fingerprint: str
    published: bool

    def features(self, images: arguments.Tensor) -> np.ndarray:
        """Compute float32 [n, d] of images [n, height, width, channels], uint8 or in [0, 1]."""

    def features_and_probabilities(
        self, images: arguments.Tensor
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute features and class probabilities float32 [n, classes]; None without classes."""


@arguments.checked
class BatchedNetwork:
    """A feature network that takes images in batches; a subclass gives `prepare`.

    Args:
        forward: What `prepare` returns -> (features [n, d], probabilities [n, classes] or None).
        feature_network: The name of the features.
        fingerprint: A hash of the weights.
        batch_size: Images in one forward pass, at least 1.

    Raises:
        ValueError: The batch size is below 1.
    """

    published = False

    def __init__(self, forward: Callable, feature_network: str, fingerprint: str, batch_size: int):
        self._batch_size = arguments.whole_number("batch_size", batch_size, 1)
        self._forward = forward
        self.feature_network = feature_network
        self.fingerprint = fingerprint

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Return float32 images as the network takes them; raise a ValueError if it can not."""
        raise NotImplementedError

    def features_and_probabilities(
        self, images: arguments.Array
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Run the network once for both outputs, batch by batch.

        Args:
            images: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 1.

        Returns:
            float32 features [n, d], and class probabilities [n, classes], or None if the network
            has no classes.

        Raises:
            ValueError: The shape or a value is out of its range.
            TypeError: The dtype is neither uint8 nor floating point.
        """
        images = np.asarray(images)
        # A batch at a time: a whole data set as floats is four times its size in bytes.
        starts = range(0, max(len(images), 1), self._batch_size)
        outputs = [self._forward(self.prepare(images[i : i + self._batch_size])) for i in starts]
        features, probabilities = zip(*outputs, strict=True)
        if probabilities[0] is None:
            return np.concatenate(features), None
        return np.concatenate(features), np.concatenate(probabilities)

    def features(self, images: arguments.Array) -> np.ndarray:
        """Compute the features, float32 [n, d]; see `features_and_probabilities`."""
        return self.features_and_probabilities(images)[0]


@arguments.checked
class PhotographNetwork(BatchedNetwork):
    """Base of the networks that were trained on colour photographs of 8 bits.

    Images of any size are taken. Floats are brought to 8 bits, as they would be in an image file,
    and grey images to three equal channels.
    """

    def prepare(self, images: np.ndarray) -> np.ndarray:
        """Return float32 [n, height, width, 3] in 0 … 255."""
        if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
            raise ValueError(
                "images must have shape [n, height, width, 1 or 3] without empty dimensions; "
                f"received shape {images.shape}."
            )
        pixels = to_bytes(images).astype(np.float32)
        return np.repeat(pixels, 3, axis=3) if pixels.shape[3] == 1 else pixels


def compiled(forward: Callable, image_shape: arguments.Shape = (None, None, 3)) -> Callable:
    """Compile a function of images, once for any number of them and without XLA."""
    signature = [tf.TensorSpec((None, *image_shape), tf.float32)]
    return tf.function(forward, input_signature=signature, jit_compile=False, autograph=False)


@contextlib.contextmanager
def plain_settings() -> Iterator[None]:
    """Build in float32 and channels last whatever the global settings: features stay comparable."""
    config = keras.config
    policy, layout, floatx = config.dtype_policy(), config.image_data_format(), config.floatx()
    config.set_dtype_policy("float32")
    config.set_image_data_format("channels_last")
    config.set_floatx("float32")  # Of inputs.
    try:
        yield
    finally:
        config.set_floatx(floatx)
        config.set_image_data_format(layout)
        config.set_dtype_policy(policy)


def fingerprint_of(parts: Iterable) -> str:
    """Return the SHA-256 of strings, and of arrays with their dtypes and shapes, in hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(f"{part}\0".encode())
            continue
        array = np.ascontiguousarray(part)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def one_line(error: Exception) -> str:
    """Return the class and the first 200 characters of the text of a foreign exception."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
