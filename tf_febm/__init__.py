"""Deep energy-based models by f-divergence minimisation, in TensorFlow and Keras."""

from tf_febm import (
    data,
    divergences,
    evaluation,
    networks,
    objectives,
    optimizers,
    samplers,
    training,
)
from tf_febm.models import FEBM
from tf_febm.samplers import ReplayBuffer

__version__ = "0.1.0"

__all__ = [
    "FEBM",
    "ReplayBuffer",
    "data",
    "divergences",
    "evaluation",
    "networks",
    "objectives",
    "optimizers",
    "samplers",
    "training",
]
