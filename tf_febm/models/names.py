"""Names of classes and columns: kept with a model, and without effect on it."""

from tf_febm.data.classes import check_names

__all__ = ["Named"]


class Named:
    """The part of a model that knows names. Expects of it: `num_classes` and `sample_shape`."""

    num_classes: int | None
    sample_shape: tuple[int, ...] | None
    _class_names: tuple[str, ...] | None = None
    _column_names: tuple[str, ...] | None = None

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """What the data call the classes 0, 1, …; other names, or None, may be assigned."""
        return self._class_names

    @class_names.setter
    def class_names(self, names) -> None:
        self._class_names = None if names is None else check_names(names, self.num_classes)

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """What the data call the columns of vectors, or None; names may be assigned."""
        return self._column_names

    @column_names.setter
    def column_names(self, names) -> None:
        names = None if names is None else tuple(names)
        if names is not None and not all(isinstance(name, str) for name in names):
            raise TypeError(f"column_names must be strings; received {names!r}.")
        shape = getattr(self, "sample_shape", None)
        if names is not None and shape is not None and tuple(shape) != (len(names),):
            raise ValueError(
                f"column_names must name the numbers of an example of shape {tuple(shape)}; "
                f"received {len(names)} names."
            )
        self._column_names = names
