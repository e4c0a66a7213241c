"""An energy network with a constant of its own, which learns the log partition function."""

from typing import Any

import keras
from keras import ops

from tf_febm import arguments
from tf_febm.networks.precision import FullPrecision

__all__ = ["NormalisedEnergy"]


@keras.saving.register_keras_serializable(package="tf_febm")
@arguments.checking({"network": None})
class NormalisedEnergy(FullPrecision, keras.layers.Layer):
    """Add a trained constant c to an energy, so that e^(−E−c) can become a density.

    A constant changes no law of chains; methods that compare the energy with a known density learn
    it, and it becomes log Z. Starts at 0.

    Args:
        network: Keras model or layer from x, or (x, one_hot), to [n, 1] or [n].
    """

    def __init__(self, network: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        if isinstance(network, dict) and "class_name" in network:
            network = keras.saving.deserialize_keras_object(network)
        self.network = arguments.NETWORK.check("network", network)
        self.log_partition = self.add_weight(
            shape=(), initializer="zeros", dtype="float32", name="log_partition"
        )

    @property
    def input_shape(self) -> Any:
        """The shape of the network's input, where it tells one."""
        return getattr(self.network, "input_shape", None)

    def build(self, input_shape: arguments.Shape | None = None) -> None:
        """Nothing is left to build: the network builds itself at its first call."""

    def call(self, inputs: arguments.Tensor, training: bool = False) -> Any:
        """Return E(x) + c, float32, of the shape of the network's output."""
        return ops.cast(self.network(inputs, training=training), "float32") + self.log_partition

    def get_config(self) -> dict:
        """Return the constructor's arguments, serialised."""
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network}
