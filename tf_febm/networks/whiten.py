"""ZCA whitening of images by the spectrum of the data, as the first layer of a network."""

from typing import Any

import keras

from tf_febm import arguments
from tf_febm.networks.reference import GaussianReference

__all__ = ["Whiten"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checking({"reference": None})
class Whiten(keras.layers.Layer):
    """Whiten images: x -> Σ^(−½) (x − μ), Σ the spectral covariance of a Gaussian reference.

    The result is an image again (ZCA): its coarse and its fine structure have one scale, edges
    stand out. What tells images from a Gaussian of their spectrum is to be found there.

    Args:
        reference: A fitted `GaussianReference` of spectral covariance; its factors are left out.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        TypeError: It is no such reference.
        ValueError: It has no fit.
    """

    def __init__(self, reference: Any, **kwargs):
        super().__init__(**kwargs)
        if isinstance(reference, dict) and "class_name" in reference:
            reference = keras.saving.deserialize_keras_object(reference)
        if not isinstance(reference, GaussianReference) or (
            reference.adapted and reference.covariance != "spectral"
        ):
            raise TypeError(
                "reference must be a GaussianReference of spectral covariance; received "
                f"{arguments.shown(reference)}."
            )
        self.reference = reference.without_factors()

    def call(self, x: arguments.Tensor) -> Any:
        """Return the whitened images, of the shape of x."""
        return self.reference.zca(x)

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the output for a shape of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        reference = keras.saving.serialize_keras_object(self.reference)
        return {**super().get_config(), "reference": reference}
