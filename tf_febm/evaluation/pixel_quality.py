"""Figures of images that need no feature network: they tell noise and copies from pictures."""

import dataclasses
from typing import Any

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.frechet import one_blas_thread
from tf_febm.evaluation.scale import to_unit_interval
from tf_febm.evaluation.simple_images import gaussian_images, noise_images

__all__ = ["PixelQuality", "pixel_quality"]

# Cells in either direction, whose means say how an image is as seen from afar.
CELLS = 6
# Times that an image is halved, whose edges are looked at each time.
HALVED = 3
# Images of a set that are used; more would only cost time.
ENOUGH = 1_000


@dataclasses.dataclass(frozen=True)
class PixelQuality:
    """How samples compare with real images in plain statistics of pixels.

    A sample distance is the energy distance of two sets as `sample_distance` of the models has it,
    estimated without bias, so that sets of any size compare: about 0 of two sets of one law, also
    below it. "Coarse" is of means over at most 6 × 6 cells, "edge" of how strong and how rare the
    edges are, at three sizes; each in units of its deviation over training images.

    Attributes:
        roughness: Mean squared difference of neighbouring pixels of the samples.
        held_out_roughness: The same of held-out images.
        noise_roughness: The same of uniform noise, a sixth.
        spread: Variance of a pixel from sample to sample, mean over pixels; 0 of equal samples.
        held_out_spread: The same of held-out images.
        coarse_sample_distance: Of samples from training images; lower is better.
        held_out_coarse_sample_distance: The same of held-out images.
        noise_coarse_sample_distance: The same of uniform noise.
        edge_sample_distance: Of samples from held-out images; lower is better.
        train_edge_sample_distance: The same of training images.
        simple_edge_sample_distance: The same of images that took no training.
        edge_gain: The last less the first of these three: above 0 where training helped.
        edge_gain_standard_error: Of it, from the spread over images of all three sets.
        num_samples: int.
        num_held_out: Held-out images that were used.
    """

    roughness: float
    held_out_roughness: float
    noise_roughness: float
    spread: float
    held_out_spread: float
    coarse_sample_distance: float
    held_out_coarse_sample_distance: float
    noise_coarse_sample_distance: float
    edge_sample_distance: float
    train_edge_sample_distance: float
    simple_edge_sample_distance: float
    edge_gain: float
    edge_gain_standard_error: float
    num_samples: int
    num_held_out: int

    def as_dict(self) -> dict:
        """Convert to a dict of int and float, ready for `json.dumps`."""
        return dataclasses.asdict(self)


@arguments.checking(
    {
        "train": arguments.ARRAY,
        "held_out": arguments.ARRAY,
        "simple": arguments.ARRAY | arguments.NONE,
    }
)
def pixel_quality(
    samples: arguments.Array, train: arguments.Data, held_out: arguments.Data, simple: Any = None
) -> PixelQuality:
    """Compare samples with real images in roughness, spread, coarse shapes and edges.

    These see noise, flat images, copies of one image, wrong brightness, and edges that are too many
    and too weak, as those of any Gaussian. They do not see whether a face is a face: a feature
    network does, as `evaluate_samples` takes it, and so do eyes.

    Args:
        samples: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 2.
        train: Images that the model was trained on, likewise.
        held_out: Images that it was not trained on, likewise.
        simple: Images that took no training, such as samples of the model's reference alone; draws
            of a Gaussian fit to the training pixels if None.

    Returns:
        A PixelQuality.

    Raises:
        ValueError: A rank is not 4, there are fewer than two images, or values leave [0, 1].
        TypeError: The dtype is neither uint8 nor floating point.
    """
    count = min(len(samples), ENOUGH)
    sets = {
        "samples": samples[:ENOUGH],
        "train": train[:: -(-len(train) // ENOUGH)],
        "held_out": held_out[:ENOUGH],
        "noise": noise_images(np.shape(samples)[1:], count),
        "simple": gaussian_images(train, max(count, 2)) if simple is None else simple[:ENOUGH],
    }
    sets = {name: to_unit_interval(images, name) for name, images in sets.items()}
    for name, images in sets.items():
        if len(images) < 2:
            raise ValueError(f"{name} must be at least two images; received {len(images)}.")
    with one_blas_thread():
        coarse, edges = _in_units(sets, _cells), _in_units(sets, _edges)
        afar = {name: _distances(coarse[name], coarse["train"])[0].mean() for name in sets}
        compared = {name: _distances(edges[name], edges["held_out"]) for name in sets}
    near = {name: distances for name, (distances, _) in compared.items()}
    gains = near["simple"] - near["samples"]
    variance = gains.var(ddof=1) / len(gains) + compared["simple"][1] + compared["samples"][1]
    return PixelQuality(
        roughness=_roughness(sets["samples"]),
        held_out_roughness=_roughness(sets["held_out"]),
        noise_roughness=_roughness(sets["noise"]),
        spread=_spread(sets["samples"]),
        held_out_spread=_spread(sets["held_out"]),
        coarse_sample_distance=float(afar["samples"]),
        held_out_coarse_sample_distance=float(afar["held_out"]),
        noise_coarse_sample_distance=float(afar["noise"]),
        edge_sample_distance=float(near["samples"].mean()),
        train_edge_sample_distance=float(near["train"].mean()),
        simple_edge_sample_distance=float(near["simple"].mean()),
        edge_gain=float(gains.mean()),
        edge_gain_standard_error=float(np.sqrt(variance)),
        num_samples=len(samples),
        num_held_out=len(sets["held_out"]),
    )


def _in_units(sets: dict, of) -> dict:
    """Return features of each set [n, d], divided by √d deviations of those of training images."""
    found = {name: of(images) for name, images in sets.items()}
    centre, scale = found["train"].mean(axis=0), found["train"].std(axis=0)
    scale = np.where(scale > 0.0, scale, 1.0) * np.sqrt(len(scale))
    return {name: (features - centre) / scale for name, features in found.items()}


def _distances(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Return what each of y adds to 2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖, whose mean is that.

    Beside it the variance of the mean by the draw of x, from what each of x adds to it.
    """
    across = _norms(x, y)
    own, other = (_norms(part, part).sum(axis=1) / (len(part) - 1) for part in (x, y))
    of_each = 2.0 * (across.mean(axis=1) - own)
    distances = 2.0 * across.mean(axis=0) - own.mean() - other.mean()
    return distances, float(of_each.var(ddof=1) / len(x))


def _norms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    norms = np.sqrt(np.maximum(squares - 2.0 * x @ y.T, 0.0))
    if x is y:
        # Rounding would leave the root of it.
        np.fill_diagonal(norms, 0.0)
    return norms


def _edges(images: np.ndarray) -> np.ndarray:
    """Return √ of mean squares, and means of √, of differences: those of few edges are far apart.

    Of the brightness, along both directions, in the images and each time that these are halved.
    """
    grey = images.mean(axis=-1, dtype=np.float64)
    found = []
    for _ in range(HALVED):
        for axis in (1, 2):
            if grey.shape[axis] > 1:
                steps = np.abs(np.diff(grey, axis=axis)).reshape(len(grey), -1)
                found += [np.sqrt(np.square(steps).mean(axis=1)), np.sqrt(steps).mean(axis=1)]
        if min(grey.shape[1:]) < 4:
            break
        grey = grey[:, : grey.shape[1] // 2 * 2, : grey.shape[2] // 2 * 2]
        shape = (len(grey), grey.shape[1] // 2, 2, grey.shape[2] // 2, 2)
        grey = grey.reshape(shape).mean(axis=(2, 4))
    return np.stack(found, axis=1) if found else np.zeros((len(grey), 1))


def _roughness(images: np.ndarray) -> float:
    steps = [np.diff(images, axis=axis) for axis in (1, 2) if images.shape[axis] > 1]
    if not steps:
        return 0.0
    return float(np.mean([np.mean(np.square(step), dtype=np.float64) for step in steps]))


def _spread(images: np.ndarray) -> float:
    return float(images.var(axis=0, dtype=np.float64).mean())


def _cells(images: np.ndarray) -> np.ndarray:
    """Return means over cells that share out rows and columns as evenly as can be, float64."""
    for axis in (1, 2):
        count = min(CELLS, images.shape[axis])
        edges = np.linspace(0, images.shape[axis], count + 1).round().astype(int)
        sums = np.add.reduceat(images.astype(np.float64), edges[:-1], axis=axis)
        shape = [1] * images.ndim
        shape[axis] = count
        images = sums / np.diff(edges).reshape(shape)
    return images.reshape(len(images), -1)
