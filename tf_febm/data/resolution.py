"""Resolution of the numbers of a table: what float32 can hold of their differences and squares."""

import numpy as np

from tf_febm import arguments

__all__ = ["check_float32_resolution"]

# Spacing of float32 over the deviation of a column, at most: 256 steps within two deviations on
# each side, as many as an 8-bit image has levels.
COARSEST = 1 / 64
# Squares of numbers up to here, and sums of a hundred million of them, are finite in float32; the
# squares of inverse deviations likewise.
LARGEST = 1e15
# Fewer rows than these say nothing about a deviation: they may be near each other by chance. Of
# batches there are many, so that takes more.
FEWEST_ROWS = 4
FEWEST_IN_BATCH = 10
# Rows, evenly spread, from which deviations are taken; more would cost time and memory.
_ROWS = 10_000


@arguments.checking({"values": arguments.ANY_ARRAY})
def check_float32_resolution(
    values: arguments.Tensor, where: str = "x", columns: arguments.Names | None = None
) -> None:
    """Raise an error if float32 rounds away what tells the rows of an array apart.

    The numbers of float32 near v are |v|·2⁻²³ apart. A column is refused where that is more than
    1/64 of its standard deviation, or of the deviation that its quartiles tell, which a few stray
    values do not change: seconds since 1970 over a few minutes, say, of which a handful of values
    would be left. Columns with one value throughout have no deviation, and are not judged here.
    Of more than 10,000 rows, so many that are evenly spread tell the deviation.

    Args:
        values: Real numbers [n, …] in any type, before they are cast; n ≥ 4, or nothing is judged
            but the size of the numbers.
        where: What the array is called in the message.
        columns: Names of the columns of an array [n, d], or None.

    Raises:
        ValueError: A column is too fine, too large or too small for float32; one line with the
            column, the figures and the cure.
    """
    if np.iscomplexobj(values):
        raise TypeError(f"values must be real numbers; received {arguments.shown(values)}.")
    values = np.asarray(values)
    if values.ndim < 2 or not values.size or values.dtype.kind not in "fiub":
        return
    flat = values.reshape(len(values), -1)
    low, high = (end.astype(np.float64) for end in (flat.min(axis=0), flat.max(axis=0)))
    largest = np.maximum(high, -low)
    if not np.isfinite(largest).all():
        # That is for others to say.
        return
    too_large = np.flatnonzero(largest > LARGEST)
    if len(too_large):
        k = too_large[0]
        raise ValueError(
            f"{where}: {_name(columns, k, values)} has values up to {largest[k]:.3g}; float32 "
            f"cannot hold the squares of numbers beyond {LARGEST:g}. Divide it by its standard "
            "deviation."
        )
    if len(flat) < FEWEST_ROWS:
        return
    flat = flat[:: -(-len(flat) // _ROWS)].astype(np.float64)
    # Of differences from the first row: sums of large numbers would be rounded themselves.
    deviation = (flat - flat[0]).std(axis=0)
    too_small = np.flatnonzero((deviation > 0.0) & (deviation < 1.0 / LARGEST))
    if len(too_small):
        k = too_small[0]
        raise ValueError(
            f"{where}: {_name(columns, k, values)} has a standard deviation of {deviation[k]:.3g}; "
            f"float32 cannot hold the squares of inverse deviations below {1.0 / LARGEST:g}. "
            "Divide it by its standard deviation."
        )
    quartiles = np.quantile(flat, (0.25, 0.75), axis=0)
    # That of a normal law with these quartiles.
    inner = (quartiles[1] - quartiles[0]) / 1.349
    for spread, at in (
        (deviation, np.abs(flat).max(axis=0)),
        (inner, np.abs(quartiles).max(axis=0)),
    ):
        spacing = np.spacing(at.astype(np.float32)).astype(np.float64)
        coarse = np.flatnonzero((spread > 0.0) & (spacing > COARSEST * spread))
        if len(coarse):
            k = coarse[0]
            raise ValueError(
                f"{where}: {_name(columns, k, values)} varies by {spread[k]:.3g} beside "
                f"{at[k]:.6g}, where float32 has steps of {spacing[k]:.3g}: subtract that, in "
                "float64, before it becomes float32."
            )


def _name(columns, k, values):
    if columns is not None:
        return columns[k]
    if values.ndim == 2:
        return f"column {k + 1}"
    return f"coordinate {[int(i) for i in np.unravel_index(k, values.shape[1:])]}"
