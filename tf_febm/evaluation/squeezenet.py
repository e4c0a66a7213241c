"""SqueezeNet: a perceptual feature network of 3 MB, from a local file."""

import keras
import tensorflow as tf

from tf_febm.evaluation.feature_network import PhotographNetwork, fingerprint_of, load_weights

__all__ = ["SqueezeNet"]

# (squeeze, expand) filters of fire2 to fire9; a pool comes before fire2, fire4 and fire6.
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOLS_BEFORE = (2, 4, 6)
# Means of ImageNet in the order blue, green, red.
MEAN_BGR = (103.939, 116.779, 123.68)
ACCEPTED = (
    "squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5 or what Keras saved of the same network"
)


class SqueezeNet(PhotographNetwork):
    """Compute the 512 averaged features of SqueezeNet 1.1's last fire module.

    The weights are those of the project keras-squeezenet (MIT licence), trained on ImageNet:
    `squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5`, in release v0.1 of
    github.com/rcmalli/keras-squeezenet. Any file that Keras loads into the 26 convolutions of the
    network, in their order, will do: to convert another source build `SqueezeNet.build()`, set its
    weights, and call its `save_weights("name.weights.h5")`. Input is BGR, 0 … 255, less the means
    (103.939, 116.779, 123.68). There are no classes, so no score of them.

    A Fréchet distance in these features is no FID; it compares only with others of the same name.

    Attributes:
        feature_network: str "squeezenet-1.1-" with the side of its input.
        fingerprint: str, a hash of the weights.
        published: False.

    Source: Iandola et al., "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
    <0.5MB model size", 2016.
    """

    def __init__(self, path, side=128, batch_size=100):
        """Read the weights.

        Args:
            path: str or path-like, the weights.
            side: images are resized to this height and width bilinearly, ≥ 32. Each side is a
                feature space of its own. The network was trained at 227; on CIFAR-10 a linear
                probe (3,000 images) found 77.1 % there, 76.7 % at 128, five times as fast, and
                58.8 % at 64.
            batch_size: number of images in one forward pass, ≥ 1.

        Raises:
            OSError: if there is no such file.
            ValueError: if it does not hold the weights, or a setting is out of range.
        """
        if side < 32:
            raise ValueError(f"side must be at least 32; received {side}.")
        model = self.build()
        load_weights(model, path, "the 26 convolutions of SqueezeNet 1.1", ACCEPTED)
        super().__init__(
            f"squeezenet-1.1-{side}px", fingerprint_of(model.get_weights()), batch_size
        )

        def forward(pixels):
            pixels = tf.image.resize(pixels, (side, side))
            return model(pixels[..., ::-1] - MEAN_BGR, training=False)

        # One signature: a short last batch does not trace the function again.
        signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
        self._graph = tf.function(forward, input_signature=signature, jit_compile=False)

    def _forward(self, pixels):
        return self._graph(pixels), None

    @staticmethod
    def build():
        """Build the network with random weights.

        Returns:
            Functional Keras model from float32 [n, height, width, 3], BGR less the means, to
            float32 features [n, 512].
        """
        # Whatever the global settings: features of all runs stay comparable.
        plain = {"dtype": "float32", "data_format": "channels_last"}

        def convolution(x, filters, size, name, **kwargs):
            return keras.layers.Conv2D(
                filters, size, activation="relu", name=name, **plain, **kwargs
            )(x)

        inputs = keras.Input((None, None, 3), dtype="float32")
        x = convolution(inputs, 64, 3, "conv1", strides=2)
        for number, (squeeze, expand) in enumerate(FIRES, start=2):
            if number in POOLS_BEFORE:
                x = keras.layers.MaxPooling2D(3, strides=2, **plain)(x)
            x = convolution(x, squeeze, 1, f"fire{number}_squeeze1x1")
            narrow = convolution(x, expand, 1, f"fire{number}_expand1x1")
            wide = convolution(x, expand, 3, f"fire{number}_expand3x3", padding="same")
            x = keras.layers.Concatenate(dtype="float32")([narrow, wide])
        return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(**plain)(x))
