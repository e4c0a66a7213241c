"""InceptionV3 as Keras has it: close to the network of the published scores, and not the same."""

import contextlib
from pathlib import Path

import keras
import tensorflow as tf

from tf_febm.evaluation.feature_network import (
    PhotographNetwork,
    fingerprint_of,
    load_weights,
    squashed,
)

__all__ = ["KerasInception"]

SIDE = 299
FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"


class KerasInception(PhotographNetwork):
    """Compute features and classes with `keras.applications.InceptionV3`.

    Images are resized to 299×299 bilinearly and scaled to [−1, 1]. Features are the 2048 of the
    average pool; probabilities are those of the 1000 classes of ImageNet.

    The weights are another training of the same architecture than that of the published scores,
    and resizing differs in its corners: a Fréchet distance in these features is no FID, and the
    score of these classes no Inception score. They order models about alike; the numbers differ.

    Attributes:
        feature_network: str "keras-inception-v3:" with the origin of the weights.
        fingerprint: str, a hash of the weights.
        published: False.

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.
    """

    def __init__(self, weights="imagenet", batch_size=32):
        """Build the network.

        Args:
            weights: "imagenet" for those that Keras downloads once (96 MB) and then finds in its
                cache folder; the path of a local file with the same contents,
                inception_v3_weights_tf_dim_ordering_tf_kernels.h5; or None for random ones, which
                serve to try things out.
            batch_size: number of images in one forward pass, ≥ 1.

        Raises:
            ConnectionError: if the download fails.
            OSError: if there is no such file.
            ValueError: if the file does not hold the weights, or the batch size is below 1.
        """
        with _plain_settings():
            base = _build(weights)
            pooled = base.get_layer("avg_pool").output
            model = keras.Model(base.input, [pooled, base.output])
        origin = "random" if weights is None else "imagenet"
        if weights not in (None, "imagenet"):
            origin = Path(weights).name
        super().__init__(
            f"keras-inception-v3:{origin}", fingerprint_of(model.get_weights()), batch_size
        )

        def forward(pixels):
            # keras.applications resizes nothing by itself; this is TensorFlow's default.
            pixels = tf.image.resize(pixels, (SIDE, SIDE))
            return model(pixels / 127.5 - 1.0, training=False)

        # One signature: a short last batch does not trace the function again.
        signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
        self._graph = tf.function(forward, input_signature=signature, jit_compile=False)

    def _forward(self, pixels):
        return self._graph(pixels)


def _build(weights):
    if weights in (None, "imagenet"):
        try:
            return keras.applications.InceptionV3(weights=weights)
        except Exception as error:
            # Keras raises a bare Exception when a download fails.
            raise ConnectionError(
                f"The weights of keras.applications.InceptionV3 could not be fetched "
                f"({squashed(error)}); give weights= the path of a local copy of "
                f"{FILE}."
            ) from None
    model = keras.applications.InceptionV3(weights=None)
    load_weights(model, weights, "the weights of InceptionV3 with its classes", FILE)
    return model


@contextlib.contextmanager
def _plain_settings():
    """Build in float32 and channels last whatever the global settings: features stay comparable."""
    policy, data_format = keras.config.dtype_policy(), keras.config.image_data_format()
    floatx = keras.config.floatx()
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
    # The dtype of the input.
    keras.config.set_floatx("float32")
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_image_data_format(data_format)
        keras.config.set_dtype_policy(policy)
