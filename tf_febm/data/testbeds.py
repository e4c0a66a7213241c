"""Test beds in the plane: data whose density is known.

To add one: a density in `testbed_densities`, and an entry in `_BEDS`.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, randomness
from tf_febm.data.files import VectorSplit

__all__ = ["TestBed", "get", "names", "read"]

# Rows of the splits that `tf_febm.data.load` returns, and the seeds that they are drawn with.
SIZES = {"train": 50_000, "test": 10_000}
_SEEDS = {"train": 0, "test": 1}
# Points at a time: their distances from all components of a mixture are in memory at once.
_CHUNK = 5_000


@dataclasses.dataclass(frozen=True, eq=False)
class TestBed:
    """Hold a density in the plane: samples, log density, and where its modes are.

    Attributes:
        name: As in `names()`.
        distribution: A tfp distribution of float64 vectors [2].
        box: (low, high), the same for both axes: all but 1e-9 of the mass lies inside, with room
            around it for a model that is not perfect.
        step: Spacing of a grid that resolves the density, which divides high − low.
        modes: Centres of the modes, float64 [k, 2], of a mixture of separate round Gaussians; None
            of a density of another shape.
        mode_scale: Standard deviation of these modes, or None.
    """

    # pytest would take the name for a test.
    __test__ = False

    name: str
    distribution: Any
    box: tuple[float, float]
    step: float
    modes: np.ndarray | None = None
    mode_scale: float | None = None

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw points.

        Args:
            count: How many, at least 1.
            seed: An int. Equal seeds give equal points, and fewer points are the first of more.

        Returns:
            float32 [count, 2].
        """
        count = arguments.whole_number("count", count, 1)
        seed = randomness.as_seed(seed)
        from tf_febm.data.testbed_densities import draw

        # Always whole chunks, so that the number of points changes none of them.
        chunks = [
            draw(self.distribution, _CHUNK, tf.random.fold_in(seed, i)).numpy()
            for i in range(-(-count // _CHUNK))
        ]
        return np.concatenate(chunks)[:count].astype(np.float32)

    def log_prob(self, x) -> np.ndarray:
        """Return the log density, −inf where it is 0.

        Args:
            x: Points, real [n, 2].

        Returns:
            float64 [n].
        """
        x = np.asarray(x, np.float64)
        if x.ndim != 2 or x.shape[1] != 2:
            raise ValueError(f"x must have shape [n, 2]; received {list(x.shape)}.")
        parts = np.array_split(x, -(-len(x) // _CHUNK)) if len(x) else [x]
        return np.concatenate([self.distribution.log_prob(part).numpy() for part in parts])


def _gaussians(centres, scale):
    def build(densities):
        return {
            "distribution": densities.gaussians(centres, scale),
            "modes": centres,
            "mode_scale": scale,
        }

    return build


def _shape(name):
    return lambda densities: {"distribution": getattr(densities, name)()}


_PLACES = np.array(list(itertools.product(range(-2, 3), repeat=2)), np.float64)
_ANGLES = np.arange(8) * math.pi / 4

# name -> (what makes its density, box, step). Those of Gulrajani et al. 2017 and of the public code
# of Geng et al. 2021; pinwheel, rings and checkerboard as in Grathwohl et al. 2019, smaller.
_BEDS: dict[str, tuple[Callable, tuple[float, float], float]] = {
    "25gaussians": (_gaussians(2.0 * _PLACES / 2.828, 0.05 / 2.828), (-4.0, 4.0), 1 / 64),
    "8gaussians": (
        _gaussians(2.0 * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], 1) / 1.414, 0.02 / 1.414),
        (-4.0, 4.0),
        1 / 80,
    ),
    "swiss_roll": (_shape("swiss_roll"), (-8.0, 8.0), 1 / 16),
    "moons": (_shape("moons"), (-4.0, 5.0), 1 / 24),
    "checkerboard": (_shape("checkerboard"), (-4.0, 4.0), 1 / 32),
    "pinwheel": (_shape("pinwheel"), (-5.0, 5.0), 1 / 50),
    "rings": (_shape("rings"), (-5.0, 5.0), 1 / 32),
}


def names() -> tuple[str, ...]:
    """Return the names of all test beds; `tf_febm.data.load` takes them too."""
    return tuple(_BEDS)


@functools.cache
def get(name: str) -> TestBed:
    """Return a test bed by name.

    | name | density |
    |---|---|
    | 25gaussians | centres (2i, 2j), i, j ∈ {−2..2}, std 0.05, all over 2.828 |
    | 8gaussians | on a circle of radius 2, std 0.02, all over 1.414 |
    | swiss_roll, moons | scikit-learn's, noise 1.0 (then all over 5) and 0.1; by quadrature |
    | checkerboard | uniform on 8 of 16 unit squares |
    | pinwheel | five Gaussian arms bent by a swirl that keeps areas |
    | rings | radii 0.5, 1, 1.5, 2, std 0.05; uniform in the angle |

    Raises:
        ValueError: If there is no such test bed.
    """
    if name not in _BEDS:
        raise ValueError(f"Unknown test bed {name!r}; accepted: {', '.join(names())}.")
    # TensorFlow Probability takes seconds to import.
    from tf_febm.data import testbed_densities

    build, box, step = _BEDS[name]
    return TestBed(name, box=box, step=step, **build(testbed_densities))


def read(name: str, split: str) -> VectorSplit:
    """Draw a split of a test bed: 50,000 points for training, 10,000 others for the test."""
    vectors = get(name).sample(SIZES[split], _SEEDS[split])
    source = f"test bed {name}, {split}: {len(vectors)} points with seed {_SEEDS[split]}"
    return VectorSplit(vectors, None, None, source)
