"""Parts of the fit of a Gaussian reference: what it looks at, in which units, shared factors."""

from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from tf_febm import arguments

__all__ = [
    "MAX_NUMBERS",
    "checked_examples",
    "examples_of",
    "factors_of",
    "spectral_fit",
    "units_of",
]

# Numbers that a fit looks at, of examples evenly spread: 320 MB in float64.
MAX_NUMBERS = 40_000_000
# Coefficients less of whose variance is shared with others are in none of the spectral factors.
LEAST_SHARED = 0.02
# Principal components of the spectra of images: at 32×32 colours about 80 % of their variance.
MAX_SPECTRAL_RANK = 512


def examples_of(data: arguments.Data) -> np.ndarray:
    """Return examples as float64 [n, …].

    Raises:
        TypeError: They are not floating.
        ValueError: They are too few, or not finite.
    """
    if isinstance(data, tf.data.Dataset):
        batches, count = [], 0
        for batch in data:
            batches.append(np.asarray(batch[0] if isinstance(batch, (tuple, list)) else batch))
            count += batches[-1].size
            if count >= MAX_NUMBERS:
                break
        data = np.concatenate(batches) if batches else np.zeros((0, 1))
    x = np.asarray(data)
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(f"data must be floating, in the units of the model; received {x.dtype}.")
    if x.ndim < 2 or len(x) < 2:
        raise ValueError(f"data must be at least 2 examples, [n, …]; received shape {x.shape}.")
    most = max(MAX_NUMBERS // x[0].size, 2)
    if len(x) > most:
        x = x[np.linspace(0, len(x) - 1, most).astype(np.int64)]
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise ValueError("data must be finite; received NaN or infinite numbers.")
    return x


def checked_examples(name: str, x: arguments.Array, shape: tuple[int, ...]) -> Any:
    """Return x as examples of a shape, an array or tensor [n, …].

    Raises:
        TypeError: It is not floating: μ and Σ would be rounded to its type.
        ValueError: It has another shape, which broadcasting would take.
    """
    x = x if hasattr(x, "dtype") else ops.convert_to_tensor(x)
    dtype = str(getattr(x.dtype, "name", x.dtype))
    if "float" not in dtype:
        raise TypeError(f"{name} must be floating; received {dtype}.")
    sizes = tf.TensorShape(x.shape)
    if not sizes.is_compatible_with((None, *shape)):
        raise ValueError(f"{name} must have shape {('n', *shape)}; received {sizes}.")
    return x


def factors_of(loadings: np.ndarray) -> dict[str, np.ndarray]:
    """Return V and √(1 + λ) of I + Wᵀ W = I + V diag(λ) Vᵀ, for W [rank, d]."""
    # The root of S (I + V diag(λ) Vᵀ) Sᵀ is S (I + V diag(√(1 + λ) − 1) Vᵀ).
    vectors, singular, _ = np.linalg.svd(loadings.T, full_matrices=False)
    return {"factors": vectors, "gains": np.sqrt(1.0 + singular**2)}


def units_of(x: np.ndarray, spread: float) -> np.ndarray:
    """Return the standard deviation of each coordinate; that of all data where one is constant."""
    deviation = x.std(axis=0)
    return np.where(deviation > 1e-6 * spread, deviation, spread)


def spectral_fit(x: np.ndarray, noise: float, rank: int | None) -> dict[str, np.ndarray]:
    """Fit cosine transforms of colour components, with shared factors; see `GaussianReference`.

    Args:
        x: Images, float64 [n, height, width, channels].
        noise: Standard deviation of the white noise that they get, in their units.
        rank: Factors, or None for the usual number.
    """
    import scipy.fft

    centred = x - x.mean(axis=0)
    channels = x.shape[-1]
    pixels = centred.reshape(-1, channels)
    colours = np.linalg.eigh(pixels.T @ pixels / len(pixels))[1]
    found = scipy.fft.dctn(centred, axes=(1, 2), norm="ortho") @ colours
    scale = np.sqrt(found.var(axis=0) + (noise) ** 2)
    rows, columns = (scipy.fft.dct(np.eye(side), axis=0, norm="ortho") for side in x.shape[1:3])
    fit = {"rows": rows, "columns": columns, "colours": colours}
    z = (found / scale).reshape(len(x), -1)
    rank = min(len(x) // 8, MAX_SPECTRAL_RANK) if rank is None else rank
    rank = min(rank, len(z) - 1, z.shape[1] - 1)
    if not rank:
        return {**fit, "scale": scale}
    from sklearn.decomposition import PCA  # Slow to import.

    found = PCA(rank, svd_solver="randomized", random_state=0).fit(z)
    loadings = found.components_ * np.sqrt(found.explained_variance_)[:, None]
    floor = (noise / scale.ravel()) ** 2
    whole = z.var(axis=0) + floor
    own = np.maximum(whole - np.square(loadings).sum(axis=0), floor)
    # Nearly all of most fine coefficients is their own: without these, products cost half.
    shared = own < (1.0 - LEAST_SHARED) * whole
    own = np.sqrt(np.where(shared, own, whole))
    kept = np.flatnonzero(shared)
    return {
        **fit,
        "scale": scale * own.reshape(scale.shape),
        **factors_of(loadings[:, kept] / own[kept]),
        "kept": kept.astype(np.float64),
    }
