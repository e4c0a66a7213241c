"""Toy datasets: samples of densities in the plane that are known.

To add one: its function in `toy_densities`, and its line in `tf_febm.catalogue.DATASETS`.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tf_febm import arguments, catalogue, randomness
from tf_febm.data.files import Split
from tf_febm.renamed import earlier_names

__all__ = ["ToyDataset", "get", "names", "read"]

# Rows of the splits that `tf_febm.data.load` returns, and the seeds that they are drawn with.
SIZES = {"train": 50_000, "test": 10_000}
_SEEDS = {"train": 0, "test": 1}
# Points at a time: their distances from all components of a mixture are in memory at once.
_CHUNK = 5_000


@arguments.checked
@dataclasses.dataclass(frozen=True, eq=False)
class ToyDataset:
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
        # Always whole chunks, so that the number of points changes none of them.
        chunks = [
            self.distribution.sample(_CHUNK, seed=tf.random.fold_in(seed, i)).numpy()
            for i in range(-(-count // _CHUNK))
        ]
        return np.concatenate(chunks)[:count].astype(np.float32)

    def log_prob(self, x: arguments.Array) -> np.ndarray:
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


def names() -> tuple[str, ...]:
    """Return the names of all toy datasets; `tf_febm.data.load` takes them too."""
    return tuple(name for name, row in catalogue.DATASETS.items() if row.kind == "plane")


@arguments.checked
@functools.cache
def get(name: str) -> ToyDataset:
    """Return a toy dataset by name.

    | name | density |
    |---|---|
    | 25gaussians | centres (2i, 2j), i, j ∈ {−2..2}, std 0.05, all over 2.828 |
    | 8gaussians | on a circle of radius 2, std 0.02, all over 1.414 |
    | swiss_roll, moons | scikit-learn's, noise 1.0 (then all over 5) and 0.1; by quadrature |
    | checkerboard | uniform on 8 of 16 unit squares |
    | pinwheel | five Gaussian arms bent by a swirl that keeps areas |
    | rings | radii 0.5, 1, 1.5, 2, std 0.05; uniform in the angle |

    Raises:
        ValueError: There is no such toy dataset.
    """
    if name not in names():
        raise ValueError(f"Unknown toy dataset name {name!r}; accepted: {', '.join(names())}.")
    # Imported now: TensorFlow Probability takes seconds.
    return catalogue.load(catalogue.DATASETS[name].place)()


@arguments.checked
def read(name: str, split: str) -> Split:
    """Draw a split of a toy dataset: 50,000 points for training, 10,000 others for the test."""
    vectors = get(name).sample(SIZES[split], _SEEDS[split])
    source = f"toy dataset {name}, {split}: {len(vectors)} points with seed {_SEEDS[split]}"
    return Split(vectors, None, None, source)


__getattr__ = earlier_names(__name__, {"TestBed": "tf_febm.data.toy_datasets:ToyDataset"})
