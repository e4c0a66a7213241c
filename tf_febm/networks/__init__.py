"""Energy networks: Keras models that map a batch to one number per example."""

from tf_febm.networks.conv import conv
from tf_febm.networks.mlp import mlp
from tf_febm.networks.quadratic import QuadraticEnergy, quadratic

__all__ = ["QuadraticEnergy", "conv", "mlp", "quadratic"]
