"""Uses of a trained model: sampling from the data's law through the learned density ratio."""

from tf_febm.applications.importance import ImportanceWeights, importance_weights
from tf_febm.applications.rejection import RejectionResult, rejection_filter, rejection_sample

__all__ = [
    "ImportanceWeights",
    "RejectionResult",
    "importance_weights",
    "rejection_filter",
    "rejection_sample",
]
