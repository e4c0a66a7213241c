"""Base class of image and vector data: name, class labels, read-only arrays."""

import numpy as np

from tf_febm import arguments
from tf_febm.data.classes import check_names
from tf_febm.data.rows import Rows

__all__ = ["InMemory"]


class InMemory:
    """One split of a data set; `ImageData` and `VectorData` say what their fields are."""

    name: str
    labels: np.ndarray | None
    num_classes: int | None
    source: str
    class_names: tuple[str, ...] | None
    rows: Rows | None
    # Which field holds the examples.
    _field: str

    def _settle(self) -> None:
        """Check what all have, and keep views of the arrays that cannot be written to."""
        for field in ("name", "source"):
            if not isinstance(getattr(self, field), str):
                raise TypeError(f"{field} must be a string; received {getattr(self, field)!r}.")
        if not self.name:
            raise ValueError("name must not be empty; received ''.")
        if (self.labels is None) != (self.num_classes is None):
            labels = "None" if self.labels is None else "an array"
            raise ValueError(
                f"labels and num_classes must be given together; received labels={labels}, "
                f"num_classes={self.num_classes!r}."
            )
        if self.labels is not None:
            self._check_labels()
        names = check_names(self.class_names, self.num_classes)
        # The data classes are frozen.
        object.__setattr__(self, "class_names", names)
        for field in (self._field, "labels"):
            if getattr(self, field) is not None:
                view = getattr(self, field).view()
                view.flags.writeable = False
                object.__setattr__(self, field, view)

    def _check_labels(self) -> None:
        labels, num_classes = (
            self.labels,
            arguments.class_count("num_classes", self.num_classes),
        )
        if not isinstance(labels, np.ndarray):
            raise TypeError(f"labels must be a numpy array; received {type(labels).__name__}.")
        if labels.dtype != np.int32 or labels.shape != (len(self),):
            raise ValueError(
                f"labels must be int32 [{len(self)}], one per example; received {labels.dtype} "
                f"{list(labels.shape)}."
            )
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"labels must be in [0, {num_classes}); received values from {low} to {high}."
            )

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Return the shape of one example."""
        return getattr(self, self._field).shape[1:]

    @property
    def total(self) -> int:
        """Return how many examples the split has, in memory or not."""
        return len(self) if self.rows is None else len(self.rows)

    def __len__(self) -> int:
        return len(getattr(self, self._field))

    def __repr__(self) -> str:
        # The generated one would print the numbers.
        array = getattr(self, self._field)
        return (
            f"{type(self).__name__}(name={self.name!r}, {self._field}={array.dtype} "
            f"{list(array.shape)}, num_classes={self.num_classes}, source={self.source!r})"
        )
