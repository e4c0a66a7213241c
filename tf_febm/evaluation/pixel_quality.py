"""Figures of images that need no feature network: they tell noise and copies from pictures."""

import dataclasses

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.frechet import fit_gaussian, gaussian_distance, one_blas_thread
from tf_febm.evaluation.scale import to_unit_interval
from tf_febm.evaluation.simple_images import noise_images

__all__ = ["PixelQuality", "pixel_quality"]

# Cells in either direction, whose means say how an image is as seen from afar.
CELLS = 6
# Real images used; more would only cost time.
ENOUGH = 5_000


@dataclasses.dataclass(frozen=True)
class PixelQuality:
    """How samples compare with real images in plain statistics of pixels.

    Attributes:
        roughness: Mean squared difference of neighbouring pixels of the samples.
        held_out_roughness: The same of held-out images.
        noise_roughness: The same of uniform noise, a sixth.
        spread: Variance of a pixel from sample to sample, mean over pixels; 0 of equal samples.
        held_out_spread: The same of held-out images.
        coarse_distance: Fréchet distance of samples from training images after averaging over at
            most 6 × 6 cells; lower is better.
        held_out_coarse_distance: The same of held-out images.
        noise_coarse_distance: The same of uniform noise.
        num_samples: int.
        num_held_out: Held-out images that were used.
    """

    roughness: float
    held_out_roughness: float
    noise_roughness: float
    spread: float
    held_out_spread: float
    coarse_distance: float
    held_out_coarse_distance: float
    noise_coarse_distance: float
    num_samples: int
    num_held_out: int

    def as_dict(self) -> dict:
        """Convert to a dict of int and float, ready for `json.dumps`."""
        return dataclasses.asdict(self)


@arguments.checking({"train": arguments.ARRAY, "held_out": arguments.ARRAY})
def pixel_quality(
    samples: arguments.Array, train: arguments.Data, held_out: arguments.Data
) -> PixelQuality:
    """Compare samples with real images in roughness, spread and coarse shapes.

    These see noise, flat images, copies of one image and wrong brightness. They do not see whether
    a face is a face: a feature network does, as `evaluate_samples` takes it, and so do eyes.

    Args:
        samples: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 2.
        train: Images that the model was trained on, likewise.
        held_out: Images that it was not trained on, likewise.

    Returns:
        A PixelQuality.

    Raises:
        ValueError: A rank is not 4, there are fewer than two images, or values leave [0, 1].
        TypeError: The dtype is neither uint8 nor floating point.
    """
    sets = {
        "samples": samples,
        "train": train[:: -(-len(train) // ENOUGH)],
        "held_out": held_out[:ENOUGH],
        "noise": noise_images(np.shape(samples)[1:], min(len(samples), ENOUGH)),
    }
    sets = {name: to_unit_interval(images, name) for name, images in sets.items()}
    for name, images in sets.items():
        if len(images) < 2:
            raise ValueError(f"{name} must be at least two images; received {len(images)}.")
    with one_blas_thread():
        known = {name: fit_gaussian(_cells(images)) for name, images in sets.items()}
        coarse = {name: gaussian_distance(found, known["train"]) for name, found in known.items()}
    return PixelQuality(
        roughness=_roughness(sets["samples"]),
        held_out_roughness=_roughness(sets["held_out"]),
        noise_roughness=_roughness(sets["noise"]),
        spread=_spread(sets["samples"]),
        held_out_spread=_spread(sets["held_out"]),
        coarse_distance=coarse["samples"],
        held_out_coarse_distance=coarse["held_out"],
        noise_coarse_distance=coarse["noise"],
        num_samples=len(samples),
        num_held_out=len(sets["held_out"]),
    )


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
