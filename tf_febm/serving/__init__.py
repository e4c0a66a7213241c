"""Models for programs that have no `tf_febm`: SavedModel, ONNX and LiteRT."""

from tf_febm.serving.export import FORMATS, export

__all__ = ["FORMATS", "export"]
