"""Three Gaussians in the plane on a grid, and how a density there stands to them."""

import functools
import math
from typing import NamedTuple

import numpy as np

__all__ = ["HALF", "MEANS", "Grid", "grid", "judged"]

WEIGHTS = (0.5, 0.3, 0.2)
MEANS = ((-2.0, 0.0), (2.0, 1.5), (1.5, -2.5))
# Standard deviations and correlations.
SHAPES = ((0.8, 0.5, 0.5), (0.5, 0.8, -0.3), (0.5, 0.5, 0.0))
# Half a side of the box.
HALF = 8.0


class Grid(NamedTuple):
    """Centres of cells, float64 [n, 2], and the mixture there.

    Attributes:
        x: The centres.
        area: Of a cell.
        p: Density of the mixture.
        shares: Posterior of each component, [n, 3].
        usual: Whether a cell is in the smallest region that has 99 % of p.
    """

    x: np.ndarray
    area: float
    p: np.ndarray
    shares: np.ndarray
    usual: np.ndarray


@functools.cache
def grid(cells: int) -> Grid:
    """Return the grid and the mixture."""
    edges = np.linspace(-HALF, HALF, cells + 1)
    centres = 0.5 * (edges[1:] + edges[:-1])
    x = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    parts = np.stack(
        [w * _normal(x, *place) for w, *place in zip(WEIGHTS, MEANS, SHAPES, strict=True)], axis=1
    )
    p = parts.sum(axis=1)
    area = (edges[1] - edges[0]) ** 2
    order = np.argsort(-p)
    usual = np.zeros(len(p), bool)
    usual[order[: np.searchsorted(np.cumsum(p[order]) * area, 0.99) + 1]] = True
    return Grid(x, area, p, parts / p[:, None], usual)


def _normal(x: np.ndarray, mean, shape) -> np.ndarray:
    first, second, correlation = shape
    between = correlation * first * second
    covariance = np.array([[first**2, between], [between, second**2]])
    away = x - np.asarray(mean)
    form = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
    return np.exp(-0.5 * form) / (2.0 * math.pi * math.sqrt(np.linalg.det(covariance)))


def judged(density: np.ndarray, name: str, cells: Grid) -> dict[str, float]:
    """Return how a density stands to the mixture.

    "covered" is the least share of a component, of what it should have: below 1 modes are missed.
    "spilt" is the mass outside of the smallest region with 99 % of p: 0.01 would be right.
    """
    import tensorflow as tf

    from tf_febm import divergences

    q = np.maximum(density, 1e-300)
    r = tf.constant(np.log(cells.p) - np.log(q))
    divergence, area = divergences.get(name), cells.area
    own = cells.p * divergence.derivative(r).numpy() - density * divergence.conjugate(r).numpy()
    mean = (density[:, None] * cells.x).sum(axis=0) * area
    away = cells.x - mean
    covariance = np.einsum("n,ni,nj->ij", density * area, away, away)
    shares = (density[:, None] * cells.shares).sum(axis=0) * area
    return {
        "divergence": float(own.sum() * area),
        "total_variation": float(0.5 * np.abs(density - cells.p).sum() * area),
        "kl": float((cells.p * r.numpy()).sum() * area),
        "reverse_kl": float(-(density * r.numpy()).sum() * area),
        "covered": float((shares / np.array(WEIGHTS)).min()),
        "spilt": float(density[~cells.usual].sum() * area),
        "spread": float(np.sqrt(np.linalg.det(covariance))),
        "mean": mean.tolist(),
    }
