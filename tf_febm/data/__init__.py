"""Images and vectors in memory or on disk, and the endless stream of batches of training."""

from tf_febm.data import toy_datasets
from tf_febm.data.arrays import as_data, hold_out
from tf_febm.data.classes import class_indices
from tf_febm.data.image_data import ImageData
from tf_febm.data.pixels import dequantise
from tf_febm.data.record_writer import write_records
from tf_febm.data.resolution import check_float32_resolution
from tf_febm.data.rows import Block, Rows
from tf_febm.data.source import Source
from tf_febm.data.sources import load, names
from tf_febm.data.stream import stream, without_tuning
from tf_febm.data.vector_data import VectorData
from tf_febm.renamed import earlier_names

__all__ = [
    "Block",
    "ImageData",
    "Rows",
    "Source",
    "VectorData",
    "as_data",
    "check_float32_resolution",
    "class_indices",
    "dequantise",
    "hold_out",
    "load",
    "names",
    "stream",
    "toy_datasets",
    "without_tuning",
    "write_records",
]

__getattr__ = earlier_names(
    __name__,
    {
        "testbed_densities": "tf_febm.data.toy_densities",
        "testbeds": "tf_febm.data.toy_datasets",
    },
)
