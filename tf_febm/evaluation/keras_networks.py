"""Feature networks in Keras that were trained on ImageNet: InceptionV3 and SqueezeNet."""

import warnings
from pathlib import Path

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.evaluation.feature_network import (
    PhotographNetwork,
    compiled,
    fingerprint_of,
    one_line,
    plain_settings,
)
from tf_febm.untrusted_files.hdf5 import clean_copy

__all__ = ["KerasInception", "SqueezeNet"]

INCEPTION_SIDE = 299
INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels.h5"
SQUEEZENET_FILE = (
    "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5 or what Keras saved of the same network"
)
# (squeeze, expand) filters of fire2 to fire9; a pool comes before fire2, fire4 and fire6.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLS_BEFORE = (2, 4, 6)
# Means of ImageNet in the order blue, green, red.
MEAN_BGR = (103.939, 116.779, 123.68)


@arguments.checked
class KerasInception(PhotographNetwork):
    """Compute features and classes with `keras.applications.InceptionV3`.

    Images are resized to 299×299 bilinearly and scaled to [−1, 1]. Features are the 2048 of the
    average pool; probabilities are those of the 1000 classes of ImageNet. `feature_network` is
    "keras-inception-v3:" with the origin of the weights.

    The weights are another training of the same architecture than that of the published scores,
    and resizing differs in its corners: a Fréchet distance in these features is no FID, and the
    score of these classes no Inception score. They order models about alike; the numbers differ.

    Args:
        weights: "imagenet" for those that Keras downloads once (96 MB) and then finds in its cache
            folder; the path of a local file with the same contents,
            inception_v3_weights_tf_dim_ordering_tf_kernels.h5; or None for random ones, which serve
            to try things out.
        batch_size: Images in one forward pass, at least 1.

    Raises:
        ConnectionError: The download fails.
        OSError: There is no such file.
        ValueError: The file does not hold the weights, or the batch size is below 1.

    Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", 2016.
    """

    def __init__(self, weights: str | Path | None = "imagenet", batch_size: int = 32):
        known = weights in (None, "imagenet")
        with plain_settings():
            try:
                base = keras.applications.InceptionV3(weights=weights if known else None)
            except Exception as error:
                # Keras raises a bare Exception when a download fails.
                raise ConnectionError(
                    f"The weights of keras.applications.InceptionV3 could not be fetched "
                    f"({one_line(error)}); give weights= the path of a local copy of "
                    f"{INCEPTION_FILE}."
                ) from None
            model = keras.Model(base.input, [base.get_layer("avg_pool").output, base.output])
        if not known:
            _load(base, weights, "the weights of InceptionV3 with its classes", INCEPTION_FILE)

        def forward(pixels):
            # keras.applications resizes nothing by itself; this is TensorFlow's default.
            pixels = tf.image.resize(pixels, (INCEPTION_SIDE, INCEPTION_SIDE))
            return model(pixels / 127.5 - 1.0, training=False)

        origin = (weights or "random") if known else Path(weights).name
        fingerprint = fingerprint_of(model.get_weights())
        name = f"keras-inception-v3:{origin}"
        super().__init__(compiled(forward), name, fingerprint, batch_size)


@arguments.checked
class SqueezeNet(PhotographNetwork):
    """Compute the 512 averaged features of SqueezeNet 1.1's last fire module.

    The weights are those of the project keras-squeezenet (MIT licence), trained on ImageNet:
    `squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5`, in release v0.1 of
    github.com/rcmalli/keras-squeezenet. Any file that Keras loads into the 26 convolutions of the
    network, in their order, will do: to convert another source build `SqueezeNet.build()`, set its
    weights, and call its `save_weights("name.weights.h5")`. Input is BGR, 0 … 255, less the means
    (103.939, 116.779, 123.68). There are no classes, so no score of them.

    A Fréchet distance in these features is no FID; it compares only with others of the same
    `feature_network`, "squeezenet-1.1-" with the side of its input.

    Args:
        path: The weights, 3 MB.
        side: Images are resized to this height and width bilinearly, at least 32. Each side is a
            feature space of its own. The network was trained at 227; on CIFAR-10 a linear probe
            (3,000 images) found 77.1 % there, 76.7 % at 128, five times as fast, and 58.8 % at 64.
        batch_size: Images in one forward pass, at least 1.

    Raises:
        OSError: There is no such file.
        ValueError: It does not hold the weights, or a setting is out of its range.

    Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
    <0.5MB model size", 2016.
    """

    def __init__(self, path: arguments.Path, side: int = 128, batch_size: int = 100):
        arguments.whole_number("side", side, 32)
        model = self.build()
        _load(model, path, "the 26 convolutions of SqueezeNet 1.1", SQUEEZENET_FILE)

        def forward(pixels):
            pixels = tf.image.resize(pixels, (side, side))
            return model(pixels[..., ::-1] - MEAN_BGR, training=False)

        graph = compiled(forward)
        super().__init__(
            lambda pixels: (graph(pixels), None),
            f"squeezenet-1.1-{side}px",
            fingerprint_of(model.get_weights()),
            batch_size,
        )

    @staticmethod
    def build() -> keras.Model:
        """Build the network with random weights.

        Returns:
            Functional model from float32 [n, height, width, 3], BGR less the means, to float32
            features [n, 512].
        """

        def convolution(x, filters, size, name, **settings):
            return keras.layers.Conv2D(filters, size, activation="relu", name=name, **settings)(x)

        with plain_settings():
            inputs = keras.Input((None, None, 3))
            x = convolution(inputs, 64, 3, "conv1", strides=2)
            for number, (squeeze, expand) in enumerate(FIRES, start=2):
                if number in POOLS_BEFORE:
                    x = keras.layers.MaxPooling2D(3, strides=2)(x)
                x = convolution(x, squeeze, 1, f"fire{number}_squeeze1x1")
                narrow = convolution(x, expand, 1, f"fire{number}_expand1x1")
                wide = convolution(x, expand, 3, f"fire{number}_expand3x3", padding="same")
                x = keras.layers.Concatenate()([narrow, wide])
            return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def _load(model, path, what: str, accepted: str) -> None:
    """Load all weights of a Keras model from a local file, or say what is wrong with it."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no weights file {path}; accepted is {accepted}.")
    try:
        with clean_copy(path) as copy, warnings.catch_warnings():
            # Keras only warns of layers that it does not find, and leaves them random.
            warnings.simplefilter("error", UserWarning)
            model.load_weights(copy)
    except PermissionError:
        raise
    except Exception as error:
        raise ValueError(
            f"{path} does not hold {what} ({one_line(error)}); accepted is {accepted}."
        ) from None
