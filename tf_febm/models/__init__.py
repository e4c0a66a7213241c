"""Keras models whose `train_step` is one iteration of a published algorithm."""

from tf_febm import catalogue
from tf_febm.models.base import EnergyModel
from tf_febm.models.bidirectional import BidirectionalEBM
from tf_febm.models.chain_pools import PooledSamples, pooled_chains, pooled_chains_by_pool
from tf_febm.models.chains import Batch
from tf_febm.models.contrastive_divergence import ContrastiveDivergence
from tf_febm.models.density_ratio import DensityRatio
from tf_febm.models.dual import DualFEBM
from tf_febm.models.energy_discrepancy import EnergyDiscrepancy
from tf_febm.models.febm import FEBM
from tf_febm.models.multiscale import MultiscaleScoreMatching
from tf_febm.models.noise_conditional import NoiseConditionalModel
from tf_febm.models.noise_contrastive import NoiseContrastive
from tf_febm.models.pseudo_spherical import PseudoSpherical
from tf_febm.models.recovery import Recovery
from tf_febm.models.reference_levels import ReferenceLevels
from tf_febm.models.score_matching import ScoreMatching
from tf_febm.models.variational import VariationalModel

# What can be chosen by name is imported with the package: files of models name its classes.
for _entry in catalogue.METHODS.values():
    catalogue.load(_entry.place)

__all__ = [
    "FEBM",
    "Batch",
    "BidirectionalEBM",
    "ContrastiveDivergence",
    "DensityRatio",
    "DualFEBM",
    "EnergyDiscrepancy",
    "EnergyModel",
    "MultiscaleScoreMatching",
    "NoiseConditionalModel",
    "NoiseContrastive",
    "PooledSamples",
    "PseudoSpherical",
    "ScoreMatching",
    "Recovery",
    "ReferenceLevels",
    "VariationalModel",
    "pooled_chains",
    "pooled_chains_by_pool",
]
