"""Pictures of vectors too long for the plane: a histogram of each coordinate, data and samples."""

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.charts import histogram_chart

__all__ = ["marginals_picture"]

# Charts in a row of the picture; each is half as wide and high as it was drawn.
_COLUMNS = 3


def marginals_picture(samples, data, columns=None, limit: int = 9) -> np.ndarray:
    """Draw a histogram of every coordinate, of samples over data.

    What lies beyond the data by more than half their range is left out. Marginals that agree do not
    say that the joint laws do.

    Args:
        samples: Real array [n, d]; values that are not finite are left out.
        data: Real array [m, d].
        columns: Names of the coordinates, or None.
        limit: How many coordinates at most, at least 1: those that come first.

    Returns:
        uint8 array [height, width, 3].

    Raises:
        ValueError: If the shapes do not agree or there are no rows.
    """
    limit = arguments.whole_number("limit", limit, 1)
    samples, data = np.asarray(samples, np.float64), np.asarray(data, np.float64)
    if data.ndim != 2 or not data.size or samples.shape[1:] != data.shape[1:] or not len(samples):
        raise ValueError(
            "samples and data must have shapes [n, d] and [m, d], n, m, d ≥ 1; received "
            f"{list(samples.shape)} and {list(data.shape)}."
        )
    names = [f"coordinate {k}" for k in range(data.shape[1])] if columns is None else columns
    charts = []
    for k in range(min(limit, data.shape[1])):
        low, high = data[:, k].min(), data[:, k].max()
        margin = 0.5 * (high - low) or 1.0
        near = np.abs(samples[:, k] - 0.5 * (low + high)) <= 0.5 * (high - low) + margin
        shown = {"data": data[:, k], "samples": samples[near, k]}
        charts.append(histogram_chart(shown, str(names[k]))[::2, ::2])
    blank = np.full_like(charts[0], 255)
    charts += [blank] * (-len(charts) % min(_COLUMNS, len(charts)))
    wide = min(_COLUMNS, len(charts))
    return np.vstack([np.hstack(charts[i : i + wide]) for i in range(0, len(charts), wide)])
