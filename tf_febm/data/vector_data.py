"""Vectors of one split of a data set, in memory."""

import dataclasses
from functools import cached_property

import numpy as np

from tf_febm import arguments
from tf_febm.data.in_memory import InMemory
from tf_febm.data.resolution import check_float32_resolution
from tf_febm.data.rows import Rows

__all__ = ["VectorData"]


@arguments.checked
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class VectorData(InMemory):
    """Hold one split of a data set of vectors in memory.

    The counterpart of `ImageData` for data without bounds: coordinates have units of their own, and
    `mean` and `scale` say which. The arrays are not copied; the fields are read-only views.

    Args:
        name: Name of the source, as in `tf_febm.data.names()`.
        vectors: float32 `[n, d]`, n ≥ 1, d ≥ 1, all finite.
        labels: int32 `[n]` with values in `[0, num_classes)`, or None.
        num_classes: Number of classes, given exactly when `labels` are.
        source: One line that says where the vectors came from, for the record of a run.
        columns: Names of the d coordinates, or None.
        class_names: See `ImageData`.
        rows: See there.

    Raises:
        TypeError: A field is not of the type above.
        ValueError: A field has the wrong shape, dtype or range, or a column is too fine or too
            large for float32 (`check_float32_resolution`); the message says what was received.
    """

    name: str
    vectors: np.ndarray
    labels: np.ndarray | None = None
    num_classes: int | None = None
    source: str = ""
    columns: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    rows: Rows | None = None

    # Langevin chains of vectors are not confined to a box; see `ImageData.bounds`.
    bounds = None
    _field = "vectors"

    def __post_init__(self):
        vectors = self.vectors
        if not isinstance(vectors, np.ndarray):
            raise TypeError(f"vectors must be a numpy array; received {type(vectors).__name__}.")
        received = f"received {vectors.dtype} {list(vectors.shape)}"
        if vectors.dtype != np.float32 or vectors.ndim != 2 or 0 in vectors.shape:
            raise ValueError(f"vectors must be float32 [n, d] with n, d ≥ 1; {received}.")
        if not np.isfinite(vectors).all():
            raise ValueError(f"vectors must be finite; {received} with NaN or infinity in it.")
        if (
            self.columns is not None
            and len(arguments.NAMES.check("columns", self.columns)) != vectors.shape[1]
        ):
            raise ValueError(
                f"columns must name the {vectors.shape[1]} coordinates; received "
                f"{len(self.columns)} names."
            )
        check_float32_resolution(vectors, self.source or "vectors", self.columns)
        self._settle()

    @cached_property
    def mean(self) -> np.ndarray:
        """Return the mean of every coordinate, float64 `[d]`."""
        return self.vectors.mean(axis=0, dtype=np.float64)

    @cached_property
    def scale(self) -> np.ndarray:
        """Return the standard deviation of every coordinate, float64 `[d]`."""
        return self.vectors.std(axis=0, dtype=np.float64)

    def examples(self, count: int, seed: int = 0) -> np.ndarray:
        """Return the first `count` vectors as networks see them, float32 `[count, d]`.

        Args:
            count: How many; all if there are fewer.
            seed: Not used: nothing is random here, unlike in `ImageData.examples`.
        """
        return self.vectors[:count]
