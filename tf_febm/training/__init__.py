"""Long runs: a folder that holds all of a run, checkpoints, and callbacks that fill it."""

from tf_febm.renamed import earlier_names
from tf_febm.training.callbacks import (
    AveragedWeights,
    ChainDiagnostics,
    QualityMetrics,
    VariationalRate,
)
from tf_febm.training.checkpoints import Checkpoints, DivergedError
from tf_febm.training.environment import versions
from tf_febm.training.evaluating import Sampling, evaluate_rows, evaluate_run
from tf_febm.training.finishing import draw_samples, finish, to_unit_scale
from tf_febm.training.guard import DivergenceGuard
from tf_febm.training.held_out_gain import HeldOutGain
from tf_febm.training.loop import train
from tf_febm.training.progress import Progress
from tf_febm.training.recorders import (
    EnergyHistograms,
    MetricsTable,
    SampleGrids,
    Scalars,
)
from tf_febm.training.report import write_report
from tf_febm.training.run_folder import RunFolder
from tf_febm.training.runs import Run, run
from tf_febm.training.schedule import steps_in_epochs, steps_taken
from tf_febm.training.stop import GracefulStop

__all__ = [
    "AveragedWeights",
    "ChainDiagnostics",
    "Checkpoints",
    "DivergedError",
    "DivergenceGuard",
    "EnergyHistograms",
    "GracefulStop",
    "HeldOutGain",
    "MetricsTable",
    "Progress",
    "QualityMetrics",
    "Run",
    "RunFolder",
    "SampleGrids",
    "Sampling",
    "Scalars",
    "VariationalRate",
    "draw_samples",
    "evaluate_rows",
    "evaluate_run",
    "finish",
    "run",
    "steps_in_epochs",
    "steps_taken",
    "to_unit_scale",
    "train",
    "versions",
    "write_report",
]


__getattr__ = earlier_names(
    __name__,
    {
        "buffers": "tf_febm.training.resharding",
        "health": "tf_febm.training.numerical_checks",
    },
)
