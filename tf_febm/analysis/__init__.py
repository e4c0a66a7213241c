"""Exact answers and theory: divergences by quadrature, their minimisers, stability of training."""

from tf_febm.analysis.ground_truth import NormalFit, best_normal, f_divergence, gaussian_mixture
from tf_febm.analysis.stability import Stability, stability

__all__ = [
    "NormalFit",
    "Stability",
    "best_normal",
    "f_divergence",
    "gaussian_mixture",
    "stability",
]
