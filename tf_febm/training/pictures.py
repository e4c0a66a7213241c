"""Pictures of samples of a model: grids of images, density plots, marginal plots."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_febm import arguments, evaluation
from tf_febm.training.run_folder import RunFolder

__all__ = ["for_showing", "is_picture", "picture_maker", "to_unit_scale", "write_data_picture"]

# Images in a picture of data, and in that of the samples at the end.
GRID = 100


def for_showing(
    model: arguments.Model, batch: arguments.Data, descent_steps: int, noise_removed: float
) -> tf.Tensor:
    """Return the samples of a batch after descent and without noise; as they are with 0 of each."""
    samples = batch.samples
    if descent_steps:
        samples = model.descend(samples, batch.labels, descent_steps)
    return model.denoise(samples, noise_removed, batch.labels) if noise_removed else samples


def is_picture(shape: arguments.Shape) -> bool:
    """Whether samples of a shape can be shown: images of one or three channels."""
    return len(shape) == 3 and shape[-1] in (1, 3)


@arguments.checked
def to_unit_scale(model: arguments.Model, samples: np.ndarray) -> np.ndarray:
    """Return samples scaled from the model's bounds to [0, 1]; vectors without as they are.

    Images of a model whose sampler has no bounds, as those of one with a reference, are in [0, 1]
    but for what its chains are beyond.
    """
    if model.bounds is None and not is_picture(samples.shape[1:]):
        return samples
    low, high = (0.0, 1.0) if model.bounds is None else model.bounds
    return np.clip((samples - low) / (high - low), 0.0, 1.0)


def picture_maker(
    model: arguments.Model, data: arguments.Data | None = None
) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return how to draw samples of a model: samples -> uint8 [height, width, channels].

    Args:
        model: A built EnergyModel.
        data: Examples of the data, [m, d], which pictures of vectors show too; images need none.

    Returns:
        A function of float samples in the units of the data: a grid of images, a density plot of
        points in the plane, marginal plots of other vectors, and of points of several classes,
        which have no one density. None where samples can not be shown: images of other channels,
        or vectors without data.
    """
    if is_picture(model.sample_shape):
        return lambda x: evaluation.image_grid(to_unit_scale(model, x))
    if tuple(model.sample_shape) == (2,) and not model.conditional and data is not None:
        return lambda x: evaluation.density_plot(model.energy, x, data)
    if len(model.sample_shape) == 1 and data is not None:
        return lambda x: evaluation.marginal_plots(x, data, model.column_names)
    return None


def write_data_picture(folder: RunFolder, model: arguments.Model, x: arguments.Tensor) -> None:
    """Write `samples/data.png` of a run on images, which its samples are seen beside.

    Args:
        folder: The `RunFolder`, prepared.
        model: A built EnergyModel.
        x: Examples as the model takes them.
    """
    if is_picture(model.sample_shape):
        grid = evaluation.image_grid(to_unit_scale(model, np.asarray(x[:GRID])))
        evaluation.save_png(folder.samples / "data.png", grid)
