"""Deep energy-based models by f-divergence minimisation, in TensorFlow and Keras."""

from tf_febm import divergences, objectives

__all__ = ["divergences", "objectives"]
