"""Self-attention over the positions of a feature map."""

import keras
import tensorflow as tf

from tf_febm import arguments
from tf_febm.networks.precision import output_dtype
from tf_febm.networks.spectral import SpectralConv2D

__all__ = ["SelfAttention"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checked
class SelfAttention(keras.layers.Layer):
    """Add to each position of a feature map a mean over all positions.

        x + gamma · softmax(q kᵀ) leaky_relu(v),   q = x W_q + b_q,  k = x W_k + b_k,  v = x W_v

    The three matrices are spectrally normalised 1×1 convolutions; the softmax runs over positions
    and its scores are not scaled. The scalar gamma starts at zero, where the layer is the identity.
    Memory grows with the square of the number of positions. Under a mixed policy too the scores are
    in float32: the softmax turns an error of theirs into a factor, and in float16 they overflow.

    Args:
        units: Length of q and k at a position.
        dropout: Rate at which scores are set to zero, and the others enlarged, in training.
        **kwargs: Those of `keras.layers.Layer`.

    Source: Zhang, Goodfellow, Metaxas, Odena: Self-Attention Generative Adversarial Networks, ICML
    2019, in the form of the public f-EBM code.
    """

    def __init__(self, units: int, dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.whole_number("units", units, 1)
        policy = self.dtype_policy
        self.query = SpectralConv2D(self.units, 1, use_bias=True, dtype=policy, name="query")
        self.key = SpectralConv2D(self.units, 1, use_bias=True, dtype=policy, name="key")
        # As the layer's policy has it, whatever the global one is.
        self.dropout = keras.layers.Dropout(dropout, dtype=output_dtype(policy))

    def build(self, input_shape: arguments.Shape) -> None:
        """Create the weights for images [n, height, width, channels]."""
        self.value = SpectralConv2D(input_shape[-1], 1, name="value", dtype=self.dtype_policy)
        for layer in (self.query, self.key, self.value):
            layer.build(input_shape)
        self.gamma = self.add_weight(shape=(1,), initializer="zeros", name="gamma")

    def call(self, x: arguments.Tensor, training: bool = False) -> tf.Tensor:
        """Return images of the shape of x."""
        query, key = (
            tf.cast(self._at_positions(layer(x)), self.variable_dtype)
            for layer in (self.query, self.key)
        )
        value = self._at_positions(tf.nn.leaky_relu(self.value(x)))
        scores = self.dropout(tf.matmul(query, key, transpose_b=True), training=training)
        mean = tf.matmul(tf.cast(tf.nn.softmax(scores), value.dtype), value)
        return x + tf.convert_to_tensor(self.gamma) * tf.reshape(mean, tf.shape(x))

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {**super().get_config(), "units": self.units, "dropout": self.dropout.rate}

    @staticmethod
    def _at_positions(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [tf.shape(x)[0], -1, x.shape[-1]])
