"""Checkpoints of the original f-EBM code, written by TensorFlow 1."""

from tf_febm.legacy.loading import load_febm, load_network, load_networks  # noqa: F401

__all__ = ["load_network", "load_networks"]
