"""Deep energy-based models by f-divergence minimisation, in TensorFlow and Keras."""

import importlib

from tf_febm import (
    applications,
    calibration,
    compose,
    data,
    divergences,
    entropy,
    evaluation,
    legacy,
    models,
    networks,
    objectives,
    optimizers,
    parallel,
    pretrained,
    recipes,
    samplers,
    serving,
    training,
    workers,
)
from tf_febm.models import (
    FEBM,
    BidirectionalEBM,
    ContrastiveDivergence,
    DensityRatio,
    DualFEBM,
    EnergyDiscrepancy,
    MultiscaleScoreMatching,
    NoiseContrastive,
    PseudoSpherical,
    Recovery,
    ScoreMatching,
)
from tf_febm.renamed import earlier_names
from tf_febm.samplers import PersistentChains, ReplayBuffer
from tf_febm.serving import export
from tf_febm.version import __version__

__all__ = [
    "FEBM",
    "BidirectionalEBM",
    "__version__",
    "ContrastiveDivergence",
    "DensityRatio",
    "DualFEBM",
    "EnergyDiscrepancy",
    "MultiscaleScoreMatching",
    "NoiseContrastive",
    "Recovery",
    "PersistentChains",
    "PseudoSpherical",
    "ReplayBuffer",
    "ScoreMatching",
    "analysis",
    "applications",
    "calibration",
    "compose",
    "data",
    "parallel",
    "divergences",
    "entropy",
    "evaluation",
    "export",
    "legacy",
    "models",
    "networks",
    "objectives",
    "optimizers",
    "pretrained",
    "recipes",
    "samplers",
    "serving",
    "training",
    "workers",
]


_earlier = earlier_names(
    __name__, {"distribution": "tf_febm.parallel", "guarded": "tf_febm.untrusted_files"}
)


def __getattr__(name: str):
    # Imported when first asked for: it takes a while, and training needs none of it.
    if name == "analysis":
        return importlib.import_module("tf_febm.analysis")
    return _earlier(name)
