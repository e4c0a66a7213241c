"""Uses of a trained model: sample correction, denoising, inpainting, out-of-distribution scores."""

from tf_febm.applications.demonstration import demonstrate
from tf_febm.applications.denoising import Denoised, denoise
from tf_febm.applications.evolution import Evolution, chain_evolution, evolution_picture
from tf_febm.applications.importance import ImportanceWeights, importance_weights
from tf_febm.applications.inpainting import inpaint
from tf_febm.applications.out_of_distribution import ood_scores
from tf_febm.applications.rejection import RejectionResult, rejection_filter, rejection_sample
from tf_febm.applications.row_scores import score_rows

__all__ = [
    "demonstrate",
    "Denoised",
    "Evolution",
    "ImportanceWeights",
    "RejectionResult",
    "chain_evolution",
    "denoise",
    "evolution_picture",
    "importance_weights",
    "inpaint",
    "ood_scores",
    "rejection_filter",
    "rejection_sample",
    "score_rows",
]
