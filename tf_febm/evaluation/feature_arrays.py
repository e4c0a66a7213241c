"""Checks that all figures make of the features they are given."""

import warnings

import numpy as np

__all__ = ["checked_features", "checked_pair", "warn_if_few"]


def checked_features(features, name, least=2):
    """Check one set of feature vectors.

    Args:
        features: array [n, d] of real, finite numbers with n ≥ least and d ≥ 1.
        name: what to call it in error messages.
        least: least number of rows.

    Returns:
        The array, as it is if it is float32 or float64, else as float64.

    Raises:
        ValueError: if the rank, the dtype, the number of rows or a value is another.
    """
    features = np.asarray(features)
    if features.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers; received dtype {features.dtype}.")
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float64)
    if features.ndim != 2 or features.shape[0] < least or features.shape[1] < 1:
        raise ValueError(
            f"{name} must have shape [n, d] with n ≥ {least} and d ≥ 1; received shape "
            f"{features.shape}."
        )
    if not np.isfinite(features).all():
        count = int(np.sum(~np.isfinite(features)))
        raise ValueError(f"{name} must be finite; received {count} values that are not.")
    return features


def checked_pair(features_a, features_b, names=("features_a", "features_b"), least=2):
    """Check two sets of feature vectors of the same space.

    Args:
        features_a: array [n, d], see `checked_features`.
        features_b: array [m, d].
        names: what to call them in error messages.
        least: least number of rows of each.

    Returns:
        Both arrays, see `checked_features`.

    Raises:
        ValueError: as `checked_features`, and if the numbers of features differ.
    """
    features_a = checked_features(features_a, names[0], least)
    features_b = checked_features(features_b, names[1], least)
    if features_a.shape[1] != features_b.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of features; received shapes "
            f"{features_a.shape} and {features_b.shape}."
        )
    return features_a, features_b


def warn_if_few(features, name, stacklevel):
    """Warn if a set has no more rows than features.

    Args:
        features: array [n, d].
        name: what to call it in the warning.
        stacklevel: of `warnings.warn`, as seen from the caller.
    """
    rows, columns = features.shape
    if rows <= columns:
        warnings.warn(
            f"{name} has {rows} rows for {columns} features: its covariance is singular and the "
            "distance strongly biased.",
            stacklevel=stacklevel + 1,
        )
