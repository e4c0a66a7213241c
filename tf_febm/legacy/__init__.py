"""Checkpoints of the original f-EBM code, written by TensorFlow 1."""

from tf_febm.legacy.loading import load_febm, load_network

__all__ = ["load_febm", "load_network"]
