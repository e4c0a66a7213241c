"""Arrays as the library holds them, and examples that are held out of them."""

import dataclasses
from typing import Any

import numpy as np

from tf_febm import arguments
from tf_febm.data.image_data import ImageData
from tf_febm.data.vector_data import VectorData

__all__ = ["as_data", "hold_out"]

# Every so many examples are held out.
_EVERY = 10


@arguments.checking({"x": None, "labels": None})
def as_data(
    x: arguments.Tensor, labels: arguments.Labels | None = None, what: str = "x"
) -> ImageData | VectorData:
    """Return data as the library holds them.

    Args:
        x: `ImageData` or `VectorData`, as they are; or an array: uint8 images
            [n, height, width, channels] or [n, height, width], or floating vectors [n, d].
        labels: Integers [n] in 0 … k − 1, of an array, or None.
        what: What x is called in messages.

    Raises:
        TypeError: It is neither.
        ValueError: Its shape, dtype or values are not those of images or vectors.
    """
    if isinstance(x, ImageData | VectorData):
        if labels is not None:
            raise ValueError(f"labels are part of {type(x).__name__}; received both.")
        return x
    if not hasattr(x, "__array__"):
        raise TypeError(
            f"{what} must be an ImageData, a VectorData or an array; received "
            f"{type(x).__name__}: see tf_febm.data.load."
        )
    x = np.asarray(x)
    known: dict[str, Any] = {"name": "array", "source": f"an array {list(x.shape)}"}
    if labels is not None:
        labels = np.asarray(arguments.ARRAY.check("labels", labels))
        if labels.dtype.kind not in "iu" or not labels.size:
            raise ValueError(f"labels must be integers [n]; received {labels.dtype}.")
        if int(labels.max()) >= arguments.MOST_CLASSES:
            raise ValueError(
                f"labels must lie in 0 … {arguments.MOST_CLASSES - 1}; received {labels.max()}: "
                "number the classes by tf_febm.data.class_indices(labels)."
            )
        known |= {"labels": labels.astype(np.int32), "num_classes": int(labels.max()) + 1}
    if x.dtype == np.uint8 and x.ndim in (3, 4):
        return ImageData(images=x if x.ndim == 4 else x[..., None], **known)
    if x.dtype.kind == "f" and x.ndim == 2:
        return VectorData(vectors=x.astype(np.float32), **known)
    raise ValueError(
        f"{what} must be uint8 images [n, height, width, channels], levels 0 … 255, or floating "
        f"vectors [n, d]; received {x.dtype} {list(x.shape)}."
    )


@arguments.checked
def hold_out(source: ImageData | VectorData) -> tuple[Any, Any]:
    """Return data without every tenth example, and data of these.

    Raises:
        ValueError: There are fewer than two examples, or they are not in memory.
    """
    if source.rows is not None:
        raise ValueError(
            f"{source.source or source.name} is not in memory, and nothing can be held out of it: "
            "give held_out, such as its test split."
        )
    if len(source) < 2:
        raise ValueError(f"data need two examples or more; received {len(source)}.")
    chosen = np.arange(len(source)) % _EVERY == 0
    field = "images" if isinstance(source, ImageData) else "vectors"
    parts = []
    for mask in (~chosen, chosen):
        labels = None if source.labels is None else source.labels[mask]
        values = {field: getattr(source, field)[mask], "labels": labels}
        parts.append(dataclasses.replace(source, **values))
    return parts[0], parts[1]
