"""Images and vectors in memory, and the endless stream of batches that training reads."""

from tf_febm.data import testbeds
from tf_febm.data.classes import class_indices
from tf_febm.data.image_data import ImageData
from tf_febm.data.pixels import dequantise
from tf_febm.data.resolution import check_float32_resolution
from tf_febm.data.sources import load, names
from tf_febm.data.stream import stream, without_tuning
from tf_febm.data.vector_data import VectorData

__all__ = [
    "ImageData",
    "VectorData",
    "check_float32_resolution",
    "class_indices",
    "dequantise",
    "load",
    "names",
    "stream",
    "testbeds",
    "without_tuning",
]
