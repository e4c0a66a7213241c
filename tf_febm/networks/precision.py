"""Which parts of a network stay in full precision under a mixed policy."""

import keras

__all__ = ["output_dtype"]


def output_dtype() -> str:
    """Return the dtype in which a network's energies are computed: that of its weights.

    Under `mixed_bfloat16` and `mixed_float16` that is float32: the last product of a network costs
    nothing, and an energy rounded to 8 or 11 bits would be no energy, as only differences count.
    """
    return keras.config.dtype_policy().variable_dtype
