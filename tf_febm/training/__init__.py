"""Long runs: a folder that holds all of a run, checkpoints, and callbacks that fill it."""

from tf_febm.training.checkpoints import Checkpoints, DivergedError
from tf_febm.training.guard import DivergenceGuard
from tf_febm.training.recorders import (
    EnergyHistograms,
    MetricsTable,
    Progress,
    SampleGrids,
    Scalars,
)
from tf_febm.training.run import draw_samples, finish, train
from tf_febm.training.run_folder import RunFolder
from tf_febm.training.schedule import steps_in_epochs
from tf_febm.training.stop import GracefulStop

__all__ = [
    "Checkpoints",
    "DivergedError",
    "DivergenceGuard",
    "EnergyHistograms",
    "GracefulStop",
    "MetricsTable",
    "Progress",
    "RunFolder",
    "SampleGrids",
    "Scalars",
    "draw_samples",
    "finish",
    "steps_in_epochs",
    "train",
]
