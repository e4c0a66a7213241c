"""Images in memory, and the endless stream of batches that training reads."""

from tf_febm.data.image_data import ImageData
from tf_febm.data.sources import load, names
from tf_febm.data.stream import dequantise, stream, without_tuning

__all__ = ["ImageData", "load", "names", "stream", "dequantise", "without_tuning"]
