"""Keras models whose `train_step` is one iteration of a published algorithm."""

from tf_febm.models.base import EnergyModel
from tf_febm.models.chains import Batch
from tf_febm.models.febm import FEBM

__all__ = ["FEBM", "Batch", "EnergyModel"]
