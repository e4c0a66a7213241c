"""Sources of data: what `load` is asked for, as one object that can be stored beside a run."""

import dataclasses
import os
from collections.abc import Sequence

from tf_febm import arguments
from tf_febm.data.image_data import ImageData
from tf_febm.data.sources import load
from tf_febm.data.vector_data import VectorData

__all__ = ["Source"]


@arguments.checked
@dataclasses.dataclass(frozen=True)
class Source:
    """Name a data set, and how it is read.

    Args:
        name: See `load`, as for all that follow.
        data_dir: See there.
        image_size: See there.
        header: See there.
        index_column: See there.
        label_column: See there.
        drop_columns: See there.
        subfolders: See there.
        max_pixels: See there.
        max_gib: See there.
        max_depth: See there.
        label_attribute: See there.
        shuffle_buffer: See there.
    """

    name: str
    data_dir: str | os.PathLike | None = None
    image_size: int | None = None
    header: bool | None = None
    index_column: bool | None = None
    label_column: str | None = None
    drop_columns: Sequence[str] | None = None
    subfolders: str | None = None
    max_pixels: int | None = None
    max_gib: float | None = None
    max_depth: int | None = None
    label_attribute: str | None = None
    shuffle_buffer: int | None = None

    def load(self) -> tuple[ImageData | VectorData, ImageData | VectorData]:
        """Return the training and the test split.

        Raises:
            OSError: The data are not there, or cannot be read.
            ValueError: They are not what they should be, or the splits do not fit together.
        """
        settings = dataclasses.asdict(self)
        train, test = (load(**settings, split=split) for split in ("train", "test"))
        if train.sample_shape != test.sample_shape:
            raise ValueError(
                f"The splits have examples of different shapes: {train.sample_shape} from "
                f"{train.source}, and {test.sample_shape} from {test.source}."
            )
        return train, test

    def as_dict(self) -> dict:
        """Return the arguments by name, ready for JSON."""
        data_dir = None if self.data_dir is None else os.fspath(self.data_dir)
        dropped = None if self.drop_columns is None else list(self.drop_columns)
        return {**dataclasses.asdict(self), "data_dir": data_dir, "drop_columns": dropped}
