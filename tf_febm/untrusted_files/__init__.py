"""Reading of files that may come from strangers: no code, no waiting, no more memory than allowed.

All readers of the library read through these: `opening` opens regular files and knows the budgets,
`records` reads facts in JSON, `archives` arrays of NumPy, `tfrecords` examples of TensorFlow;
`pickles`, `matlab` and `hdf5` take no more than arrays out of formats that can hold anything.
"""

from tf_febm.untrusted_files.archives import ArrayFile, Header, NoArrayError, read_arrays
from tf_febm.untrusted_files.matlab import read_matlab
from tf_febm.untrusted_files.opening import (
    Limits,
    RefusedError,
    check_bytes,
    check_depth,
    check_pixels,
    limited,
    limits,
    memory_bytes,
    opened,
    read_bytes,
    regular_size,
    unpack_gzip,
)
from tf_febm.untrusted_files.pickles import read_pickle
from tf_febm.untrusted_files.records import DamagedError, read_record, write_record

__all__ = [
    "ArrayFile",
    "DamagedError",
    "Header",
    "Limits",
    "NoArrayError",
    "RefusedError",
    "check_bytes",
    "check_depth",
    "check_pixels",
    "limited",
    "limits",
    "memory_bytes",
    "opened",
    "read_arrays",
    "read_bytes",
    "read_matlab",
    "read_pickle",
    "read_record",
    "regular_size",
    "unpack_gzip",
    "write_record",
]
