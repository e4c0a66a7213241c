"""Whitening by the covariance of the data, as the first layer of a network."""

from typing import Any

import keras

from tf_febm import arguments
from tf_febm.networks.reference import GaussianReference

__all__ = ["Whiten"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checking({"reference": None})
class Whiten(keras.layers.Layer):
    """Whiten examples by the covariance Σ of a Gaussian reference.

    Images, by a spectral covariance: x -> Σ^(−½) (x − μ), an image again (ZCA). Its coarse and its
    fine structure have one scale, edges stand out. What tells images from a Gaussian of their
    spectrum is to be found there.

    Vectors, by any other: x -> z = A⁻¹(x − μ), A Aᵀ = Σ. Where coordinates depend on each other,
    what a network of z learns in the same steps can be far more: see docs/methods.md.

    Args:
        reference: A fitted `GaussianReference`; factors of a spectral one are left out.
        **kwargs: Those of `keras.layers.Layer`.

    Raises:
        TypeError: It is no reference.
        ValueError: It has no fit.
    """

    def __init__(self, reference: Any, **kwargs):
        super().__init__(**kwargs)
        if isinstance(reference, dict) and "class_name" in reference:
            reference = keras.saving.deserialize_keras_object(reference)
        if not isinstance(reference, GaussianReference):
            raise TypeError(
                f"reference must be a GaussianReference; received {arguments.shown(reference)}."
            )
        if not reference.adapted or reference.covariance == "spectral":
            reference = reference.without_factors()
        self.reference = reference

    def call(self, x: arguments.Tensor) -> Any:
        """Return the whitened examples, of the shape of x."""
        of_images = self.reference.covariance == "spectral"
        return self.reference.zca(x) if of_images else self.reference.whiten(x)

    def compute_output_shape(self, input_shape: arguments.Shape) -> tuple:
        """Return the shape of the output for a shape of the input."""
        return tuple(input_shape)

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        reference = keras.saving.serialize_keras_object(self.reference)
        return {**super().get_config(), "reference": reference}
