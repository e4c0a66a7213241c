"""Checks that all figures make of the features they are given."""

import warnings
from typing import Any

import numpy as np

from tf_febm import arguments

__all__ = ["checked_features", "checked_pair", "finite", "warn_if_few"]


def finite(array: arguments.Tensor, name: str) -> np.ndarray:
    """Return an array of floats, float64 unless it is float32, or raise a ValueError."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers; received dtype {array.dtype}.")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        count = int(np.sum(~np.isfinite(array)))
        raise ValueError(f"{name} must be finite; received {count} values that are not.")
    return array


def checked_features(features: arguments.Tensor, name: str, least: int = 2) -> np.ndarray:
    """Return finite features [n, d] with n ≥ least and d ≥ 1, or raise a ValueError."""
    features = finite(features, name)
    if features.ndim != 2 or features.shape[0] < least or features.shape[1] < 1:
        raise ValueError(
            f"{name} must have shape [n, d] with n ≥ {least} and d ≥ 1; received shape "
            f"{features.shape}."
        )
    return features


def checked_pair(
    features_a: arguments.Tensor,
    features_b: arguments.Tensor,
    names: Any = ("features_a", "features_b"),
    least: int = 2,
) -> tuple[np.ndarray, np.ndarray]:
    """Return two sets of features of the same space, or raise a ValueError."""
    a, b = (
        checked_features(features, name, least)
        for features, name in zip((features_a, features_b), names, strict=True)
    )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of features; received shapes "
            f"{a.shape} and {b.shape}."
        )
    return a, b


def warn_if_few(features: arguments.Tensor, name: str, stacklevel: int) -> None:
    """Warn at a level above the caller if a set has no more rows than features."""
    rows, columns = features.shape
    if rows <= columns:
        warnings.warn(
            f"{name} has {rows} rows for {columns} features: its covariance is singular and the "
            "distance strongly biased.",
            stacklevel=stacklevel + 1,
        )
