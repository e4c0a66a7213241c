"""Exact answers and theory: divergences by quadrature, their minimisers, bounds, stability."""

from tf_febm.analysis.bounds import PlaneBounds, plane_bounds
from tf_febm.analysis.eigenvalue_bounds import EigenvalueBounds, eigenvalue_bounds
from tf_febm.analysis.ground_truth import NormalFit, best_normal, f_divergence, gaussian_mixture
from tf_febm.analysis.reach import Reach, reach
from tf_febm.analysis.stability import Stability, stability

__all__ = [
    "EigenvalueBounds",
    "NormalFit",
    "PlaneBounds",
    "Reach",
    "Stability",
    "best_normal",
    "eigenvalue_bounds",
    "f_divergence",
    "gaussian_mixture",
    "plane_bounds",
    "reach",
    "stability",
]
