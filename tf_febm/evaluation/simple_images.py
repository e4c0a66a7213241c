"""Images that need no model: draws of a Gaussian fit to the pixels, and uniform noise.

Figures of quality are read between them and real images.
"""

import numpy as np

from tf_febm import arguments
from tf_febm.evaluation.scale import to_unit_interval

__all__ = ["gaussian_images", "noise_images"]

# More images would only cost time.
ENOUGH = 10_000


def gaussian_images(images: arguments.Tensor, count: int, seed: int = 0) -> np.ndarray:
    """Draw from the Gaussian that has the mean and the covariance of images, cut to [0, 1].

    With X the n centred images, z standard normal [n]: the draw mean + Xᵀz/√(n − 1) has the sample
    covariance, which is never formed. At most 10,000 images are used, evenly spaced.

    Args:
        images: uint8, or float in [0, 1], [n, height, width, channels], n ≥ 2.
        count: How many draws.
        seed: Of the draws.

    Returns:
        float32 [count, height, width, channels].
    """
    chosen = images[:: -(-len(images) // ENOUGH)]
    x = to_unit_interval(chosen).reshape(len(chosen), -1)
    mean = x.mean(axis=0, dtype=np.float64).astype(np.float32)
    z = np.random.default_rng(seed).standard_normal((count, len(x)), dtype=np.float32)
    drawn = mean + z @ (x - mean) / np.float32(np.sqrt(len(x) - 1))
    return np.clip(drawn, 0.0, 1.0).reshape(count, *np.shape(images)[1:])


def noise_images(shape: arguments.Shape, count: int, seed: int = 0) -> np.ndarray:
    """Draw every pixel uniformly from [0, 1).

    Args:
        shape: Of an image.
        count: How many.
        seed: Of the draws.

    Returns:
        float32 [count, *shape].
    """
    return np.random.default_rng(seed).random((count, *shape), dtype=np.float32)
